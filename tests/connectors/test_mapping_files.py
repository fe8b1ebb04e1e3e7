"""Mapping files as people and spreadsheets really make them: every one is taken, or told where it is wrong."""

from __future__ import annotations

import json
import re
from html import unescape

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile

from connectors import mapping_rows
from connectors.models import OIDMapping
from tests.access import person, signed_in

LIST = "/admin/connectors/oidmapping/"
IMPORT = f"{LIST}import/"
BASE = "1.3.6.1.4.1.99999.9"


@pytest.fixture
def browser(db):
    OIDMapping.objects.all().delete()
    return signed_in(person("admin"))


def text(answer):
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", answer.content.decode())).split())


def uploaded(browser, data, **fields):
    data = data if isinstance(data, bytes) else data.encode()
    answer = browser.post(IMPORT, {"file": SimpleUploadedFile("m.csv", data), **fields})
    assert answer.status_code in (200, 302), answer.status_code
    return answer


def row(**fields):
    return {"oid_pattern": f"{BASE}.1", "alert_type": "door_open", **fields}


# --- spellings of one thing ---------------------------------------------------------------------------------


def test_a_leading_dot_is_the_same_oid_and_no_second_row(browser):
    OIDMapping.objects.create(oid_pattern=f"{BASE}.1", alert_type="door_open")

    uploaded(browser, f"oid_pattern,alert_type\n.{BASE}.1,door_left_open\n", save="1")
    twice = text(uploaded(browser, f"oid_pattern,alert_type\n.{BASE}.2,a\n{BASE}.2,b\n"))

    assert list(OIDMapping.objects.values_list("oid_pattern", "alert_type")) == [(f"{BASE}.1", "door_left_open")]
    assert "This OID and vendor stand in line 2 already." in twice


@pytest.mark.parametrize(
    "data",
    [
        f"\ufeffoid_pattern;alert_type\r\n{BASE}.1;door_open\r\n".encode(),
        f"oid_pattern\talert_type\r\n{BASE}.1\tdoor_open\r\n".encode("utf-16"),
        f"\n\noid_pattern,alert_type\n{BASE}.1,door_open\n".encode(),
        f"oid_pattern,alert_type\r{BASE}.1,door_open\r".encode(),
        f"sep=;\noid_pattern;alert_type\n{BASE}.1;door_open\n".encode(),
        f"OID_Pattern ,Alert_Type,,\n{BASE}.1,door_open,,\n,,,\n".encode(),
        f'"oid_pattern","alert_type"\n"{BASE}.1","door_open"'.encode(),
    ],
    ids=["BOM, ; and CRLF", "Unicode text", "empty lines", "CR", "sep=", "empty columns", "quoted"],
)
def test_whatever_a_spreadsheet_writes_is_read(browser, data):
    uploaded(browser, data, save="1")

    assert list(OIDMapping.objects.values_list("oid_pattern", "alert_type")) == [(f"{BASE}.1", "door_open")]


def test_lines_that_a_text_area_ends_otherwise_are_no_change(browser):
    OIDMapping.objects.create(oid_pattern=f"{BASE}.1", alert_type="a", description="one\ntwo", notes="three\r\nfour")
    exported = browser.get(f"{LIST}export/csv/").content.decode()

    page = text(browser.post(IMPORT, {"text": exported.replace("\r\n", "\n").replace("\n", "\r\n")}))

    assert "0 new, 0 changed , 1 as they are." in page


def test_an_empty_severity_or_category_keeps_what_is_stored(browser):
    OIDMapping.objects.create(oid_pattern=f"{BASE}.1", alert_type="a", default_severity=5, category="power")

    page = text(uploaded(browser, f"oid_pattern,alert_type,default_severity,category\n{BASE}.1,a,,\n"))

    assert "0 new, 0 changed" in page


# --- what is wrong is said, with its line and column --------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        ("oid_pattern,alert_type\n", "The file holds no rows."),
        ("[]", "The file holds no rows."),
        (";;;\n", "The file holds no rows."),
        ("oid_pattern,vendor,vendor\n1.3,a,b\n", "Two columns of the heading are called “vendor”."),
        (b"oid_pattern,alert_type\n1.3.6,x\n1.3.7,T\xfcr\n", "Line 3 is not UTF-8 text."),
        ('[{"ttl_minutes": ' + "9" * 5_000 + "}]", "This JSON holds a number that is too long."),
        ("[" * 100_000, "This JSON is nested too deeply."),
        ("oid_pattern,alert_type\n" + "x" * 200_000 + ",y\n", "This is not CSV: field larger than field limit"),
    ],
)
def test_a_file_that_cannot_be_read_says_why(browser, data, sentence):
    assert sentence in text(uploaded(browser, data))


