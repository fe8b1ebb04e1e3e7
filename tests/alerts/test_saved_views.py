"""Saved views: whose they are, what they keep, and that their numbers are what SQL counts."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied, ValidationError
from django.db import connection
from django.utils import timezone
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from alerts import savedviews, viewcounts
from alerts.choices import Category, Severity, Status
from alerts.columns import COLUMNS, DEFAULT_COLUMNS, Row
from alerts.models import Alert, BoardPreferences, SavedView
from alerts.queries import BoardQuery
from alerts.rendering import render_cells, render_row
from alerts.savedviews import Given
from opsconductor import seeds
from tests.access import person, signed_in
from tests.factories import AlertFactory, ConnectorFactory, DeviceFactory

pytestmark = pytest.mark.django_db

NOW = timezone.now()


@pytest.fixture
def operator():
    return person("operator")


@pytest.fixture(autouse=True)
def numbers_on_each_page(monkeypatch):
    monkeypatch.setattr(viewcounts, "CHEAP_SECONDS", 3600.0)


def tab_names(response) -> list[str]:
    return re.findall(r'data-tab="\d+"[^>]*>([^<]*)<', response.content.decode())


def number(response, view: SavedView) -> str:
    found = re.search(rf'data-view="{view.pk}">([^<]*)<', response.content.decode())
    assert found
    return found[1]


def headings(response) -> list[str]:
    thead = re.search(r"<thead>.*?</thead>", response.content.decode(), re.DOTALL)
    assert thead
    return re.findall(r'<th scope="col" class="(\w+)"', thead[0])


def view_of(owner: User, name: str = "North", query: str = "site=North", **fields) -> SavedView:
    return savedviews.save(None, Given(name=name, query=query, **fields), by=owner)


def test_a_fresh_installation_has_views_and_a_removed_one_stays_away():
    assert list(SavedView.objects.filter(owner=None).values_list("name", flat=True)) == [
        "Critical and major", "Mine", "Unassigned", "Quiet",
    ]  # fmt: skip
    SavedView.objects.get(name="Quiet").delete()

    seeds.seed()

    assert not SavedView.objects.filter(name="Quiet").exists()
    assert SavedView.objects.filter(owner=None).count() == 3


def test_private_views_are_seen_by_their_owner_alone_and_shared_ones_by_everybody(operator):
    view_of(operator, "My own")
    view_of(operator, "Ours", shared=True)

    mine, others = (signed_in(u).get("/alerts/") for u in (operator, person("viewer")))

    assert {"My own", "Ours"} <= set(tab_names(mine))
    assert "Ours" in tab_names(others)
    assert "My own" not in tab_names(others)


def test_only_owner_or_administrator_changes_a_shared_view(operator):
    view = view_of(operator, shared=True)
    other = person("operator", username="other")

    with pytest.raises(PermissionDenied, match="belongs to operator"):
        savedviews.save(view, Given(name="Taken"), by=other)
    with pytest.raises(PermissionDenied):
        savedviews.delete(view, by=other)
    savedviews.save(view, Given(name="Put right"), by=person("admin"))

    view.refresh_from_db()
    assert view.name == "Put right"
    assert view.owner == operator


def test_a_viewer_keeps_views_but_does_not_put_them_on_the_boards_of_others():
    viewer = person("viewer")

    view = view_of(viewer)
    with pytest.raises(PermissionDenied, match="Ask for the operator role"):
        savedviews.save(view, Given(shared=True), by=viewer)

    assert not SavedView.objects.get(pk=view.pk).shared


@pytest.mark.parametrize(
    ("fields", "field", "says"),
    [
        ({"query": "severity=catastrophic"}, "query", "catastrophic"),
        ({"query": "ordering=colour"}, "ordering", "colour"),
        ({"query": "group=moon"}, "grouping", "moon"),
        ({"query": "", "columns": ["severity", "colour"]}, "columns", "colour"),
        ({"query": "", "name": "   "}, "name", "Give the view a name"),
        ({"query": "", "name": "x" * 61}, "name", "60"),
    ],
)
def test_what_the_board_could_not_show_is_not_saved(operator, fields, field, says):
    with pytest.raises(ValidationError) as refused:
        savedviews.save(None, Given(**{"name": "New", **fields}), by=operator)

    assert says in refused.value.message_dict[field][0]
    assert not SavedView.objects.filter(owner=operator).exists()


def test_a_view_keeps_filters_order_and_grouping_and_leads_back_to_them(operator):
    view = view_of(operator, query="/alerts/?severity=major,critical&ordering=-severity&group=site&cursor=x&open=North")

    assert (view.query, view.ordering, view.grouping) == ("severity=major,critical", "-severity", "site")
    response = signed_in(operator).get(f"/alerts/?view={view.pk}")
    assert response.status_code == 302
    assert response["Location"] == f"/alerts/?severity=major,critical&ordering=-severity&group=site&view={view.pk}"


def test_taking_the_filter_of_a_view_away_does_not_bring_it_back(operator):
    view = view_of(operator, query="severity=critical")
    query = BoardQuery.parse(f"severity=critical&view={view.pk}")

    response = signed_in(operator).get(query.url(severity=None))

    assert response.status_code == 200
    assert "changed since it was saved" in response.content.decode()


def test_the_start_page_is_a_view_and_the_plain_board_stays_in_reach(operator):
    view = view_of(operator, query="severity=critical")
    AlertFactory(title="minor one", severity=Severity.MINOR)
    browser = signed_in(operator)
    savedviews.start_with(view, by=operator)

    response = browser.get("/", follow=True)

    assert response.redirect_chain[-1][0] == f"/alerts/?severity=critical&view={view.pk}"
    plain = re.search(r'<a class="tab" href="([^"]+)"', response.content.decode())
    assert plain
    assert "minor one" in browser.get(plain[1]).content.decode()
    savedviews.delete(view, by=operator)
    assert browser.get("/alerts/").status_code == 200


def test_a_view_whose_filter_is_no_longer_valid_says_so_instead_of_failing(operator):
    connector = ConnectorFactory(slug="old", name="Old")
    view = view_of(operator, query="connector=old")
    connector.delete()
    browser = signed_in(operator)

    board = browser.get("/alerts/")
    assert board.status_code == 200
    assert number(board, view) == "!"
    opened = browser.get(f"/alerts/?view={view.pk}", follow=True).content.decode()
    assert "“old” is not a known connector" in opened
    listed = browser.get("/alerts/views/").content.decode()
    assert "“old” is not a known connector" in listed


def test_views_are_saved_updated_renamed_moved_and_deleted_with_plain_forms(operator):
    browser = signed_in(operator)
    made = browser.post("/alerts/views/", {"name": " Power  south ", "board": "category=power", "start": "on"})
    view = SavedView.objects.get(owner=operator)
    assert made["Location"] == f"/alerts/?category=power&view={view.pk}"
    assert view.name == "Power south"
    assert BoardPreferences.objects.get(user=operator).start_view == view

    at = f"/alerts/views/{view.pk}/"
    browser.post(at, {"do": "update", "board": f"category=power&severity=major&group=device&view={view.pk}"})
    browser.post(at, {"do": "rename", "name": "Power"})
    browser.post(at, {"do": "share"})
    before = list(savedviews.visible_to(operator).values_list("pk", flat=True))
    browser.post(at, {"do": "earlier"})
    view.refresh_from_db()
    assert (view.name, view.shared) == ("Power", True)
    assert (view.query, view.grouping) == ("severity=major&category=power", "device")
    after = list(savedviews.visible_to(operator).values_list("pk", flat=True))
    assert after.index(view.pk) == before.index(view.pk) - 1
    browser.post(at, {"do": "later"})
    assert list(savedviews.visible_to(operator).values_list("pk", flat=True)) == before
    browser.post(at, {"do": "delete"})
    assert not SavedView.objects.filter(pk=view.pk).exists()


def test_a_refused_form_answers_with_the_sentence_and_what_was_typed(operator):
    view_of(operator, "North")
    answer = signed_in(operator).post("/alerts/views/", {"name": "north", "board": "severity=major"})

    assert answer.status_code == 400
    page = answer.content.decode()
    assert "There is a view “north” already" in page
    assert 'value="north"' in page


def test_somebody_elses_private_view_does_not_exist(operator):
    view = view_of(person("operator", username="other"))

    assert signed_in(operator).post(f"/alerts/views/{view.pk}/", {"do": "delete"}).status_code == 404
    assert SavedView.objects.filter(pk=view.pk).exists()


def test_when_an_account_is_deleted_its_shared_views_stay(operator):
    view_of(operator, "Mine alone")
    shared = view_of(operator, "Ours", shared=True)
    operator.delete()

    shared.refresh_from_db()
    assert shared.owner is None
    assert not SavedView.objects.filter(name="Mine alone").exists()


def test_columns_are_chosen_per_person_and_per_view(operator):
    AlertFactory(alert_type="fan_failed", tags=["backbone"])
    browser = signed_in(operator)
    order = ["title", "type", "severity", "tags", *(c.key for c in COLUMNS)]
    order = list(dict.fromkeys(order))

    browser.post("/alerts/settings/", {"order": order, "columns": ["type", "tags"], "density": "compact"})
    page = browser.get("/alerts/")
    assert headings(page) == ["title", "type", "severity", "tags", "act"]
    assert 'data-density="compact"' in page.content.decode()
    assert '<span class="chip">backbone</span>' in page.content.decode()

    view = view_of(operator, query="", columns=["severity", "title", "site"])
    assert headings(browser.get(f"/alerts/?view={view.pk}", follow=True)) == ["severity", "title", "site", "act"]
    assert headings(browser.get("/alerts/?columns=severity,title,last")) == ["severity", "title", "last", "act"]
    assert headings(signed_in(person("viewer")).get("/alerts/")) == list(DEFAULT_COLUMNS)

    browser.post("/alerts/settings/", {"order": order, "columns": ["type"], "reset": "1"})
    assert headings(browser.get("/alerts/")) == [*DEFAULT_COLUMNS, "act"]


def test_without_javascript_a_column_moves_and_nothing_is_saved_yet(operator):
    order = [c.key for c in COLUMNS]
    page = signed_in(operator).post("/alerts/settings/", {"order": order, "columns": order, "move": "earlier:device"})

    assert re.findall(r'data-column="(\w+)"', page.content.decode())[:3] == ["severity", "device", "title"]
    assert not BoardPreferences.objects.exists()


def test_the_usual_order_of_a_person_is_where_the_plain_address_leads(operator):
    browser = signed_in(operator)
    browser.post("/alerts/settings/", {"ordering": "-severity", "order": list(DEFAULT_COLUMNS),
                                       "columns": list(DEFAULT_COLUMNS)})  # fmt: skip

    assert browser.get("/alerts/")["Location"] == "/alerts/?ordering=-severity&view=none"


def test_a_row_in_other_columns_is_made_of_the_same_cells():
    row = Row.of(AlertFactory(title="<b>fan</b>"))
    cells = render_cells(row, [c.key for c in COLUMNS])

    for columns in (DEFAULT_COLUMNS, ("title", "severity", "last"), ("severity", "title")):
        assert cells.html(columns, can_act=True) == render_row(row, can_act=True, columns=columns)
    assert "<b>fan" not in cells.html(can_act=True)
    assert "data-act" not in cells.html(can_act=False)


def test_sound_is_off_until_somebody_switches_it_on(operator):
    browser = signed_in(operator)
    assert 'data-on="no"' in browser.get("/alerts/").content.decode()

    browser.post("/alerts/sound/", {"sound_on": "on", "sounds": ["critical", "shrill"], "volume": "250"})

    preferences = BoardPreferences.objects.get(user=operator)
    assert (preferences.sound_on, preferences.sounds, preferences.volume) == (True, ["critical"], 100)
    page = browser.get("/alerts/").content.decode()
    assert 'data-on="yes" data-sounds="critical"' in page
    browser.post("/alerts/sound/mute/", {})
    assert not BoardPreferences.objects.get(user=operator).sound_on


# --- numbers ---

WORDS = {
    "severity": ["critical", "major", "critical,minor"],
    "status": ["active", "suppressed", "active,suppressed", "resolved"],
    "category": ["power", "network,power"],
    "site": ["North"],
    "device_name": ["switch", "core"],
    "tag": ["backbone"],
    "assignee": ["me", "none", "me,none"],
    "search": ["fan", "link down"],
    "device_ip": ["10.1.0.0/16", "10.2.0.1"],
}
QUERIES = st.fixed_dictionaries({}, optional={name: st.sampled_from(words) for name, words in WORDS.items()})
ALERTS = st.lists(
    st.fixed_dictionaries(
        {
            "severity": st.sampled_from(list(Severity)),
            "status": st.sampled_from(list(Status)),
            "category": st.sampled_from([Category.POWER, Category.NETWORK]),
            "device": st.sampled_from([None, "North", "South"]),
            "device_name": st.sampled_from(["switch-1", "core-1"]),
            "device_ip": st.sampled_from(["10.1.0.1", "10.2.0.1", None]),
            "tags": st.sampled_from([[], ["backbone"]]),
            "assigned": st.booleans(),
            "title": st.sampled_from(["Fan failed", "Link down", "50 % load"]),
        }
    ),
    max_size=12,
)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(alerts=ALERTS, queries=st.lists(QUERIES, min_size=1, max_size=5))
def test_the_numbers_of_views_are_what_sql_counts(operator, alerts, queries):
    Alert.objects.all().delete()
    sites = {site: DeviceFactory(site=site) for site in ("North", "South")}
    for fields in alerts:
        device, assigned = fields["device"], fields["assigned"]
        rest = {k: v for k, v in fields.items() if k not in ("device", "assigned")}
        AlertFactory(**rest, device=sites.get(device), assigned_to=operator if assigned else None,
                     occurred_at=NOW - timedelta(minutes=1))  # fmt: skip
    boards = {n: BoardQuery(dict(query)) for n, query in enumerate(queries)}
    asked, keys = viewcounts.of_views(boards, operator)

    counted = viewcounts.count(asked)

    for n, query in enumerate(queries):
        assert counted[keys[n]] == _by_hand(query, operator)


def _by_hand(query: dict[str, str], user: User) -> int:
    """The same question, written as SQL without the filters."""
    where = ["a.condition = 'raised'"]
    params: list[Any] = []
    status = query.get("status", "active,acknowledged").split(",")
    where.append("a.status = ANY(%s)")
    params.append(status)
    if "severity" in query:
        where.append("a.severity = ANY(%s)")
        params.append([int(Severity.of(word)) for word in query["severity"].split(",")])
    if "category" in query:
        where.append("a.category = ANY(%s)")
        params.append(query["category"].split(","))
    if "site" in query:
        where.append("d.site = %s")
        params.append(query["site"])
    if "device_name" in query:
        where.append("position(%s in a.device_name) > 0")
        params.append(query["device_name"])
    if "tag" in query:
        where.append("%s = ANY(a.tags)")
        params.append(query["tag"])
    if "assignee" in query:
        mine = {"me": "a.assigned_to_id = %s", "none": "a.assigned_to_id IS NULL"}
        where.append(f"({' OR '.join(mine[word] for word in query['assignee'].split(','))})")
        params.extend([user.pk] * ("me" in query["assignee"].split(",")))
    for word in query.get("search", "").split():
        where.append("strpos(lower(a.title || ' ' || a.device_name || ' ' || a.alert_type), %s) > 0")
        params.append(word)
    if "device_ip" in query:
        where.append("a.device_ip <<= %s::inet")
        params.append(query["device_ip"])
    with connection.cursor() as cur:
        cur.execute(
            "SELECT count(*) FROM alerts_alert a LEFT JOIN dependencies_device d ON d.id = a.device_id"
            f" WHERE {' AND '.join(where)}",
            params,
        )
        return cur.fetchone()[0]


def test_all_views_of_all_readers_are_counted_in_one_pass(operator, django_assert_num_queries):
    readers = {user.pk: user for user in (operator, person("viewer"), person("admin"))}
    for n in range(5):
        view_of(operator, f"v{n}", "severity=major", shared=n % 2 == 0)
    AlertFactory(severity=Severity.MAJOR, assigned_to=operator)

    with django_assert_num_queries(2):  # the views, and all their numbers
        numbers = viewcounts.for_readers(readers)

    mine = SavedView.objects.get(name="Mine")
    assert [numbers[pk][mine.pk] for pk in readers] == [1, 0, 0]
    assert sum(len(of_one) for of_one in numbers.values()) == 3 * 4 + 3 * 3 + 2
