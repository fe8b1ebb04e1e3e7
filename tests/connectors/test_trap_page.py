"""The page “Why is my trap not here?” says what arrived, what was refused and why, and what to do."""

from __future__ import annotations

import re
from collections import Counter
from datetime import timedelta
from html import unescape
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from alerts.choices import Severity
from connectors import trap_search
from connectors.models import Connector, OIDMapping, SnmpCredential
from connectors.traps.interpret import REASONS
from opsconductor import heartbeat
from tests.access import person, signed_in
from tests.factories import DeviceFactory
from tests.line import LINK_DOWN, LINK_UP, interface

OURS = "1.3.6.1.4.1.99999.5.0.1"


@pytest.fixture
def line(line):
    before = set(OIDMapping.objects.values_list("pk", flat=True))
    OIDMapping.objects.create(
        oid_pattern="1.3.6.1.4.1.99999.5.1", alert_type="door_open", default_severity=Severity.MAJOR,
        title_template="Door open",
    )  # fmt: skip
    line.reload()
    line.now = line.now - timedelta(seconds=60)
    yield line
    OIDMapping.objects.exclude(pk__in=before).delete()


@pytest.fixture
def engineer(committed_db):
    return signed_in(person("admin"))


def text(html):
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", html)).split())


def look(browser, **query):
    answer = browser.get("/traps/", query)
    assert answer.status_code == 200
    return answer.content.decode()


def outcomes(address="", oid="", span="hour"):
    story = trap_search.look(address, oid, trap_search.span_of(span))
    return {t.outcome: t.count for t in story.tallies}


def test_it_says_what_became_of_the_traps_of_an_address(line, engineer):
    for after in range(3):
        line.trap(OURS, after=after)
    line.trap("1.3.6.1.4.1.88888.0.1", after=4)

    page = look(engineer, q="127.0.0.1")

    assert outcomes("127.0.0.1") == {"opened": 1, "repeated": 2, "unmapped": 1}
    assert "Merged into an open alert" in page
    assert "door_open" in page
    assert "/mappings/unmapped/?q=" in page
    assert re.search(r'<a class="link" href="/alerts/[0-9a-f-]+/">Door open</a>', page)
    assert "1.3.6.1.4.1.88888.0.1" in page
    assert "<title>" in page[page.index("<svg viewBox") :]


def test_a_wrong_community_is_said_with_a_form_filled_in(line, engineer):
    for after in range(12):
        line.ingest.store([line.item(LINK_DOWN, interface(3), source="127.0.0.9", community="s3cret", after=after)])

    page = look(engineer, q="127.0.0.9")

    assert outcomes("127.0.0.9") == {"rejected": 12}
    assert "Its community is not known" in text(page)
    assert "Add the community under SNMP credentials" in page
    url = unescape(re.search(r'href="(/admin/connectors/snmpcredential/add/[^"]+)"', page)[1])
    form = engineer.get(url).content.decode()
    assert "127.0.0.9/32" in form
    assert 'value="From 127.0.0.9"' in form
    assert "s3cret" not in page + form


def test_a_listener_without_an_engine_is_not_blamed_on_the_user(db):
    todo = trap_search.advice.for_refusal("v3", "10.1.2.3")

    assert "log" in todo.text
    assert not todo.url


def test_senders_that_are_not_told_apart_are_no_source_to_let_in(db):
    todo = trap_search.advice.for_refusal("community", "other")

    assert "firewall" in todo.text
    assert not todo.url


def test_a_device_that_lost_its_boots_is_told_how_to_begin_anew(db):
    todo = trap_search.advice.for_refusal("v3_replay", "10.1.2.3")

    assert "approve it again" in todo.text
    assert todo.url == "/admin/connectors/snmpengine/?q=10.1.2.3"


@pytest.mark.parametrize("reason", [*REASONS, "something_new"])
def test_every_reason_has_a_sentence_and_something_to_do(reason, db):
    todo = trap_search.advice.for_refusal(reason, "10.1.2.3")

    assert todo.text.endswith((".", "?"))
    assert bool(todo.url) == bool(todo.label)


def test_a_community_of_another_network_is_told_apart(line, engineer):
    SnmpCredential.objects.create(name="far", community="far", networks=["10.99.0.0/16"])
    line.reload()
    try:
        line.ingest.store([line.item(LINK_DOWN, source="127.0.0.9", community="far")])
    finally:
        SnmpCredential.objects.filter(name="far").delete()

    assert "add the network" in text(look(engineer, q="127.0.0.9"))


def test_what_is_switched_off_is_said(line, engineer):
    OIDMapping.objects.filter(alert_type="door_open", oid_pattern__startswith="1.3.6.1.4.1.99999.").update(
        enabled=False
    )
    line.reload()
    line.trap(OURS)

    page = text(look(engineer, q="127.0.0.1"))

    assert "Switched off" in page
    assert "door_open (switched off)" in page


