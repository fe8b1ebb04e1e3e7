"""The inbox of unmapped traps: what waits, what it may be, and one click to a mapping."""

from __future__ import annotations

import re
from datetime import timedelta
from html import unescape
from urllib.parse import parse_qs, urlsplit

import pytest
from django.contrib.admin.models import LogEntry
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from alerts.choices import Category, Severity
from alerts.models import Alert
from connectors import inbox, snapshot
from connectors.enterprises import ENTERPRISES, enterprise
from connectors.models import MibObject, OIDMapping
from connectors.remap import remap
from tests.access import person, signed_in
from tests.factories import AlertFactory, DeviceFactory
from tests.line import LINK_DOWN, assert_account_balances, buckets

RADIO = "1.3.6.1.4.1.31926.77.0.44"
NORMAL = "1.3.6.1.4.1.31926.77.44"


@pytest.fixture
def line(line):
    before = set(OIDMapping.objects.values_list("pk", flat=True))
    yield line
    OIDMapping.objects.exclude(pk__in=before).delete()
    MibObject.objects.all().delete()


@pytest.fixture
def engineer(committed_db):
    return signed_in(person("admin"))


def page(browser, **query):
    answer = browser.get("/mappings/unmapped/", query)
    assert answer.status_code == 200
    return answer.content.decode()


def text(html):
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", html)).split())


def radio(line, **options):
    varbinds = [("1.3.6.1.4.1.31926.77.1.2.3", "Integer32", 3), ("1.3.6.1.4.1.31926.77.1.3.3", "OctetString", b"eth1")]
    return line.trap(RADIO, varbinds, **options)


def test_it_is_grouped_by_oid_with_devices_counts_and_a_sample(line, engineer):
    DeviceFactory(ip="127.0.0.2", name="eh-8010-02b")
    line.reload()
    for after, source in enumerate(("127.0.0.1", "127.0.0.2", "127.0.0.2")):
        radio(line, source=source, after=after)
    radio_page = inbox.page()

    (entry,) = radio_page.entries
    assert (entry.oid, entry.devices, entry.count) == (NORMAL, 2, 3)
    assert (entry.first, entry.last) == (line.now, line.now + timedelta(seconds=2))
    assert [v.value for v in entry.varbinds] == ["3", "eth1"]
    html = page(engineer)
    assert "Siklu" in html
    assert "eh-8010-02b" in html
    assert "eth1" in html


def test_both_forms_of_an_oid_are_one_line(line, engineer):
    line.trap(RADIO)
    line.trap(NORMAL, after=1)

    assert [(e.oid, e.count) for e in inbox.page().entries] == [(NORMAL, 2)]


def test_one_click_leads_to_a_filled_in_form_and_its_saving_moves_what_waits(line, engineer):
    MibObject.objects.create(oid="1.3.6.1.4.1.31926.77.1.2", name="portIndex", mib_name="RADIO-X-MIB", kind="column")
    radio(line)
    port = {"oid": "1.3.6.1.4.1.31926.77.1.2.3", "name": "portIndex.3", "value": 3}
    Alert.objects.update(raw_data={"trap_oid": RADIO, "varbinds": [port]})
    url = unescape(re.search(r'href="(/admin/connectors/oidmapping/add/[^"]+)"', page(engineer))[1])
    given = {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}

    assert given["oid_pattern"] == NORMAL
    assert given["vendor"] == "siklu"
    assert given["mib_name"] == "RADIO-X-MIB"
    assert given["component_template"] == "portIndex"
    form = engineer.get(url).content.decode()
    assert f'value="{NORMAL}"' in form
    assert "{{ portIndex }}" in unescape(form)
    answer = engineer.post(
        "/admin/connectors/oidmapping/add/",
        {**given, "alert_type": "radio_trouble", "component_template": "", "conditions": "[]", "enabled": "on",
         "default_severity": "4", "category": "wireless"},
    )  # fmt: skip
    assert answer.status_code == 302
    remap(snapshot.load())

    assert Alert.objects.get(alert_type="radio_trouble").severity == Severity.MAJOR
    assert "Every trap that arrived has a mapping." in page(engineer)
    assert_account_balances(1)


