"""The administration: what engineers edit, what is read only, and what is never shown."""

import re
from datetime import timedelta
from html import unescape

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Group, User
from django.db import connection
from django.utils import timezone

from connectors.models import Connector, OIDMapping, RawEvent, SnmpCredential
from connectors.partitions import ensure_partition
from dependencies.models import Device
from opsconductor import db
from opsconductor.auth import user_for_key
from opsconductor.models import ApiKey, ConfigVersion
from tests.access import person, signed_in
from tests.factories import AlertFactory, ConnectorFactory, DeviceFactory

pytestmark = pytest.mark.django_db

SECRET = "c0mmunity-nobody-may-see"
OURS = (
    "alerts/alert",
    "alerts/alerttypesetting",
    "alerts/maintenancewindow",
    "connectors/alerttypetemplate",
    "connectors/categorymapping",
    "connectors/connector",
    "connectors/deduplicationrule",
    "connectors/mibobject",
    "connectors/oidmapping",
    "connectors/priorityrule",
    "connectors/severitymapping",
    "connectors/rawevent",
    "connectors/snmpcredential",
    "connectors/snmpengine",
    "connectors/snmpuser",
    "dependencies/device",
    "opsconductor/apikey",
)
ADDED = (
    "alerts/alerttypesetting", "alerts/maintenancewindow", "connectors/connector", "connectors/mibobject",
    "connectors/oidmapping", "connectors/snmpcredential", "connectors/snmpengine", "connectors/snmpuser",
    "dependencies/device", "opsconductor/apikey", "connectors/alerttypetemplate", "connectors/categorymapping",
    "connectors/deduplicationrule", "connectors/priorityrule", "connectors/severitymapping",
)  # fmt: skip


@pytest.fixture
def browser():
    return signed_in(person("admin"))


@pytest.fixture
def credential():
    return SnmpCredential.objects.create(name="core", community=SECRET, networks=["10.0.0.0/8"])


@pytest.fixture
def raw_event(credential):
    with db.connect() as own:
        ensure_partition(own, timezone.now().date())
    return RawEvent.objects.create(
        pk=4711,
        received_at=timezone.now(),
        event_key="0190f3e2-0000-7000-8000-000000000001",
        source="10.1.2.3",
        kind="snmp v2c trap",
        subject="1.3.6.1.6.3.1.1.5.3",
        device_ip="10.1.2.3",
        datagram=b"\x30\x20\x02\x01\x01\x04\x08" + SECRET.encode(),
        data={"varbinds": [["1.3.6.1.2.1.2.2.1.1.3", "Integer", 3]]},
        outcome="opened",
    )


def values(html):
    """What the page's form would send if saved as it is."""
    form = {}
    for tag in re.findall(r"<input[^>]*>", html):
        attributes = dict(re.findall(r'(\w+)="([^"]*)"', tag))
        kind, name = attributes.get("type"), attributes.get("name")
        if name is None or kind == "submit" or (kind == "checkbox" and " checked" not in tag):
            continue
        form[name] = unescape(attributes.get("value", "on" if kind == "checkbox" else ""))
    for name, text in re.findall(r'<textarea name="(\w+)"[^>]*>\s?(.*?)</textarea>', html, re.S):
        form[name] = unescape(text)
    for name, options in re.findall(r'<select name="(\w+)".*?>(.*?)</select>', html, re.S):
        chosen = re.search(r'<option value="([^"]*)" selected', options)
        form[name] = unescape(chosen[1]) if chosen else ""
    form.pop("action", None)
    form.pop("csrfmiddlewaretoken", None)
    return form


def save(browser, path, **changes):
    """Open the page, change these fields, save; the page after it."""
    form = values(browser.get(path).content.decode())
    answer = browser.post(path, {**form, **changes}, follow=True)
    assert answer.status_code == 200
    return answer.content.decode()


def errors(html):
    return [unescape(e) for e in re.findall(r'<ul class="errorlist[^>]*>\s*<li>(.*?)</li>', html, re.S)]


def pages(credential=None):
    yield "/admin/"
    yield "/admin/auth/user/"
    yield "/admin/auth/group/"
    yield "/admin/django_celery_beat/periodictask/"
    yield "/admin/django_celery_beat/periodictask/add/"
    for model in OURS:
        yield f"/admin/{model}/"
        yield f"/admin/{model}/?q=10.1"
    for model in ADDED:
        yield f"/admin/{model}/add/"


