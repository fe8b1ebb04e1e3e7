"""Working with mappings: found by the trap, changed in bulk, in and out as files, tried before saving."""

from __future__ import annotations

import json
import re
from html import unescape

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.utils import timezone

from alerts.choices import Category, Severity
from connectors import mapping_rows
from connectors.models import MibObject, OIDMapping, RawEvent, SnmpEngine, SnmpUser
from opsconductor import seeds
from opsconductor.models import Seeded
from tests.access import person, signed_in
from tests.line import LINK_DOWN, interface

LIST = "/admin/connectors/oidmapping/"
IMPORT = f"{LIST}import/"
BASE = "1.3.6.1.4.1.99999.9"


@pytest.fixture
def browser(db):
    OIDMapping.objects.all().delete()
    Seeded.objects.all().delete()  # else the seed would take the rows for removed by a person
    return signed_in(person("admin"))


def mapping(pattern, alert_type="alarm", **fields):
    return OIDMapping.objects.create(oid_pattern=pattern, alert_type=alert_type, **fields)


def found(browser, term, **query):
    html = browser.get(LIST, {"q": term, **query}).content.decode()
    return re.findall(r'class="field-oid_pattern"><a [^>]*>([^<]+)</a>', html)


def act(browser, action, rows, **fields):
    given = {"action": action, "_selected_action": [r.pk for r in rows], **fields}
    return browser.post(LIST, given, follow=True)


def text(answer):
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", answer.content.decode())).split())


# --- finding ------------------------------------------------------------------------------------------------


def test_a_trap_oid_finds_the_row_that_would_read_it_longest_first(browser):
    for pattern in (f"{BASE}.1.7", f"{BASE}.1.*", f"{BASE}.*", "1.3.6.1.4.1.*", f"{BASE}.1.8", "1.3.6.1.4.1.88888.*"):
        mapping(pattern)

    wanted = [f"{BASE}.1.7", f"{BASE}.1.*", f"{BASE}.*", "1.3.6.1.4.1.*"]
    assert found(browser, f"{BASE}.1.7") == wanted
    assert found(browser, f"{BASE}.1.0.7") == wanted
    assert found(browser, f".{BASE}.1.0.7") == wanted


def test_a_row_written_with_the_zero_is_found_by_the_oid_without_it(browser):
    mapping(f"{BASE}.1.0.7")

    assert found(browser, f"{BASE}.1.7") == [f"{BASE}.1.0.7"]


def test_the_beginning_of_an_oid_finds_what_begins_so(browser):
    mapping(f"{BASE}.1.7")

    assert found(browser, BASE) == [f"{BASE}.1.7"]


def test_words_find_as_before(browser):
    mapping(f"{BASE}.1.7", "door_open", mib_name="DOOR-MIB")
    mapping(f"{BASE}.1.8", "fan_failed")

    assert found(browser, "door") == [f"{BASE}.1.7"]


# --- many at once -------------------------------------------------------------------------------------------


def test_category_and_severity_are_set_for_many(browser):
    rows = [mapping(f"{BASE}.{n}") for n in range(3)]

    act(browser, "set_category", rows[:2], to_category="power")
    answer = act(browser, "set_severity", rows[:2], to_severity="5")

    stored = list(OIDMapping.objects.order_by("oid_pattern").values_list("category", "default_severity", "origin"))
    assert stored[:2] == [("power", 5, "edited")] * 2
    assert stored[2][0] == "network"
    assert "2 set to critical." in text(answer)


def test_without_a_value_nothing_is_set(browser):
    row = mapping(f"{BASE}.1")

    answer = act(browser, "set_severity", [row], to_severity="")

    assert "Choose what to set it to" in text(answer)
    assert OIDMapping.objects.get().default_severity == Severity.WARNING


def test_a_copy_is_a_filled_in_form(browser):
    row = mapping(
        f"{BASE}.1", "door_open", category=Category.SECURITY, default_severity=4, clears=["a", "b"],
        is_clear_event=True, conditions=[{"oid": "ifIndex", "op": "eq", "value": 2, "severity": "info"}],
    )  # fmt: skip

    html = unescape(act(browser, "copy", [row]).content.decode())

    assert 'value="door_open"' in html
    assert '"op": "eq"' in html
    assert "a\nb" in html
    assert OIDMapping.objects.count() == 1


