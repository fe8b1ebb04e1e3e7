"""Many targets at once: lines that somebody pastes (IP,Name,Port,Site,Credential), or a file.

All rows or none. Columns beside the known ones are settings of the target, as its connector's manifest names them.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from django.core.exceptions import ValidationError
from django.db import transaction

from connectors.framework.manifest import Manifest
from connectors.models import Connector, Credential, Target
from dependencies.addresses import canonical_ip
from dependencies.tables import Layout, Mistakes, Record, Wrong, read

KNOWN = ("ip", "name", "port", "site", "credential")
SYNONYMS = {
    "address": "ip",
    "ip_address": "ip",
    "host": "ip",
    "device_ip": "ip",
    "device_name": "name",
    "label": "name",
}
MOST = 5_000


@dataclass
class Sheet:
    """What a table would do. `rows` are targets that are not saved yet."""

    rows: list[Target] = field(default_factory=list)
    added: int = 0
    changed: int = 0
    unchanged: int = 0
    mistakes: Mistakes = field(default_factory=Mistakes)


def columns(manifest: Manifest) -> tuple[str, ...]:
    plain = [name for name, said in manifest.target["properties"].items() if said.get("type") != "array"]
    return (*KNOWN, *plain)


def with_header(text: str, manifest: Manifest) -> str:
    """Lines as people paste them have no heading: IP first, then the known columns in their order."""
    first = next((line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")), "")
    separator = next((mark for mark in ("\t", ";", ",") if mark in first), ",")
    try:
        canonical_ip(first.split(separator)[0].strip())
    except ValueError:
        return text
    number = max(len(line.split(separator)) for line in text.splitlines())
    return separator.join(columns(manifest)[: max(number, 1)]) + "\n" + text


def examine(connector: Connector, manifest: Manifest, data: str | bytes, format: str = "") -> Sheet:
    """Compare a table with what is stored; nothing is saved."""
    sheet = Sheet()
    layout = Layout(columns(manifest), ("ip",), SYNONYMS)
    stored = {str(target.ip): target for target in connector.targets.select_related("credential")}
    credentials = {credential.name.lower(): credential for credential in Credential.objects.all()}
    seen: dict[str, int] = {}
    text = with_header(data, manifest) if isinstance(data, str) and format in ("", "csv") else data
    for record in read(text, layout, format):
        if isinstance(record, Wrong):
            sheet.mistakes.add(record)
            continue
        if len(seen) >= MOST:
            sheet.mistakes.add(
                Wrong(record.line, 0, "", f"More than {MOST:,} targets at once. Cut the table in parts.")
            )
            break
        _row(record, connector, manifest, stored, credentials, seen, sheet)
    return sheet


def _row(
    record: Record,
    connector: Connector,
    manifest: Manifest,
    stored: dict[str, Target],
    credentials: dict[str, Credential],
    seen: dict[str, int],
    sheet: Sheet,
) -> None:
    said = {
        name: value.strip()
        for name, value in zip(columns(manifest), record.values, strict=True)
        if value is not None and value.strip()
    }
    where = dict(zip(columns(manifest), record.positions, strict=True))

    def wrong(column: str, sentence: str) -> None:
        sheet.mistakes.add(Wrong(record.line, where.get(column, 0), column, sentence))

    number = sheet.mistakes.count
    try:
        ip = canonical_ip(said.get("ip", ""))
    except ValueError:
        wrong("ip", f"“{said.get('ip', '')}” is not an IP address.")
        return
    if ip in seen:
        wrong("ip", f"{ip} stands in line {seen[ip]} already.")
        return
    seen[ip] = record.line
    target = stored.get(ip) or Target(connector=connector, ip=ip)
    before = _facts(target)
    target.name = said.get("name", target.name)
    target.site = said.get("site", target.site)
    if "port" in said:
        if said["port"].isdigit() and 1 <= int(said["port"]) <= 65_535:
            target.port = int(said["port"])
        else:
            wrong("port", f"“{said['port']}” is not a port: a number from 1 to 65535.")
    if "credential" in said:
        target.credential = credentials.get(said["credential"].lower())
        if target.credential is None:
            known = ", ".join(sorted(c.name for c in credentials.values())) or "none yet"
            wrong("credential", f"There is no credential “{said['credential']}”. There are: {known}.")
    from connectors.framework import forms

    settings, errors = forms.parse(manifest.target, said, optional=True)
    for name, sentence in errors.items():
        wrong(name, sentence)
    target.config = {**(target.config or {}), **settings}
    if sheet.mistakes.count == number:
        try:
            target.clean()
        except ValidationError as error:
            wrong("", " ".join(error.messages))
    if sheet.mistakes.count == number:
        kind = "added" if target.pk is None else "changed" if _facts(target) != before else "unchanged"
        setattr(sheet, kind, getattr(sheet, kind) + 1)
        if kind != "unchanged":
            sheet.rows.append(target)


def _facts(target: Target) -> tuple[Any, ...]:
    return (target.name, target.site, target.port, target.credential_id, dict(target.config), dict(target.secrets))


def save(rows: Iterable[Target]) -> int:
    """All of them, in one transaction."""
    number = 0
    with transaction.atomic():
        for target in rows:
            target.save()
            number += 1
    return number