def test_the_device_is_found_by_name_and_all_its_addresses_count(line, engineer):
    DeviceFactory(ip="127.0.0.5", aliases=["127.0.0.6"], name="door-1", site="East")
    line.reload()
    line.trap(OURS, source="127.0.0.5")
    line.trap(OURS, source="127.0.0.6", after=1)

    page = look(engineer, q="DOOR-1")

    assert outcomes("door-1") == {"opened": 1, "repeated": 1}
    assert "East · 127.0.0.5, 127.0.0.6" in text(page)


def test_what_a_relay_sent_for_it_is_found_under_the_device_and_under_the_relay(line, engineer):
    Connector.objects.filter(slug="snmp_trap").update(config={})
    line.trap(OURS, version="v1", agent_addr="10.7.7.7", source="127.0.0.1")

    device, relay = text(look(engineer, q="10.7.7.7")), text(look(engineer, q="127.0.0.1"))

    assert outcomes("10.7.7.7") == {"opened": 1}
    assert "Some of it was sent by 127.0.0.1" in device
    assert "belong to other devices: 10.7.7.7" in relay


@pytest.fixture
def relays(line):
    """A line that believes the configuration given to it."""
    SnmpCredential.objects.create(name="everywhere", community="all", networks=["0.0.0.0/0", "::/0"])

    def believe(**config):
        Connector.objects.filter(slug="snmp_trap").update(config=config)
        line.reload()

    believe()
    yield believe
    SnmpCredential.objects.filter(name="everywhere").delete()
    Connector.objects.filter(slug="snmp_trap").update(config={})


def relayed(line, address="172.16.5.5", **options):
    named = [("1.3.6.1.6.3.18.1.3.0", "IpAddress", address)]
    return line.trap(OURS, named, **{"community": "all", "source": "10.1.1.1", **options})


def test_what_an_untrusted_relay_sent_is_found_by_the_address_it_names_and_says_what_to_do(line, relays, engineer):
    for after in range(3):
        relayed(line, after=after)

    page = look(engineer, q="172.16.5.5")
    said = text(page)

    assert "Named, but not believed" in said
    assert "10.1.1.1 is not a trusted relay" in said
    assert "add 10.1.1.1/32 to “trusted_relays”" in said
    connector = Connector.objects.get(slug="snmp_trap").pk
    assert f'href="/admin/connectors/connector/{connector}/change/"' in page
    assert outcomes("172.16.5.5") == {"opened": 1, "repeated": 2}
    assert "What to check" not in said
    assert "Door open" in said
    # From the other side: whom the relay spoke of in vain, counted once.
    relay = look(engineer, q="10.1.1.1")
    assert "It also names 172.16.5.5 in its traps, and is not believed." in text(relay)
    assert "?q=172.16.5.5" in relay
    assert outcomes("10.1.1.1") == {"opened": 1, "repeated": 2}


def test_once_the_relay_is_trusted_its_traps_are_the_devices_and_the_old_ones_are_explained(line, relays, engineer):
    relayed(line)
    relays(trusted_relays=["10.0.0.0/8"])
    relayed(line, after=1)

    said = text(look(engineer, q="172.16.5.5"))

    assert outcomes("172.16.5.5") == {"opened": 2}
    assert "It is a trusted relay by now" in said
    assert trap_search.look("172.16.5.5", "", trap_search.SPANS[0]).named_by[0].count == 1


def test_a_relay_that_is_refused_is_found_by_the_address_it_names_too(line, relays, engineer):
    relayed(line, community="no such")

    said = text(look(engineer, q="172.16.5.5"))

    assert outcomes("172.16.5.5") == {"rejected": 1}
    assert "Refused: its community is not known" in said
    assert "Look under 10.1.1.1." in said


def test_the_agent_behind_a_nat_source_is_found_by_its_inner_address(line, relays, engineer):
    relays(nat_sources=["203.0.113.0/24"])
    line.trap(OURS, version="v1", agent_addr="192.168.1.10", community="all", source="203.0.113.5")

    said = text(look(engineer, q="192.168.1.10"))

    assert "203.0.113.5 is listed under “nat_sources”" in said


def test_a_device_that_names_another_of_its_own_addresses_names_nobody_else(line, relays, engineer):
    DeviceFactory(ip="172.16.5.5", aliases=["10.1.1.1"], name="core-1")
    line.reload()
    relayed(line)

    for address in ("172.16.5.5", "10.1.1.1", "core-1"):
        said = text(look(engineer, q=address))
        assert "not believed" not in said
        assert outcomes(address) == {"opened": 1}


def test_an_address_that_is_nobodys_is_not_noted(line, relays):
    for n, address in enumerate(("0.0.0.0", "127.0.0.1", "224.0.0.1", "10.1.1.1")):
        assert relayed(line, address, after=n).data is None