def test_ignoring_makes_a_row_that_is_switched_off(line, engineer):
    radio(line)

    answer = engineer.post("/mappings/unmapped/ignore/", {"oid": NORMAL}, follow=True)

    assert "Ignored" in answer.content.decode()
    row = OIDMapping.objects.get(oid_pattern=NORMAL)
    assert (row.enabled, row.category) == (False, Category.UNKNOWN)
    assert LogEntry.objects.filter(object_id=row.pk).exists()
    remap(snapshot.load())
    assert buckets() == {"disabled": 1}
    assert inbox.page().entries == []


@pytest.mark.parametrize(("oid", "says"), [("no oid", "OID"), ("", "OID"), (LINK_DOWN, "mapping already")])
def test_what_cannot_be_ignored_is_said(engineer, oid, says):
    OIDMapping.objects.get_or_create(oid_pattern=LINK_DOWN, vendor="", defaults={"alert_type": "link_down"})
    number = OIDMapping.objects.count()

    html = engineer.post("/mappings/unmapped/ignore/", {"oid": oid}, follow=True).content.decode()

    assert says in text(html)
    assert OIDMapping.objects.count() == number


def test_search_finds_by_oid_in_any_form_device_address_and_words(line, engineer):
    DeviceFactory(ip="127.0.0.2", name="eh-8010-02b")
    line.reload()
    radio(line, source="127.0.0.2")
    line.trap("1.3.6.1.4.1.88888.0.1", after=1)

    for search in (RADIO, NORMAL, "31926", "EH-8010", "127.0.0.2", "eth1", "eth1 31926"):
        assert [e.oid for e in inbox.page(search).entries] == [NORMAL], search
    assert inbox.page("nothing like it").entries == []
    assert "Nothing that waits matches" in page(engineer, q="nothing like it")


def test_a_neighbour_gives_the_name_of_its_mib_but_the_enterprise_alone_does_not():
    known = {"1.3.6.1.4.1.9.9.41.2": "CISCO-SYSLOG-MIB", "1.3.6.1.4.1.9.9.13.3": "CISCO-ENVMON-MIB"}
    named = [(oid.split("."), mib) for oid, mib in known.items()]

    assert inbox._nearest("1.3.6.1.4.1.9.9.41.2.0.1", named) == "CISCO-SYSLOG-MIB"
    assert inbox._nearest("1.3.6.1.4.1.9.7.1", named) == ""


def test_well_known_enterprises_have_their_names():
    assert len(ENTERPRISES) >= 40
    assert enterprise("1.3.6.1.4.1.9.9.41.2.0.1").name == "Cisco"
    assert enterprise(".1.3.6.1.4.1.318.0.5").vendor == "apc"
    assert enterprise("1.3.6.1.6.3.1.1.5.3") is None
    assert enterprise("1.3.6.1.4.1.") is None


def test_ten_thousand_unknown_oids_are_still_one_page_and_few_queries(line, engineer):
    now = timezone.now()
    Alert.objects.bulk_create(
        AlertFactory.build(
            alert_type="unknown_trap", component=f"1.3.6.1.4.1.{20_000 + n % 90}.{n}.1", category=Category.UNKNOWN,
            severity=Severity.WARNING, title="Unknown trap", raw_data={"trap_oid": "1.3", "varbinds": []},
            occurred_at=now, device_ip="10.0.0.1", connector=None,
        )
        for n in range(10_000)
    )  # fmt: skip
    with CaptureQueriesContext(connection) as caught:
        html = page(engineer)

    assert "10000 OIDs" in html
    assert "Page 1 of 200" in text(html)
    assert len(caught) <= 10
    assert len(inbox.page(number=200).entries) == inbox.PAGE_SIZE
    assert inbox.page(number=9_999).number == 200


