"""Devices from files and in bulk: checked like the form checks them, saved all or none."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any, NamedTuple

from django.core.exceptions import ValidationError
from django.db import connection, transaction

from alerts import locks
from dependencies.addresses import canonical_ip
from dependencies.models import Device
from dependencies.tables import Layout, Mistakes, Record, Wrong, read

LAYOUT = Layout(
    columns=("ip", "name", "aliases", "site", "role", "vendor", "model", "sys_object_id", "netbox_id", "notes"),
    required=("ip",),
    synonyms={
        "device_ip": "ip",
        "primary_ip": "ip",
        "address": "ip",
        "device_name": "name",
        "hostname": "name",
        "location": "site",
        "sysobjectid": "sys_object_id",
    },
)
LONGEST = {f.name: f.max_length for f in Device._meta.concrete_fields if f.name in LAYOUT.columns and f.max_length}
TEXTS = ("name", "site", "role", "vendor", "model", "sys_object_id", "notes")


class DeviceRow(NamedTuple):
    """`values`: only the columns the file has."""

    ip: str
    values: dict[str, Any]
    line: int
    position: int


class Change(NamedTuple):
    row: DeviceRow
    device: Device
    differences: list[tuple[str, str, str]]  # column, before, after


@dataclass
class Plan:
    added: list[DeviceRow] = field(default_factory=list)
    changed: list[Change] = field(default_factory=list)
    unchanged: int = 0
    wrong: Mistakes = field(default_factory=Mistakes)

    @property
    def is_empty(self) -> bool:
        return not (self.added or self.changed)

    @property
    def digest(self) -> str:
        told = [[(r.ip, r.values) for r in self.added], [(c.row.ip, c.differences) for c in self.changed]]
        return sha256(repr((told, self.unchanged)).encode()).hexdigest()

    @property
    def summary(self) -> dict[str, int]:
        return {
            "added": len(self.added),
            "changed": len(self.changed),
            "unchanged": self.unchanged,
            "wrong": self.wrong.count,
        }


class Outdated(Exception):
    def __init__(self, plan: Plan) -> None:
        super().__init__("Somebody changed devices since this was shown.")
        self.plan = plan


def rows_of(data: bytes | str, format: str = "") -> tuple[list[DeviceRow], Mistakes]:
    rows: list[DeviceRow] = []
    wrong = Mistakes()
    for found in read(data, LAYOUT, format):
        checked = _checked(found) if isinstance(found, Record) else found
        if isinstance(checked, Wrong):
            wrong.add(checked)
        else:
            rows.append(checked)
    if not rows and not wrong:
        wrong.add(Wrong(1, 0, "", "There are no rows below the header."))
    return rows, wrong


def _checked(record: Record) -> DeviceRow | Wrong:
    said = dict(zip(LAYOUT.columns, record.values, strict=True))
    places = dict(zip(LAYOUT.columns, record.positions, strict=True))

    def wrong(column: str, sentence: str) -> Wrong:
        return Wrong(record.line, places[column], column, sentence)

    values: dict[str, Any] = {}
    for column, text in said.items():
        if text is None:
            continue
        if len(text) > LONGEST.get(column, 10_000):
            most = LONGEST.get(column, 10_000)
            return wrong(column, f"This is {len(text)} characters long. Shorten it to {most}.")
        if column in TEXTS:
            values[column] = text
        elif column == "netbox_id":
            if text and not (text.isascii() and text.isdigit() and len(text) < 18):
                return wrong(column, f"“{text[:60]}” is not a number. Leave it empty or write one.")
            values[column] = int(text) if text else None
        elif column == "aliases":
            try:
                values[column] = list(
                    dict.fromkeys(map(canonical_ip, text.replace(",", " ").replace(";", " ").split()))
                )
            except ValueError:
                return wrong(column, f"“{text[:60]}” is not a list of addresses. Put blanks between them.")
    try:
        ip = canonical_ip(said["ip"] or "")
    except ValueError:
        return wrong("ip", f"“{(said['ip'] or '')[:60]}” is not an address. Write one such as 10.1.2.3 or 2001:db8::5.")
    if ip in values.get("aliases", ()):
        values["aliases"].remove(ip)
    return DeviceRow(ip, values, record.line, places["ip"])


def plan(rows: Sequence[DeviceRow]) -> Plan:
    """Compares with what is stored; a row is recognised by its primary address."""
    result = Plan()
    stored = {device.ip: device for device in Device.objects.all()}
    owners = {address: device.ip for device in stored.values() for address in (device.ip, *device.aliases)}
    lines: dict[str, int] = {}
    for row in rows:
        if row.ip in lines:
            result.wrong.add(_wrong(row, f"This address stands in line {lines[row.ip]} already. Keep one of the two."))
            continue
        lines[row.ip] = row.line
        device = stored.get(row.ip)
        if device is None:
            result.added.append(row)
        elif differences := _differences(device, row.values):
            result.changed.append(Change(row, device, differences))
        else:
            result.unchanged += 1
    _refuse_shared(rows, owners, stored, result)
    return result


def _refuse_shared(
    rows: Sequence[DeviceRow], owners: dict[str, str], stored: Mapping[str, Device], result: Plan
) -> None:
    """No address belongs to two devices, in the file or beside it."""
    for row in rows:  # what the file takes from a device of its own is free
        if "aliases" in row.values and (device := stored.get(row.ip)) is not None:
            for alias in device.aliases:
                owners.pop(alias, None)
    for row in rows:
        owners.setdefault(row.ip, row.ip)
    for row in rows:
        for address in (row.ip, *row.values.get("aliases", ())):
            owner = owners.setdefault(address, row.ip)
            if owner != row.ip:
                result.wrong.add(_wrong(row, f"{address} already belongs to {owner}. Remove it from one of the two."))


def _wrong(row: DeviceRow, sentence: str) -> Wrong:
    return Wrong(row.line, row.position, "ip", sentence)


def _differences(device: Device, values: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    found = []
    for column, value in values.items():
        before = getattr(device, column)
        same = set(before) == set(value) if column == "aliases" else before == value
        if not same:
            found.append((column, _text(before), _text(value)))
    return found


def _text(value: Any) -> str:
    return " ".join(value) if isinstance(value, list) else "" if value is None else str(value)


def save(rows: Sequence[DeviceRow], *, expected: str | None = None) -> Plan:
    """All or none. Raises Outdated, with nothing written, when the plan is not the expected one."""
    with transaction.atomic(), connection.cursor() as cur:
        locks.lock_reach(cur, exclusive=True)  # their edges follow their addresses
        cur.execute("LOCK TABLE dependencies_device IN SHARE ROW EXCLUSIVE MODE")
        result = plan(rows)
        if expected is not None and result.digest != expected:
            raise Outdated(result)
        if result.wrong:
            return result
        new = [Device(ip=row.ip, **row.values) for row in result.added]
        Device.objects.bulk_create(new, batch_size=2_000)
        for change in result.changed:
            for column, value in change.row.values.items():
                setattr(change.device, column, value)
        columns = sorted({column for change in result.changed for column in change.row.values})
        if columns:
            Device.objects.bulk_update([change.device for change in result.changed], columns, batch_size=1_000)
        _move_edges(result, [*new, *(change.device for change in result.changed)])
        if result.wrong:
            transaction.set_rollback(True)
    return result


def _move_edges(result: Plan, devices: Sequence[Device]) -> None:
    """Devices whose aliases some edge names, few of thousands."""
    lines = {row.ip: row for row in [*result.added, *(change.row for change in result.changed)]}
    with connection.cursor() as cur:
        cur.execute(
            "SELECT DISTINCT host(d.ip) FROM dependencies_device d, unnest(d.aliases) AS alias "
            "WHERE EXISTS (SELECT FROM dependencies_dependency e WHERE e.device_ip = alias) "
            "OR EXISTS (SELECT FROM dependencies_dependency e WHERE e.depends_on_ip = alias)"
        )
        named = {ip for (ip,) in cur.fetchall()}
    for device in devices:
        if device.ip in named:
            try:
                device.adopt_edges()
            except ValidationError as error:
                result.wrong.add(_wrong(lines[device.ip], " ".join(error.messages)))
