"""Events that could not be applied can be looked at, retried and discarded; whatever is done, the account balances."""

from __future__ import annotations

import threading
from datetime import timedelta

import pytest
from django.contrib.admin.models import LogEntry
from django.db import connection
from django.urls import reverse
from django.utils import timezone

from alerts.models import Alert
from connectors import deadletters
from connectors.deadletters import Filters
from connectors.journal import Item
from connectors.models import IngestCount, RawEvent
from tests.access import person, signed_in
from tests.line import LINK_DOWN, LINK_UP, assert_account_balances, buckets, interface
from tests.patience import SECONDS

pytestmark = pytest.mark.anypg

LIST = "/system/dead-letters/"


@pytest.fixture
def line(line):
    line.now = line.now - timedelta(minutes=30)
    return line


def fail(*items: Item, reason: str = "KeyError", outcome: str = "failed") -> None:
    """As if a fault of ours had been in the way when they came: nothing of them was applied."""
    Alert.objects.all().delete()
    for item in items:
        event = RawEvent.objects.get(event_key=item.event_key)
        IngestCount.objects.filter(source=item.source, outcome=event.outcome).delete()
        RawEvent.objects.filter(event_key=item.event_key).update(
            outcome=outcome, reason=reason, alert_id=None, fingerprint="",
            error=f"Traceback (most recent call last):\n  here\n{reason}: 'nobody'",
        )  # fmt: skip
    for item in items:
        count, _ = IngestCount.objects.get_or_create(
            minute=item.received_at.replace(second=0), source=item.source, outcome=outcome, reason=reason,
            defaults={"count": 0},
        )  # fmt: skip
        count.count += 1
        count.save()


def failed(line, number=1, **options):
    items = [line.item(LINK_DOWN, interface(n), after=n, **options) for n in range(1, number + 1)]
    line.ingest.store(items)
    fail(*items)
    return items


def row(item):
    return RawEvent.objects.get(event_key=item.event_key)


def test_what_is_retried_is_applied_at_its_own_time_and_counted_where_it_ended(line):
    (item,) = failed(line)

    done = deadletters.retry_one(row(item))

    assert done.outcomes == {"opened": 1}
    assert Alert.objects.get().occurred_at == item.received_at
    assert (row(item).outcome, row(item).reason, row(item).error) == ("opened", "", "")
    assert buckets() == {"opened": 1}
    assert_account_balances(1)


def test_what_fails_again_is_back_with_its_new_reason(line, monkeypatch):
    (item,) = failed(line)
    RawEvent.objects.filter(event_key=item.event_key).update(datagram=b"\x30\x00")

    done = deadletters.retry_one(row(item))

    assert done.outcomes == {"failed": 1}
    assert row(item).reason == "Refused"
    assert "Traceback" in row(item).error
    assert buckets() == {"failed": 1}
    assert_account_balances(1)


def test_what_is_discarded_leaves_the_list_and_stays_in_the_journal_with_who_and_when(line):
    (item,) = failed(line)
    operator = person("operator")

    assert deadletters.discard_one(row(item), operator).total == 1

    assert not Filters().events().exists()
    event = row(item)
    assert (event.outcome, event.reason) == ("failed", "discarded")
    assert event.error.startswith("Discarded by operator, ")
    assert event.error.endswith("KeyError: 'nobody'")
    assert dict(IngestCount.objects.filter(count__gt=0).values_list("reason", "count")) == {"discarded": 1}
    assert_account_balances(1)
    assert deadletters.discard_one(row(item), operator).total == 0
    assert deadletters.retry_one(row(item)).total == 0


def test_what_is_pending_for_long_is_listed_and_can_be_retried(line):
    items = [line.item(LINK_DOWN, interface(n), after=n) for n in (1, 2)]
    line.ingest.store(items)
    fail(*items, outcome="pending", reason="")
    RawEvent.objects.filter(event_key=items[1].event_key).update(received_at=timezone.now())

    assert list(Filters().events().values_list("event_key", flat=True)) == [items[0].event_key]
    assert deadletters.retry_one(row(items[0])).outcomes == {"opened": 1}


def test_all_of_a_filter_go_oldest_first_and_the_others_stay(line):
    down = line.item(LINK_DOWN, interface(1), after=1)
    up = line.item(LINK_UP, interface(1), after=2)
    other = line.item(LINK_DOWN, interface(1), after=3, source="127.0.0.2")
    line.ingest.store([down, up, other])
    fail(down, up, other)

    done = deadletters.retry(Filters(source="127.0.0.1"))

    assert done.outcomes == {"opened": 1, "cleared": 1}
    assert Alert.objects.get().condition == "cleared"
    assert [e.source for e in Filters().events()] == ["127.0.0.2"]
    assert_account_balances(3)


def test_what_takes_too_long_becomes_pending_for_the_sweep(line, monkeypatch):
    monkeypatch.setattr(deadletters, "BATCH", 2)
    failed(line, 5)

    done = deadletters.retry(Filters(), seconds=0.0)

    assert done.waiting + (5 if done.more else 0) >= 2
    assert set(buckets()) <= {"pending", "failed"}
    assert_account_balances(5)


def test_one_that_fails_again_does_not_stop_the_rest_and_is_tried_once(line, monkeypatch):
    monkeypatch.setattr(deadletters, "BATCH", 2)
    items = failed(line, 5)
    RawEvent.objects.filter(event_key=items[1].event_key).update(datagram=b"\x30\x00")

    done = deadletters.retry(Filters())

    assert done.outcomes == {"opened": 4, "failed": 1}
    assert_account_balances(5)


