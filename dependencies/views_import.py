"""Paste or upload a file of dependencies or devices, see what it would change, then save all of it or nothing."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from django.contrib import messages
from django.contrib.admin.models import ADDITION, LogEntry
from django.contrib.contenttypes.models import ContentType
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect, render
from django.utils.cache import patch_cache_control
from django.views.decorators.http import require_http_methods

from dependencies import devices, edge_files, edges, kept, tables
from dependencies.devices import DeviceRow
from dependencies.edges import EdgeRow
from dependencies.models import Dependency, Device
from opsconductor.portal import portal_page

MOST_BYTES = 10_000_000
ROWS_SHOWN = 200
RIGHTS = {
    "dependencies": ("dependencies.add_dependency", "dependencies.change_dependency"),
    "devices": ("dependencies.add_device", "dependencies.change_device"),
}
PLACES = {"dependencies": "/dependencies/import/", "devices": "/dependencies/import/devices/"}
LAYOUTS = {"dependencies": edge_files.LAYOUT, "devices": devices.LAYOUT}
EXAMPLES = {
    "dependencies": "device_ip,depends_on_ip,dependency_type,description,redundancy_group\n"
    "10.20.1.11,10.20.1.1,network,port 11,uplink\n"
    "10.20.1.11,10.20.1.2,network,port 11,uplink\n"
    "10.20.1.11,10.20.9.5,power,,\n",
    "devices": "ip,name,aliases,site,role,vendor,model\n"
    "10.20.1.1,core-1,10.255.0.1,North,core switch,cisco,C9500\n"
    "10.20.1.11,cam-gate,,North,camera,axis,P3265\n",
}
Plan = edges.Plan | devices.Plan


@portal_page("dependencies.view_dependency")
@require_http_methods(["GET", "HEAD", "POST"])
def upload(request: HttpRequest, what: str) -> HttpResponseBase:
    if not request.user.has_perms(RIGHTS[what]):
        raise PermissionDenied(f"Your account may not import {what}. Ask an administrator for the admin role.")
    context: dict[str, Any] = {"what": what, "text": "", "format": "", "replace": False}
    if request.method != "POST":
        return _page(request, context)
    data, name, refused = _given(request)
    context |= {
        "text": "" if isinstance(data, bytes) else data,
        "format": request.POST.get("format", ""),
        "replace": _may_replace(request, what) and request.POST.get("replace") == "1",
        "name": name,
    }
    if refused:
        return _page(request, {**context, "refused": refused}, 400)
    form = context["format"] if context["format"] in tables.FORMATS else tables.by_name(name)
    rows, wrong = _read(what, data, form, context["replace"])
    plan = _plan(what, rows, context["replace"]) if not wrong else None
    mistakes = wrong or (plan.wrong if plan else wrong)
    if plan is None or mistakes:
        return _page(request, {**context, "wrong": mistakes, "wrong_shown": mistakes.named[:ROWS_SHOWN]}, 422)
    try:
        token = kept.keep(_user_id(request), kept.Upload(what, name, rows, context["replace"], plan.digest))
    except kept.Unavailable as error:
        return _page(request, {**context, "refused": str(error)}, 503)
    return redirect(f"/dependencies/import/{token}/")


@portal_page("dependencies.view_dependency")
@require_http_methods(["GET", "HEAD", "POST"])
def review(request: HttpRequest, token: str) -> HttpResponseBase:
    user_id = _user_id(request)
    try:
        found = kept.find(user_id, token)
    except kept.Unavailable as error:
        return _page(request, {"what": "dependencies", "text": "", "format": "", "refused": str(error)}, 503)
    if found is None:
        messages.error(request, "What was uploaded is kept for an hour and is gone by now. Upload it again.")
        return redirect(PLACES["dependencies"])
    if not request.user.has_perms(RIGHTS[found.what]):
        raise PermissionDenied(f"Your account may not import {found.what}.")
    if request.method != "POST":
        plan = _plan(found.what, found.rows, found.replace)
        is_outdated = plan.digest != found.digest
        if is_outdated:
            _keep_digest(user_id, token, found, plan)
        return _review(request, found, plan, is_outdated=is_outdated)
    if request.POST.get("seen") != found.digest:
        return _review(request, found, _plan(found.what, found.rows, found.replace), is_outdated=True)
    try:
        done = _save(request, found)
    except (edges.Outdated, devices.Outdated) as outdated:
        _keep_digest(user_id, token, found, outdated.plan)
        return _review(request, found, outdated.plan, is_outdated=True)
    if done.wrong:
        return _review(request, found, done, is_outdated=True)
    kept.forget(user_id, token)
    counts = done.summary
    told = f"{counts['added']:,} added, {counts['changed']:,} changed, {counts['unchanged']:,} unchanged"
    told += f", {counts['removed']:,} removed" if found.replace else ""
    _log(request, found.what, told)
    messages.success(request, f"Saved: {told}.")
    return redirect("/dependencies/")


def _given(request: HttpRequest) -> tuple[bytes | str, str, str]:
    """What was sent, its name, and why it is refused."""
    file = request.FILES.get("file")
    if file is not None:
        if (file.size or 0) > MOST_BYTES:
            return b"", "", f"The file is larger than {MOST_BYTES // 1_000_000} MB. Use manage.py import_dependencies."
        return file.read(), file.name or "", ""
    text = request.POST.get("text", "")
    return text, "", "" if text.strip() else "Choose a file, or paste its text."


def _read(what: str, data: bytes | str, form: str, replace: bool) -> tuple[list[Any], tables.Mistakes]:
    if what == "devices":
        return devices.rows_of(data, form)
    read = edge_files.rows_of(data, form)
    return list(read.rows), edge_files.mistakes(read, replace=replace)


def _plan(what: str, rows: list[Any], replace: bool) -> Plan:
    if what == "devices":
        return devices.plan([DeviceRow(*row) for row in rows])
    return edges.preview([EdgeRow(*row) for row in rows], replace=replace)


def _save(request: HttpRequest, found: kept.Upload) -> Plan:
    if found.what == "devices":
        return devices.save([DeviceRow(*row) for row in found.rows], expected=found.digest)
    replace = found.replace and _may_replace(request, found.what)
    rows = [EdgeRow(*row) for row in found.rows]
    return edges.save(rows, replace=replace, expected=found.digest, user_id=_user_id(request))


def _may_replace(request: HttpRequest, what: str) -> bool:
    return what == "dependencies" and request.user.has_perm("dependencies.delete_dependency")


def _keep_digest(user_id: int, token: str, found: kept.Upload, plan: Plan) -> None:
    """What is shown from now on. When it cannot be kept, saving is refused once more and shows it again."""
    found.digest = plan.digest
    with suppress(kept.Unavailable):
        kept.store(user_id, token, found)


def _page(request: HttpRequest, context: dict[str, Any], status: int = 200) -> HttpResponse:
    what = context["what"]
    context |= {
        "columns": LAYOUTS[what].columns,
        "required": LAYOUTS[what].required,
        "example": EXAMPLES[what],
        "formats": tables.FORMATS,
        "may_replace": _may_replace(request, what),
        "tabs": [(name, PLACES[name], name == what) for name in PLACES if request.user.has_perms(RIGHTS[name])],
        "most": MOST_BYTES // 1_000_000,
    }
    return render(request, "dependencies/import.html", context, status=status)


def _review(request: HttpRequest, found: kept.Upload, plan: Plan, *, is_outdated: bool) -> HttpResponse:
    removed = plan.removed if isinstance(plan, edges.Plan) else []
    context = {
        "what": found.what,
        "name": found.name,
        "plan": plan,
        "counts": plan.summary,
        "replace": found.replace,
        "is_outdated": is_outdated,
        "wrong_shown": plan.wrong.named[:ROWS_SHOWN],
        "added": plan.added[:ROWS_SHOWN],
        "changed": plan.changed[:ROWS_SHOWN],
        "removed": [key for key, _ in removed[:ROWS_SHOWN]],
        "shown": ROWS_SHOWN,
        "upload": PLACES[found.what],
        "total": len(plan.added) + len(plan.changed) + len(removed),
    }
    answer = render(request, "dependencies/review.html", context, status=409 if is_outdated else 200)
    patch_cache_control(answer, no_store=True, private=True)
    return answer


def _log(request: HttpRequest, what: str, told: str) -> None:
    """Into the administration's own log, as an import of many and not one by one."""
    model = Device if what == "devices" else Dependency
    LogEntry.objects.create(
        user_id=_user_id(request),
        content_type=ContentType.objects.get_for_model(model),
        object_repr=f"Import of {what}"[:200],
        action_flag=ADDITION,
        change_message=f"Imported: {told}.",
    )


def _user_id(request: HttpRequest) -> int:
    return int(request.user.pk or 0)
