"""The search language: what is read, what is refused and with which words, and what it finds."""

from __future__ import annotations

import contextlib
import re
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest
from django.http import QueryDict
from hypothesis import example, given, settings
from hypothesis import strategies as st

from alerts.choices import Category, Condition, Severity, Status, SuppressionKind
from alerts.filters import AlertFilterSet
from alerts.models import Alert
from alerts.queries import BoardQuery
from alerts.search import COMPARED, FIELDS, MAX_CHARACTERS, ONE_VALUE, TEXT, SearchError, Term, nearest, parse, write
from tests.access import Program, assert_problem, person
from tests.factories import AlertFactory, ConnectorFactory, DeviceFactory, quiet

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)


def word(text: str, *, negated: bool = False) -> Term:
    return Term(TEXT, (text,), negated=negated)


# --- reading ---


@pytest.mark.parametrize(
    ("text", "terms"),
    [
        ("", ()),
        ("   ", ()),
        ("link down", (word("link"), word("down"))),
        ('"link down" -"no carrier"', (word("link down"), word("no carrier", negated=True))),
        (r'"say \"hi\" C:\\"', (word('say "hi" C:\\'),)),
        ("-flap", (word("flap", negated=True),)),
        ("- 5", (word("-"), word("5"))),
        ('19" rack', (word('19"'), word("rack"))),
        ("severity:critical,major", (Term("severity", ("critical", "major")),)),
        ("severity>=major", (Term("severity", ("major",), ">="),)),
        ("-category:video", (Term("category", ("video",), negated=True),)),
        ('site:"North ring",south', (Term("site", ("North ring", "south")),)),
        ("SITE:north", (Term("site", ("north",)),)),
        ("device_name:core alert_type:x", (Term("device", ("core",)), Term("type", ("x",)))),
        ("ip:2001:db8::/32", (Term("ip", ("2001:db8::/32",)),)),
        ("tag:a,,b,a", (Term("tag", ("a", "b")),)),
    ],
)
def test_a_search_is_read_as_terms(text, terms):
    assert parse(text) == terms


@pytest.mark.parametrize(
    "text",
    [
        "10.1.2.3",
        "2001:db8::7",
        "fe80::1",
        "dead:beef::1",
        "00:1a:2b:3c:4d:5e",
        "Error:",
        "http://nms/1",
        "a>b",
        "ifIndex=3",
        "12:30",
        "1.3.6.1.4.1.9",
        "100%",
        "a_b",
        "x,y",
        "c:\\",
    ],
)
def test_words_that_only_look_like_a_field_stay_words(text):
    assert parse(text) == (word(text),)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("sevrity:critical", ["“sevrity” is not a known field", "Did you mean severity?", "category", "quotes"]),
        ("site:", ["“site:” has no value"]),
        ("site: north", ["“site:” has no value", "without a blank"]),
        ('"link down', ["quote before “link down” is not closed"]),
        ('site:"a"b', ["closing quote of “a”"]),
        ('"a"b', ["closing quote of “a”"]),
        ('""', ["nothing between the quotes"]),
        ("site>=north", ["site cannot be compared", "severity"]),
        ("severity>major,minor", ["takes one value, not 2"]),
        ("from:2026-11-01,2026-11-02", ["takes one value"]),
        ("x " * 21, ["at most 20 terms"]),
        ("x" * 501, ["at most 500 characters"]),
    ],
)
def test_what_cannot_be_understood_is_said_in_a_sentence(text, said):
    with pytest.raises(SearchError) as refused:
        parse(text)

    for part in said:
        assert part in str(refused.value)


def test_the_nearest_word_is_one_with_the_same_beginning_or_few_other_letters():
    assert nearest("critcal", ["critical", "major"]) == "critical"
    assert nearest("cr", ["critical", "major"]) == "critical"
    assert nearest("m", ["major", "minor"]) == ""
    assert nearest("xyz", ["critical", "major"]) == ""


_TEXTS = st.text(st.characters(exclude_categories=["Cs"]) | st.sampled_from('": ,-\\*<>=abcseverity\n\t'), max_size=30)


@given(_TEXTS | st.text(max_size=600))
@example('severity:"')
@example("-")
@example('-"')
@example("\\")
@settings(max_examples=400, deadline=None)
def test_any_text_is_read_or_refused_with_a_sentence(text):
    try:
        terms = parse(text)
    except SearchError as error:
        terms, sentence = (), str(error)
    else:
        sentence = "It was read."
    assert re.fullmatch(r"(?s).{10,}[.…?]", sentence)
    with contextlib.suppress(TooLong):
        assert parse(written(terms)) == terms


class TooLong(Exception):
    """Quotes and backslashes can make a search longer than one may be."""