def test_clears_are_no_occurrences(line, engineer):
    for n in range(3):
        line.trap(LINK_DOWN, interface(3), after=n)
    line.trap(LINK_UP, interface(3), after=4)

    story = trap_search.look("127.0.0.1", "", trap_search.SPANS[0])
    page = look(engineer, q="127.0.0.1")

    assert [(m.raises, m.clears, m.alert.occurrence_count) for m in story.alerts] == [(3, 1, 3)]
    assert "Of these events" not in page
    assert re.search(r'<td class="num"[^>]*>3</td><td class="num"[^>]*>1</td><td class="num"[^>]*>3</td>', page)


def test_an_oid_alone_is_looked_for_in_the_journal_in_both_its_forms(line, engineer):
    line.trap(OURS)
    line.trap("1.3.6.1.4.1.99999.5.1", after=1)

    assert outcomes(oid="1.3.6.1.4.1.99999.5.1") == {"opened": 1, "repeated": 1}
    assert outcomes("127.0.0.1", OURS) == {"opened": 1, "repeated": 1}
    assert outcomes(oid="1.3.6.1.4.1.99999") == {"opened": 1, "repeated": 1}
    assert "Traps 1.3.6.1.4.1.99999.5.0.1" in text(look(engineer, q=OURS))


def test_when_nothing_arrived_it_says_where_the_listener_is_and_what_to_check(engineer):
    heartbeat.beat("trap_listener", {"bound": ["127.0.0.1:1162"], "received": 5, "dropped": 7, "engine": "0x8000"})

    page = text(look(engineer, q="10.1.2.3", span="day"))

    assert "Nothing arrived from 10.1.2.3 in the last 24 hours." in page
    assert "bound to 127.0.0.1:1162" in page
    assert "loopback only" in page
    assert "dropped 7 datagrams" in page
    assert "firewall" in page
    assert "Engine 0x8000" in page


def test_a_silent_listener_is_the_first_thing_to_say(engineer):
    assert "No listener has said that it runs. Without it nothing is received" in text(look(engineer, q="10.1.2.3"))


def test_older_traps_are_found_by_looking_further_back(line, engineer):
    line.trap(OURS, after=-7_200)

    assert outcomes("127.0.0.1") == {}
    assert outcomes("127.0.0.1", span="day") == {"opened": 1}


def test_without_an_address_it_shows_the_last_hour_and_who_is_refused_most(line, engineer):
    line.trap(OURS)
    for n, source in enumerate(["127.0.0.9"] * 3 + ["127.0.0.8"]):
        line.ingest.store([line.item(LINK_DOWN, source=source, community="no", after=n)])

    page = look(engineer)

    assert outcomes() == {"opened": 1, "rejected": 4}
    assert page.index("127.0.0.9") < page.index("127.0.0.8")


@pytest.mark.parametrize("query", [{"q": "no such device"}, {"oid": "1.3.x"}, {"q": "10.1.2.3", "oid": "<script>"}])
def test_what_cannot_be_looked_for_is_a_sentence(engineer, query):
    page = look(engineer, **query)

    assert 'role="alert"' in page
    assert "<script>" not in page.partition("</head>")[2]


def test_counts_and_journal_agree(line):
    items = [line.item(OURS, after=n, source=f"127.0.0.{n % 3 + 1}") for n in range(30)]
    line.ingest.store(items)

    total: Counter[str] = Counter()
    for n in range(3):
        total.update(outcomes(f"127.0.0.{n + 1}"))

    assert total == Counter(item.outcome.value for item in items)


def test_the_number_of_queries_does_not_grow(line, engineer):
    def queries(address):
        with CaptureQueriesContext(connection) as caught:
            look(engineer, q=address)
        return len(caught)

    line.trap(OURS)
    few = queries("127.0.0.1")
    for n in range(40):
        line.trap(f"1.3.6.1.4.1.77777.{n}.0.1", after=n)
        line.ingest.store([line.item(LINK_DOWN, community=f"no{n}", after=n)])

    assert queries("127.0.0.1") == few <= 11


def test_the_indexes_serve_it(line):
    line.trap(OURS)
    with connection.cursor() as cur:
        cur.execute("SET LOCAL enable_seqscan = off")
        since = timezone.now() - timedelta(hours=1)
        given: list[Any] = [["127.0.0.1"], since, 9] * 3
        cur.execute("EXPLAIN " + trap_search._BY_ADDRESS, [*given, 9])
        plan = "\n".join(row[0] for row in cur.fetchall())

    assert re.search(r"source_received_at_idx", plan)
    assert re.search(r"device_ip_received_at_idx", plan)
    assert re.search(r"expr_received_at_idx", plan)


@pytest.mark.parametrize(("role", "status"), [("viewer", 403), ("operator", 403), ("admin", 200)])
def test_it_is_for_those_who_may_read_the_journal(committed_db, role, status):
    assert signed_in(person(role)).get("/traps/").status_code == status


def test_it_is_clean_under_the_policy(line, engineer):
    line.trap(OURS)
    answer = engineer.get("/traps/?q=127.0.0.1")

    assert "unsafe" not in answer["Content-Security-Policy"]
    assert not re.search(r"<style|\sstyle=|\son[a-z]+=|<script(?![^>]*\ssrc=)", answer.content.decode())
