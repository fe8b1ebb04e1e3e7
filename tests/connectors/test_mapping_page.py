"""/mappings/: what there is by connector type, and severity and category rows edited in place."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from html import unescape

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission
from django.utils.html import escape

from alerts.choices import Category, Severity
from connectors import events, seen
from connectors.framework.registry import manifests
from connectors.models import (
    AlertTypeTemplate,
    CategoryMapping,
    Connector,
    DeduplicationRule,
    OIDMapping,
    PriorityRule,
    SeenValue,
    SeverityMapping,
)
from connectors.snapshot import load
from connectors.webhooks import readers
from tests.access import person

pytestmark = pytest.mark.django_db

PAGE = "/mappings/"
HTMX = {"HX-Request": "true"}


@pytest.fixture
def engineer(client):
    client.force_login(person("admin"))
    return client


@pytest.fixture
def word():
    return SeverityMapping.objects.create(connector_type="api", source_value="purple", target_severity=Severity.MAJOR)


def line(html, name):
    """The cells of one connector type, as text."""
    table = html[html.index("types") :]
    row = next(r for r in re.findall(r"<tr.*?</tr>", table, re.S) if f">{name}</a>" in r)
    return [unescape(re.sub(r"<[^>]+>", "", cell)).strip() for cell in re.findall(r"<td.*?</td>", row, re.S)]


def test_every_connector_type_with_what_it_has(engineer, word):
    AlertTypeTemplate.objects.create(connector_type="api", pattern="a", template="x")
    PriorityRule.objects.create(connector_type="api", impact="low", urgency="low")
    DeduplicationRule.objects.create(connector_type="zabbix", fingerprint_fields=["source_alert_id", "device"])

    html = engineer.get(PAGE).content.decode()

    assert line(html, "api") == ["api Events API", "", "1", "", "1", "1", "", "as usual"]
    assert line(html, "zabbix") == ["zabbix no connector", "", "", "", "", "", "", "device, source alert id"]
    assert line(html, "any source")[2] == str(SeverityMapping.objects.filter(connector_type="").count())
    assert line(html, "snmp_trap")[1] == str(OIDMapping.objects.count())


def test_the_rows_of_a_type_and_nobody_elses(engineer, word):
    CategoryMapping.objects.create(connector_type="api", source_value="vm_*", target_category=Category.COMPUTE)

    html = engineer.get(PAGE, {"type": "api"}).content.decode()

    assert "purple" in html
    assert "vm_*" in html
    assert "emergency" not in html
    assert "emergency" in engineer.get(PAGE, {"type": "any"}).content.decode()
    assert "purple" not in engineer.get(PAGE, {"type": "any"}).content.decode()
    assert engineer.get(PAGE, {"type": "../x"}).status_code == 404


def test_search_finds_values_fields_and_notes_and_a_long_list_says_that_it_is_cut(engineer):
    SeverityMapping.objects.bulk_create(
        SeverityMapping(connector_type="api", source_value=f"w{n:03}", target_severity=1, notes="odd" * (n == 250))
        for n in range(251)
    )

    assert "200 of 251 rows" in engineer.get(PAGE, {"type": "api"}).content.decode()
    html = engineer.get(PAGE, {"type": "api", "q": "ODD"}).content.decode()
    assert "w250" in html
    assert "w249" not in html
    assert "Nothing matches “&lt;b&gt;”" in engineer.get(PAGE, {"type": "api", "q": "<b>"}).content.decode()


def test_the_number_of_queries_does_not_grow_with_the_rows(engineer, django_assert_num_queries):
    def fill(number):
        for n in range(number):
            SeverityMapping.objects.create(connector_type=f"t{number}", source_value=f"x{n}", target_severity=1)
            AlertTypeTemplate.objects.create(pattern=f"p{number}-{n}", template="x")

    fill(1)
    with django_assert_num_queries(14):
        engineer.get(PAGE)
    fill(40)
    with django_assert_num_queries(14):
        engineer.get(PAGE)


# --- editing ---


@pytest.mark.parametrize("by_htmx", [True, False])
def test_a_row_is_added(engineer, by_htmx):
    given = {"type": "api", "source_field": "severity", "source_value": " Purple ", "target_severity": "4"}

    answer = engineer.post(f"{PAGE}severity/add/", given, headers=HTMX if by_htmx else {})

    added = SeverityMapping.objects.get(source_value="Purple")
    assert (added.connector_type, added.target_severity, added.enabled) == ("api", 4, True)
    assert LogEntry.objects.get().object_id == str(added.pk)
    if by_htmx:
        html = answer.content.decode()
        assert html.startswith(f'<tr id="severity-{added.pk}"')
        assert 'id="severity-new"' in html  # an empty one for the next
        assert "Added: severity=Purple is major." in html
        assert html.count("autofocus") == 1
    else:
        assert answer["Location"] == f"{PAGE}?type=api"


@pytest.mark.parametrize("by_htmx", [True, False])
def test_what_is_wrong_stands_at_its_field_and_what_was_typed_stays(engineer, word, by_htmx):
    given = {"type": "api", "source_field": "severity", "source_value": "PURPLE", "target_severity": "9"}

    answer = engineer.post(f"{PAGE}severity/add/", given, headers=HTMX if by_htmx else {})

    html = answer.content.decode()
    assert answer.status_code == (200 if by_htmx else 400)
    assert "There is a row for this value already" in html
    assert 'value="PURPLE"' in html
    assert 'aria-describedby="severity-new-source_value-wrong"' in html
    assert 'id="severity-new-target_severity-wrong"' in html
    assert SeverityMapping.objects.filter(source_value__iexact="purple").count() == 1


@pytest.mark.parametrize("by_htmx", [True, False])
def test_a_row_is_changed(engineer, word, by_htmx):
    headers = HTMX if by_htmx else {}
    form = engineer.get(f"{PAGE}severity/{word.pk}/", headers=headers).content.decode()
    assert 'value="purple"' in form
    assert ("<html" in form) is not by_htmx

    answer = engineer.post(
        f"{PAGE}severity/{word.pk}/row/",
        {"source_field": "metrics.state", "source_value": "3", "target_severity": "5"},
        headers=headers,
    )

    word.refresh_from_db()
    assert (word.source_field, word.source_value, word.target_severity, word.connector_type) == (
        "metrics.state",
        "3",
        5,
        "api",
    )
    if by_htmx:
        assert answer.content.decode().startswith(f'<tr id="severity-{word.pk}"')
    else:
        assert answer.status_code == 302


def test_a_change_that_is_wrong_is_refused_at_its_field(engineer, word):
    given = {"source_field": "a b", "source_value": "", "target_severity": "5"}

    html = engineer.post(f"{PAGE}severity/{word.pk}/row/", given, headers=HTMX).content.decode()
    page = engineer.post(f"{PAGE}severity/{word.pk}/row/", given)

    assert f'id="severity-{word.pk}-source_value-wrong"' in html
    assert "Name a field of the source" in html
    assert page.status_code == 400
    assert f'id="severity-{word.pk}-source_value-wrong"' in page.content.decode()
    word.refresh_from_db()
    assert word.source_value == "purple"


def test_leaving_the_form_gives_the_row_back(engineer, word):
    html = engineer.get(f"{PAGE}severity/{word.pk}/row/", headers=HTMX).content.decode()

    assert html.startswith(f'<tr id="severity-{word.pk}"')
    assert '<input type="text"' not in html


def test_a_row_is_switched_off_and_on_and_deleted(engineer, word):
    html = engineer.post(f"{PAGE}severity/{word.pk}/switch/", headers=HTMX).content.decode()
    word.refresh_from_db()
    assert not word.enabled
    assert "raises nothing" in html
    assert "Switch on" in html

    engineer.post(f"{PAGE}severity/{word.pk}/switch/")
    word.refresh_from_db()
    assert word.enabled

    html = engineer.post(f"{PAGE}severity/{word.pk}/delete/", headers=HTMX).content.decode()
    assert "<tr" not in html
    assert "Deleted: severity=purple is major." in html
    assert not SeverityMapping.objects.filter(pk=word.pk).exists()
    assert engineer.post(f"{PAGE}severity/{word.pk}/delete/").status_code == 404


def test_what_was_entered_is_text_and_never_markup(engineer):
    nasty = '<img src=x onerror="alert(1)">'
    SeverityMapping.objects.create(source_value=nasty, target_severity=1, notes=nasty)
    AlertTypeTemplate.objects.create(pattern="x", template=nasty)

    html = engineer.get(PAGE).content.decode()

    assert nasty not in html
    assert html.count(escape(nasty)) >= 3


# --- who may ---


@pytest.mark.parametrize("role", ["viewer", "operator", "service"])
def test_only_engineers_see_the_page(client, role):
    client.force_login(person(role))

    assert client.get(PAGE).status_code == 403
    assert client.post(f"{PAGE}severity/add/").status_code == 403


def test_who_may_only_look_has_no_buttons_and_is_refused(client, word):
    user = person()
    user.user_permissions.set(Permission.objects.filter(codename__in=["view_oidmapping", "view_severitymapping"]))
    client.force_login(user)

    html = client.get(PAGE, {"type": "api"}).content.decode()

    assert "purple" in html
    assert "/switch/" not in html
    assert "severity-new" not in html
    assert "/admin/" not in html
    for path in (f"severity/{word.pk}/row/", f"severity/{word.pk}/switch/", f"severity/{word.pk}/delete/"):
        assert client.post(PAGE + path).status_code == 403
    assert SeverityMapping.objects.filter(pk=word.pk, enabled=True).exists()


def test_other_methods_and_other_kinds_are_not_there(engineer, word):
    assert engineer.get(f"{PAGE}severity/{word.pk}/delete/").status_code == 405
    assert engineer.delete(f"{PAGE}severity/{word.pk}/row/").status_code == 405
    assert engineer.get(f"{PAGE}colour/{word.pk}/").status_code == 404
    assert engineer.get(f"{PAGE}severity/{10**20}/").status_code == 404


# --- the administration ---


def test_a_rule_of_identity_is_ticked_and_remembers_what_it_was(engineer):
    add = "/admin/connectors/deduplicationrule/add/"
    page = engineer.get(f"{add}?connector_type=zabbix").content.decode()
    assert 'value="zabbix"' in page
    assert page.count('type="checkbox" name="fingerprint_fields"') == 5

    refused = engineer.post(add, {"connector_type": "zabbix", "fingerprint_fields": ["alert_type"], "enabled": "on"})
    assert "Name device or source_alert_id" in refused.content.decode()
    engineer.post(
        add, {"connector_type": "zabbix", "fingerprint_fields": ["alert_type", "source_alert_id"], "enabled": "on"}
    )
    rule = DeduplicationRule.objects.get()
    assert rule.fingerprint_fields == ["alert_type", "source_alert_id"]

    change = f"/admin/connectors/deduplicationrule/{rule.pk}/change/"
    engineer.post(change, {"connector_type": "zabbix", "fingerprint_fields": ["device"], "enabled": "on"})

    rule.refresh_from_db()
    assert rule.fingerprint_fields == ["device"]
    assert rule.former_fields[0] == ["alert_type", "source_alert_id"]
    assert "alert type, source alert id" in engineer.get(change).content.decode()


@pytest.mark.parametrize(
    ("model", "given", "sentence"),
    [
        (
            "severitymapping",
            {"source_field": "severity", "source_value": "CRIT", "target_severity": 1},
            "a row for this",
        ),
        ("categorymapping", {"source_field": "x y", "source_value": "a", "target_category": "power"}, "Name a field"),
        ("alerttypetemplate", {"pattern": "a", "template": "{{ a.b }}"}, "“attribute” is not available"),
        ("priorityrule", {"connector_type": "A B", "impact": "low", "urgency": "low"}, "A connector&#x27;s type"),
    ],
)
def test_the_administration_refuses_at_the_field(engineer, model, given, sentence):
    html = engineer.post(f"/admin/connectors/{model}/add/", {"connector_type": "", **given}).content.decode()

    assert sentence in html
    assert "errorlist" in html


def test_rows_are_switched_off_in_the_list_and_a_source_is_not_trusted_for_time(engineer, word):
    engineer.post(
        "/admin/connectors/severitymapping/", {"action": "disable", "_selected_action": [word.pk], "index": 0}
    )
    word.refresh_from_db()
    assert not word.enabled

    api = Connector.objects.get(slug="api")
    given = {"name": api.name, "enabled": "on", "config": "{}", "identity_scope": ""}
    engineer.post(f"/admin/connectors/connector/{api.pk}/change/", given)
    api.refresh_from_db()
    assert not api.trusted_for_time


# --- words that were seen, and no row knows ---------------------------------------------------------------------


def seen_now():
    from opsconductor import db

    with db.connect(application="test") as conn:
        return seen.write(conn)


@pytest.fixture
def nothing_waits(monkeypatch):
    """What other tests let this process note is not of interest here."""
    monkeypatch.setattr(seen, "_waiting", {})


@pytest.fixture
def heard(nothing_waits):
    """A severity nobody knows three times, a category once, and an alert type of which nobody says what it is about."""
    snapshot = load()
    now = datetime.now(UTC)
    for raw in (
        *[{"device_ip": "192.0.2.1", "alert_type": "fire", "severity": "Purple", "category": "network"}] * 3,
        {"device_ip": "192.0.2.1", "alert_type": "fire", "severity": "major", "category": "kitchen"},
        {"device_ip": "192.0.2.1", "alert_type": "smoke", "severity": "major"},
        {"device_ip": "192.0.2.1", "alert_type": "fine", "severity": "major", "category": "power"},
    ):
        events.interpret(raw, "key", now, snapshot)


@pytest.mark.django_db(transaction=True)
def test_a_word_that_was_seen_becomes_a_row_with_one_click(client, heard):
    client.force_login(person("admin"))
    assert seen_now() == 3
    html = client.get(PAGE, {"type": "api"}).content.decode()
    assert line(html, "api")[6] == "3"
    assert "3 times" in html
    form = re.search(
        r'<form method="post" action="([^"]*severity/add/)">((?:(?!</form>).)*purple.*?)</form>', html, re.S
    )
    fields = dict(re.findall(r'name="(\w+)" value="([^"]*)"', form[2]))
    chosen = re.search(r'value="(\w+)" selected', form[2])[1]

    client.post(form[1], {**fields, "target_severity": chosen})

    row = SeverityMapping.objects.get(connector_type="api", source_value="purple")
    assert (row.source_field, row.target_severity) == ("severity", Severity.WARNING)
    html = client.get(PAGE, {"type": "api"}).content.decode()
    assert line(html, "api")[6] == "2"
    assert "Make a row for purple" not in html
    assert {"Make a row for kitchen", "Make a row for smoke"} <= set(re.findall("Make a row for [a-z]+", html))
    CategoryMapping.objects.create(connector_type="", source_field="alert_type", source_value="smo*")
    assert "Make a row for smoke" not in client.get(PAGE, {"type": "api"}).content.decode()


@pytest.mark.django_db(transaction=True)
def test_what_senders_make_up_is_bounded(nothing_waits, monkeypatch):
    monkeypatch.setattr(seen, "MOST_WAITING", 20)
    monkeypatch.setattr(seen, "MOST_PER_TYPE", 30)
    snapshot = load()
    for turn in range(3):
        for number in range(50):
            seen.note("api", {"severity": f"w{turn}-{number}", "category": "power"}, snapshot.normalisation)
        seen.note("api", {"severity": "x" * 201, "category": "power"}, snapshot.normalisation)
        seen_now()
    assert SeenValue.objects.count() <= 30 + 20
    assert SeenValue.objects.count() >= 30


@pytest.mark.parametrize(
    ("tab", "words"),
    [
        ("titles", "What the board says"),
        ("deduplication", "What makes two events one problem"),
        ("priority", "By category"),
    ],
)
def test_the_other_rules_of_a_type_are_in_tabs(engineer, tab, words):
    shown = engineer.get(PAGE, {"type": "api", "tab": tab}).content.decode()
    assert words in shown
    assert "Add a" in shown or "Set a rule" in shown
    assert 'id="severity-new"' not in shown


def test_every_shipped_type_is_there(engineer):
    Connector.objects.all().delete()
    html = engineer.get(PAGE).content.decode()
    for kind in (*manifests(), *readers(), "snmp_trap", "api"):
        assert line(html, kind)