def written(terms: tuple[Term, ...]) -> str:
    text = write(terms)
    if len(text) > MAX_CHARACTERS:
        raise TooLong
    return text


_VALUES = st.text(st.characters(exclude_categories=["Cs"]) | st.sampled_from('": ,-\\*'), min_size=1, max_size=12)


@st.composite
def _terms(draw) -> Term:
    field = draw(st.sampled_from([TEXT, *FIELDS]))
    if field == TEXT:
        return Term(TEXT, (draw(_VALUES.filter(str.strip)),), negated=draw(st.booleans()))
    op = draw(st.sampled_from([":", "<", "<=", ">", ">="])) if field in COMPARED else ":"
    most = 1 if op != ":" or field in ONE_VALUE else 3
    values = draw(st.lists(_VALUES.filter(str.strip), min_size=1, max_size=most, unique=True))
    return Term(field, tuple(values), op, draw(st.booleans()))


@given(st.lists(_terms(), max_size=5))
@settings(max_examples=400, deadline=None)
def test_what_is_written_is_read_as_the_same_terms(terms):
    assert parse(write(terms)) == tuple(terms)


# --- finding ---


def ask(text: str, user=None) -> AlertFilterSet:
    data = QueryDict(mutable=True)
    data["search"] = text
    return AlertFilterSet(data, queryset=Alert.objects.all(), request=SimpleNamespace(user=user) if user else None)


def found(text: str, user=None) -> set[str]:
    asked = ask(text, user)
    assert asked.is_valid(), asked.errors
    return {alert.title for alert in asked.qs}


def refused(text: str, user=None) -> str:
    asked = ask(text, user)
    assert not asked.is_valid()
    return asked.errors["search"][0]


