"""Two engineers at one time, and one who presses a button twice: nobody's work is lost, nobody meets an error page."""

from __future__ import annotations

import re
import threading
from html import unescape

import pytest
from django.db import connection

from connectors.mibs import proposals
from connectors.models import OIDMapping
from tests.access import person, signed_in

LIST = "/admin/connectors/oidmapping/"
BASE = "1.3.6.1.4.1.99999.9"
WAIT = 120.0  # long: what is waited for comes


@pytest.fixture
def browser(db):
    return signed_in(person("admin"))


@pytest.fixture
def mapping(db):
    return OIDMapping.objects.create(oid_pattern=f"{BASE}.1", alert_type="door_open", default_severity=2)


@pytest.fixture
def committed(committed_db):
    """What this file adds goes again: mapping rows are seeds."""
    yield
    OIDMapping.objects.filter(oid_pattern__startswith="1.3.6.1.4.1.99999.").delete()


def text(answer):
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", answer.content.decode())).split())


def form(browser, mapping, **changes):
    """What the browser would send of the form as it was opened, with what a person changed."""
    page = browser.get(f"{LIST}{mapping.pk}/change/").content.decode()
    seen = re.search(r'name="_seen" value="([^"]*)"', page)
    return {
        "oid_pattern": mapping.oid_pattern, "alert_type": mapping.alert_type, "category": mapping.category,
        "default_severity": str(mapping.default_severity), "conditions": "[]", "enabled": "on",
        "_seen": seen[1] if seen else "", **changes,
    }  # fmt: skip


def saved(browser, mapping, given):
    return browser.post(f"{LIST}{mapping.pk}/change/", given)


# --- the form -----------------------------------------------------------------------------------------------


def test_the_second_of_two_engineers_is_told_who_was_first_and_what_is_stored(browser, mapping):
    first = signed_in(person("admin", username="a.keller"))
    theirs, ours = form(first, mapping, default_severity="5"), form(browser, mapping, title_template="Door")

    assert saved(first, mapping, theirs).status_code == 302
    answer = saved(browser, mapping, ours)

    assert "a.keller saved this row after you opened it, so nothing was saved." in text(answer)
    assert "Default severity critical" in text(answer)
    assert 'value="Door"' in answer.content.decode()
    mapping.refresh_from_db()
    assert (mapping.default_severity, mapping.title_template) == (5, "")


def test_what_is_written_over_knowingly_is_saved(browser, mapping):
    first = signed_in(person("admin", username="a.keller"))
    ours = form(browser, mapping, title_template="Door")
    saved(first, mapping, form(first, mapping, default_severity="5"))
    page = saved(browser, mapping, ours).content.decode()

    again = saved(browser, mapping, {**ours, "_seen": re.search(r'name="_seen" value="([^"]*)"', page)[1]})

    assert again.status_code == 302
    mapping.refresh_from_db()
    assert (mapping.default_severity, mapping.title_template) == (2, "Door")


def test_saving_twice_or_after_going_back_is_no_conflict_with_oneself(browser, mapping):
    given = form(browser, mapping, title_template="Door")

    assert saved(browser, mapping, given).status_code == 302
    assert saved(browser, mapping, given).status_code == 302


@pytest.mark.parametrize("action", ["set_severity", "disable"])
def test_a_change_from_the_list_is_noticed_too(browser, mapping, action):
    given = form(browser, mapping, title_template="Door")
    browser.post(LIST, {"action": action, "_selected_action": [mapping.pk], "to_severity": "5"})

    assert "saved this row after you opened it" in text(saved(browser, mapping, given))


def test_trying_is_not_held_up_by_what_others_saved(browser, mapping):
    given = form(browser, mapping, title_template="Door", _try="own")
    OIDMapping.objects.get(pk=mapping.pk).save()

    assert "as edited, against the mappings as they are" in text(browser.post(f"{LIST}{mapping.pk}/try/", given))


def test_trying_a_row_that_was_deleted_meanwhile_says_so(browser, mapping):
    path, given = f"{LIST}{mapping.pk}/try/", form(browser, mapping, _try="own")
    mapping.delete()

    assert "was deleted meanwhile" in text(browser.post(path, given, follow=True))