def test_a_row_that_was_edited_shows_how_and_can_be_restored(browser):
    row = seeds.shipped_rows()[0] if seeds.shipped_rows() else pytest.skip("nothing is shipped")
    seeds._mappings()
    stored = OIDMapping.objects.get(oid_pattern=row["oid_pattern"], vendor=row.get("vendor", ""))
    OIDMapping.objects.filter(pk=stored.pk).update(alert_type="our_own", origin="edited")

    page = text(browser.get(f"{LIST}{stored.pk}/change/"))
    listed = found(browser, "", shipped="differs")
    answer = act(browser, "restore", [stored])

    assert f"alert type {row['alert_type']} our_own" in page
    assert listed == [row["oid_pattern"]]
    assert "1 restored as shipped." in text(answer)
    stored.refresh_from_db()
    assert (stored.alert_type, stored.origin) == (row["alert_type"], "shipped")


def test_every_shipped_row_as_seeded_is_the_same_as_shipped(browser):
    seeds._mappings()
    shipped = mapping_rows.shipped_rows()

    assert [m for m in OIDMapping.objects.all() if mapping_rows.edited(m, shipped)] == []


# --- files --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["csv", "json"])
def test_what_is_exported_comes_back_the_same(browser, form):
    mapping(
        f"{BASE}.1", "door_open", category="security", default_severity=4, title_template="{{ a }}, \"b\"; c",
        conditions=[{"oid": "ifIndex", "op": "in", "value": [1, 2], "severity": "info"}], ttl_minutes=5, notes="=1+1",
    )  # fmt: skip
    mapping(f"{BASE}.2", "door_closed", is_clear_event=True, clears=["door_open", "x"], enabled=False, vendor="acme")
    before = [mapping_rows.as_record(m) | {"id": 0} for m in OIDMapping.objects.all()]
    exported = browser.get(f"{LIST}export/{form}/")
    assert "attachment" in exported["Content-Disposition"]
    unchanged = browser.post(IMPORT, {"text": exported.content.decode()})
    OIDMapping.objects.all().delete()

    answer = browser.post(IMPORT, {"text": exported.content.decode(), "save": "1"}, follow=True)

    assert "Everything in it is stored already." in text(unchanged)
    assert "Imported: 2 new, 0 changed." in text(answer)
    assert [mapping_rows.as_record(m) | {"id": 0} for m in OIDMapping.objects.all()] == before
    assert set(OIDMapping.objects.values_list("origin", flat=True)) == {"imported"}


def test_selected_rows_are_exported_alone_and_no_cell_is_a_formula(browser):
    rows = [mapping(f"{BASE}.{n}", title_template="=cmd|' /C calc'!A0") for n in range(2)]

    exported = act(browser, "export_csv", rows[:1]).content.decode()

    assert exported.count(BASE) == 1
    assert ",'=cmd|" in exported
    assert len(json.loads(act(browser, "export_json", rows).content)) == 2


def test_the_difference_is_shown_before_anything_is_saved(browser):
    mapping(f"{BASE}.1", "door_open", default_severity=2)
    file = f"oid_pattern,alert_type,default_severity\n{BASE}.1,door_open,major\n{BASE}.2,new_one,minor\n"

    page = text(browser.post(IMPORT, {"file": SimpleUploadedFile("m.csv", file.encode())}))

    assert "1 new, 1 changed" in page
    assert "default_severity warning major" in page
    assert OIDMapping.objects.get().default_severity == 2
    browser.post(IMPORT, {"text": file, "save": "1"})
    origins = dict(OIDMapping.objects.values_list("oid_pattern", "origin"))
    assert origins == {f"{BASE}.1": "edited", f"{BASE}.2": "imported"}
    assert OIDMapping.objects.get(oid_pattern=f"{BASE}.1").default_severity == 4


