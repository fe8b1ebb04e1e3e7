"""Whatever is in the journal and however mappings are edited: a replay keeps the account, says beforehand what it does,
and has nothing to do the second time."""

from __future__ import annotations

import json
import os
from datetime import timedelta

import pytest
from django.db import connection
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from alerts.choices import Severity
from alerts.models import Alert, AlertHistory
from connectors import replay as replay_module
from connectors.models import OIDMapping, RawEvent
from dependencies.models import Device
from tests.conftest import WRITTEN
from tests.connectors.replaying import OIDS, PORT, PREFIX, replay
from tests.line import assert_account_balances

pytestmark = pytest.mark.anypg

EXAMPLES = 250 if os.environ.get("OPSCONDUCTOR_LONG") else 25

# Seconds between two traps reach across the reopen window (300 s) and the memory of a tombstone (600 s).
TRAP = st.tuples(
    st.sampled_from(range(len(OIDS))), st.sampled_from([1, 2]), st.sampled_from(["127.0.0.1", "127.0.0.2"]),
    st.sampled_from([0, 1, 30, 299, 301, 900]),
)  # fmt: skip
MAPPED = st.fixed_dictionaries(
    {
        "alert_type": st.sampled_from(["a", "b", "c"]),
        "enabled": st.sampled_from([True] * 6 + [False]),
        "category": st.sampled_from(["network", "power"]),
        "severity": st.sampled_from([2, 4, 5]),
        "component": st.sampled_from(["", PORT]),
        "ttl": st.sampled_from([None, None, None, None, 10]),
        "title": st.sampled_from(["", "Port {{ device }}"]),
        "ends": st.sampled_from([None, None, None, [], ["a"], ["b", "c"]]),  # None: a raise
    }
)
ROW = st.sampled_from([True] * 5 + [False]).flatmap(lambda there: MAPPED if there else st.none())
TABLE = st.tuples(*[ROW] * len(OIDS))
# What engineers do: one row or two, mostly a column of them.
EDITS = st.lists(
    st.one_of(
        st.tuples(st.sampled_from(range(len(OIDS))), st.just("row"), ROW),
        st.tuples(st.sampled_from(range(len(OIDS))), st.just("severity"), st.sampled_from([2, 4, 5])),
        st.tuples(st.sampled_from(range(len(OIDS))), st.just("category"), st.sampled_from(["network", "power"])),
        st.tuples(st.sampled_from(range(len(OIDS))), st.just("title"), st.sampled_from(["", "Port {{ device }}"])),
        st.tuples(st.sampled_from(range(len(OIDS))), st.just("ttl"), st.sampled_from([None, 10])),
        st.tuples(st.sampled_from(range(len(OIDS))), st.just("component"), st.sampled_from(["", PORT])),
        st.tuples(st.sampled_from(range(len(OIDS))), st.just("ends"), st.sampled_from([None, ["a"], ["a", "b"]])),
        st.tuples(st.sampled_from(range(len(OIDS))), st.just("alert_type"), st.sampled_from(["a", "b"])),
        st.tuples(st.just(0), st.just("alias"), st.booleans()),  # 127.0.0.2 becomes another address of 127.0.0.1
    ),
    min_size=1,
    max_size=3,
)
CHOSEN = st.sampled_from([{}, {}, {"oid": OIDS[0]}, {"source": "127.0.0.1"}, {"since": 1800}])


def edited(table, edits):
    rows = [None if row is None else dict(row) for row in table]
    for number, name, value in edits:
        if name == "alias":
            Device.objects.update_or_create(ip="127.0.0.1", defaults={"aliases": ["127.0.0.2"] if value else []})
        elif name == "row":
            rows[number] = value
        elif rows[number] is not None:
            rows[number][name] = value
    return tuple(rows)


def map_as(table):
    OIDMapping.objects.filter(oid_pattern__startswith=PREFIX).delete()
    for oid, row in zip(OIDS, table, strict=True):
        if row is None:
            continue
        OIDMapping.objects.create(
            oid_pattern=oid,
            alert_type=row["alert_type"] if row["ends"] is None else f"{row['alert_type']}_over",
            category=row["category"],
            default_severity=row["severity"] if row["ends"] is None else Severity.CLEAR,
            is_clear_event=row["ends"] is not None,
            clears=row["ends"] or [],
            component_template=row["component"],
            ttl_minutes=row["ttl"] if row["ends"] is None else None,
            title_template=row["title"],
            enabled=row["enabled"],
        )


def everything():
    return (
        [{**a, "updated_at": None} for a in Alert.objects.order_by("id").values()],
        list(AlertHistory.objects.order_by("id").values()),
        list(RawEvent.objects.order_by("id").values()),
    )


def told(difference):
    """A difference without what only one of two runs can know: the keys of alerts that were not there."""
    found = difference.as_json()
    new = {json.dumps(alert, sort_keys=True) for alert in found["samples"]["opened"]}
    for entries in found["samples"].values():
        for entry in entries:
            for side in (entry, entry.get("from", {}), entry.get("to", {})):
                side.pop("alert", None)
        entries.sort(key=lambda entry: json.dumps(entry, sort_keys=True))
    assert len(new) <= found["opened"]
    return found


@pytest.fixture
def mapped(line):
    yield line
    OIDMapping.objects.filter(oid_pattern__startswith=PREFIX).delete()


@pytest.mark.parametrize("batch", [2, 500])
@given(traps=st.lists(TRAP, min_size=3, max_size=14), before=TABLE, edits=EDITS, chosen=CHOSEN)
@settings(
    max_examples=EXAMPLES,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
def test_a_replay_keeps_the_account_and_its_word(mapped, batch, traps, before, edits, chosen):
    line = mapped
    replay_module.BATCH = batch
    try:
        with connection.cursor() as cur:
            cur.execute(f"TRUNCATE {', '.join(WRITTEN)} RESTART IDENTITY")
        start = line.now
        line.now = start - timedelta(hours=6)
        if "since" in chosen:
            chosen = {"since": (line.now + timedelta(seconds=chosen["since"])).isoformat()}
        map_as(before)
        line.reload()
        at = 0
        for kind, port, source, pause in traps:
            at += pause
            line.trap(OIDS[kind], [(f"{PORT}.{port}", "Integer32", port)], source=source, after=at + 0.001)
        line.now = start
        map_as(edited(before, edits))
        state = everything()

        announced = replay(dry_run=True, **chosen)
        assert everything() == state
        done = replay(**chosen)

        assert_account_balances(len(traps))
        assert told(announced) == told(done)
        state = everything()
        again = replay(**chosen)
        assert again.is_empty, again.as_json()
        assert everything() == state
        raised = Alert.objects.filter(condition="raised")
        assert len(set(raised.values_list("fingerprint", flat=True))) == raised.count()
        # Nobody is left with an open alert no event belongs to.
        held = set(RawEvent.objects.exclude(alert_id=None).values_list("alert_id", flat=True))
        assert set(raised.values_list("pk", flat=True)) <= held
    finally:
        replay_module.BATCH = 500