@pytest.mark.parametrize(
    ("column", "value", "sentence"),
    [
        ("oid_pattern", "1.3.6\0.1", "cannot be stored (U+0000)"),
        ("notes", "a\0b", "cannot be stored (U+0000)"),
        ("notes", "a\ud800b", "cannot be stored (U+D800)"),
        ("title_template", "\udfff", "cannot be stored (U+DFFF)"),
        ("description", 7, "This is text."),
        ("conditions", [{"oid": "a", "op": "eq", "value": "\0"}], "cannot be stored (U+0000)"),
        ("conditions", [{"oid": "a", "op": "eq", "value": float("nan")}], "nan is not a number"),
        ("conditions", [{"oid": "a", "op": "eq", "value": {"b": 1}}], "“eq” compares with a number or a text."),
        ("conditions", [{"oid": "a", "op": "in", "value": [[1]]}], "“in” lists numbers and texts."),
        ("conditions", [{"oid": "a", "op": "eq", "value": 1}] * 501, "at most 500 can be held against every trap"),
        ("conditions", [{"oid": "a", "op": "regex", "value": "a" * 1_001}], "at most 1000 characters"),
        ("conditions", '[{"oid": "a", "op": "eq", "value": ' + "9" * 5_000 + "}]", "a number that is too long"),
        ("conditions", False, "Conditions are a list"),
        (
            "conditions",
            [{"oid": "a", "op": "eq", "value": 1, "and": [{"oid": "b", "op": "eq", "value": 1, "colour": "red"}]}],
            "in “and”: unknown keys: colour.",
        ),
        ("clears", [f"type_{n}" for n in range(51)], "At most 50 alert types."),
        ("clears", [None], "Item 1"),
        ("ttl_minutes", float("inf"), "“inf” is not a number of minutes."),
        ("ttl_minutes", 2.5, "“2.5” is not a number of minutes."),
        ("ttl_minutes", True, "“True” is not a number of minutes."),
        ("ttl_minutes", 10**12, "less than or equal to"),
        ("ttl_minutes", -1, "greater than or equal to"),
        ("default_severity", True, "“True” is not a severity."),
        ("default_severity", 9, "“9” is not a severity."),
        ("default_severity", "Kritisch", "“Kritisch” is not a severity. Use one of clear, info, warning, minor"),
        ("category", "weather", "weather"),
        ("enabled", "maybe", "“maybe” is neither true nor false."),
        ("vendor", "v" * 101, "at most 100 characters"),
        ("oid_pattern", "1.3." + "6." * 200 + "1", "is not an OID"),
        ("oid_pattern", "1.3.٣", "is not an OID"),
    ],
)
def test_no_value_is_too_odd_to_be_answered_at_its_column(browser, column, value, sentence):
    data = json.dumps([row(is_clear_event=True, **{column: value}) if column == "clears" else row() | {column: value}])

    page = text(uploaded(browser, data, save="1"))

    assert re.search(rf"\b1 {column} .*{re.escape(sentence)}", page), page
    assert not OIDMapping.objects.exists()


def test_more_errors_than_are_shown_are_counted(browser):
    page = text(uploaded(browser, "oid_pattern,alert_type\n" + "x,y\n" * 300))

    assert "The first 200 are shown." in page


# --- what goes out ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", ["=1+1", "'=1+1", "''@x", "-5 dBm", "a;=1+1", "a\n=1+1", "\n=1", "it's 'fine'", "'"])
def test_no_cell_begins_a_formula_whatever_separates_cells_and_all_come_back(db, value):
    OIDMapping.objects.all().delete()
    stored = OIDMapping.objects.create(oid_pattern=f"{BASE}.1", alert_type="a", notes=value, description=value)

    exported = mapping_rows.to_csv([stored])
    (line, read), *_ = mapping_rows.read(exported)

    assert not re.search(r"(^|[;\t\r\n,\"])[=+@-]", exported)
    assert (read["notes"], read["description"]) == (value, value)
    assert mapping_rows.preview([(line, read)]).unchanged == 1