def test_all_rows_or_none_and_every_error_with_its_row(browser):
    file = (
        "oid_pattern,alert_type,default_severity,ttl_minutes,conditions,colour\n"
        f"{BASE}.1,fine,major,,,\n"
        "1.3.x,bad_oid,major,,,\n"
        f"{BASE}.2,,minor,,,\n"
        f"{BASE}.3,bad,terrible,soon,{{,\n"
        f"{BASE}.1,again,major,,,\n"
    )

    answer = browser.post(IMPORT, {"text": file, "save": "1"})
    page = text(answer)

    assert not OIDMapping.objects.exists()
    for sentence in (
        "3 oid_pattern",
        "4 alert_type Something is needed here.",
        "5 default_severity “terrible” is not a severity",
        "5 ttl_minutes “soon” is not a number of minutes.",
        "5 conditions This is not JSON",
        "6 oid_pattern This OID and vendor stand in line 2 already.",
        "2 colour There is no such column.",
    ):
        assert sentence in page


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ("", "Choose a file, or paste its text."),
        ("[{]", "This is not JSON"),
        ("[1]", "not a list of objects"),
        ('oid_pattern,alert_type\n"1.3', "This is not CSV"),
        ("oid_pattern,alert_type\n1.3.6", "has 1 cells, the heading has 2"),
    ],
)
def test_a_file_that_is_none_is_said(browser, given, sentence):
    assert sentence in text(browser.post(IMPORT, {"text": given}))


def test_a_file_from_a_spreadsheet_with_semicolons_and_latin_text_is_taken_or_said(browser):
    ok = browser.post(IMPORT, {"text": f"oid_pattern;alert_type\n{BASE}.1;door_open\n", "save": "1"}, follow=True)
    bad = browser.post(IMPORT, {"file": SimpleUploadedFile("m.csv", b"oid_pattern,alert_type\n1,\xfcber\n")})

    assert "Imported: 1 new" in text(ok)
    assert "not UTF-8" in text(bad)


@pytest.mark.parametrize("path", [IMPORT, f"{LIST}export/csv/", f"{LIST}try/"])
def test_others_may_not(db, path):
    browser = signed_in(person("operator"))

    assert browser.get(path).status_code in (302, 403)


# --- trying -------------------------------------------------------------------------------------------------


@pytest.fixture
def tried(line):
    """linkDown of two interfaces, as it was received; the rows of this test alone."""
    before = list(OIDMapping.objects.all())
    OIDMapping.objects.all().delete()
    row = mapping(LINK_DOWN, "link_down", component_template="1.3.6.1.2.1.2.2.1.1", default_severity=3)
    line.reload()
    for n in (3, 4):
        line.trap(LINK_DOWN, interface(n), after=n)
    line.trap(f"{BASE}.0.1", after=9)
    yield row
    OIDMapping.objects.all().delete()
    OIDMapping.objects.bulk_create(before)


def attempt(row, button="own", **changes):
    browser = signed_in(person("admin", username=f"admin{timezone.now().timestamp()}"))
    given = {
        "oid_pattern": row.oid_pattern, "alert_type": row.alert_type, "category": row.category, "enabled": "on",
        "default_severity": str(row.default_severity), "component_template": row.component_template,
        "conditions": "[]", "_try": button, **changes,
    }  # fmt: skip
    return text(browser.post(f"{LIST}{row.pk}/try/", given))


def test_the_form_is_tried_before_it_is_saved(tried):
    page = attempt(tried, alert_type="port_down", default_severity="5", title_template="Port {{ ifIndex }} is down")

    assert "2 newest traps of this OID tried: 2 would be read otherwise , 0 the same." in page
    assert "alert type link_down port_down" in page
    assert "severity minor critical" in page
    assert "title" in page
    tried.refresh_from_db()
    assert tried.alert_type == "link_down"


def test_unchanged_it_says_that_all_stays_the_same(tried):
    assert "0 would be read otherwise , 2 the same" in attempt(tried)


def test_switching_it_off_or_making_it_a_clear_is_told(tried):
    off = attempt(tried, enabled="")
    clear = attempt(tried, is_clear_event="on", clears="other")

    assert "becomes alert nothing, its mapping is switched off" in off
    assert "becomes alert clear" in clear


