"""What the board's search offers: where the caret is, which words, what it costs, and who may ask."""

from __future__ import annotations

import pytest
from django.test import Client
from hypothesis import given
from hypothesis import strategies as st

from alerts import suggest
from alerts.search import FIELDS, SearchError, parse
from alerts.suggest import part_at, suggestions, without
from tests.access import person, signed_in
from tests.factories import AlertFactory, DeviceFactory

URL = "/alerts/suggest/"


@pytest.fixture(autouse=True)
def fresh():
    suggest.forget()
    yield
    suggest.forget()


def at(marked: str):
    """`|` is the caret."""
    caret = marked.index("|")
    return marked.replace("|", ""), caret


def taken(marked: str, number: int = 0) -> str:
    """The search after this suggestion was taken."""
    text, caret = at(marked)
    part, found = suggestions(text, caret)
    return text[: part.start] + found[number].text + text[part.end :]


def labels(marked: str) -> list[str]:
    return [suggestion.label for suggestion in suggestions(*at(marked))[1]]


# --- where the caret is, pure ---


@pytest.mark.parametrize(
    ("marked", "field", "written", "replaced"),
    [
        ("|", "", "", ""),
        ("sev|", "", "sev", "sev"),
        ("link se|ver down", "", "se", "sever"),
        ("severity:cr|", "severity", "cr", "cr"),
        ("severity:critical,ma|", "severity", "ma", "ma"),
        ("-severity>=m|ajor x", "severity", "m", "major"),
        ('site:"north y|ard" x', "site", "north y", '"north yard"'),
        ('site:"no|rth yard" x', "site", "no", '"north yard"'),
        ('site:a,"b, c|', "site", "b, c", '"b, c'),
        ('"link do|', "", '"link do', '"link do'),
        ("device_name:co|", "device", "co", "co"),
        ("Error:ti|", "", "Error:ti", "Error:ti"),
    ],
)
def test_the_word_the_caret_is_in(marked, field, written, replaced):
    text, caret = at(marked)
    part = part_at(text, caret)
    assert (part.field, part.written, text[part.start : part.end]) == (field, written, replaced)


@given(st.text(alphabet='ab:"\\, -><severity', max_size=30), st.integers(0, 30))
def test_any_text_has_a_part_that_lies_in_it(text, caret):
    caret = min(caret, len(text))
    part = part_at(text, caret)
    assert 0 <= part.word <= part.start <= caret <= part.end <= len(text)
    assert len(without(text, part)) <= len(text) + 1


# --- what is offered ---


def test_a_word_is_offered_the_fields_that_begin_so(db):
    assert labels("|") == [f"{name}:" for name in FIELDS][:10]
    assert labels("sev|")[0] == "severity:"
    assert labels("x -si|")[0] == "-site:"
    assert taken("link se|") == "link severity:"


def test_a_word_is_offered_values_with_their_field_the_most_frequent_first(db):
    for name, number in (("core-sw-1", 3), ("core-sw-2", 1)):
        AlertFactory.create_batch(number, device_name=name, severity=5)
    AlertFactory(device_name="core-sw-9", status="resolved")

    found = suggestions("cor", 3)[1]

    assert [(s.label, s.number) for s in found] == [("device:core-sw-1", 3), ("device:core-sw-2", 1)]
    assert ("severity:critical", 4) in [(s.label, s.number) for s in suggestions("crit", 4)[1]]
    assert taken("down -crit|") == "down -severity:critical"


def test_values_of_a_field_are_those_of_open_alerts_with_their_numbers(db):
    north, yard = DeviceFactory(site="North"), DeviceFactory(site="north yard, left")
    AlertFactory.create_batch(2, device=north)
    AlertFactory(device=yard, tags=["backbone", "wan"], assigned_to=person("operator", username="m.ito"))
    AlertFactory(device=DeviceFactory(site="Nordic"), status="resolved")

    assert [(s.label, s.number) for s in suggestions("site:nor", 8)[1]] == [("North", 2), ("north yard, left", 1)]
    assert taken("site:nor|", 1) == 'site:"north yard, left"'
    assert labels("tag:|") == ["backbone", "wan"]
    assert labels("assignee:|") == ["m.ito", "me", "none"]
    assert labels("status:a|") == ["active", "acknowledged"]
    assert [(s.label, s.number) for s in suggestions("severity>=ma", 12)[1]] == [("major", 3)]
    assert labels("is:qu|") == ["quiet"]
    assert labels("title:x|") == []


