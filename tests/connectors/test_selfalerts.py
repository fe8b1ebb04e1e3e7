"""OpsConductor's own alerts: judged by cases, raised and cleared through the engine like any other."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from alerts import actions
from alerts.models import Alert
from alerts.types import NormalizedAlert
from connectors import account, selfalerts, snapshot, socketcounts, sweep
from connectors.account import Waiting
from connectors.ingest import Ingest
from connectors.models import Connector, IngestCount, RawEvent, SocketCount
from connectors.selfalerts import (
    DISK,
    IMBALANCE,
    KERNEL_DROPS,
    LATE,
    LOSING,
    NO_DAY,
    SPOOL,
    Facts,
    Finding,
    Open,
    SelfAlerts,
    decide,
    judge,
)
from connectors.socketcounts import Delta
from connectors.storage import Forecast, foresee
from opsconductor import db, heartbeat
from opsconductor.models import Heartbeat
from tests.access import person, signed_in
from tests.line import LINK_DOWN, assert_account_balances, interface

NOW = datetime(2021, 5, 20, 12, 30, 40, tzinfo=UTC)
TODAY = NOW.date()
WELL = Facts(
    now=NOW,
    drops={},
    windows=((0, 0), (0, 0), (0, 0)),
    hosts={"noc-1": Waiting()},
    days=frozenset(TODAY + timedelta(days=n) for n in range(-30, 15)),
    journal_days=30,
    forecast=Forecast(10**9, None, 10**10, 7),
    free=10**12,
)


def words(facts, *is_open):
    """What is wrong, as type, component and severity."""
    found, _ = judge(facts, frozenset(is_open))
    return [(f.alert_type, f.component, int(f.severity)) for f in found]


# --- judging ---


def test_all_is_well():
    assert judge(WELL) == ([], set())


@pytest.mark.parametrize(
    ("changes", "wrong"),
    [
        ({"drops": {"0.0.0.0:162": 3, "[::]:162": 0}}, [(KERNEL_DROPS, "socket=0.0.0.0:162", 4)]),
        ({"windows": ((9, 2), (8, 2), (7, 2))}, [(IMBALANCE, "", 2)]),
        ({"windows": ((-9, 2), (-8, 2), (-7, 2))}, [(IMBALANCE, "", 2)]),
        ({"windows": ((9, 2), (8, 2), (7, 7))}, []),  # one hour does not show it
        ({"windows": ((9, 2), (-8, 2), (7, 2))}, []),
        ({"hosts": {"a": Waiting(memory=99)}}, []),
        ({"hosts": {"a": Waiting(spooled=5), "b": Waiting()}}, [(SPOOL, "host=a", 4)]),
        ({"hosts": {"a": Waiting(spooled=5, refusing=True)}}, [(LOSING, "host=a", 5), (SPOOL, "host=a", 4)]),
        ({"days": WELL.days - {TODAY}}, [(NO_DAY, "", 5)]),
        ({"days": WELL.days - {TODAY + timedelta(days=1)}}, [(NO_DAY, "", 4)]),
        ({"days": WELL.days - {TODAY + timedelta(days=3)}}, []),
        ({"days": WELL.days | {TODAY - timedelta(days=32)}}, []),
        ({"days": WELL.days | {TODAY - timedelta(days=33)}}, [(LATE, "", 2)]),
        ({"forecast": Forecast(10**9, 3, 0, 7)}, []),
        ({"forecast": Forecast(10**9, 2, 0, 7)}, [(DISK, "", 4)]),
        ({"forecast": Forecast(10**9, 0, 0, 7)}, [(DISK, "", 5)]),
    ],
)
def test_cases(changes, wrong):
    assert words(replace(WELL, **changes)) == wrong


@pytest.mark.parametrize(
    ("changes", "unknown"),
    [
        # What is on the disk comes into the account later, at the time it was received.
        ({"windows": ((9, 2), (8, 2), (7, 2)), "hosts": {"a": Waiting(spooled=1)}}, {IMBALANCE}),
        ({"windows": ((9, 2), (8, 2), (7, 2)), "hosts": {"a": Waiting(lasts_seconds=4.0)}}, {IMBALANCE}),
        ({"free": None}, {DISK}),
        ({"forecast": None}, {DISK}),
    ],
)
def test_what_cannot_be_known_is_neither_raised_nor_cleared(changes, unknown):
    found, not_known = judge(replace(WELL, **changes))

    assert not_known == unknown
    assert not [f for f in found if f.alert_type in unknown]
    is_open = {(t, ""): Open(4, NOW) for t in (IMBALANCE, DISK)}
    assert {key[0] for key in decide(found, not_known, is_open, {}, NOW)[1]} == {IMBALANCE, DISK} - unknown


def test_the_disk_alert_does_not_flap_at_its_limit():
    facts = replace(WELL, forecast=Forecast(10**9, 3, 0, 7))

    assert words(facts) == []
    assert words(facts, (DISK, "")) == [(DISK, "", 4)]
    assert words(replace(WELL, forecast=Forecast(10**9, 4, 0, 7)), (DISK, "")) == []


def test_sentences_are_for_people():
    facts = replace(
        WELL, drops={"0.0.0.0:162": 1_234}, windows=((1_500, 2),) * 3, forecast=Forecast(2 * 1024**3, 2, 0, 7),
        free=3 * 1024**3,
    )  # fmt: skip

    titles = [f.title for f in judge(facts)[0]]

    assert titles == [
        "The kernel dropped 1,234 traps on 0.0.0.0:162",
        "1,500 datagrams of the last hour are in no bucket",
        "The disk of the database is full in 2 days",
    ]


# --- what is news ---

DROPS = Finding(KERNEL_DROPS, "socket=a", 4, "Dropped", "why")


def test_new_and_over():
    assert decide([DROPS], set(), {}, {}, NOW) == ([DROPS], [])
    assert decide([], set(), {DROPS.key: Open(4, NOW)}, {}, NOW) == ([], [DROPS.key])


def test_what_lasts_is_told_again_now_and_then():
    def raises(minutes):
        return decide([DROPS], set(), {DROPS.key: Open(4, NOW - timedelta(minutes=minutes))}, {}, NOW)[0]

    assert raises(9) == []
    assert raises(10) == [DROPS]


def test_what_got_worse_is_told_at_once():
    worse = replace(DROPS, severity=5)

    assert decide([worse], set(), {DROPS.key: Open(4, NOW)}, {DROPS.key: NOW}, NOW)[0] == [worse]


def test_what_a_person_closed_is_not_raised_with_every_look():
    told = {DROPS.key: NOW - timedelta(minutes=9)}

    assert decide([DROPS], set(), {}, told, NOW) == ([], [])
    assert decide([DROPS], set(), {}, told, NOW + timedelta(minutes=1)) == ([DROPS], [])


# --- how long the disk lasts ---

GB = 1_000_000_000


def forecast(free, sizes, others=0, others_days=0.0, journal_days=30, passed=0.5):
    """`sizes`: today's, yesterday's ..."""
    days = [(TODAY - timedelta(days=n), size) for n, size in enumerate(sizes)]
    return foresee(
        free, days, others, others_days, today=TODAY, passed=passed, journal_days=journal_days, alert_days=90
    )


def test_a_young_journal_grows_until_its_retention():
    found = forecast(100 * GB, [GB // 2, GB, GB])

    assert (found.per_day, found.days, found.measured_days) == (GB, None, 2)
    assert found.peak == pytest.approx(28.5 * GB, rel=0.01)


def test_a_disk_that_is_too_small_for_it_is_full_some_day():
    assert forecast(10 * GB, [GB // 2, GB, GB]).days == 10
    assert forecast(GB // 4, [GB // 2, GB, GB]).days == 0


def test_a_journal_at_its_retention_stays_as_it_is():
    found = forecast(GB, [GB // 2] + [GB] * 30)

    assert (found.days, found.peak) == (None, GB // 2)


def test_more_than_ever_before_fills_what_retention_cannot_free():
    assert forecast(20 * GB, [3 * GB] + [GB // 10] * 30).days == 3


def test_alerts_grow_too_until_their_retention():
    found = forecast(10 * GB, [0] + [GB] * 30, others=GB, others_days=10)

    assert found.per_day == GB + GB // 10
    assert (found.days, found.peak) == (None, GB + 8 * GB)
    assert forecast(2 * GB, [0] + [GB] * 30, others=GB, others_days=10).days in range(9, 12)


def test_the_first_day_goes_by_itself_and_empty_days_say_nothing():
    assert forecast(100 * GB, [GB], passed=0.5).per_day == 2 * GB
    assert forecast(100 * GB, [GB // 2, GB, 80_000, 80_000]).measured_days == 1


def test_without_a_disk_to_look_at_it_says_what_is_still_to_come():
    found = forecast(None, [GB // 2, GB])

    assert found.days is None
    assert found.peak > 0


# --- through the engine ---


class Own(SelfAlerts):
    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.snapshot = snapshot.load()


@pytest.fixture
def own(committed_db):
    ingest = Ingest(application="test")
    with db.connect() as conn:
        yield Own(ingest, lambda: conn)
    ingest.close()
    SocketCount.objects.all().delete()
    Connector.objects.filter(slug="opsconductor").update(enabled=True)


def dropped(ago, number=5):
    with db.connect() as conn:
        socketcounts.write(conn, "h:1", [Delta("0.0.0.0:162", 0, number)], datetime.now(UTC) - ago)


def look(own, **after):
    return own.look(own.snapshot, datetime.now(UTC) + timedelta(**after))


def raised():
    return Alert.objects.filter(condition="raised")


def test_case_83_a_kernel_drop_raises_an_alert_and_ten_quiet_minutes_end_it(own):
    dropped(timedelta(0))

    assert look(own) == 1
    alert = raised().get()
    assert (alert.alert_type, alert.component) == ("kernel_drops", "socket=0.0.0.0:162")
    assert alert.device_name == "OpsConductor"
    assert (alert.source_system, alert.status, alert.severity) == ("self", "active", 4)
    assert look(own, seconds=10) == 0
    assert look(own, minutes=9) == 0
    assert look(own, minutes=12) == 1
    alert.refresh_from_db()
    assert (alert.condition, alert.status) == ("cleared", "resolved")
    assert_account_balances(2)


def test_what_other_programs_of_the_host_lost_raises_nothing(own):
    for lost in (10, 5_000):
        heartbeat.beat("trap_listener", {"waiting": 0, "spooled": 0, "host_dropped": lost}, instance="noc-1:1")
        assert look(own) == 0
    assert not raised().exists()


def test_its_page_and_the_board_show_it(own):
    dropped(timedelta(0))
    look(own)
    browser = signed_in(person("viewer"))

    assert "The kernel dropped 5 traps" in browser.get("/alerts/").content.decode()
    page = browser.get(raised().get().get_absolute_url()).content.decode()
    assert "net.core.rmem_max" in page
    assert "OpsConductor itself" in page
    assert "kernel dropped 5" in browser.get("/system/").content.decode()


def test_an_imbalance_that_persists_raises_one(own):
    at = datetime.now(UTC) - timedelta(minutes=20)
    with db.connect() as conn:
        socketcounts.write(conn, "h:1", [Delta("a", 100, 0)], at)
    IngestCount.objects.create(minute=account.floor(at), source="10.1.1.1", outcome="opened", count=93)

    look(own)

    assert raised().get().title == "7 datagrams of the last hour are in no bucket"
    assert look(own, hours=2) == 1
    assert not raised().exists()


def test_what_is_under_way_raises_nothing(own):
    for ago in (2, 3, 7, 8):
        at = datetime.now(UTC) - timedelta(minutes=ago)
        with db.connect() as conn:
            socketcounts.write(conn, "h:1", [Delta("a", 1_000, 0)], at)
        IngestCount.objects.create(
            minute=at.replace(second=0, microsecond=0), source="10.1.1.1", outcome="opened", count=1_000 - ago
        )

    assert look(own) == 0


def test_the_spool_of_a_host(own):
    heartbeat.beat("trap_listener", {"waiting": 0, "spooled": 40}, instance="noc-1:1")
    heartbeat.beat("web", {"waiting": 0, "spooled": 2}, instance="noc-1:2")
    look(own)
    assert raised().get().title == "42 events wait in the spool of noc-1"

    Heartbeat.objects.update(detail={"waiting": 0, "spooled": 0})
    look(own)
    assert not raised().exists()


def test_two_dispatchers_say_it_once(own):
    dropped(timedelta(0))
    with db.connect() as conn:
        other = SelfAlerts(own._ingest, lambda: conn)
        with db.connect() as third, third.transaction():
            third.execute("SELECT pg_advisory_xact_lock(%s, %s)", selfalerts.ONE_AT_A_TIME)
            assert look(own) == 0
        assert look(own) == 1
        assert other.look(own.snapshot) == 0
    assert raised().get().occurrence_count == 1


def test_resolved_by_hand_it_comes_back_only_if_it_lasts(own):
    dropped(timedelta(0))
    look(own)
    actions.resolve(raised().get().pk, by=person("operator"))

    for seconds in (10, 20, 300):
        assert look(own, seconds=seconds) == 0
    assert not raised().exists()
    dropped(timedelta(minutes=-9))
    assert look(own, minutes=10, seconds=1) == 1
    assert raised().exists()


@pytest.mark.parametrize("change", ["disable", "delete"])
def test_whoever_does_not_want_them_switches_the_connector_off(own, change):
    connector = Connector.objects.get(slug="opsconductor")
    dropped(timedelta(0))
    try:
        if change == "disable":
            Connector.objects.filter(pk=connector.pk).update(enabled=False)
        else:
            connector.delete()
        own.snapshot = snapshot.load()
        assert look(own) == 0
    finally:
        connector.enabled = True
        connector.save(force_insert=change == "delete")


def test_a_journalled_event_is_read_again_as_it_was(own):
    dropped(timedelta(0))
    look(own)
    row = RawEvent.objects.get()
    said = NormalizedAlert.__slots__
    finding = judge(replace(WELL, drops={"0.0.0.0:162": 5}))[0][0]
    first = selfalerts.item_of(finding, own.snapshot.of_type("self"), row.received_at)
    item = sweep.item_of([getattr(row, name) for name in sweep.READ_COLUMNS])

    sweep.reader(row.kind)(item, own.snapshot)

    assert [getattr(item.event, n) for n in said] == [getattr(first.event, n) for n in said]
    assert row.source == account.OWN


def test_one_that_could_not_be_applied_is_finished_by_the_sweep(own):
    dropped(timedelta(0))
    look(own)
    Alert.objects.all().delete()
    RawEvent.objects.update(outcome="pending", alert_id=None)
    IngestCount.objects.update(outcome="pending")

    assert sweep.sweep_pending(own._ingest, own.snapshot, datetime.now(UTC) + timedelta(minutes=1)).events == 1

    assert raised().get().alert_type == "kernel_drops"
    assert_account_balances(1)


def test_own_events_are_in_nobodys_account(line, own):
    line.trap(LINK_DOWN, interface(1))
    dropped(timedelta(0))
    look(own)

    books = account.look(account.PERIODS[0])

    assert (books.accounted, books.events) == (1, 0)