@pytest.mark.django_db
class TestFinding:
    def test_fields_lists_and_minus(self):
        north = DeviceFactory(site="North ring")
        AlertFactory(title="a", severity=Severity.CRITICAL, category=Category.POWER, device=north)
        AlertFactory(title="b", severity=Severity.MAJOR, category=Category.VIDEO, device=DeviceFactory(site="South"))
        AlertFactory(title="c", severity=Severity.INFO, category=Category.NETWORK, device=None)

        assert found("severity:critical,info") == {"a", "c"}
        assert found("-severity:critical,info") == {"b"}
        assert found("severity>=major") == {"a", "b"}
        assert found("severity<critical") == {"b", "c"}
        assert found('site:"north RING"') == {"a"}
        assert found("site:north*,south") == {"a", "b"}
        assert found("-site:north*") == {"b", "c"}  # what has no device is not in the north either
        assert found("severity>=major -category:video") == {"a"}

    def test_words_phrases_and_text_fields(self):
        AlertFactory(title="Link is down", message="100% of light lost", component="ifIndex=4", tags=["Gold ring"])
        AlertFactory(title="Down: the link", message="", component="", alert_type="fan_failed")

        assert found("link down") == {"Link is down", "Down: the link"}
        assert found('"is down"') == {"Link is down"}
        assert found('-"is down"') == {"Down: the link"}
        assert found("100%") == found("GOLD") == found("component:ifindex") == {"Link is down"}
        assert found('"down 100%"') == set()  # no word reaches from one column into the next
        assert found("title:down*") == {"Down: the link"}
        assert found("message:light") == {"Link is down"}
        assert found("type:fan_*") == {"Down: the link"}
        assert found("type:fan") == set()
        assert found("type:FAN_FAILED") == {"Down: the link"}

    def test_an_alert_without_an_address_is_found_by_what_it_is_not(self):
        AlertFactory(title="none", device_ip=None, device_name="")
        AlertFactory(title="some", device_ip="10.1.2.3", device_name="core-1")

        assert found("-core") == found("-10.1.2.3") == found("-ip:10.0.0.0/8") == found("-device:core") == {"none"}
        assert found("ip:10.1.2.3") == found("device:10.1.2.3") == found("device:core-*") == {"some"}

    def test_tags_whole_and_with_a_star(self):
        AlertFactory(title="both", tags=["gone", "old"])
        AlertFactory(title="gold", tags=["Gold"])

        assert found("tag:gold") == found("tag:go*d") == {"gold"}
        assert found("tag:go*") == {"both", "gold"}
        assert found("-tag:old") == {"gold"}

    def test_states_in_words(self):
        root = AlertFactory(title="root")
        AlertFactory(title="child", correlated_to=root, status=Status.SUPPRESSED)
        AlertFactory(title="mine", status=Status.ACKNOWLEDGED, assigned_to=person("operator"))
        AlertFactory(title="over", status=Status.RESOLVED)
        AlertFactory(title="late", connector=ConnectorFactory(slug="off", enabled=False))
        Alert.objects.exclude(title="late").update(connector=ConnectorFactory())

        assert found("is:acknowledged") == {"mine"}
        assert found("is:assigned") == {"mine"}
        assert found("is:quiet") == {"child"}
        assert found("is:ended") == {"over"}
        assert found("is:open -is:root") == {"child"}
        assert found("is:stale") == {"late"}
        assert found("-is:stale is:open -is:quiet") == {"root", "mine"}
        assert found("is:ended,quiet") == {"over", "child"}

    def test_who_what_when_and_from_where(self):
        alice, off = person("operator", username="alice"), ConnectorFactory(slug="prtg", type="prtg", name="PRTG")
        root = AlertFactory(title="root", occurred_at=NOW - timedelta(days=2), connector=off, source_system="prtg")
        child = AlertFactory(title="child", occurred_at=NOW, assigned_to=alice, connector=ConnectorFactory())
        quiet(SuppressionKind.DEPENDENCY, child, root=root)

        assert found("assignee:me", alice) == found("assignee:alice") == {"child"}
        assert found("-assignee:alice") == found("assignee:none") == {"root"}
        assert found("connector:prtg") == found("source:PRTG") == found("-connector:snmp_trap") == {"root"}
        assert found("to:2026-11-20") == {"root"}
        assert found("from:2026-11-21T12:00:00Z") == {"child"}
        assert found(f"root:{root.pk}") == {"child"}

    @pytest.mark.parametrize(
        ("text", "said"),
        [
            ("severity:critcal", ["“critcal”", "severity", "Did you mean critical?", "major, minor, warning"]),
            ("severity>=hot", ["“hot” is not a known severity", "Allowed: critical"]),
            ("is:acked", ["“acked”", "is:", "acknowledged", "stale"]),
            ("status:acknoledged", ["Did you mean acknowledged?"]),
            ("priority:P9", ["“P9” is not a known priority", "p1"]),
            ("connector:snmp_trp", ["“snmp_trp” is not a known connector", "Did you mean snmp_trap?"]),
            ("assignee:alic", ["“alic” is not a known assignee", "Did you mean alice?"]),
            ("ip:10.1.2.300", ["“10.1.2.300” is neither an address nor a network"]),
            ("from:yesterday", ["“yesterday” is not a time", "ISO 8601"]),
            ("root:1", ["“1” is not the id of an alert"]),
        ],
    )
    def test_a_wrong_word_is_named_with_what_is_allowed(self, text, said):
        ConnectorFactory()
        person("operator", username="alice")

        for part in said:
            assert part in refused(text)

    def test_board_and_api_refuse_the_same_search_with_the_same_sentence(self, client):
        client.force_login(person("viewer"))

        page = client.get("/alerts/", {"search": "severity:critcal"}).content.decode()
        problem = assert_problem(Program(person("service")).get("/api/v1/alerts/", {"search": "severity:critcal"}), 400)

        assert "“critcal” is not a known severity. Did you mean critical?" in page
        assert "“critcal” is not a known severity. Did you mean critical?" in str(problem)

    def test_a_search_that_names_statuses_puts_the_boards_own_aside(self, client):
        client.force_login(person("viewer"))
        for status in Status:
            AlertFactory(title=f"is {status}", status=status)

        def shown(search: str) -> set[str]:
            page = client.get("/alerts/", {"search": search}).content.decode()
            return set(re.findall(r'<a class="what"[^>]*>is (.*?)</a>', page))

        assert shown("is") == {"active", "acknowledged"}
        assert shown("is:quiet") == {"suppressed"}
        assert shown("is:ended") == {"resolved", "expired"}
        assert shown("status:resolved,active") == {"resolved", "active"}
        assert shown("-status:active") == {"acknowledged"}  # only what is asked for by name is added

    def test_boards_of_different_people_are_not_one_audience_when_the_search_says_me(self):
        alice, bob = person("viewer", username="alice"), person("viewer", username="bob")
        mine, all_ = BoardQuery({"search": "assignee:me"}), BoardQuery({"search": "assignee:alice"})

        assert mine.key(alice) != mine.key(bob)
        assert all_.key(alice) == all_.key(bob)


# --- the same, worked out in Python ---

_WORDS = ["link", "Down", "fan", "core-1", "10.1", "gold", "a_c", "100%", "x"]
_SITES = ["North", "south", ""]


def like(pattern: str, text: str) -> bool:
    """The whole of the text, * for any characters."""
    parts = ".*".join(re.escape(part) for part in pattern.lower().split("*"))
    return re.fullmatch(parts, text.lower(), re.DOTALL) is not None


