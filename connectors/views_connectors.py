"""Connectors: how they are, what they are set to, whom they ask; tried out before anything is saved.

Works without JavaScript; with htmx a running poll shows its progress.
"""

from __future__ import annotations

import asyncio
from typing import Any

from django.contrib import messages
from django.contrib.admin.models import ADDITION, CHANGE, DELETION, LogEntry
from django.core.exceptions import PermissionDenied, ValidationError
from django.db import models
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.cache import patch_cache_control
from django.utils.text import slugify
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from connectors import connector_pages, tasks
from connectors.connector_pages import Given
from connectors.framework import forms, polling, schedule, settings, target_tables
from connectors.framework.errors import PollError
from connectors.framework.manifest import Manifest
from connectors.framework.registry import manifests
from connectors.models import Connector, Credential, Target
from connectors.readings import readings
from dependencies.addresses import canonical_ip
from opsconductor.portal import portal_page

VIEW, CHANGE_ONE, POLL = "connectors.view_connector", "connectors.change_connector", "connectors.poll_connector"
TEST_SECONDS = 30
TEXT_MAX = 2_000_000


@require_safe
@portal_page(VIEW)
def overview(request: HttpRequest) -> HttpResponseBase:
    found = connector_pages.cards(Connector.objects.order_by("-enabled", "name"))
    return _fresh(
        render(
            request,
            "connectors/overview.html",
            {
                "on": [card for card in found if card.connector.enabled],
                "off": [card for card in found if not card.connector.enabled],
                "types": sorted(manifests().values(), key=lambda m: m.name),
                **_rights(request),
            },
        )
    )


@require_http_methods(["GET", "HEAD", "POST"])
@portal_page(VIEW)
def add(request: HttpRequest, kind: str) -> HttpResponseBase:
    """Another connector of a type; its settings come on its own page."""
    _allow(request, "connectors.add_connector")
    manifest = manifests().get(kind)
    if manifest is None:
        raise Http404("There is no such type of connector.")
    name, error = manifest.name, ""
    if request.method == "POST":
        name = request.POST.get("name", "").strip()[:100]
        row = Connector(name=name, slug=slugify(name)[:60], type=kind, enabled=False)
        row.identity_scope = manifest.identity_scope
        try:
            row.full_clean(exclude=["config"])
        except ValidationError as wrong:
            error = " ".join(message for said in wrong.message_dict.values() for message in said)
        else:
            row.save()
            _log(request, row, ADDITION, "Added on the page Connectors.")
            messages.success(request, f"Added: {row}. Fill in its settings, then switch it on.")
            return redirect("connectors:connector", pk=row.pk)
    status = 400 if error else 200
    return render(request, "connectors/add.html", {"manifest": manifest, "name": name, "error": error}, status=status)


@require_safe
@portal_page(VIEW)
def connector(request: HttpRequest, pk: int) -> HttpResponseBase:
    row, manifest = _row(pk)
    return _page(request, row, manifest)


@require_safe
@portal_page(VIEW)
def runs(request: HttpRequest, pk: int) -> HttpResponseBase:
    """The recent polls alone, which a page with a running one asks for again and again."""
    row, manifest = _row(pk)
    page = connector_pages.page(row, manifest, asked=request.GET.get("asked", ""))
    return _fresh(render(request, "connectors/_runs.html", {"page": page, **_rights(request)}))


@require_POST
@portal_page(VIEW)
def save(request: HttpRequest, pk: int) -> HttpResponseBase:
    """Settings, thresholds and interval; or, with `action=test`, a try with what stands in the form."""
    trying = request.POST.get("action") == "test"
    _allow(request, CHANGE_ONE)
    row, manifest = _row(pk, secrets=True)
    values, errors = forms.parse(manifest.config, request.POST)
    plain, secrets, wrong = settings.split(values, manifest.config, row.secrets or {})
    errors = {**wrong, **errors}
    name = request.POST.get("name", row.name).strip()[:100]
    if not name:
        errors["name"] = "A name is needed."
    interval = _interval(request, errors)
    given = Given({name_: value for name_, value in values.items() if name_ not in manifest.sensitive()}, errors)
    if errors:
        return _page(request, row, manifest, given=given, status=400)
    row.name, row.config, row.secrets = name, plain, secrets
    if trying:
        return _page(
            request, row, manifest, given=given, tried=_try(row, manifest, request.POST.get("test_address", ""))
        )
    changed = ["settings"]
    row.save(update_fields=["name", "config", "secrets"])
    if interval is not None:
        schedule.set_interval(row, interval)
        changed.append("interval")
    _log(request, row, CHANGE, f"Changed {' and '.join(changed)} on the page Connectors.")
    messages.success(request, "Saved. The next poll works with it.")
    return redirect("connectors:connector", pk=row.pk)


def _interval(request: HttpRequest, errors: dict[str, str]) -> int | None:
    text = request.POST.get("poll_interval", "").strip()
    if not text:
        return None
    if not text.isdigit() or not 30 <= int(text) <= 86_400:
        errors["poll_interval"] = "A whole number from 30 to 86400 seconds."
        return None
    return int(text)