def test_a_file_of_the_largest_size_survives_the_second_step(browser):
    """The second step sends it as a field of a form, which Django limits; encoded, it would be three times as large."""
    rows = [row(oid_pattern=f"{BASE}.{n}", notes='{"%&"}' * 300) for n in range(1, 800)]
    data = json.dumps(rows)
    assert 1_700_000 < len(data) <= mapping_rows.MOST_BYTES
    page = uploaded(browser, data).content.decode()
    form = page[page.index("<form", page.index("</table>")) :]

    assert 'enctype="multipart/form-data"' in form[: form.index(">")]
    assert browser.post(IMPORT, {"text": data, "save": "1"}).status_code == 302
    assert OIDMapping.objects.count() == 799


def test_the_limit_is_one_of_octets(browser):
    assert "larger than 2 MB" in text(browser.post(IMPORT, {"text": "ä" * 1_100_000}))


def test_whoever_may_only_see_mappings_exports_and_nothing_else(db):
    from django.contrib.auth.models import Permission

    viewer = person("viewer")
    viewer.is_staff = True
    viewer.save()
    viewer.user_permissions.add(Permission.objects.get(codename="view_oidmapping"))
    browser = signed_in(viewer)
    mapping = OIDMapping.objects.create(oid_pattern=f"{BASE}.1", alert_type="door_open")

    assert browser.get(f"{LIST}export/json/").status_code == 200
    assert "All as CSV" in text(browser.get(LIST))
    assert browser.get(IMPORT).status_code == 403
    assert browser.post(IMPORT, {"text": "x", "save": "1"}).status_code == 403
    assert browser.post(f"{LIST}try/", {"_try": "own"}).status_code == 403
    assert browser.post(f"{LIST}{mapping.pk}/try/", {"_try": "own"}).status_code == 403
    for action in ("set_severity", "disable", "restore", "copy"):
        browser.post(LIST, {"action": action, "_selected_action": [mapping.pk], "to_severity": "5"})
    mapping.refresh_from_db()
    assert (mapping.default_severity, mapping.enabled) == (2, True)


# --- copies -------------------------------------------------------------------------------------------------


def test_a_copy_of_the_longest_row_fits_into_an_address_and_keeps_everything(browser):
    conditions = [{"oid": "alarmName", "op": "eq", "value": f"alarm {n}", "severity": "minor"} for n in range(60)]
    mapping = OIDMapping.objects.create(
        oid_pattern=f"{BASE}.1", alert_type="door_open", conditions=conditions, notes="n" * 20_000, enabled=False,
        ttl_minutes=5,
    )  # fmt: skip

    answer = browser.post(LIST, {"action": "copy", "_selected_action": [mapping.pk]})
    page = browser.get(answer["Location"]).content.decode()

    assert len(answer["Location"]) < 200
    assert "alarm 59" in page
    assert "n" * 20_000 in page
    assert not re.search(r'<input[^>]*name="enabled"[^>]*checked', page)


@pytest.mark.parametrize("key", ["0", "-1", "abc", "9" * 30, "²", "1;2", "99999999"])
def test_a_copy_of_nothing_is_an_empty_form(browser, key):
    assert browser.get(f"{LIST}add/", {"copy": key}).status_code == 200


# --- searching ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("term", ["1" + ".1" * 3_000, "1.3.٣.4", "%", "1.3.6.1.*.*", "\\", "'", "1.3." * 30, "\0"])
def test_no_search_is_too_odd_to_be_answered(browser, term):
    assert browser.get(LIST, {"q": term}).status_code == 200


def test_bulk_changes_work_on_what_an_oid_found(browser):
    mapping = OIDMapping.objects.create(oid_pattern=f"{BASE}.1", alert_type="door_open")
    given = {"action": "set_severity", "to_severity": "5", "_selected_action": [mapping.pk]}

    browser.post(f"{LIST}?q={BASE}.1", given)
    browser.post(f"{LIST}?q={BASE}.1", {"action": "disable", "_selected_action": [mapping.pk]})

    mapping.refresh_from_db()
    assert (mapping.default_severity, mapping.enabled, mapping.origin) == (5, False, "edited")
