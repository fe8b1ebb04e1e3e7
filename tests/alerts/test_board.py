"""The board as a page: what it shows, how it is narrowed, paged and acted on without JavaScript."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
from django.contrib.auth.models import Group
from django.utils import timezone
from django.utils.html import escape

from alerts import viewcounts
from alerts.choices import Category, Severity, Status
from alerts.models import Alert, AlertHistory
from tests.access import person, signed_in
from tests.factories import AlertFactory, AlertHistoryFactory, ConnectorFactory, DeviceFactory, UserFactory

pytestmark = pytest.mark.django_db

HTMX = {"HX-Request": "true"}


@pytest.fixture
def viewer(client):
    client.force_login(person("viewer"))
    return client


@pytest.fixture
def operator(client):
    client.force_login(person("operator"))
    return client


def titles(response) -> list[str]:
    return re.findall(r'<a class="what"[^>]*>(.*?)</a>', response.content.decode())


def counted(response, key: str) -> int:
    found = re.search(rf'data-count="{key}">(\d+)<', response.content.decode())
    assert found, f"no counter {key}"
    return int(found[1])


def test_the_board_asks_to_sign_in_first(client):
    response = client.get("/alerts/?severity=major")

    assert response.status_code == 302
    assert response["Location"] == "/accounts/login/?next=/alerts/%3Fseverity%3Dmajor"


def test_an_account_without_a_role_reads_why_it_sees_nothing(client):
    client.force_login(UserFactory())

    response = client.get("/alerts/")

    assert response.status_code == 403
    page = response.content.decode()
    assert "Ask an administrator for the viewer or operator role" in page
    assert "Go to the alerts" not in page
    assert page.count("Sign out") == 2


def test_the_second_line_of_a_row_does_not_repeat_the_title(viewer):
    AlertFactory(title="Trap 1.3.6.1.4.1.9.9", message="", component="1.3.6.1.4.1.9.9")
    AlertFactory(title="Port 12 down", message="", component="1")
    AlertFactory(title="Link down", message="link down", component="eth0")

    page = viewer.get("/alerts/").content.decode()

    assert re.findall(r'<span class="sub">(.*?)</span>', page) == ["1"]


def test_the_board_shows_active_and_acknowledged_newest_first(viewer):
    now = timezone.now()
    for minutes, status in enumerate(Status):
        AlertFactory(title=status.value, status=status, occurred_at=now - timedelta(minutes=minutes))

    assert titles(viewer.get("/alerts/")) == ["active", "acknowledged"]
    assert titles(viewer.get("/alerts/?status=resolved,expired")) == ["resolved", "expired"]


def test_a_row_says_how_bad_what_where_since_when_how_often_and_who(viewer):
    device = DeviceFactory(name="core-1", ip="10.0.0.2", site="HQ")
    AlertFactory(
        title="Fan 2 failed",
        message="fan state critical",
        severity=Severity.CRITICAL,
        device=device,
        device_ip="10.0.0.2",
        connector=ConnectorFactory(name="SNMP traps"),
        occurrence_count=31,
        occurred_at=timezone.now() - timedelta(minutes=72),
        status=Status.ACKNOWLEDGED,
        acknowledged_by=UserFactory(username="a.keller"),
    )

    page = viewer.get("/alerts/").content.decode()

    row = page[page.index("<tr id=") : page.index("</tbody>")]
    for word in ("critical", "Fan 2 failed", "fan state critical", "core-1", "10.0.0.2", "HQ", "31", "1 h 12"):
        assert word in row
    assert "acknowledged" in row
    assert "a.keller" in row
    assert re.search(r'<time datetime="[^"]+\+00:00" title="[\d-]+ [\d:]+ UTC" data-age>', row)


def test_what_arrived_from_the_network_is_text_and_never_markup(viewer):
    nasty = '<img src=x onerror="alert(1)">'
    AlertFactory(title=nasty, message=nasty, device_name=nasty, component=nasty)

    page = viewer.get("/alerts/").content.decode()

    assert nasty not in page
    assert escape(nasty) in page


def test_counters_count_all_that_is_open_whatever_the_filter(viewer):
    AlertFactory.create_batch(2, severity=Severity.CRITICAL)
    AlertFactory(severity=Severity.MINOR, status=Status.ACKNOWLEDGED)
    AlertFactory(severity=Severity.MINOR, status=Status.SUPPRESSED)
    AlertFactory(severity=Severity.MINOR, status=Status.RESOLVED)

    page = viewer.get("/alerts/?severity=minor")

    assert counted(page, "severity:critical") == 2
    assert counted(page, "severity:minor") == 1
    assert counted(page, "status:shown") == 3
    assert counted(page, "status:active") == 2
    assert counted(page, "status:acknowledged") == 1
    assert counted(page, "status:suppressed") == 1


@pytest.mark.parametrize(
    "query",
    [
        "status=active",
        "severity=critical,info",
        "severity=critical&severity=info",
        "category=power",
        "priority=P1",
        "source_system=api",
        "connector=api",
        "device_ip=10.9.0.0/16",
        "device_name=north",
        "site=North+ring",
        "tag=backbone",
        "assignee=me",
        "search=battery",
        "from=2030-01-01",
        "ordering=-severity&priority=P1",
    ],
)
def test_every_filter_of_the_url_narrows_the_board(client, query):
    user = person("viewer")
    client.force_login(user)
    AlertFactory(title="other", status=Status.ACKNOWLEDGED)
    AlertFactory(
        title="battery low",
        severity=Severity.CRITICAL,
        category=Category.POWER,
        priority=1,
        source_system="api",
        connector=ConnectorFactory(slug="api", name="API", type="api"),
        device_ip="10.9.3.4",
        device_name="north-ups",
        device=DeviceFactory(site="North ring", name="north-ups"),
        tags=["backbone"],
        assigned_to=user,
        occurred_at="2030-01-02T00:00:00Z",
    )

    assert titles(client.get(f"/alerts/?{query}")) == ["battery low"]


def test_a_wrong_filter_value_is_named_with_those_there_are(viewer):
    AlertFactory(title="hidden")

    response = viewer.get("/alerts/?severity=catastrophic")

    assert response.status_code == 200
    assert "“catastrophic” is not a known severity. Allowed: critical, major" in response.content.decode()
    assert titles(response) == []


def test_a_filter_in_force_can_be_taken_away_alone(viewer):
    page = viewer.get("/alerts/?severity=major&category=power&search=fan").content.decode()

    assert 'href="/alerts/?severity=major&amp;search=fan"' in page


def test_a_counter_adds_its_severity_and_takes_it_away_again(viewer):
    page = viewer.get("/alerts/?severity=major").content.decode()

    assert 'class="count critical" href="/alerts/?severity=major,critical"' in page
    assert 'class="count major" href="/alerts/" aria-current="true"' in page


def test_nothing_open_is_said_with_when_the_last_alert_came(viewer):
    AlertFactory(status=Status.RESOLVED, occurred_at=timezone.now() - timedelta(minutes=14, seconds=5))

    assert "Nothing open. Last alert 14 min ago." in viewer.get("/alerts/").content.decode()


def test_before_the_first_alert_the_board_says_so(viewer):
    assert "Nothing open. No alert has arrived yet." in viewer.get("/alerts/").content.decode()


def test_filters_that_match_nothing_do_not_claim_that_all_is_well(viewer):
    AlertFactory()

    page = viewer.get("/alerts/?search=unicorn").content.decode()

    assert "No alert matches these filters." in page
    assert "Nothing open" not in page


@pytest.mark.parametrize("ordering", ["-occurred_at", "occurred_at", "-severity", "device_name", "-priority"])
def test_pages_follow_each_other_without_gap_or_repeat_and_lead_back(viewer, ordering):
    now = timezone.now()
    for number in range(120):
        AlertFactory(
            title=f"n{number}",
            occurred_at=now - timedelta(minutes=number // 3),
            severity=number % 5 + 1,
            priority=number % 3 + 1,
            device_name=f"d{number % 7}",
        )
    expected = [
        alert.title
        for alert in Alert.objects.order_by(
            *{
                "-occurred_at": ["-occurred_at", "-id"],
                "occurred_at": ["occurred_at", "id"],
                "-severity": ["-severity", "-occurred_at", "-id"],
                "device_name": ["device_name", "-occurred_at", "-id"],
                "-priority": ["-priority", "-occurred_at", "-id"],
            }[ordering]
        )
    ]

    def link(response, rel: str) -> str | None:
        found = re.search(rf'rel="{rel}" href="([^"]+)"', response.content.decode())
        return found[1].replace("&amp;", "&") if found else None

    first = viewer.get(f"/alerts/?ordering={ordering}")
    second = viewer.get(link(first, "next"))
    third = viewer.get(link(second, "next"))

    assert titles(first) + titles(second) + titles(third) == expected
    assert link(first, "prev") is None
    assert link(third, "next") is None
    assert titles(viewer.get(link(third, "prev"))) == titles(second)
    assert titles(viewer.get(link(second, "prev"))) == titles(first)


def test_a_damaged_page_link_is_a_sentence_and_no_error(viewer):
    page = viewer.get("/alerts/?cursor=abc").content.decode()

    assert "This link to a page is damaged" in page


def test_the_page_carries_the_sequence_read_before_its_rows(viewer):
    history = AlertHistoryFactory()

    assert f'data-seq="{history.pk}"' in viewer.get("/alerts/").content.decode()


def test_the_number_of_queries_does_not_grow_with_the_rows(viewer, django_assert_num_queries, monkeypatch):
    monkeypatch.setattr(viewcounts, "CHEAP_SECONDS", 3600.0)  # each page counts its views

    def fill(number: int) -> None:
        for _ in range(number):
            AlertFactory(
                device=DeviceFactory(site="HQ"),
                connector=ConnectorFactory(),
                status=Status.ACKNOWLEDGED,
                acknowledged_by=UserFactory(),
            )

    fill(1)
    viewer.get("/alerts/")
    # session, user, two for permissions; sequence, settings, views, their numbers, positions, rows, what they explain,
    # connectors of the filter form, counters
    with django_assert_num_queries(13):
        viewer.get("/alerts/")
    fill(30)
    with django_assert_num_queries(13):
        viewer.get("/alerts/")


def test_a_page_loads_neither_raw_data_nor_long_messages(viewer):
    AlertFactory(message="x" * 5000, raw_data={"secret": "blob"})

    page = viewer.get("/alerts/").content.decode()

    assert "x" * 201 not in page
    assert "blob" not in page


def test_a_viewer_has_no_buttons_and_an_operator_has(client):
    AlertFactory()

    assert "data-act=" not in signed_in(person("viewer")).get("/alerts/").content.decode()
    assert 'data-act="acknowledge"' in signed_in(person("operator")).get("/alerts/").content.decode()


def test_a_form_without_javascript_acts_and_leads_back_with_a_message(operator):
    alert = AlertFactory(title="Fan failed")

    response = operator.post(f"/alerts/{alert.pk}/acknowledge/", {"next": "/alerts/?severity=major"}, follow=True)

    assert response.redirect_chain == [("/alerts/?severity=major", 302)]
    assert "Acknowledged: Fan failed" in response.content.decode()
    alert.refresh_from_db()
    assert alert.status == Status.ACKNOWLEDGED
    assert AlertHistory.objects.get(alert=alert).user.username == "operator"


def test_a_form_never_leads_to_another_site(operator):
    alert = AlertFactory()

    response = operator.post(f"/alerts/{alert.pk}/resolve/", {"next": "https://evil.example/"})

    assert response["Location"] == f"/alerts/{alert.pk}/"


def test_an_htmx_action_answers_with_the_row_and_the_counters(operator):
    alert = AlertFactory(severity=Severity.MAJOR)
    AlertFactory(severity=Severity.MAJOR)

    response = operator.post(f"/alerts/{alert.pk}/resolve/", headers={**HTMX, "HX-Target": f"alert-{alert.pk}"})

    answer = response.content.decode()
    assert answer.startswith(f'<tr id="alert-{alert.pk}" class="major resolved ended"')
    assert 'id="counts"' in answer
    assert answer.count('hx-swap-oob="true"') == 2
    assert counted(response, "severity:major") == 1


def test_a_viewer_who_acts_is_refused_with_a_sentence(viewer):
    alert = AlertFactory()

    response = viewer.post(f"/alerts/{alert.pk}/resolve/")

    assert response.status_code == 403
    assert "Ask for the operator role" in response.content.decode()
    alert.refresh_from_db()
    assert alert.status == Status.ACTIVE


def test_an_impossible_action_says_why_and_answers_409(operator):
    alert = AlertFactory(status=Status.RESOLVED)

    plain = operator.post(f"/alerts/{alert.pk}/acknowledge/")
    by_htmx = operator.post(f"/alerts/{alert.pk}/acknowledge/", headers={**HTMX, "HX-Target": f"alert-{alert.pk}"})

    assert plain.status_code == by_htmx.status_code == 409
    assert "This alert has ended" in plain.content.decode()
    assert "This alert has ended" in by_htmx.content.decode()
    assert by_htmx["HX-Retarget"] == "#notices"


def test_an_action_by_htmx_after_signing_out_leads_to_the_sign_in_page(client):
    alert = AlertFactory()

    response = client.post(
        f"/alerts/{alert.pk}/resolve/", headers={**HTMX, "HX-Current-URL": "http://testserver/alerts/?site=HQ"}
    )

    assert response.status_code == 204
    assert response["HX-Redirect"] == "/accounts/login/?next=%2Falerts%2F%3Fsite%3DHQ"


def test_an_action_needs_the_token_of_our_own_form():
    from django.test import Client

    client = Client(enforce_csrf_checks=True)
    client.force_login(person("operator"))

    response = client.post(f"/alerts/{AlertFactory().pk}/resolve/")

    assert response.status_code == 403
    assert "reload the page" in response.content.decode()


def test_actions_take_posts_only(operator):
    assert operator.get(f"/alerts/{AlertFactory().pk}/resolve/").status_code == 405


def test_pages_carry_no_inline_script_or_style(operator):
    alert = AlertFactory(raw_data={"varbinds": [{"oid": "1.3", "type": "Integer32", "value": 1}]})

    for url in ("/alerts/", f"/alerts/{alert.pk}/", "/nowhere/"):
        page = operator.get(url).content.decode()
        assert "<style" not in page
        assert not re.search(r"<script(?![^>]* src=)", page)
        assert not re.search(r"\s(style|on\w+)=", page)


def test_navigation_shows_only_where_one_may_go():
    def places(role: str) -> list[str]:
        page = signed_in(person(role)).get("/alerts/").content.decode()
        nav = page[page.index('<nav aria-label="Main"') : page.index("</nav>")]
        return re.findall(r">([^<]+)</a>", nav)

    assert places("viewer") == ["Alerts", "Wall", "Dependencies", "Maintenance", "Reports", "Connectors", "System"]
    everything = ["Alerts", "Wall", "Dependencies", "Maintenance", "Reports", "Connectors", "Mappings"]
    everything += ["Unmapped", "Traps", "System", "Administration"]
    assert places("root") == everything
    assert Group.objects.filter(name="viewer").exists()
