"""/mappings/import/: upload, review, save."""

from __future__ import annotations

import re

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile

from connectors import views_import
from connectors.mibs import kept, upload
from connectors.models import MibObject, OIDMapping
from tests.access import person, signed_in
from tests.connectors.mibs.texts import FANS, OPENNMS, SNMPTT, mib, notification

pytestmark = pytest.mark.django_db


def file(text: str | bytes, name: str = "ACME-MIB.txt") -> SimpleUploadedFile:
    return SimpleUploadedFile(name, text if isinstance(text, bytes) else text.encode())


def uploaded(client, *files: SimpleUploadedFile) -> str:
    """Address of the review."""
    answer = client.post("/mappings/import/", {"files": list(files)})
    assert answer.status_code == 302, answer.content
    return answer["Location"]


def number_of(client, address: str, name: str) -> str:
    page = client.get(address).content.decode()
    found = re.search(rf'<label for="pick-(\d+)">{name}</label>', page)
    assert found is not None
    return found[1]


def form_of(client, address: str, **changes: str) -> dict[str, str]:
    """What the browser would send: every field as it stands."""
    page = client.get(address).content.decode()
    data = {}
    for tag in re.findall(r"<input [^>]*>", page):
        name, value = re.search(r'name="([^"]+)"', tag), re.search(r'value="([^"]*)"', tag)
        if name and ('type="checkbox"' not in tag or " checked" in tag):
            data[name[1]] = value[1] if value else ""
    for name, options in re.findall(r'<select id="[^"]+" name="([^"]+)">(.*?)</select>', page, re.DOTALL):
        data[name] = re.search(r"<option selected>(\w+)", options)[1]
    data.pop("csrfmiddlewaretoken", None)
    return {**data, **changes}


@pytest.fixture
def admin():
    return signed_in(person("root"))


@pytest.mark.parametrize("role", ["viewer", "operator", "service"])
def test_only_who_may_add_mappings_sees_the_pages(role):
    client = signed_in(person(role))

    assert client.get("/mappings/import/").status_code == 403
    assert client.post("/mappings/import/", {"files": [file(FANS)]}).status_code == 403
    assert client.get("/mappings/import/abc/").status_code == 403


def test_signed_out_people_sign_in_first(client):
    assert client.get("/mappings/import/")["Location"].startswith("/accounts/login/")


def test_members_of_the_group_admin_may(client):
    assert signed_in(person("admin")).get("/mappings/import/").status_code == 200


def test_upload_leads_to_a_review_that_saved_nothing_yet(admin):
    address = uploaded(admin, file(FANS))

    page = admin.get(address).content.decode()

    assert "4 traps in 1 module or file: 4 new. Nothing is saved yet." in page
    assert "acmeFanFailed" in page
    assert "1.3.6.1.4.1.64999.0.1" in page
    assert "“failed” in its name" in page
    assert "Save the names of" in page
    assert not OIDMapping.objects.filter(origin="imported").exists()


def test_ticked_rows_are_saved_as_they_were_edited(admin):
    address = uploaded(admin, file(FANS))
    failed, restored = number_of(admin, address, "acmeFanFailed"), number_of(admin, address, "acmeFanRestored")
    data = form_of(admin, address, **{f"alert_type-{failed}": "fan_stopped", f"severity-{failed}": "critical"})
    data.pop(f"pick-{number_of(admin, address, 'acmeHeartbeat')}")

    answer = admin.post(address, data, follow=True)

    assert "Saved 3 new and 0 changed mappings, and the names of 5 objects." in answer.content.decode()
    row = OIDMapping.objects.get(mib_object="acmeFanFailed")
    assert (row.alert_type, row.default_severity, row.origin) == ("fan_stopped", 5, "imported")
    # The clear goes on ending what was renamed.
    assert restored
    assert OIDMapping.objects.get(mib_object="acmeFanRestored").clears == ["fan_stopped"]
    assert not OIDMapping.objects.filter(mib_object="acmeHeartbeat").exists()
    assert MibObject.objects.filter(name="acmeFanSpeed").exists()


def test_names_can_be_left_out(admin):
    address = uploaded(admin, file(FANS))
    data = form_of(admin, address)
    data.pop("names")

    admin.post(address, data)

    assert OIDMapping.objects.filter(origin="imported").count() == 4
    assert not MibObject.objects.exists()


