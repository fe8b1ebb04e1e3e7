"""The decision record of an alert's page, made by the engine itself in virtual time and by what programs send."""

from __future__ import annotations

import html
import re
from datetime import timedelta

import pytest
from django.utils.html import strip_tags

from alerts import timeline
from alerts.choices import Action, Outcome, Severity
from alerts.detailview import DetailView
from alerts.models import Alert
from alerts.queries import detail
from alerts.whyview import DONE
from connectors.models import DeduplicationRule, OIDMapping
from tests.access import person
from tests.line import LINK_DOWN, interface

pytestmark = pytest.mark.usefixtures("lab")

CORE, LEAF = "10.0.0.1", "10.0.0.4"


def record(alert: Alert, *, is_staff: bool = False) -> list[str]:
    """The lines as one reads them."""
    lines = DetailView.of(detail(alert.pk), is_staff=is_staff).why.lines
    return [plain(f"{line.what} | {line.detail}") for line in lines]


def now(alert: Alert) -> list[str]:
    return [plain(said) for said in DetailView.of(detail(alert.pk)).why.now]


def plain(text: str) -> str:
    return re.sub(r"\d{4}-\d\d-\d\d [\d:]+ UTC", "T", html.unescape(strip_tags(text)))


@pytest.fixture
def plant(lab):
    lab.rule(name="Nothing answers behind a dead device")
    lab.edge(LEAF, CORE)
    return lab


def test_the_story_of_an_alert_that_an_outage_explained_is_told_in_order(plant):
    child = plant.raised(LEAF)
    held = now(child)
    plant.wait(10)
    root = plant.down(CORE)
    explained = now(child)
    plant.wait(60)
    plant.up(CORE)
    waiting = now(child)
    plant.wait(121)

    assert held == ["Held before it is told: what it stands on may be down, looked at again T"]
    assert explained == [
        f"Quiet: explained by {root.device_name or CORE}: device offline, until that recovers, or the dependency or "
        "rule is changed"
    ]
    assert waiting == [f"Waits for recovery, after {root.device_name or CORE}: device offline ended, looked at again T"]
    assert now(child) == []
    story = [line for line in record(child) if not line.startswith(("Its source", "One problem"))]
    outage = f"{root.device_name or CORE}: device offline"
    rule = "by the rule Nothing answers behind a dead device"
    assert story == [
        "Held before it is told: what it stands on may be down | ",
        "Opened: not told, held for its parent | ",
        "No longer quiet for this reason: held for its parent | an outage explains it",
        f"Quiet: explained by {outage} | {rule}",
        "No longer quiet for this reason: an outage explained it | its parent recovered",
        f"Waits for recovery, after {outage} ended | {rule}",
        "No longer quiet for this reason: waiting for recovery | still raised after its parent recovered",
        "Told after it was quiet: told as a problem | Still raised after its parent recovered.",
    ]


def test_the_page_of_a_root_lists_what_it_explains_and_links_rule_and_root_for_administrators(plant, client):
    root, child = plant.down(CORE), plant.raised(LEAF)
    client.force_login(person("admin"))

    above = client.get(f"/alerts/{root.pk}/").content.decode()
    below = client.get(f"/alerts/{child.pk}/").content.decode()

    assert "1 alert, quiet until this one ends" in above
    assert f'<a class="link" href="/alerts/{child.pk}/">link down</a>' in above
    assert f'href="/alerts/?root={root.pk}"' in above
    assert f'<a class="link" href="/alerts/{root.pk}/">{CORE}' in below or f"/alerts/{root.pk}/" in below
    assert re.search(r'href="/admin/dependencies/correlationrule/\d+/change/">Nothing answers', below)
    assert f'href="/dependencies/map/?device={LEAF}"' in below


def test_late_events_and_clears_that_found_nothing_are_in_the_record(lab):
    lab.cleared(CORE)
    lab.wait(1)
    alert = lab.raised(CORE)
    lab.wait(10)
    assert lab.cleared(CORE, ago=60) is Outcome.LATE

    story = record(alert)

    assert [line.partition(" | ")[0] for line in story if "clear" in line or "late" in line] == [
        "A clear found nothing to end",
        "An event came too late",
    ]
    assert story[0].startswith("A clear found nothing to end")


def test_recovery_and_what_is_no_news_say_why(lab):
    told = lab.raised(CORE, severity=int(Severity.MAJOR))
    lab.wait(1)
    lab.raised(CORE, severity=int(Severity.MINOR))
    lab.cleared(CORE)
    lab.rule()
    lab.edge(LEAF, CORE)
    silent = lab.raised(LEAF)
    lab.wait(1)
    lab.cleared(LEAF)

    assert [line for line in record(told) if "told" in line] == [
        "Opened: told as a problem | ",
        "Severity changed: not told, for it is less severe | ",
        "Cleared by its source: told as a recovery | ",
    ]
    assert record(silent)[-1] == "Cleared by its source: not told, for nobody had been told of the problem | "


def test_maintenance_is_named_with_its_end(lab, client):
    window = lab.window(0, 3600, devices=[CORE])
    lab.turn()
    alert = lab.raised(CORE)

    assert now(alert) == ["Quiet: maintenance maintenance, looked at again T"]
    client.force_login(person("viewer"))
    page = client.get(f"/alerts/{alert.pk}/").content.decode()
    assert f'href="/maintenance/{window.pk}/"' in page
    window.delete()
    assert "a window that was deleted" in " ".join(record(alert))


def test_the_mapping_of_a_trap_and_the_fields_of_its_fingerprint_are_named(lab, line):
    line.trap(LINK_DOWN, interface(3))
    alert = Alert.objects.get()
    row = OIDMapping.objects.get(pk=alert.raw_data["mapping"]["oid_mapping"])

    story = record(alert)

    assert story[0] == f"Read by the OID mapping {row.oid_pattern} | trap {LINK_DOWN}: link_down, network"
    assert story[1] == (
        "One problem with what is alike in these, as usual | "
        "scope snmp, device 127.0.0.1, alert type link_down, component ifIndex=3"
    )
    lines = DetailView.of(detail(alert.pk), is_staff=True).why.lines
    assert f'href="/admin/connectors/oidmapping/{row.pk}/change/"' in str(lines[0].what)


def test_an_edited_deduplication_rule_is_told_apart_from_what_made_the_alert(lab, line):
    line.trap(LINK_DOWN, interface(3))
    alert = Alert.objects.get()
    rule = DeduplicationRule.objects.create(connector_type="snmp_trap", fingerprint_fields=["device", "alert_type"])
    try:
        assert "before its deduplication rule was edited" in record(alert)[1]
    finally:
        rule.delete()


def test_an_unknown_trap_leads_to_the_unmapped(lab, line):
    line.trap("1.3.6.1.4.1.99999.1.2.3")

    assert record(Alert.objects.get())[0].startswith("No mapping knows the trap 1.3.6.1.4.1.99999.1.2.3")


def test_every_action_has_words_and_the_timeline_uses_them():
    assert set(DONE) == set(Action)
    assert timeline.said.__module__ == "alerts.whyview"


def test_a_hold_that_lasts_is_looked_at_again_at_a_time(plant):
    child = plant.raised(LEAF)
    due = child.suppressions.get().until

    assert due - plant.now() == timedelta(seconds=30)
    assert f'datetime="{due.isoformat()}"' in str(DetailView.of(detail(child.pk)).why.now[0])