def _try(row: Connector, manifest: Manifest, address: str) -> dict[str, Any]:
    """What one real call says."""
    chosen: dict[str, Any] | None = None
    address = address.strip()
    if manifest.has_targets and address:
        try:
            address = canonical_ip(address)
        except ValueError:
            return {"ok": False, "said": f"“{address}” is not an IP address."}
        if not row.targets.filter(ip=address).exists():
            chosen = {}

    async def ask() -> str:
        async with asyncio.timeout(TEST_SECONDS):
            return await polling.try_out(row, address or None, chosen)

    try:
        return {"ok": True, "said": asyncio.run(ask())}
    except PollError as error:
        return {"ok": False, "said": str(error)}
    except TimeoutError:
        return {"ok": False, "said": f"No answer within {TEST_SECONDS} s."}


@require_POST
@portal_page(VIEW)
def switch(request: HttpRequest, pk: int) -> HttpResponseBase:
    _allow(request, CHANGE_ONE)
    row, _ = _row(pk)
    row.enabled = not row.enabled
    row.save(update_fields=["enabled"])
    word = "on" if row.enabled else "off"
    _log(request, row, CHANGE, f"Switched {word}.")
    messages.success(request, f"{row} is switched {word}.")
    if request.POST.get("next") == "overview":
        return redirect("connectors:overview")
    return redirect("connectors:connector", pk=pk)


@require_POST
@portal_page(VIEW)
def poll(request: HttpRequest, pk: int) -> HttpResponseBase:
    """Ask a worker to poll now."""
    _allow(request, POLL)
    row, manifest = _row(pk)
    if not manifest.polls:
        raise Http404("This connector does not poll.")
    here = reverse("connectors:connector", args=[pk])
    if not row.enabled:
        messages.error(request, f"{row} is switched off. Switch it on first.")
    elif row.lease_until is not None and row.lease_until > timezone.now():
        messages.info(request, f"{row} is being polled right now.")
    else:
        address = request.POST.get("target", "")
        asked = connector_pages.Asked.now(row)
        try:
            tasks.poll_now.delay(row.pk, [address] if address else None)
        except Exception:  # kombu's errors of a broker that is away have no common base
            messages.error(request, "The workers cannot be asked just now. Try again in a minute, or see System.")
        else:
            messages.success(request, "A worker was asked to poll it now; what it finds is shown below.")
            return redirect(f"{here}?asked={asked}#runs")
    return redirect(here)


# --- targets ----------------------------------------------------------------------------------------------------


@require_http_methods(["GET", "HEAD", "POST"])
@portal_page(VIEW)
def target(request: HttpRequest, pk: int, target: int | None = None) -> HttpResponseBase:
    """One target: how it is, its last values, and its settings as a form; without `target` a new one."""
    if target is None or request.method not in ("GET", "HEAD"):
        _allow(request, CHANGE_ONE)
    row, manifest = _row(pk, secrets=True)
    one = get_object_or_404(Target, pk=target, connector=row) if target is not None else Target(connector=row)
    if request.method != "POST":
        return _target_page(request, row, manifest, one)
    post = request.POST
    values, errors = forms.parse(manifest.target, post, optional=True)
    given = Given({n: v for n, v in values.items() if n not in manifest.sensitive("target")}, errors)
    one.ip, one.name = post.get("ip", "").strip(), post.get("name", "").strip()[:200]
    one.site, one.enabled = post.get("site", "").strip()[:100], bool(post.get("enabled"))
    port, credential = post.get("port", "").strip(), post.get("credential", "")
    one.port = int(port) if port.isdigit() and len(port) < 6 else None
    if port and not (one.port and 1 <= one.port <= 65_535):
        errors["port"] = "A number from 1 to 65535."
    one.credential = Credential.objects.filter(pk=credential).first() if credential.isdigit() else None
    try:
        one.ip = canonical_ip(str(one.ip))
    except ValueError:
        errors["ip"] = "An IP address such as 10.20.0.5."
    one.config, one.secrets, wrong = settings.split(values, manifest.target, one.secrets or {})
    errors |= wrong
    if "ip" not in errors and row.targets.filter(ip=one.ip).exclude(pk=one.pk).exists():
        errors["ip"] = f"{row} asks {one.ip} already."
    tried: dict[str, Any] | None = None
    if not errors and post.get("action") == "test":
        own = {**one.config, **one.secrets, **(one.credential.values if one.credential else {})}
        tried = _try_target(row, str(one.ip), {**own, "name": one.name, "port": one.port})
    if errors or tried:
        return _target_page(request, row, manifest, one, given, tried, status=400 if errors else 200)
    one.save()
    _log(request, row, CHANGE, f"{'Changed' if target else 'Added'} target {one} ({one.ip}).")
    messages.success(request, f"Saved: {one}.")
    return redirect("connectors:connector", pk=row.pk)


