"""A source that sends by itself and is silent for longer than it may is an alert, until it speaks again."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.core.exceptions import ValidationError

from alerts.models import Alert, AlertHistory
from connectors.models import Connector, Listening, RawEvent
from connectors.registry import reader
from connectors.silence import Silence, in_words
from opsconductor import db
from tests.line import LINK_DOWN, Line, interface

pytestmark = [pytest.mark.anypg, pytest.mark.django_db(transaction=True)]

HOUR = timedelta(hours=1)
STEP = timedelta(seconds=60)


class Listener:
    """A dispatcher's part in it; `again()` is another one, as after a restart."""

    def __init__(self, line: Line) -> None:
        self.line, self.now = line, line.now
        self.conn = db.connect(application="test")
        self.again()

    def again(self) -> None:
        self.silence = Silence(self.line.ingest, lambda: self.conn)

    def for_(self, span: timedelta) -> int:
        """Looks once a minute; how many events that made."""
        self.line.reload()
        number = 0
        end = self.now + span
        while self.now < end:
            self.now += STEP
            number += self.silence.look(self.line.snapshot, self.now)
        return number

    def hears(self) -> None:
        self.line.now = self.now
        self.line.trap(LINK_DOWN, interface(3))


@pytest.fixture
def traps() -> Connector:
    row = Connector.objects.get(slug="snmp_trap")
    row.config = {"webhook_silence_s": 3600}
    row.full_clean()
    row.save()
    return row


@pytest.fixture
def listener(line: Line, traps: Connector) -> Iterator[Listener]:
    found = Listener(line)
    yield found
    found.conn.close()


def silent() -> Alert | None:
    return Alert.objects.filter(alert_type="webhook_silent").order_by("-id").first()


def test_silence_is_told_once_and_ends_with_the_first_word(listener: Listener) -> None:
    listener.hears()
    assert listener.for_(HOUR - STEP) == 0
    assert silent() is None
    assert listener.for_(HOUR) == 1
    alert = silent()
    assert alert is not None
    assert (alert.condition, alert.severity, alert.category) == ("raised", 1, "network")
    assert alert.title == "SNMP traps has sent nothing for 1 h"
    assert alert.source_system == "snmp_trap"
    assert listener.for_(3 * HOUR) == 0
    alert.refresh_from_db()
    assert alert.occurrence_count == 1

    listener.hears()
    assert listener.for_(STEP) == 1
    alert.refresh_from_db()
    assert alert.condition == "cleared"
    assert listener.for_(HOUR - 2 * STEP) == 0
    told = AlertHistory.objects.filter(alert=alert).exclude(news="none").values_list("news", flat=True)
    assert list(told) == ["problem", "recovery"]


def test_what_was_never_heard_counts_from_when_somebody_listened(listener: Listener) -> None:
    assert listener.for_(HOUR) == 0
    assert listener.for_(STEP) == 1
    alert = silent()
    assert alert is not None
    assert alert.message == "Nothing was ever received from it."


def test_a_restart_neither_tells_again_nor_forgets(listener: Listener) -> None:
    listener.hears()
    listener.for_(HOUR + STEP)
    assert silent() is not None
    listener.again()
    assert listener.for_(HOUR) == 0
    listener.now += 5 * HOUR  # we were away
    listener.again()
    assert listener.for_(HOUR) == 0
    alert = silent()
    assert alert is not None
    assert alert.condition == "raised"
    listener.hears()
    assert listener.for_(STEP) == 1


def test_a_restart_before_the_time_is_over_begins_no_new_hour(listener: Listener) -> None:
    listener.hears()
    listener.for_(HOUR - 2 * STEP)
    listener.again()
    listener.for_(3 * STEP)
    assert silent() is not None


def test_while_nobody_listened_nobody_was_silent(listener: Listener) -> None:
    listener.hears()
    listener.for_(STEP)
    listener.now += 5 * HOUR  # nothing runs
    assert listener.for_(HOUR) == 0
    assert listener.for_(2 * STEP) == 1


def test_whoever_closes_it_is_not_told_of_the_same_silence_again(listener: Listener) -> None:
    listener.for_(HOUR + STEP)
    Alert.objects.filter(alert_type="webhook_silent").update(condition="closed", status="resolved")
    assert listener.for_(2 * HOUR) == 0


def test_switched_off_it_ends(listener: Listener, traps: Connector) -> None:
    listener.for_(HOUR + STEP)
    Connector.objects.filter(pk=traps.pk).update(enabled=False)
    assert listener.for_(STEP) == 1
    alert = silent()
    assert alert is not None
    assert alert.condition == "cleared"
    assert not Listening.objects.exists()


def test_without_the_setting_nobody_listens(listener: Listener, traps: Connector) -> None:
    Connector.objects.filter(pk=traps.pk).update(config={})
    assert listener.for_(5 * HOUR) == 0


def test_what_we_say_of_it_is_not_its_word(listener: Listener, traps: Connector) -> None:
    """The alert itself must not count as something the source sent."""
    listener.for_(3 * HOUR)
    alert = silent()
    assert alert is not None
    assert alert.condition == "raised"


def test_it_is_read_again_from_the_journal(listener: Listener) -> None:
    listener.for_(HOUR + STEP)
    row = RawEvent.objects.get(kind="silence")
    from connectors.journal import READ_COLUMNS, item_of

    item = item_of([getattr(row, name) for name in READ_COLUMNS])
    reader(row.kind)(item, listener.line.snapshot)
    assert item.event is not None
    assert (item.event.alert_type, item.event.is_clear) == ("webhook_silent", False)


@pytest.mark.parametrize("value", [59, 1.5, "3600", True, 10**9])
def test_a_setting_that_cannot_be_is_refused(traps: Connector, value: Any) -> None:
    for kind in ("snmp_trap", "webhook", "api"):
        row = Connector(name="x", slug="x", type=kind, config={"webhook_silence_s": value})
        with pytest.raises(ValidationError, match="whole number of seconds"):
            row.clean()


def test_spans_are_said_in_words() -> None:
    assert [in_words(n) for n in (90, 3600, 5400, 172_800)] == ["90 s", "1 h", "90 min", "2 d"]
