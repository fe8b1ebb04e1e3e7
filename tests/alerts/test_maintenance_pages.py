"""/maintenance/ as people with each role meet it, without JavaScript and with htmx."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from django.contrib.admin.models import LogEntry
from django.utils import timezone

from alerts.choices import Category, Severity, Status, SuppressionKind
from alerts.models import MaintenanceWindow, Suppression
from dependencies.models import Dependency
from tests.access import person, signed_in
from tests.factories import AlertFactory, ConnectorFactory, DeviceFactory

pytestmark = pytest.mark.django_db

PAGES = "/maintenance/"
NEW = "/maintenance/new/"


@pytest.fixture
def operator():
    return signed_in(person("operator"))


@pytest.fixture
def viewer():
    return signed_in(person("viewer"))


def window(**changes) -> MaintenanceWindow:
    now = timezone.now()
    fields = {
        "name": "Core switch firmware",
        "matchers": {"sites": ["Hamburg"]},
        "starts_at": now - timedelta(hours=1),
        "ends_at": now + timedelta(hours=1),
    }
    return MaintenanceWindow.objects.create(**(fields | changes))


def sent(**changes):
    """The form as a browser sends it."""
    fields = {
        "kind": "maintenance",
        "name": "Core switch firmware",
        "sites_add": "Hamburg",
        "starts": "2027-03-01T22:00",
        "lasts": "",
        "ends": "2027-03-02T02:00",
        "time_zone": "Europe/Berlin",
        "repeat": "once",
        "enabled": "on",
        "action": "save",
    }
    return {name: value for name, value in (fields | changes).items() if value is not None}


def text(response) -> str:
    return response.content.decode()


# --- who may ---


def test_a_viewer_reads_and_changes_nothing(viewer):
    row = window()
    page = text(viewer.get(PAGES))
    assert "Core switch firmware" in page
    assert "End now" not in page
    assert "Plan maintenance" not in page
    detail = text(viewer.get(f"{PAGES}{row.pk}/"))
    assert "Extend" not in detail
    assert "Delete" not in detail
    for path in ("end/", "extend/", "delete/", "edit/"):
        assert viewer.post(f"{PAGES}{row.pk}/{path}", {"minutes": 30}).status_code == 403
    assert viewer.post(NEW, sent()).status_code == 403
    row.refresh_from_db()
    assert row.closed_at is None
    assert MaintenanceWindow.objects.count() == 1


def test_without_a_role_there_is_nothing_to_see():
    assert signed_in(person()).get(PAGES).status_code == 403


# --- lists ---


def test_windows_stand_under_running_coming_and_past(operator):
    now = timezone.now()
    window(name="Runs now")
    window(name="Comes", starts_at=now + timedelta(days=1), ends_at=now + timedelta(days=2))
    window(name="Is over", starts_at=now - timedelta(days=2), ends_at=now - timedelta(days=1))
    window(name="Switched off", enabled=False)
    window(
        name="Comes again",
        starts_at=now - timedelta(days=2, hours=3),
        ends_at=now - timedelta(days=2, hours=2),
        rrule="FREQ=DAILY",
    )
    window(name="Broken", rrule="FREQ=NEVER")
    page = text(operator.get(PAGES))
    running, coming, past = page.split('id="running"')[1], page.split('id="coming"')[1], page.split('id="past"')[1]
    assert "Runs now" in running.split('id="coming"')[0]
    assert "Comes" in coming.split('id="past"')[0]
    assert "Comes again" in coming.split('id="past"')[0]
    for name in ("Is over", "Switched off", "Broken"):
        assert name in past
    assert "Keeps nothing quiet: FREQ must be one of" in past


def test_silences_have_a_list_of_their_own(operator):
    window(name="Planned work")
    window(name="Hush", kind="silence")
    page = text(operator.get(PAGES, {"kind": "silence"}))
    assert "Hush" in page
    assert "Planned work" not in page


def test_past_windows_come_in_pages(operator):
    old = datetime(2026, 1, 1, tzinfo=UTC)
    for n in range(35):
        window(name=f"Past {n:02}.", starts_at=old + timedelta(days=n), ends_at=old + timedelta(days=n, hours=1))
    first = operator.get(PAGES)
    assert "Past 34." in text(first)
    assert "Past 04." not in text(first)
    second = text(operator.get(first.context["older"]))
    assert "Past 04." in second
    assert "Past 34." not in second
    assert operator.get(PAGES, {"cursor": "nonsense"}).status_code == 302


def test_the_list_takes_the_same_number_of_queries_however_many_windows(operator, django_assert_max_num_queries):
    for n in range(20):
        window(name=f"Window {n}", created_by=person(username=f"u{n}"))
    with django_assert_max_num_queries(9):
        operator.get(PAGES)


def test_what_it_keeps_quiet_is_counted_and_listed(operator):
    row = window()
    alert = AlertFactory(title="Port 7 down", status=Status.SUPPRESSED)
    Suppression.objects.create(alert=alert, kind=SuppressionKind.MAINTENANCE, window=row, started_at=timezone.now())
    assert '<td class="num" data-label="quiet">1</td>' in text(operator.get(PAGES))
    page = operator.get(f"{PAGES}{row.pk}/")
    assert [r.title for r in page.context["quiet_rows"]] == ["Port 7 down"]
    assert "keeps 1 alert quiet" in text(operator.get(f"{PAGES}{row.pk}/delete/"))


# --- the form ---


def test_a_window_is_planned_in_local_time(operator):
    answer = operator.post(NEW, sent(reason="CHG-17", devices_add="10.0.0.0/24, 10.1.0.1", categories=["network"]))
    row = MaintenanceWindow.objects.get()
    assert answer["Location"] == f"{PAGES}{row.pk}/"
    assert row.starts_at == datetime(2027, 3, 1, 21, tzinfo=UTC)
    assert row.ends_at == datetime(2027, 3, 2, 1, tzinfo=UTC)
    assert row.matchers == {"devices": ["10.0.0.0/24", "10.1.0.1"], "sites": ["Hamburg"], "categories": ["network"]}
    assert (row.reason, row.rrule, row.enabled, row.created_by.username) == ("CHG-17", "", True, "operator")
    assert LogEntry.objects.get().object_id == str(row.pk)


@pytest.mark.parametrize(
    ("changes", "rule"),
    [
        ({"repeat": "daily"}, "FREQ=DAILY"),
        ({"repeat": "daily", "repeat_until": "2027-04-01"}, "FREQ=DAILY;UNTIL=20270401"),
        ({"repeat": "weekly"}, "FREQ=WEEKLY;BYDAY=MO"),
        ({"repeat": "weekly", "weekdays": ["SU", "TU"]}, "FREQ=WEEKLY;BYDAY=TU,SU"),
        ({"repeat": "monthly"}, "FREQ=MONTHLY;BYMONTHDAY=1"),
        ({"repeat": "monthly_weekday"}, "FREQ=MONTHLY;BYDAY=1MO"),
        (
            {"repeat": "monthly_weekday", "starts": "2027-03-31T22:00", "ends": "2027-03-31T23:00"},
            "FREQ=MONTHLY;BYDAY=-1WE",
        ),
        ({"repeat": "rule", "rrule": "FREQ=YEARLY;COUNT=3"}, "FREQ=YEARLY;COUNT=3"),
    ],
)
def test_presets_become_rules_and_are_presets_again_when_edited(operator, changes, rule):
    operator.post(NEW, sent(**changes))
    row = MaintenanceWindow.objects.get()
    assert row.rrule == rule
    form = operator.get(f"{PAGES}{row.pk}/edit/").context["form"]
    assert form["repeat"].value() == changes["repeat"]
    assert (
        list(form["weekdays"].value()) == [d for d in ("TU", "SU") if d in changes.get("weekdays", [])] or "MO" in rule
    )
    assert f"{form['repeat_until'].value() or ''}" == changes.get("repeat_until", "")


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"name": ""}, "Say what is done"),
        ({"sites_add": ""}, "Say what it is about"),
        ({"devices_add": "10.0.0.300"}, "neither an address"),
        ({"below_add": "10.0.0.0/8"}, "is not an address"),
        ({"starts": "tomorrow"}, "is not a time"),
        ({"starts": "9999-01-01T00:00"}, "is not a time"),
        ({"ends": ""}, "Give the end"),
        ({"ends": "2027-03-01T21:00"}, "ends before it starts"),
        ({"lasts": "cleared"}, "Only a silence of single alerts"),
        ({"lasts": "7"}, "Select a valid choice"),
        ({"time_zone": "Europe/Atlantis"}, "is not a time zone"),
        ({"repeat": "rule"}, "Write the rule"),
        ({"repeat": "rule", "rrule": "FREQ=SECONDLY"}, "FREQ must be one of"),
        ({"repeat": "daily", "ends": "2027-03-02T22:30"}, "starts again"),
        ({"repeat": "daily", "repeat_until": "soon"}, "Enter a valid date"),
        ({"kind": "holiday"}, "Select a valid choice"),
    ],
)
def test_what_is_wrong_is_said_and_nothing_is_saved(operator, changes, sentence):
    answer = operator.post(NEW, sent(**changes))
    assert answer.status_code == 400
    assert sentence in text(answer)
    assert not MaintenanceWindow.objects.exists()


def test_everything_is_quiet_only_when_somebody_says_so(operator):
    operator.post(NEW, sent(sites_add="", everything="on"))
    assert MaintenanceWindow.objects.get().matchers == {}


def test_what_was_typed_becomes_something_to_untick(operator):
    page = text(operator.post(NEW, sent(action="preview", sites_add="Hamburg, Bremen", sites=["Kiel"])))
    for site in ("Kiel", "Hamburg", "Bremen"):
        assert f'name="sites" value="{site}" checked' in page
    assert not MaintenanceWindow.objects.exists()


def test_saving_without_a_change_keeps_seconds_and_the_second_of_two_equal_hours(operator):
    """02:30 on the night the clock goes back, the second time: the form shows 02:30 and cannot say which."""
    start, end = datetime(2027, 10, 31, 1, 30, 17, tzinfo=UTC), datetime(2027, 10, 31, 3, 0, 5, tzinfo=UTC)
    row = window(starts_at=start, ends_at=end, time_zone="Europe/Berlin")
    assert operator.get(f"{PAGES}{row.pk}/edit/").context["form"]["starts"].value() == "2027-10-31T02:30"
    answer = operator.post(
        f"{PAGES}{row.pk}/edit/", sent(starts="2027-10-31T02:30", ends="2027-10-31T04:00", name="Renamed")
    )
    assert answer.status_code == 302
    row.refresh_from_db()
    assert (row.starts_at, row.ends_at, row.name) == (start, end, "Renamed")


def test_new_times_open_a_window_again_that_was_ended(operator):
    row = window(closed_at=timezone.now() - timedelta(minutes=1))
    operator.post(f"{PAGES}{row.pk}/edit/", sent(name="Only the name", starts="", lasts="60"))
    row.refresh_from_db()
    assert row.closed_at is None


def test_a_copy_begins_now_and_lasts_as_long(operator):
    row = window(
        starts_at=datetime(2026, 1, 1, tzinfo=UTC), ends_at=datetime(2026, 1, 1, 3, tzinfo=UTC), time_zone="UTC"
    )
    form = operator.get(NEW, {"copy": row.pk}).context["form"]
    assert form["name"].value() == "Core switch firmware (copy)"
    start, end = (datetime.fromisoformat(form[name].value()).replace(tzinfo=UTC) for name in ("starts", "ends"))
    assert end - start == timedelta(hours=3)
    assert abs(start - timezone.now()) < timedelta(minutes=5)
    assert form["sites"].value() == ["Hamburg"]
    assert form.window is None


# --- preview ---


def preview(client, **changes):
    return client.post(f"{PAGES}preview/", sent(**changes), headers={"HX-Request": "true"})


def test_the_preview_counts_alerts_and_devices_and_names_the_next_times(operator):
    connector = ConnectorFactory()
    here = DeviceFactory(ip="10.0.0.1", name="core", site="Hamburg")
    DeviceFactory(ip="10.0.0.2", name="elsewhere", site="Bremen")
    for n in range(25):
        AlertFactory(device_ip="10.0.0.1", device=here, connector=connector, title=f"Port {n} down")
    AlertFactory(device_ip="10.0.0.1", severity=Severity.CRITICAL, title="Worst of them")
    AlertFactory(device_ip="10.0.0.1", category=Category.POWER)
    AlertFactory(device_ip="10.0.0.2")
    AlertFactory(device_ip="10.0.0.1", status=Status.RESOLVED)
    answer = preview(operator, categories=["network"], repeat="weekly")
    found = answer.context["preview"]
    assert (found.preview.alerts_count, found.preview.open_count, found.preview.devices_count) == (26, 28, 1)
    assert found.rows[0].title == "Worst of them"
    assert (len(found.rows), found.more_alerts) == (20, 6)
    assert [time.starts for time in found.times] == [
        "Mon 1 Mar 2027 22:00",
        "Mon 8 Mar 2027 22:00",
        "Mon 15 Mar 2027 22:00",
        "Mon 22 Mar 2027 22:00",
        "Mon 29 Mar 2027 22:00",
    ]
    assert "<b>26</b> of 28 open alerts" in text(answer)
    assert not MaintenanceWindow.objects.exists()


def test_the_preview_knows_what_stands_below_a_device(operator):
    Dependency.objects.create(device_ip="10.0.0.2", depends_on_ip="10.0.0.1")
    Dependency.objects.create(device_ip="10.0.0.3", depends_on_ip="10.0.0.2")
    for ip in ("10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.4", None):
        AlertFactory(device_ip=ip)
    found = preview(operator, sites_add="", below_add="10.0.0.2").context["preview"].preview
    assert {alert.device_ip for alert in found.alerts} == {"10.0.0.2", "10.0.0.3"}


def test_the_preview_of_a_form_without_a_name_or_with_a_fault(operator):
    assert preview(operator, name="").context["preview"].errors == []
    assert "neither an address" in text(preview(operator, devices_add="nonsense"))
    assert "every alert of every source" in text(preview(operator, sites_add="", everything="on"))
    assert "It is over already" in text(preview(operator, starts="2025-01-01T00:00", ends="2025-01-01T01:00"))
    assert "the clock is changed meanwhile" in text(
        preview(operator, starts="2027-03-27T22:00", ends="2027-03-28T06:00")
    )


@pytest.mark.parametrize(
    ("field", "typed", "expected"),
    [
        ("devices", "cor", "10.0.0.1"),
        ("below", "10.0", "10.0.0.1"),
        ("sites", "Bremen, ham", "Hamburg"),
        ("roles", "", "core switch"),
        ("connectors", "snmp", "snmp_trap"),
        ("tags", "back", "backbone"),
        ("alert_types", "cold", "cold_start"),
    ],
)
def test_values_are_suggested(viewer, field, typed, expected):
    DeviceFactory(ip="10.0.0.1", name="core", site="Hamburg", role="core switch")
    AlertFactory(tags=["backbone"])
    assert f'<option value="{expected}"' in text(viewer.get(f"{PAGES}suggest/{field}/", {f"{field}_add": typed}))


def test_nothing_is_suggested_for_what_is_no_matcher(viewer):
    assert text(viewer.get(f"{PAGES}suggest/password/")).strip() == ""


# --- actions ---


def test_extend_end_and_delete(operator):
    row = window()
    ends_at = row.ends_at
    assert operator.post(f"{PAGES}{row.pk}/extend/", {"minutes": 30, "next": PAGES})["Location"] == PAGES
    row.refresh_from_db()
    assert row.ends_at == ends_at + timedelta(minutes=30)

    until = (timezone.now() + timedelta(days=3)).replace(second=0, microsecond=0)
    operator.post(f"{PAGES}{row.pk}/extend/", {"until": f"{until:%Y-%m-%dT%H:%M}"})
    row.refresh_from_db()
    assert row.ends_at == until

    operator.post(f"{PAGES}{row.pk}/end/")
    row.refresh_from_db()
    assert timezone.now() - row.closed_at < timedelta(minutes=5)
    assert operator.post(f"{PAGES}{row.pk}/end/").status_code == 409

    assert operator.get(f"{PAGES}{row.pk}/delete/").status_code == 200
    assert MaintenanceWindow.objects.exists()
    operator.post(f"{PAGES}{row.pk}/delete/")
    assert not MaintenanceWindow.objects.exists()
    assert operator.post(f"{PAGES}{row.pk}/end/").status_code == 404


@pytest.mark.parametrize(
    "given", [{}, {"until": "soon"}, {"until": "2020-01-01T00:00"}, {"minutes": "-5"}, {"minutes": "x"}]
)
def test_an_extension_that_is_none_is_refused(operator, given):
    row = window()
    assert operator.post(f"{PAGES}{row.pk}/extend/", given).status_code == 409
    ends_at = row.ends_at
    row.refresh_from_db()
    assert row.ends_at == ends_at


def test_extending_a_recurring_window_leaves_its_other_occurrences_alone(operator):
    now = timezone.now().replace(microsecond=0)
    row = window(
        starts_at=now - timedelta(days=7, hours=1),
        ends_at=now - timedelta(days=7) + timedelta(minutes=10),
        rrule="FREQ=WEEKLY",
    )
    before = (row.starts_at, row.ends_at, row.rrule)
    operator.post(f"{PAGES}{row.pk}/extend/", {"minutes": 60})
    row.refresh_from_db()
    assert (row.starts_at, row.ends_at, row.rrule) == before
    more = MaintenanceWindow.objects.exclude(pk=row.pk).get()
    assert (more.rrule, more.matchers, more.ends_at) == ("", row.matchers, now + timedelta(minutes=70))


# --- quick silence ---


def silence(client, alert, span, **more):
    return client.post(f"/alerts/{alert.pk}/silence/", {"silence": span, **more})


@pytest.mark.parametrize(("span", "hours"), [("1h", 1), ("4h", 4)])
def test_an_alert_is_silenced_for_hours(operator, span, hours):
    alert = AlertFactory(title="Fan failed")
    assert silence(operator, alert, span, notes="known").status_code == 302
    row = MaintenanceWindow.objects.get()
    assert (row.kind, row.matchers) == ("silence", {"alerts": [str(alert.pk)]})
    assert row.ends_at - row.starts_at == timedelta(hours=hours)
    assert (row.name, row.reason) == ("Silence: Fan failed", "known")
    page = text(operator.get(f"/alerts/{alert.pk}/"))
    assert "Silenced until" in page
    assert "known" in page
    assert f"/maintenance/{row.pk}/" in page


def test_until_morning_is_morning_where_the_person_is(operator):
    alert = AlertFactory()
    silence(operator, alert, "morning", time_zone="Asia/Tokyo")
    row = MaintenanceWindow.objects.get()
    assert f"{row.ends_at.astimezone(UTC):%H:%M}" == "23:00"  # 08:00 in Tokyo
    assert timedelta() < row.ends_at - row.starts_at <= timedelta(days=1)


def test_until_it_clears_has_no_end(operator):
    silence(operator, AlertFactory(), "cleared")
    assert MaintenanceWindow.objects.get().ends_at is None


def test_htmx_gets_the_alert_and_what_was_done(operator):
    alert = AlertFactory()
    answer = operator.post(
        f"/alerts/{alert.pk}/silence/", {"silence": "1h"}, headers={"HX-Request": "true", "HX-Target": "alert"}
    )
    assert "Silenced for 1 hour." in text(answer)
    assert "<html" not in text(answer)


@pytest.mark.parametrize("span", ["", "forever", "1h; DROP"])
def test_a_span_nobody_knows_is_refused(operator, span):
    assert silence(operator, AlertFactory(), span).status_code == 409
    assert not MaintenanceWindow.objects.exists()


def test_what_has_ended_cannot_be_silenced_and_a_viewer_silences_nothing(operator, viewer):
    assert silence(operator, AlertFactory(status=Status.RESOLVED), "1h").status_code == 409
    alert = AlertFactory()
    assert silence(viewer, alert, "1h").status_code == 403
    assert "Until it clears" not in text(viewer.get(f"/alerts/{alert.pk}/"))
    assert not MaintenanceWindow.objects.exists()


def test_the_header_leads_there(operator):
    assert '<a href="/maintenance/"' in text(operator.get("/alerts/"))


# --- admin ---

ADMIN = "/admin/alerts/maintenancewindow/"
IN_ADMIN = {
    "kind": "maintenance",
    "name": "From the admin",
    "reason": "",
    "matchers": '{"sites": ["Hamburg"]}',
    "starts_at_0": "2027-03-01",
    "starts_at_1": "21:00:00",
    "ends_at_0": "2027-03-02",
    "ends_at_1": "01:00:00",
    "rrule": "FREQ=DAILY",
    "time_zone": "Europe/Berlin",
    "enabled": "on",
    "closed_at_0": "",
    "closed_at_1": "",
}


def test_the_admin_checks_like_everybody_else_and_says_who_planned():
    admin = signed_in(person("admin"))
    for field, value, sentence in (
        ("rrule", "FREQ=SECONDLY", "FREQ must be one of"),
        ("matchers", '{"sites": []}', "would match nothing"),
        ("time_zone", "Nowhere/At_all", "is not a time zone"),
        ("ends_at_0", "2027-03-01", "ends before it starts"),
    ):
        answer = admin.post(f"{ADMIN}add/", IN_ADMIN | {field: value})
        assert sentence in text(answer), field
    assert not MaintenanceWindow.objects.exists()
    admin.post(f"{ADMIN}add/", IN_ADMIN)
    row = MaintenanceWindow.objects.get()
    assert (row.name, row.created_by.username, row.matchers) == ("From the admin", "admin", {"sites": ["Hamburg"]})
    assert "every day" in text(admin.get(ADMIN))


def test_the_admin_deletes_one_and_many():
    admin = signed_in(person("admin"))
    first, second, third = window(), window(), window()
    admin.post(f"{ADMIN}{first.pk}/delete/", {"post": "yes"})
    assert not MaintenanceWindow.objects.filter(pk=first.pk).exists()
    chosen = {"action": "delete_selected", "_selected_action": [second.pk, third.pk], "post": "yes"}
    admin.post(ADMIN, chosen)
    assert not MaintenanceWindow.objects.exists()