def test_what_is_taken_can_be_searched_for(db):
    for n, name in enumerate(['say "hi"', "a,b", "back\\slash", "with blank", "-minus", "x:y", "plain"]):
        AlertFactory(device_name=name, alert_type=f"type_{n}", tags=[name], component=name)
    for marked in ("|", "device:|", "tag:|", "component:|", "ba|", "-wi|", "x:|", "type:|", "severity:|", "is:|"):
        text, caret = at(marked)
        part, found = suggestions(text, caret)
        for suggestion in found:
            if suggestion.more:
                continue
            try:
                parse(text[: part.start] + suggestion.text + text[part.end :])
            except SearchError as error:
                pytest.fail(f"{suggestion}: {error}")


def test_there_are_ten_at_most_and_no_more_queries_for_more_alerts(db, django_assert_num_queries):
    for n in range(30):
        AlertFactory(device_name=f"sw-{n:02}", alert_type=f"sw_{n}", tags=[f"sw{n}"])
    fields = ("severity", "category", "site", "type", "device", "tag")
    with django_assert_num_queries(len(fields)):
        assert len(suggestions("sw", 2)[1]) == 10
    with django_assert_num_queries(0):  # the next letter
        assert labels("sw-1|") == [f"device:sw-{n}" for n in range(10, 20)]
    with django_assert_num_queries(0):
        suggestions("device:sw-2", 11)


def test_counting_reads_open_alerts_alone_and_keeps_the_most_frequent(db, monkeypatch):
    monkeypatch.setattr(suggest, "KEPT_VALUES", 2)
    for name, number in (("a", 1), ("b", 3), ("c", 2)):
        AlertFactory.create_batch(number, device_name=name)
    assert labels("device:|") == ["b", "c"]


def test_it_is_read_anew_after_a_while(db, monkeypatch):
    AlertFactory(device_name="first")
    assert labels("device:|") == ["first"]
    AlertFactory(device_name="later")
    assert labels("device:|") == ["first"]
    monkeypatch.setattr(suggest, "KEPT_SECONDS", 0.0)
    assert labels("device:|") == ["first", "later"]


# --- over the wire ---


@pytest.fixture
def viewer(db) -> Client:
    return signed_in(person("viewer"))


def test_what_is_wrong_is_said_of_the_words_that_are_finished(viewer):
    def error(q, **more):
        return viewer.get(URL, {"q": q, **more}).json()["error"]

    assert error("sevrity:critical ") == error("sevrity:critical link")
    assert "“sevrity” is not a known field. Did you mean severity?" in error("sevrity:critical link")
    assert "Did you mean critical?" in error("severity:critcal x")
    assert error("severity:crit") == error("sev") == error("") == error('"open') == ""
    assert "Did you mean severity?" in error("x sevrity:critical", at=1)


def test_it_answers_with_the_place_and_the_texts(viewer):
    found = viewer.get(URL, {"q": "link sev down", "at": "8"}).json()
    assert (found["from"], found["to"]) == (5, 8)
    assert found["suggestions"][0] == {
        "text": "severity:", "label": "severity:", "note": suggest.NOTES["severity"], "number": None, "more": True,
    }  # fmt: skip
    assert viewer.get(URL, {"q": "severity:crit"}).json()["suggestions"][0]["text"] == "critical "


@pytest.mark.parametrize("asked", [{}, {"q": "x", "at": "-1"}, {"q": "x", "at": "9999"}, {"q": '"' * 900, "at": "x"}])
def test_nothing_that_is_asked_breaks_it(viewer, asked):
    assert viewer.get(URL, asked).status_code == 200


def test_only_who_sees_alerts_is_offered_their_words(client, db):
    assert client.get(URL).status_code == 302
    assert signed_in(person()).get(URL).status_code == 403
    assert signed_in(person("viewer")).post(URL).status_code == 405


def test_the_page_says_a_wrong_word_under_the_field_and_once(viewer):
    page = viewer.get("/alerts/", {"search": "sevrity:critical"}).content.decode()
    assert page.count("is not a known field. Did you mean severity?") == 1
    assert 'aria-invalid="true"' in page
    assert "data-error" in page