def test_every_page_opens_is_clean_under_the_policy_and_shows_no_secret(browser, credential, raw_event):
    connector, device, alert = ConnectorFactory(), DeviceFactory(aliases=["10.1.9.9"]), AlertFactory()
    key, _ = ApiKey.issue(person("service"))
    changes = [
        f"/admin/alerts/alert/{alert.pk}/change/",
        f"/admin/connectors/connector/{connector.pk}/change/",
        f"/admin/connectors/oidmapping/{OIDMapping.objects.first().pk}/change/",
        f"/admin/connectors/rawevent/{raw_event.pk}/change/",
        f"/admin/connectors/snmpcredential/{credential.pk}/change/",
        f"/admin/connectors/snmpcredential/{credential.pk}/delete/",
        f"/admin/dependencies/device/{device.pk}/change/",
        f"/admin/opsconductor/apikey/{key.pk}/change/",
    ]

    for path in [*pages(), *changes]:
        answer = browser.get(path)
        html = answer.content.decode()
        assert answer.status_code == 200, path
        assert "script-src 'self'" in answer["Content-Security-Policy"]
        assert "unsafe" not in answer["Content-Security-Policy"]
        for inline in (
            r"<style",
            r"\sstyle=",
            r"\son[a-z]+=",
            r"<script(?![^>]*\ssrc=)(?![^>]*application/json)",
        ):
            found = re.search(inline, html)
            assert not found, f"{path}: {html[max(0, found.start() - 80) : found.end() + 80]}"
        assert SECRET not in html, path
        assert key.secret_sha256 not in html, path


def test_the_site_has_our_name_and_a_way_back(browser):
    html = browser.get("/admin/").content.decode()

    assert "OpsConductor" in html
    assert "Django administration" not in html


def test_only_staff_comes_in(client):
    client.force_login(person("operator"))

    assert client.get("/admin/").status_code == 302


# --- credentials ---


def test_a_community_left_empty_is_kept(browser, credential):
    html = save(browser, f"/admin/connectors/snmpcredential/{credential.pk}/change/", networks="10.2.3.4/16\n::1/128")

    assert not errors(html)
    credential.refresh_from_db()
    assert credential.community == SECRET
    assert credential.networks == ["10.2.0.0/16", "::1/128"]
    assert "ommunity" not in LogEntry.objects.get().get_change_message()


def test_a_community_typed_in_replaces_the_old_one_encrypted(browser, credential):
    save(browser, f"/admin/connectors/snmpcredential/{credential.pk}/change/", community="n3w")

    credential.refresh_from_db()
    assert credential.community == "n3w"
    with connection.cursor() as cursor:
        cursor.execute("SELECT community FROM connectors_snmpcredential WHERE id = %s", [credential.pk])
        assert "n3w" not in cursor.fetchone()[0]


def test_a_new_credential_needs_a_community_and_a_wrong_form_does_not_repeat_it(browser):
    path = "/admin/connectors/snmpcredential/add/"

    assert errors(save(browser, path, name="x", networks="10.0.0.0/8")) == ["This field is required."]

    html = save(browser, path, name="x", networks="10.0.0.0/80", community=SECRET)
    assert errors(html) == ["“10.0.0.0/80” is not a network. Write it as 10.20.0.0/16 or 2001:db8::/32."]
    assert SECRET not in html


def test_an_edit_tells_the_processes_that_read_it(browser, credential):
    before = sum(ConfigVersion.objects.values_list("version", flat=True))

    save(browser, f"/admin/connectors/snmpcredential/{credential.pk}/change/", enabled="")

    assert sum(ConfigVersion.objects.values_list("version", flat=True)) > before


# --- mappings ---


@pytest.fixture
def shipped():
    return OIDMapping.objects.filter(origin="shipped", is_clear_event=True).first()


def test_saving_a_shipped_mapping_makes_it_this_installations_own(browser, shipped):
    path = f"/admin/connectors/oidmapping/{shipped.pk}/change/"

    assert not errors(save(browser, path))
    shipped.refresh_from_db()
    assert shipped.origin == "shipped"  # nothing was changed

    assert not errors(save(browser, path, clears="link_down, port_down\nlink_flapping", ttl_minutes="5"))
    shipped.refresh_from_db()
    assert shipped.origin == "edited"
    assert shipped.clears == ["link_down", "port_down", "link_flapping"]
    assert shipped.ttl_minutes == 5


def test_switching_many_mappings_off_keeps_upgrades_from_switching_them_on(browser, shipped):
    answer = browser.post(
        "/admin/connectors/oidmapping/", {"action": "disable", "_selected_action": [shipped.pk]}, follow=True
    )

    shipped.refresh_from_db()
    assert (shipped.enabled, shipped.origin) == (False, "edited")
    assert "1 switched off." in answer.content.decode()