# --- files --------------------------------------------------------------------------------------------------


def test_an_import_saves_only_the_difference_that_was_shown(browser, mapping):
    file = f"oid_pattern,alert_type,default_severity\n{BASE}.1,door_open,major\n"
    page = browser.post(f"{LIST}import/", {"text": file}).content.decode()
    seen = re.search(r'name="seen" value="([^"]*)"', page)[1]
    OIDMapping.objects.filter(pk=mapping.pk).update(default_severity=5)

    answer = browser.post(f"{LIST}import/", {"text": file, "save": "1", "seen": seen})

    assert "Somebody changed these mappings since you looked. Nothing was saved" in text(answer)
    assert "default_severity critical major" in text(answer)
    mapping.refresh_from_db()
    assert mapping.default_severity == 5
    seen = re.search(r'name="seen" value="([^"]*)"', answer.content.decode())[1]
    assert browser.post(f"{LIST}import/", {"text": file, "save": "1", "seen": seen}).status_code == 302
    mapping.refresh_from_db()
    assert mapping.default_severity == 4


def test_an_import_that_was_saved_twice_changes_nothing_the_second_time(browser, mapping):
    file = f"oid_pattern,alert_type\n{BASE}.1,door_left_open\n{BASE}.2,new_one\n"
    seen = re.search(r'name="seen" value="([^"]*)"', browser.post(f"{LIST}import/", {"text": file}).content.decode())[1]

    for _ in range(2):
        answer = browser.post(f"{LIST}import/", {"text": file, "save": "1", "seen": seen})

    assert answer.status_code == 200
    assert "Everything in it is stored already." in text(answer)
    assert OIDMapping.objects.filter(oid_pattern__startswith=BASE).count() == 2


def test_a_form_that_was_open_during_an_import_notices_it(browser, mapping):
    given = form(browser, mapping, title_template="Door")
    browser.post(
        f"{LIST}import/",
        {"text": f"oid_pattern,alert_type,default_severity\n{BASE}.1,door_open,major\n", "save": "1"},
    )

    assert "saved this row after you opened it" in text(saved(browser, mapping, given))


# --- at the same instant ------------------------------------------------------------------------------------


def together(*jobs):
    """All at once, each on a connection of its own; what they raised."""
    errors, barrier = [], threading.Barrier(len(jobs))

    def run(job):
        try:
            barrier.wait(WAIT)
            job()
        except Exception as error:
            errors.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=run, args=(job,)) for job in jobs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(WAIT)
    return errors


def test_a_button_pressed_twice_makes_one_row_and_no_error_page(committed):
    browsers = [signed_in(person("admin", username=name)) for name in ("one", "two", "three")]
    given = {
        "oid_pattern": f"{BASE}.7", "alert_type": "a", "category": "network", "default_severity": "2",
        "conditions": "[]", "enabled": "on",
    }  # fmt: skip
    answers = []

    assert together(*(lambda b=b: answers.append(b.post(f"{LIST}add/", given)) for b in browsers)) == []

    assert sorted(a.status_code for a in answers) == [200, 200, 302]
    assert OIDMapping.objects.filter(oid_pattern=f"{BASE}.7").count() == 1


def test_ignored_twice_at_once_is_ignored_once(committed):
    browsers = [signed_in(person("admin", username=name)) for name in ("one", "two", "three")]
    answers = []

    def press(browser):
        answers.append(browser.post("/mappings/unmapped/ignore/", {"oid": f"{BASE}.7"}))

    assert together(*(lambda b=b: press(b) for b in browsers)) == []
    assert [a.status_code for a in answers] == [302] * 3
    assert OIDMapping.objects.filter(oid_pattern=f"{BASE}.7").count() == 1


def test_two_imports_of_one_mib_make_every_row_once(committed):
    rows = [proposals.row_for(f"{BASE}.{n}", f"thing_{n}") for n in range(1, 40)]

    def save(order):
        proposals.save([proposals.Proposal(dict(row), "x line 1") for row in rows[::order]], [])

    assert together(*(lambda o=o: save(o) for o in (1, -1, 1, -1))) == []
    assert OIDMapping.objects.filter(oid_pattern__startswith=f"{BASE}.").count() == 39