def expected(term: Term, alert: Alert) -> bool:
    values = term.values
    columns = [alert.title, alert.message, alert.device_name, alert.device_ip or "", alert.alert_type, alert.component]
    if term.field == TEXT:
        hit = any(values[0].lower() in text.lower() for text in [*columns, *alert.tags])
    elif term.field == "severity" and term.op != ":":
        number = Severity.of(values[0]).value
        hit = {"<": alert.severity < number, "<=": alert.severity <= number, ">": alert.severity > number}.get(
            term.op, alert.severity >= number
        )
    elif term.field == "severity":
        hit = Severity(alert.severity).label in values
    elif term.field == "status":
        hit = alert.status in values
    elif term.field == "category":
        hit = alert.category in values
    elif term.field == "site":
        hit = alert.device is not None and any(like(v, alert.device.site) for v in values)
    elif term.field == "tag":
        hit = any(like(v, tag) for v in values for tag in alert.tags)
    elif term.field == "type":
        hit = any(like(v, alert.alert_type) for v in values)
    elif term.field == "device":
        hit = any(like(v if "*" in v else f"*{v}*", alert.device_name) for v in values)
    elif term.field == "ip":
        hit = alert.device_ip is not None and any(alert.device_ip.startswith(v.removesuffix("0.0/16")) for v in values)
    else:
        hit = {
            "acknowledged": alert.acknowledged_at is not None,
            "open": alert.condition == Condition.RAISED,
            "ended": alert.condition != Condition.RAISED,
            "quiet": alert.condition == Condition.RAISED and alert.status == Status.SUPPRESSED,
            "root": alert.correlated_to_id is None,
        }[values[0]]
    return hit != term.negated


def _one_of(field: str, values: list[str], most: int = 2) -> st.SearchStrategy[Term]:
    lists = st.lists(st.sampled_from(values), min_size=1, max_size=most, unique=True).map(tuple)
    return st.builds(Term, st.just(field), lists, st.just(":"), st.booleans())


_SEARCHES = st.lists(
    st.one_of(
        _one_of(TEXT, _WORDS, 1),
        _one_of("severity", [s.label for s in Severity]),
        st.builds(
            Term,
            st.just("severity"),
            st.sampled_from([(s.label,) for s in Severity]),
            st.sampled_from(["<", "<=", ">", ">="]),
            st.booleans(),
        ),
        _one_of("status", [s.value for s in Status], 3),
        _one_of("category", [c.value for c in Category]),
        _one_of("site", ["north", "S*", "NORTH", "*th", "west"]),
        _one_of("tag", ["gold", "go*", "g*d", "a_c", "*"]),
        _one_of("type", ["link_down", "LINK_*", "fan", "*fail*", "fan_failed"]),
        _one_of("device", ["core", "c*1", "CORE-1", "1"]),
        _one_of("ip", ["10.1.0.0/16", "10.2.0.7"]),
        _one_of("is", ["acknowledged", "open", "ended", "quiet", "root"], 1),
    ),
    max_size=4,
)


@pytest.fixture(scope="module")
def crowd(django_db_setup, django_db_blocker):
    """Some 120 alerts, different in everything a search may ask for."""
    with django_db_blocker.unblock():
        devices = [DeviceFactory(site=site) for site in _SITES]
        made: list[Alert] = []
        for n in range(120):
            made.append(
                AlertFactory(
                    title=f"{_WORDS[n % 9]} {_WORDS[n * 7 % 9]} {n}",
                    message=("", f"Message of {_WORDS[n * 5 % 9]}\nsecond line")[n % 2],
                    severity=n % 6,
                    category=Category.values[n % len(Category.values)],
                    status=Status.values[n * 3 % 5],
                    device=[*devices, None][n % 4],
                    device_name=("core-1", "Core-12", "cam", "")[n // 2 % 4],
                    device_ip=("10.1.0.9", "10.2.0.7", None)[n % 3],
                    alert_type=("link_down", "Link_up", "fan_failed")[n % 3],
                    tags=([], ["Gold"], ["gone", "old"], ["a_c", "abc"])[n % 4],
                    correlated_to=made[0] if n % 5 == 4 else None,
                )
            )
        rows = list(Alert.objects.filter(pk__in=[a.pk for a in made]).select_related("device"))
        yield rows
        Alert.objects.filter(pk__in=[a.pk for a in made]).delete()
        for device in devices:
            device.delete()


@given(terms=_SEARCHES)
@settings(max_examples=150, deadline=None)
def test_what_is_found_is_what_a_filter_in_python_finds(crowd, django_db_blocker, terms):
    with django_db_blocker.unblock():
        asked = ask(write(terms))
        assert asked.is_valid(), asked.errors
        hits = set(asked.qs.filter(pk__in=[alert.pk for alert in crowd]).values_list("pk", flat=True))

    assert hits == {alert.pk for alert in crowd if all(expected(term, alert) for term in terms)}