def test_however_many_people_ask_each_event_is_applied_once(line):
    items = failed(line, 12)
    operator = person("operator")
    started, errors = threading.Event(), []

    def ask(number):
        started.wait(SECONDS)
        try:
            if number == 3:
                deadletters.discard(Filters(), operator)
            else:
                deadletters.retry(Filters())
        except Exception as error:
            errors.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=ask, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    started.set()
    for thread in threads:
        thread.join(SECONDS)

    assert errors == []
    assert not Filters().events().exists()
    assert set(buckets()) <= {"opened", "failed"}
    assert set(Alert.objects.values_list("occurrence_count", flat=True)) <= {1}
    assert_account_balances(len(items))


def test_the_list_reads_its_own_index(line):
    """What is applied as it should be is not looked at, however much there is of it."""
    failed(line, 3)
    with connection.cursor() as cur:
        cur.execute("SET enable_seqscan = off; SET enable_sort = off")
        plan = Filters().events().explain()
        cur.execute("RESET enable_seqscan; RESET enable_sort")
        cur.execute("SELECT indexname, indexdef FROM pg_indexes WHERE indexdef LIKE '%%discarded%%'")
        ours = {name for name, _ in cur.fetchall()}
    used = {word for line in plan.splitlines() if "Index Scan using" in line for word in line.split() if "_idx" in word}
    assert used
    assert used <= ours


# --- the pages --------------------------------------------------------------------------------------------------------


def test_everybody_who_sees_alerts_looks_and_operators_act(line):
    (item,) = failed(line)
    event = row(item)
    retry = reverse("journal:dead-letter-act", args=[event.pk, "retry"])
    assert signed_in(person("service")).get(LIST).status_code in (200, 403)
    viewer = signed_in(person("viewer"))
    page = viewer.get(LIST).content.decode()
    assert "KeyError" in page
    assert "Retry" not in page
    assert viewer.post(retry).status_code == 403
    assert viewer.post(reverse("journal:dead-letters-all"), {"action": "discard", "sure": "yes"}).status_code == 403
    assert RawEvent.objects.get().outcome == "failed"

    operator = signed_in(person("operator"))
    assert "Retry" in operator.get(LIST).content.decode()
    assert operator.post(retry, follow=True).status_code == 200
    assert RawEvent.objects.get().outcome == "opened"
    assert LogEntry.objects.get().change_message == "Retried 1: opened 1."


def test_a_letter_shows_its_traceback_its_variables_and_its_octets_without_the_community(line):
    (item,) = failed(line)

    page = signed_in(person("viewer")).get(reverse("journal:dead-letter", args=[row(item).pk])).content.decode()

    assert "KeyError: &#x27;nobody&#x27;" in page
    assert "ifIndex.1" in page
    assert "0000  30 " in page
    assert "public" not in page.split("What went wrong")[1]


def test_a_letter_with_a_body_shows_it_and_one_that_cannot_be_decoded_says_so(line):
    (item,) = failed(line)
    viewer = signed_in(person("viewer"))
    address = reverse("journal:dead-letter", args=[row(item).pk])
    RawEvent.objects.update(datagram=None, data={"alert_type": "disk_full", "text": "<b>"}, kind="event")
    assert "disk_full" in viewer.get(address).content.decode()
    RawEvent.objects.update(datagram=b"\x30\x03\x02\x01\x03", data=None, kind="snmp v3")
    assert "0000  30 03 02 01 03" in viewer.get(address).content.decode()


def test_one_that_is_none_any_more_says_what_became_of_it(line):
    (item,) = failed(line)
    address = reverse("journal:dead-letter", args=[row(item).pk])
    deadletters.retry_one(row(item))

    page = signed_in(person("viewer")).get(address).content.decode()

    assert "no dead letter any more: it is opened" in page
    assert "0000" not in page
    assert signed_in(person("operator")).get("/system/dead-letters/999999999999/").status_code == 404


def test_all_are_asked_for_first_and_what_came_later_is_not_meant(line):
    failed(line, 3)
    operator = signed_in(person("operator"))
    asked = operator.post(reverse("journal:dead-letters-all"), {"action": "discard", "reason": "KeyError"})
    page = asked.content.decode()
    assert "Discard 3 events?" in page
    assert Filters().count() == 3
    until = asked.context["until"]
    late = line.item(LINK_DOWN, interface(9), after=60)
    line.ingest.store([late])
    RawEvent.objects.filter(event_key=late.event_key).update(outcome="failed", reason="KeyError", alert_id=None)

    answer = operator.post(
        reverse("journal:dead-letters-all"),
        {"action": "discard", "reason": "KeyError", "until": until, "sure": "yes"},
        follow=True,
    )

    assert "Discarded 3." in answer.content.decode()
    assert [e.event_key for e in Filters().events()] == [late.event_key]
    assert LogEntry.objects.get().object_repr == "3 dead letters"


@pytest.mark.parametrize("query", ["?cursor=nonsense", "?until=x", "?source=%00", "?reason=" + "x" * 999, "?cursor="])
def test_odd_addresses_are_no_trouble(line, query):
    failed(line)
    assert signed_in(person("viewer")).get(LIST + query).status_code in (200, 302)


def test_pages_follow_each_other(line):
    failed(line, 60)
    viewer = signed_in(person("viewer"))
    first = viewer.get(LIST)
    assert len(first.context["rows"]) == 50
    second = viewer.get(first.context["older"])
    assert len(second.context["rows"]) == 10
    assert viewer.get(second.context["newer"]).context["rows"][0]["event"].pk == first.context["rows"][0]["event"].pk