def test_a_row_that_cannot_be_saved_says_why_and_nothing_is_lost(admin):
    address = uploaded(admin, file(FANS))
    failed, restored = number_of(admin, address, "acmeFanFailed"), number_of(admin, address, "acmeFanRestored")
    data = form_of(admin, address, **{f"alert_type-{failed}": "not a word!", f"severity-{restored}": "major"})

    answer = admin.post(address, data)
    page = answer.content.decode()

    assert answer.status_code == 422
    assert "2 rows cannot be saved as written. Nothing was saved" in page
    assert "“not a word!” is not an alert type. Write a word such as link_down." in page
    assert "A trap that ends others has severity clear." in page
    assert 'value="not a word!"' in page
    assert not OIDMapping.objects.filter(origin="imported").exists()


def test_values_outside_the_lists_are_refused(admin):
    address = uploaded(admin, file(FANS))
    failed = number_of(admin, address, "acmeFanFailed")

    answer = admin.post(
        address, form_of(admin, address, **{f"severity-{failed}": "apocalypse", f"category-{failed}": "x"})
    )

    assert answer.status_code == 422
    assert not OIDMapping.objects.filter(origin="imported").exists()


def test_mapped_traps_are_not_ticked_and_show_the_difference(admin):
    OIDMapping.objects.create(oid_pattern="1.3.6.1.4.1.64999.1", alert_type="mine", origin="edited")
    address = uploaded(admin, file(FANS))
    failed = number_of(admin, address, "acmeFanFailed")
    page = admin.get(address).content.decode()

    assert "already mapped (edited)" in page
    assert "<del>mine</del> <ins>fan_failed</ins>" in page
    assert f"pick-{failed}" not in form_of(admin, address)

    admin.post(address, form_of(admin, address))
    assert OIDMapping.objects.get(oid_pattern="1.3.6.1.4.1.64999.1").alert_type == "mine"
    admin.post(uploaded(admin, file(FANS)), form_of(admin, address, **{f"pick-{failed}": "1"}))
    assert OIDMapping.objects.get(oid_pattern="1.3.6.1.4.1.64999.1").alert_type == "fan_failed"


def test_errors_are_shown_and_the_other_modules_proposed(admin):
    bad = mib(
        notification("badDown", 1, parent="acmeMgmt 0"),
        "BAD-MIB",
        "IMPORTS NOTIFICATION-TYPE FROM SNMPv2-SMI acmeMgmt FROM ACME-SMI;\n",
    )

    page = admin.get(uploaded(admin, file(bad, "bad.txt"), file(FANS))).content.decode()

    assert "What could not be read (1)" in page
    assert "BAD-MIB line 2 imports acmeMgmt from ACME-SMI, which was not uploaded. Upload ACME-SMI too." in page
    assert "acmeFanFailed" in page


def test_snmptt_and_opennms_files_use_the_same_review(admin):
    page = admin.get(uploaded(admin, file(SNMPTT, "snmptt.conf"), file(OPENNMS, "acme.xml"))).content.decode()

    assert "acmeDoor" in page
    assert "Fan {{ v2 }} failed on {{ device }}" in page


def test_texts_of_an_upload_are_shown_as_text(admin):
    evil = mib(notification("acmeDown", 1, "A <script>alert(1)</script> has stopped."))

    page = admin.get(uploaded(admin, file(evil, "<img src=x>.txt"))).content.decode()

    assert "<script>alert" not in page
    assert "<img src=x" not in page


def test_an_upload_belongs_to_one_person_and_ends(admin):
    address = uploaded(admin, file(FANS))
    other = signed_in(person("root", username="other"))

    answer = other.get(address, follow=True)

    assert answer.redirect_chain[-1][0] == "/mappings/import/"
    assert "is gone by now. Upload it again." in answer.content.decode()
    assert kept.SECONDS <= 3_600


def test_upload_without_a_file_or_beyond_the_limits_is_refused(admin, monkeypatch):
    assert "Choose at least one file." in admin.post("/mappings/import/").content.decode()
    monkeypatch.setattr(upload, "TOTAL_BYTES", 1_000)
    assert admin.post("/mappings/import/", {"files": [file(b"x" * 2_000)]}).status_code == 400
    monkeypatch.setattr(upload, "TOTAL_BYTES", 40_000_000)
    monkeypatch.setattr(views_import, "ARCHIVE_BYTES", 1_000)
    page = admin.get(uploaded(admin, file(b"x" * 2_000, "big.zip"))).content.decode()
    assert "big.zip is larger than 0 MB." in page
    assert "No traps are defined in what was uploaded." in page