def _try_target(row: Connector, address: str, own: dict[str, Any]) -> dict[str, Any]:
    async def ask() -> str:
        async with asyncio.timeout(TEST_SECONDS):
            return await polling.try_out(row, address, own)

    try:
        return {"ok": True, "said": asyncio.run(ask())}
    except PollError as error:
        return {"ok": False, "said": str(error)}
    except TimeoutError:
        return {"ok": False, "said": f"No answer within {TEST_SECONDS} s."}


def _target_page(
    request: HttpRequest,
    row: Connector,
    manifest: Manifest,
    one: Target,
    given: Given | None = None,
    tried: dict[str, Any] | None = None,
    status: int = 200,
) -> HttpResponseBase:
    return _fresh(
        render(
            request,
            "connectors/target.html",
            {
                "connector": row,
                "target": one,
                "fields": connector_pages.target_fields(one, manifest, given),
                "errors": given.errors if given else {},
                "credentials": connector_pages.credential_choices(),
                "readings": readings(one.values or {}),
                "alerts": connector_pages.alerts_of(one) if one.pk else [],
                "tried": tried,
                **_rights(request),
            },
            status=status,
        )
    )


@require_POST
@portal_page(VIEW)
def target_delete(request: HttpRequest, pk: int, target: int) -> HttpResponseBase:
    _allow(request, CHANGE_ONE)
    row, _ = _row(pk)
    one = get_object_or_404(Target.objects.defer("secrets"), pk=target, connector=row)
    one.delete()
    _log(request, row, DELETION, f"Removed target {one} ({one.ip}).")
    messages.success(request, f"Removed: {one}. Its open alerts stay until somebody resolves them.")
    return redirect("connectors:connector", pk=row.pk)


@require_http_methods(["GET", "HEAD", "POST"])
@portal_page(VIEW)
def target_import(request: HttpRequest, pk: int) -> HttpResponseBase:
    """Lines or a file: what they would change is shown first; all rows or none."""
    _allow(request, CHANGE_ONE)
    row, manifest = _row(pk)
    text, sheet, refused = "", None, ""
    if request.method == "POST":
        upload = request.FILES.get("file")
        data = upload.read(TEXT_MAX + 1) if upload is not None else b""
        text = data.decode("utf-8-sig", "replace") if upload is not None else request.POST.get("text", "")
        if len(text) > TEXT_MAX:
            refused, text = "More than 2 MB. Cut the table in parts.", ""
        elif not text.strip():
            refused = "Paste some lines, or choose a file."
        else:
            sheet = target_tables.examine(row, manifest, text, request.POST.get("format", ""))
            if not sheet.mistakes.count and request.POST.get("action") == "save":
                number = target_tables.save(sheet.rows)
                _log(request, row, CHANGE, f"Imported {number} targets.")
                messages.success(request, f"{sheet.added} targets added, {sheet.changed} changed.")
                return redirect("connectors:connector", pk=row.pk)
    status = 400 if refused or (sheet and sheet.mistakes.count) else 200
    return _fresh(
        render(
            request,
            "connectors/import.html",
            {
                "connector": row,
                "columns": target_tables.columns(manifest),
                "text": text,
                "sheet": sheet,
                "refused": refused,
                **_rights(request),
            },
            status=status,
        )
    )


# --- what is common ---------------------------------------------------------------------------------------------


def _row(pk: int, *, secrets: bool = False) -> tuple[Connector, Manifest]:
    rows: models.QuerySet[Connector] = Connector.objects.all()
    row = get_object_or_404(rows, pk=pk)
    manifest = manifests().get(row.type)
    if manifest is None:
        raise Http404("This connector is set up in the administration.")
    return row, manifest


def _page(
    request: HttpRequest,
    row: Connector,
    manifest: Manifest,
    *,
    given: Given | None = None,
    tried: dict[str, Any] | None = None,
    status: int = 200,
) -> HttpResponseBase:
    page = connector_pages.page(
        row, manifest, search=request.GET.get("search", "")[:200], given=given, asked=request.GET.get("asked", "")
    )
    context = {
        "page": page,
        "connector": row,
        "errors": given.errors if given else {},
        "interval": request.POST.get("poll_interval") or page.interval or "",
        "tried": tried,
        "test_address": request.POST.get("test_address", ""),
        **_rights(request),
    }
    return _fresh(render(request, "connectors/connector.html", context, status=status))


def _rights(request: HttpRequest) -> dict[str, bool]:
    return {
        "can_change": request.user.has_perm(CHANGE_ONE),
        "can_add": request.user.has_perm("connectors.add_connector"),
        "can_poll": request.user.has_perm(POLL),
    }


def _allow(request: HttpRequest, permission: str) -> None:
    if not request.user.has_perm(permission):
        raise PermissionDenied("Your role may look at connectors, but not do this. Ask an administrator.")


def _log(request: HttpRequest, row: Connector, flag: int, sentence: str) -> None:
    if request.user.pk is not None:
        LogEntry.objects.log_actions(request.user.pk, [row], flag, change_message=sentence, single_object=True)


def _fresh(response: HttpResponse) -> HttpResponse:
    patch_cache_control(response, no_store=True, private=True)
    return response