def test_a_subtree_shows_what_else_it_would_take(tried):
    page = attempt(tried, "whole", oid_pattern="1.3.6.1.4.1.99999.*", alert_type="anything")

    assert "3 newest traps of all kinds tried" in page
    assert "unknown trap" in page
    assert RawEvent.objects.filter(outcome="unmapped").count() == 1


def test_a_form_with_errors_is_not_tried(tried):
    assert "The form has errors" in attempt(tried, oid_pattern="1.3.x")


# --- SNMPv3 and names ---------------------------------------------------------------------------------------

USERS = "/admin/connectors/snmpuser/"
SECRET = "a-passphrase-nobody-sees"


def user_form(**changes):
    return {
        "name": "netops", "auth_protocol": "SHA-256", "auth_passphrase": SECRET, "priv_protocol": "AES-128",
        "priv_passphrase": SECRET, "required_level": "authPriv", "networks": "10.0.0.0/8", "enabled": "on", **changes,
    }  # fmt: skip


def test_passphrases_go_in_and_never_come_out(browser):
    browser.post(f"{USERS}add/", user_form())
    user = SnmpUser.objects.get()
    page = browser.get(f"{USERS}{user.pk}/change/").content.decode()

    assert user.auth_passphrase == user.priv_passphrase == SECRET
    assert SECRET not in page + browser.get(USERS).content.decode()
    assert "set; leave empty to keep it" in page


def test_left_empty_a_passphrase_stays_and_without_its_protocol_it_goes(browser):
    browser.post(f"{USERS}add/", user_form())
    user = SnmpUser.objects.get()
    path = f"{USERS}{user.pk}/change/"

    browser.post(path, user_form(auth_passphrase="", priv_passphrase="", notes="kept"))
    user.refresh_from_db()
    assert (user.auth_passphrase, user.notes) == (SECRET, "kept")
    without = {"priv_protocol": "none", "required_level": "authNoPriv"}
    browser.post(path, user_form(auth_passphrase="", priv_passphrase="", **without))
    user.refresh_from_db()
    assert (user.auth_passphrase, user.priv_passphrase) == (SECRET, "")


def test_a_passphrase_that_is_too_short_or_missing_is_an_error_at_its_field(browser):
    page = text(browser.post(f"{USERS}add/", user_form(auth_passphrase="short", priv_passphrase="")))

    assert page.count("At least 8 characters (RFC 3414 section 11.2).") == 2
    assert not SnmpUser.objects.exists()


def test_engines_are_approved_pinned_and_refused_from_the_list(browser):
    user = SnmpUser.objects.create(
        name="netops", auth_protocol="none", priv_protocol="none", required_level="noAuthNoPriv"
    )
    seen = SnmpEngine.objects.create(engine_id="80001f8804abcd", user=user, source="10.1.2.3", count=7)
    never = SnmpEngine.objects.create(engine_id="80001f8804abce", user=user)

    def go(action, *rows, query=""):
        given = {"action": action, "_selected_action": [r.pk for r in rows]}
        answer = text(browser.post(f"/admin/connectors/snmpengine/{query}", given, follow=True))
        return answer, SnmpEngine.objects.values_list("state", "pinned_source").get(pk=seen.pk)

    assert "7" in text(browser.get("/admin/connectors/snmpengine/"))
    said, state = go("approve_from_source", seen, never, query="?state__exact=seen")
    assert state == ("approved", "10.1.2.3")
    assert "1 were never seen" in said
    assert go("refuse", seen)[1][0] == "refused"
    assert go("approve", seen)[1] == ("approved", None)


def test_mib_objects_are_found_by_name_and_oid(browser):
    MibObject.objects.create(oid="1.3.6.1.4.1.99999.1.1", name="doorState", mib_name="DOOR-MIB", enum={"1": "open"})

    for term in ("doorState", "99999.1", "DOOR-MIB"):
        assert "doorState" in text(browser.get("/admin/connectors/mibobject/", {"q": term}))