def test_many_files_come_at_once(admin):
    files = [file(mib(notification(f"acmeThing{i}Down", i), f"ACME-{i}-MIB"), f"{i}.txt") for i in range(1, 151)]

    page = admin.get(uploaded(admin, *files)).content.decode()

    assert "150 traps in 150 modules or files" in page
    assert "Page 1 of 2" in page


def test_long_reviews_are_saved_page_by_page(admin):
    text = mib("".join(notification(f"acmeThing{i}Down", i) for i in range(1, 131)))
    address = uploaded(admin, file(text))

    answer = admin.post(address, form_of(admin, address))

    assert answer["Location"] == f"{address}?page=2"
    assert OIDMapping.objects.filter(origin="imported").count() == 100
    answer = admin.post(f"{address}?page=2", form_of(admin, f"{address}?page=2"))
    assert answer["Location"] == "/mappings/import/"
    assert OIDMapping.objects.filter(origin="imported").count() == 130


def test_form_of_a_full_page_stays_below_the_limit_of_fields(settings):
    assert views_import.ROWS_A_PAGE * 5 + 3 < 1_000


def test_review_reads_the_mappings_in_one_query(admin, django_assert_max_num_queries):
    address = uploaded(admin, file(FANS))

    with django_assert_max_num_queries(6):
        admin.get(address)


def test_who_may_only_add_cannot_replace_a_row():
    from django.contrib.auth.models import Permission

    OIDMapping.objects.create(oid_pattern="1.3.6.1.4.1.64999.1", alert_type="mine", origin="edited")
    user = person("viewer")
    user.user_permissions.add(Permission.objects.get(codename="add_oidmapping"))
    client = signed_in(user)
    address = uploaded(client, file(FANS))
    failed = number_of(client, address, "acmeFanFailed")

    answer = client.post(address, form_of(client, address, **{f"pick-{failed}": "1"}))

    assert answer.status_code == 422
    assert "may add mappings but not change them" in answer.content.decode()
    assert client.post(address, form_of(client, address)).status_code == 302
    assert OIDMapping.objects.get(oid_pattern="1.3.6.1.4.1.64999.1").alert_type == "mine"


def test_who_imported_what_is_in_the_log(admin):
    from django.contrib.admin.models import LogEntry

    address = uploaded(admin, file(FANS))

    admin.post(address, form_of(admin, address))

    assert LogEntry.objects.filter(change_message="Imported.", user__username="root").count() == 4


def test_what_others_changed_meanwhile_is_not_written_over_unseen(admin):
    """The trap was new when the page was shown; a colleague maps it before it is saved."""
    address = uploaded(admin, file(FANS))
    data = form_of(admin, address)
    OIDMapping.objects.create(oid_pattern="1.3.6.1.4.1.64999.0.1", alert_type="theirs", origin="edited")

    answer = admin.post(address, data)
    page = answer.content.decode()

    assert answer.status_code == 422
    assert "Its mapping was changed since this page was shown" in page
    assert "<del>theirs</del> <ins>fan_failed</ins>" in page
    assert OIDMapping.objects.get(oid_pattern="1.3.6.1.4.1.64999.0.1").alert_type == "theirs"
    failed = number_of(admin, address, "acmeFanFailed")
    again = form_of(admin, address, **{f"pick-{failed}": "1"})
    assert admin.post(address, again).status_code == 302
    assert OIDMapping.objects.get(oid_pattern="1.3.6.1.4.1.64999.0.1").alert_type == "fan_failed"


def test_a_button_pressed_twice_saves_once_and_is_no_conflict(admin):
    address = uploaded(admin, file(FANS))
    data = form_of(admin, address)

    for _ in range(2):
        answer = admin.post(address, data, follow=True)

    assert answer.status_code == 200
    assert "Saved 0 new and 0 changed mappings" in answer.content.decode()
    assert OIDMapping.objects.filter(origin="imported").count() == 4


def test_after_going_back_the_page_shows_what_was_saved(admin):
    address = uploaded(admin, file(FANS))
    failed = number_of(admin, address, "acmeFanFailed")
    admin.post(address, form_of(admin, address, **{f"alert_type-{failed}": "fan_stopped"}))

    page = admin.get(address).content.decode()

    assert 'value="fan_stopped"' in page
    assert "4 as imported before" in page


