"""A webhook as an engineer makes it: the connector, and a secret that is shown once."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
from django.contrib.admin.models import LogEntry
from django.utils import timezone

from connectors.models import Connector
from tests.access import person, signed_in

pytestmark = pytest.mark.anypg

LIST = "/admin/connectors/connector/"


@pytest.fixture
def browser(committed_db):
    yield signed_in(person("admin"))
    Connector.objects.filter(slug__startswith="hook").delete()


@pytest.fixture
def connector(browser):
    made = Connector(name="Hook", slug="hook", type="webhook")
    made.renew_secret("the first secret of it")
    made.save()
    return made


def given(connector=None, **fields):
    values = {"name": "Hook", "config": "{}", "identity_scope": "", "enabled": "on", "trusted_for_time": "on"}
    if connector is None:
        values |= {"slug": "hook-2", "type": "webhook"}
    return values | fields


def test_a_new_connector_is_of_a_known_type_and_leads_to_its_secret(browser):
    page = browser.get(f"{LIST}add/").content.decode()
    assert "Webhook (generic)" in page
    assert 'name="typed_secret"' not in page

    refused = browser.post(f"{LIST}add/", given(type="nonsense"))
    answer = browser.post(f"{LIST}add/", given())

    assert refused.status_code == 200
    assert "Select a valid choice" in refused.content.decode()
    made = Connector.objects.get(slug="hook-2")
    assert (made.type, made.webhook_secret) == ("webhook", "")
    assert answer["Location"] == f"{LIST}{made.pk}/secret/"
    assert browser.post(f"{LIST}add/", given(slug="hook-3", type="api"))["Location"] == LIST
    assert "not set: nobody is believed yet" in browser.get(f"{LIST}{made.pk}/change/").content.decode()


def test_a_made_secret_is_shown_once_and_the_one_before_lasts_a_day(browser, connector):
    page = f"{LIST}{connector.pk}/secret/"
    before = browser.get(page).content.decode()
    answer = browser.post(page)

    connector.refresh_from_db()
    text = answer.content.decode()
    shown = re.search(r'<pre class="once"[^>]*>([-\w]{43})</pre>', text)
    assert shown
    assert shown[1] == connector.webhook_secret
    assert "http://testserver/api/v1/webhooks/hook/" in before
    assert "no-store" in answer["Cache-Control"]
    assert connector.previous_webhook_secret == "the first secret of it"
    lasts = connector.previous_secret_until - timezone.now()
    assert timedelta(hours=23) < lasts <= timedelta(hours=24)
    for later in (page, f"{LIST}{connector.pk}/change/", LIST, f"{LIST}{connector.pk}/history/"):
        html = browser.get(later).content.decode()
        assert connector.webhook_secret not in html
        assert "the first secret" not in html
    assert "set; the one before is accepted until" in browser.get(f"{LIST}{connector.pk}/change/").content.decode()
    assert LogEntry.objects.filter(change_message__contains="A new webhook secret was made.").count() == 1


def test_saving_without_a_secret_keeps_it_and_another_one_moves_it(browser, connector):
    page = f"{LIST}{connector.pk}/change/"
    assert browser.post(page, given(connector, name="Hook 1", typed_secret="")).status_code == 302
    connector.refresh_from_db()
    assert (connector.name, connector.webhook_secret) == ("Hook 1", "the first secret of it")

    short = browser.post(page, given(connector, typed_secret="short")).content.decode()
    foreign = browser.post(page, given(connector, typed_secret="ein geheimes Schlüsselwort")).content.decode()
    assert "At least 16 characters." in short
    assert 'value="short"' not in short
    assert "ASCII only" in foreign
    assert browser.post(page, given(connector, typed_secret="the second secret of it")).status_code == 302

    connector.refresh_from_db()
    assert connector.webhook_secret == "the second secret of it"
    assert connector.previous_webhook_secret == "the first secret of it"


def test_other_connectors_have_no_secret_and_others_make_none(browser, connector):
    api = Connector.objects.get(slug="api")

    assert browser.get(f"{LIST}{api.pk}/secret/").status_code == 404
    assert "typed_secret" not in browser.get(f"{LIST}{api.pk}/change/").content.decode()
    assert "Webhook and its secret" not in browser.get(f"{LIST}{api.pk}/change/").content.decode()
    assert "Webhook and its secret" in browser.get(f"{LIST}{connector.pk}/change/").content.decode()
    assert signed_in(person("viewer")).post(f"{LIST}{connector.pk}/secret/").status_code in (302, 403)
    connector.refresh_from_db()
    assert connector.webhook_secret == "the first secret of it"