@pytest.mark.parametrize(
    ("field", "typed", "sentence"),
    [
        ("oid_pattern", "one.two", "is not an OID"),
        ("conditions", '[{"oid": }]', "This is not JSON: Expecting value, line 1, column 10."),
        ("conditions", '[{"oid": "ifIndex", "op": "like", "value": 1}]', "like"),
        ("title_template", "{{ ifDescr", ""),
    ],
)
def test_a_mapping_nobody_could_read_is_refused_at_its_field(browser, shipped, field, typed, sentence):
    html = save(browser, f"/admin/connectors/oidmapping/{shipped.pk}/change/", **{field: typed})

    [error] = errors(html)
    assert sentence in error
    assert "".join(typed.split()) in "".join(values(html)[field].split())  # what was typed is still there


def test_mappings_are_found_by_vendor_category_and_origin(browser):
    html = browser.get("/admin/connectors/oidmapping/?category__exact=power&origin__exact=shipped&enabled__exact=1")

    assert html.status_code == 200
    assert 'name="_selected_action"' in html.content.decode()


# --- connectors, devices ---


def test_saving_a_connector_leaves_alone_what_other_processes_count(browser):
    connector = ConnectorFactory()
    path = f"/admin/connectors/connector/{connector.pk}/change/"
    form = values(browser.get(path).content.decode())
    Connector.objects.filter(pk=connector.pk).update(alerts_received=99, status="connected")

    changed = {"name": "Traps", "config": '{"trusted_relays": ["10.0.0.0/8"]}', "slug": "other", "alerts_received": "1"}
    browser.post(path, {**form, **changed})

    connector.refresh_from_db()
    assert (connector.name, connector.config, connector.slug) == (
        "Traps",
        {"trusted_relays": ["10.0.0.0/8"]},
        "snmp_trap",
    )
    assert (connector.alerts_received, connector.status) == (99, "connected")


def test_a_device_takes_its_aliases_line_by_line_in_one_spelling(browser):
    html = save(
        browser,
        "/admin/dependencies/device/add/",
        name="core",
        ip="10.1.1.1",
        aliases="10.1.1.2\n2001:DB8::0:1, 10.1.1.1",
    )

    assert not errors(html)
    assert Device.objects.get(ip="10.1.1.1").aliases == ["10.1.1.2", "2001:db8::1"]


def test_a_device_cannot_take_the_address_of_another(browser):
    DeviceFactory(ip="10.1.1.1", name="first", aliases=["10.1.1.2"])

    html = save(browser, "/admin/dependencies/device/add/", name="second", ip="10.1.1.3", aliases="10.1.1.2")

    assert errors(html) == ["10.1.1.2 already belongs to first (10.1.1.1). Remove it there first."]


def test_a_device_is_found_by_an_alias(browser):
    DeviceFactory(ip="10.1.1.1", name="first", aliases=["10.7.7.7"])
    DeviceFactory(ip="10.1.1.2", name="second")

    html = browser.get("/admin/dependencies/device/?q=10.7.7").content.decode()

    assert "first" in html
    assert "second" not in html


# --- journal and alerts ---


def test_journal_and_alerts_can_be_read_and_nothing_else(raw_event):
    alert = AlertFactory(raw_data={"a": "<script>"})
    for browser in (signed_in(person("admin")), signed_in(person("root"))):
        for path in (f"/admin/connectors/rawevent/{raw_event.pk}", f"/admin/alerts/alert/{alert.pk}"):
            assert browser.get(f"{path}/change/").status_code == 200
            assert browser.post(f"{path}/change/", {"title": "x"}).status_code == 403
            assert browser.post(f"{path}/delete/", {"post": "yes"}).status_code == 403
        assert browser.get("/admin/connectors/rawevent/add/").status_code == 403
        html = browser.get(f"/admin/alerts/alert/{alert.pk}/change/").content.decode()
        assert f'href="/alerts/{alert.pk}/"' in html
        assert "&lt;script&gt;" in html


def test_the_journal_lists_a_day_by_outcome_without_counting_everything(browser, raw_event, monkeypatch):
    RawEvent.objects.filter(pk=raw_event.pk).update(outcome="rejected", reason="unknown community")
    yesterday = timezone.now() - timedelta(hours=2)

    with_queries = browser.get("/admin/connectors/rawevent/?outcome__exact=rejected").content.decode()
    other = browser.get("/admin/connectors/rawevent/?outcome__exact=opened").content.decode()

    assert "unknown community" in with_queries
    assert "unknown community" not in other
    assert yesterday < raw_event.received_at

    monkeypatch.setattr("opsconductor.modeladmin.MOST_COUNTED", 0)
    assert browser.get("/admin/connectors/rawevent/").status_code == 200


def test_counting_stops_where_nobody_reads_on(browser, raw_event, django_assert_max_num_queries):
    with django_assert_max_num_queries(12) as queries:
        browser.get("/admin/connectors/rawevent/?received=all")

    counts = [q["sql"] for q in queries.captured_queries if "COUNT(" in q["sql"]]
    assert counts
    assert all("LIMIT 10001" in sql for sql in counts)