def test_what_a_person_writes_holds_for_the_conditions_of_an_event_file_too(admin):
    """They carry the type and severity of their event; left as they were, the review would change nothing."""
    address = uploaded(admin, file(SNMPTT, "snmptt.conf"))
    door = number_of(admin, address, "acmeDoor")

    admin.post(address, form_of(admin, address, **{f"alert_type-{door}": "gate_open", f"severity-{door}": "critical"}))

    first, *others = OIDMapping.objects.get(mib_object="acmeDoor").conditions
    assert (first["alert_type"], first["severity"]) == ("gate_open", "critical")
    assert [(c["alert_type"], c["severity"]) for c in others] == [("door_closed", "info")]


def test_a_made_up_name_never_replaces_a_name_of_a_mib(admin):
    MibObject.objects.create(
        oid="1.3.6.1.4.1.64999.9.1", name="acmeDoorState", mib_name="ACME-MIB", kind="column", unit="doors"
    )

    address = uploaded(admin, file(OPENNMS, "acme.xml"))
    admin.post(address, form_of(admin, address))

    stored = MibObject.objects.get(oid="1.3.6.1.4.1.64999.9.1")
    assert (stored.name, stored.mib_name, stored.kind, stored.unit) == ("acmeDoorState", "ACME-MIB", "column", "doors")
    assert stored.enum == {"1": "on"}


def test_changed_conditions_are_shown_in_words_and_only_where_they_differ(admin):
    from connectors.mibs import proposals

    address = uploaded(admin, file(FANS))
    admin.post(address, form_of(admin, address))
    row = OIDMapping.objects.get(mib_object="acmeFanStateChange")
    kept, *others = row.conditions
    OIDMapping.objects.filter(pk=row.pk).update(
        conditions=[kept, {"oid": "acmeFanState", "op": "gt", "value": 7, "severity": "minor"}]
    )

    page = admin.get(uploaded(admin, file(FANS))).content.decode()

    assert "<del>acmeFanState above 7: minor</del>" in page
    for condition in others:
        assert proposals.condition_text(condition) in page
    differing = page[page.index("<del>acmeFanState above") :]
    assert proposals.condition_text(kept) not in differing[: differing.index("</ins>")]


def test_what_each_module_gave_is_listed(admin):
    page = admin.get(uploaded(admin, file(FANS), file(SNMPTT, "snmptt.conf"))).content.decode()

    assert "Modules and files that were read (2)" in page
    assert re.search(r"<b>ACME-MIB</b> \d traps?, 5 names", page)
    assert re.search(r"<b>snmptt.conf</b> \d traps, \d+ remarks", page)


def test_without_the_cache_it_is_said_and_no_error_page(admin, monkeypatch):
    import redis

    address = uploaded(admin, file(FANS))

    def away(*args, **kwargs):
        raise redis.ConnectionError("Connection refused")

    monkeypatch.setattr(kept.cache, "set", away)
    monkeypatch.setattr(kept.cache, "get", away)
    for answer in (admin.post("/mappings/import/", {"files": [file(FANS)]}), admin.get(address)):
        assert answer.status_code == 503
        assert "The cache does not answer" in answer.content.decode()


def test_more_problems_than_anybody_reads_are_cut(admin, monkeypatch):
    monkeypatch.setattr(views_import, "PROBLEMS_SHOWN", 3)
    files = [file("not a mib", f"{n}.txt") for n in range(9)]

    page = admin.get(uploaded(admin, *files)).content.decode()

    assert page.count("is neither a MIB") == 3
    assert "The first 3 are shown." in page


@pytest.mark.parametrize("token", ["a", "A" * 200, "0-0_0"])
def test_any_address_of_a_review_is_answered(admin, token):
    assert admin.get(f"/mappings/import/{token}/").status_code == 302
    assert admin.post(f"/mappings/import/{token}/", {"pick-0": "1"}).status_code == 302


@pytest.mark.parametrize("name", ["../../etc/passwd", "a" * 300, "näme\u202e.txt", "x\ny.txt"])
def test_any_name_of_a_file_is_answered(admin, name):
    assert admin.get(uploaded(admin, file("nothing", name))).status_code == 200


def test_too_many_files_are_told_on_a_page_of_ours(admin):
    answer = admin.post("/mappings/import/", {"files": [file(b"x", f"{n}.txt") for n in range(251)]})

    assert answer.status_code == 400
    assert "as one zip archive" in answer.content.decode()
