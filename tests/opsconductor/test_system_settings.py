"""The one row of settings: edited, never added twice, never taken away; and the connector that speaks for ourselves."""

from __future__ import annotations

import re

import pytest

from connectors.models import Connector
from opsconductor import seeds
from opsconductor.models import SystemSettings
from tests.access import person, signed_in

pytestmark = pytest.mark.django_db

LIST = "/admin/opsconductor/systemsettings/"
ROW = f"{LIST}1/change/"


@pytest.fixture
def browser():
    return signed_in(person("admin"))


def test_the_list_leads_to_the_one_row_which_begins_with_the_defaults(browser):
    answer = browser.get(LIST, follow=True)

    assert answer.redirect_chain == [(ROW, 302)]
    page = answer.content.decode()
    assert re.search(r'name="journal_days" value="30"', page)
    assert "Whole UTC days of received events that are kept" in page
    assert "cannot be undone" in page
    assert "Delete" not in page


def filled(**changes):
    """The form as the page shows it, with some of it changed."""
    values = {
        f.name: f.value_from_object(SystemSettings()) for f in SystemSettings._meta.concrete_fields if f.name != "id"
    }
    return {name: value for name, value in {**values, **changes}.items() if value is not False}


def test_an_edit_is_in_force(browser):
    browser.get(LIST)
    form = filled(journal_days=14, alert_days=60)

    assert browser.post(ROW, form, follow=True).status_code == 200

    assert (SystemSettings.current().journal_days, SystemSettings.current().alert_days) == (14, 60)


def test_a_retention_of_nothing_is_refused(browser):
    browser.get(LIST)

    page = browser.post(
        ROW, {"journal_days": 0, "alert_days": 60, "source_rate": 1, "source_burst": 1}
    ).content.decode()

    assert "greater than or equal to 1" in page


def test_there_is_one_and_it_stays(browser):
    browser.get(LIST)

    assert browser.get(f"{LIST}add/").status_code == 403
    assert browser.post(f"{LIST}1/delete/", {"post": "yes"}).status_code == 403
    assert SystemSettings.objects.count() == 1


def test_only_administrators_edit_it():
    operator = person("operator")
    assert signed_in(operator).get(LIST).status_code == 302


def test_the_own_connector_is_given_once():
    connector = Connector.objects.get(slug="opsconductor")
    assert (connector.type, connector.enabled, connector.scope) == ("self", True, "opsconductor")

    connector.delete()
    seeds.seed()

    assert not Connector.objects.filter(type="self").exists()