# --- API keys ---


def test_a_new_key_is_shown_once(browser):
    service = person("service")

    html = save(
        browser,
        "/admin/opsconductor/apikey/add/",
        user=str(service.pk),
        name="poller",
        scopes=["read"],
        networks="10.0.0.1",
    )

    raw = re.search(r"ops_[0-9a-f]{8}_[\w-]{43}", html)[0]
    key = ApiKey.objects.get()
    assert (key.user, key.name, key.scopes, key.networks) == (service, "poller", ["read"], ["10.0.0.1/32"])
    assert user_for_key(raw, "10.0.0.1") == (service, key)
    for path in ("/admin/opsconductor/apikey/", f"/admin/opsconductor/apikey/{key.pk}/change/", "/admin/"):
        again = browser.get(path).content.decode()
        assert raw not in again
        assert raw.split("_", 2)[2] not in again


def test_keys_are_revoked_and_stay_listed(browser):
    key, raw = ApiKey.issue(person("service"))

    html = browser.post(
        "/admin/opsconductor/apikey/", {"action": "revoke", "_selected_action": [key.pk]}, follow=True
    ).content.decode()

    assert user_for_key(raw, None) is None
    assert "1 revoked." in html
    assert f"ops_{key.prefix}" in html


def test_an_edit_of_a_key_keeps_its_secret_and_its_user(browser):
    key, raw = ApiKey.issue(person("service"), scopes=["read"])
    other = person("viewer")

    html = save(
        browser,
        f"/admin/opsconductor/apikey/{key.pk}/change/",
        name="new name",
        networks="10.0.0.0/33",
        user=other.pk,
    )
    assert "is not a network" in errors(html)[0]

    save(browser, f"/admin/opsconductor/apikey/{key.pk}/change/", name="new name", user=other.pk)
    key.refresh_from_db()
    assert (key.name, key.user.username) == ("new name", "service")
    assert user_for_key(raw, None) is not None


def test_nobody_makes_a_key_that_may_more_than_they_do(browser):
    root = person("root")

    html = save(browser, "/admin/opsconductor/apikey/add/", user=str(root.pk))

    assert "not one of the available choices" in errors(html)[0]
    assert not ApiKey.objects.exists()


@pytest.mark.django_db
def test_who_joins_the_group_admin_may_sign_in_to_the_admin(client):
    user = User.objects.create_user("chief")
    user.groups.add(Group.objects.get(name="admin"))
    client.force_login(user)

    assert User.objects.get(username="chief").is_staff
    assert client.get("/admin/connectors/oidmapping/").status_code == 200


@pytest.mark.django_db
def test_an_operator_may_not(client):
    user = User.objects.create_user("operator")
    Group.objects.get(name="operator").user_set.add(user)
    client.force_login(user)

    assert client.get("/admin/connectors/oidmapping/").status_code == 302


@pytest.mark.django_db
@pytest.mark.parametrize("conditions", ["", "null", "[]"])
def test_an_emptied_json_field_is_an_empty_list_and_no_error(conditions):
    client = signed_in(person("root"))
    form = {
        "oid_pattern": " .1.3.6.1.4.1.9.9.1 ", "vendor": "", "alert_type": "door_open", "category": "security",
        "default_severity": "4",
        "title_template": "", "clears": "", "conditions": conditions, "enabled": "on",
    }  # fmt: skip
    answer = client.post("/admin/connectors/oidmapping/add/", form)

    assert answer.status_code == 302, answer.content
    mapping = OIDMapping.objects.get(oid_pattern="1.3.6.1.4.1.9.9.1")
    assert (mapping.conditions, mapping.alert_type) == ([], "door_open")


@pytest.mark.django_db
def test_the_journal_shows_what_a_trap_contained_and_no_community():
    from tests.connectors.traps import wire
    from tests.line import interface

    whole = wire.Sent("v2c", varbinds=interface(3), trap_oid="1.3.6.1.6.3.1.1.5.3", community=SECRET.encode()).encoded()
    shown = []
    for number, datagram in enumerate((whole, whole[:-4])):
        RawEvent.objects.create(
            pk=9000 + number, received_at=timezone.now(), event_key=f"0190f3e2-0000-7000-8000-00000000000{number}",
            source="10.1.2.3", kind="snmp v2c trap", datagram=datagram, outcome="opened",
        )  # fmt: skip
        page = signed_in(person("root", username=f"root{number}")).get(
            f"/admin/connectors/rawevent/{9000 + number}/change/"
        )
        shown.append(unescape(page.content.decode()))

    assert "ifIndex.3 = 3 (Integer32)" in shown[0]
    assert "30 " in shown[1]
    assert "2a 2a 2a" in shown[1]
    assert all(SECRET not in html and SECRET.encode().hex(" ") not in html for html in shown)