@pytest.mark.parametrize(("role", "status"), [("viewer", 403), ("operator", 403), ("admin", 200)])
def test_it_is_for_those_who_may_see_mappings(committed_db, role, status):
    assert signed_in(person(role)).get("/mappings/unmapped/").status_code == status


def test_nobody_ignores_without_the_right_to_add_mappings(committed_db):
    assert signed_in(person("operator")).post("/mappings/unmapped/ignore/", {"oid": NORMAL}).status_code == 403


def test_what_senders_wrote_is_escaped_and_the_page_is_clean_under_the_policy(line, engineer):
    line.trap(RADIO, [("1.3.6.1.4.1.31926.77.9.0", "OctetString", b"<script>alert(1)</script>")])
    html = page(engineer)

    assert "<script>alert" not in html
    assert not re.search(r"<style|\sstyle=|\son[a-z]+=|<script(?![^>]*\ssrc=)", html)


def test_the_oid_is_shown_as_it_was_sent_and_as_alerts_call_it(line, engineer):
    radio(line)

    (entry,) = inbox.page().entries
    html = page(engineer)

    assert (entry.trap_oid, entry.oid) == (RADIO, NORMAL)
    assert f">{RADIO}</a>" in html
    assert f"mapped as {NORMAL}" in text(html)
    assert f"Make a mapping for {RADIO}" in html
    assert Alert.objects.get().title == f"Unknown trap {RADIO}"


def test_an_oid_that_was_sent_as_mappings_spell_it_is_shown_once(line, engineer):
    line.trap(NORMAL)

    assert "mapped as" not in page(engineer)


def test_an_address_is_searched_as_an_address(line, engineer):
    """Without its zeros 10.0.0.1 would be 10.1, and a part of many an OID."""
    radio(line)
    line.trap("1.3.6.1.4.1.88888.10.1.7", after=1)

    assert inbox.page("10.0.0.1").entries == []
    assert [e.oid for e in inbox.page("127.0.0").entries] == ["1.3.6.1.4.1.88888.10.1.7", NORMAL]


def test_a_name_with_a_hyphen_is_no_subtraction_in_the_proposed_title(line, engineer):
    radio(line)
    named = {"oid": "1.3.6.1.4.1.31926.77.1.2.3", "name": "object-1-2.3", "value": 3}
    Alert.objects.update(raw_data={"trap_oid": RADIO, "varbinds": [named]})

    assert "{{ vb['object-1-2'] }}" in parse_qs(urlsplit(inbox.page().entries[0].add_url).query)["title_template"][0]


@pytest.mark.parametrize("query", ["\0", "%", "\\", "'", "1.3." * 60, "\ud7ff", "é" * 300, "a " * 100])
def test_no_search_is_too_odd_to_be_answered(engineer, query):
    assert engineer.get("/mappings/unmapped/", {"q": query}).status_code == 200


@pytest.mark.parametrize("number", ["0", "-1", "x", "²", "9" * 40, "", "1.5"])
def test_no_page_number_is_too_odd_to_be_answered(engineer, number):
    assert engineer.get("/mappings/unmapped/", {"page": number}).status_code == 200


@pytest.mark.parametrize("oid", ["1.3." + "6." * 200 + "1", "1.3.6\0.1", "1" * 400, "1.3.٣", "x" * 5_000])
def test_no_oid_is_too_odd_to_be_refused(engineer, oid):
    number = OIDMapping.objects.count()

    answer = engineer.post("/mappings/unmapped/ignore/", {"oid": oid}, follow=True)

    assert answer.status_code == 200
    assert 'class="notice error"' in answer.content.decode()
    assert OIDMapping.objects.count() == number


def test_a_leading_dot_is_the_same_oid(line, engineer):
    radio(line)

    engineer.post("/mappings/unmapped/ignore/", {"oid": f".{NORMAL}"})
    again = engineer.post("/mappings/unmapped/ignore/", {"oid": RADIO}, follow=True)

    assert list(OIDMapping.objects.filter(alert_type="ignored_trap").values_list("oid_pattern", flat=True)) == [NORMAL]
    assert "has a mapping already" in again.content.decode()
