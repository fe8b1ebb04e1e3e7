"""The page of replays: who may, what is asked, what is told."""

from __future__ import annotations

import json
from datetime import timedelta
from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.urls import reverse
from django.utils import timezone
from kombu.exceptions import OperationalError

from alerts.models import Alert
from connectors import replay_runs
from connectors.models import OIDMapping, ReplayRun
from opsconductor.celery import app
from tests.access import person, signed_in
from tests.connectors.replaying import OIDS, PORT, PREFIX

pytestmark = pytest.mark.anypg

PAGE = "/system/replay/"
DOWN = OIDS[0]


@pytest.fixture
def line(line):
    line.now = line.now - timedelta(minutes=30)
    OIDMapping.objects.create(oid_pattern=DOWN, alert_type="wrong_name", default_severity=4, component_template=PORT)
    line.reload()
    line.trap(DOWN, [(f"{PORT}.1", "Integer32", 1)])
    OIDMapping.objects.filter(oid_pattern=DOWN).update(alert_type="port_down", title_template="Port <1> down")
    yield line
    OIDMapping.objects.filter(oid_pattern__startswith=PREFIX).delete()
    ReplayRun.objects.all().delete()


@pytest.fixture
def worker(monkeypatch):
    """Takes a run the moment it is handed over."""
    taken = []

    def take(name, arguments, **options):
        taken.append(arguments)
        app.tasks[name](*arguments)

    app.loader.import_default_modules()
    monkeypatch.setattr(app, "send_task", take)
    return taken


def test_only_who_may_edit_mappings_replays(line):
    for role in ("viewer", "operator", "service"):
        client = signed_in(person(role))
        assert client.get(PAGE).status_code == 403
        assert client.post(PAGE, {"action": "run"}).status_code == 403
    assert not ReplayRun.objects.exists()


def test_first_what_would_change_then_the_very_same_is_run(line, worker):
    client = signed_in(person("admin"))

    answer = client.post(PAGE, {"action": "dry", "span": "1h", "oid": DOWN}, follow=True)

    page = answer.content.decode()
    assert "What a replay would change" in page
    assert "Port &lt;1&gt; down" in page
    assert Alert.objects.get().alert_type == "wrong_name"
    dry = ReplayRun.objects.get()
    form = {"span": "own", "action": "run", **dry.selection}
    page = client.post(PAGE, form, follow=True).content.decode()
    run = ReplayRun.objects.order_by("-pk")[0]
    assert run.selection == dry.selection
    assert Alert.objects.get(condition="raised").alert_type == "port_down"
    assert f"Replay {run.pk}" in page
    assert len(worker) == 2
    earlier = client.get(PAGE).content.decode()
    assert earlier.count("dry run") == 1
    assert "1 events moved, 1 opened, 1 closed" in earlier


def test_a_mistake_is_said_at_its_field_and_what_was_typed_stays(line):
    answer = signed_in(person("admin")).post(PAGE, {"action": "dry", "source": "core-1", "oid": DOWN})

    assert answer.status_code == 422
    page = answer.content.decode()
    assert "“core-1” is not an IP address." in page
    assert 'value="core-1"' in page
    assert f'value="{DOWN}"' in page
    assert not ReplayRun.objects.exists()


def test_without_a_broker_it_says_so_and_the_run_has_failed(line, monkeypatch):
    def refuse(name, arguments, **options):
        raise OperationalError("nobody there")

    monkeypatch.setattr(app, "send_task", refuse)

    page = signed_in(person("admin")).post(PAGE, {"action": "dry"}, follow=True).content.decode()

    assert "No worker could be asked" in page
    assert ReplayRun.objects.get().state == "failed"


def test_a_running_one_tells_how_far_it_is_and_can_be_stopped(line):
    from connectors.replay_selection import Selection

    admin = person("admin")
    client = signed_in(admin)
    run = replay_runs.begin(Selection.of({}), dry_run=False, by=admin)
    address = reverse("journal:replay-run", args=[run.pk])
    assert "A worker takes it within seconds" in client.get(address).content.decode()
    run.result.update(begun_at=timezone.now().isoformat(), phase="reading", read=1234)
    run.save()
    part = client.get(address, headers={"HX-Request": "true"}).content.decode()
    assert "Reading the journal" in part
    assert "<html" not in part
    assert 'hx-trigger="every 2s"' in part
    client.post(reverse("journal:replay-stop", args=[run.pk]))
    run.refresh_from_db()
    assert run.result["stop"] == "admin"
    run.result["seen_at"] = (timezone.now() - 2 * replay_runs.BROKEN_OFF_AFTER).isoformat()
    run.save()
    page = client.get(address).content.decode()
    assert "broken off" in page
    assert "every 2s" not in page


def test_a_mapping_row_can_be_chosen_by_its_key(line):
    row = OIDMapping.objects.get(oid_pattern=DOWN)
    page = signed_in(person("admin")).get(f"{PAGE}?mapping={row.pk}").content.decode()
    assert f'value="{row.pk}: port_down {DOWN}"' in page
    assert signed_in(person("root", username="r")).get(f"{PAGE}?mapping=nonsense&span=x").status_code == 200


def test_mappings_are_found_by_what_one_knows_of_them(line):
    row = OIDMapping.objects.get(oid_pattern=DOWN)
    client = signed_in(person("admin"))
    address = reverse("journal:replay-mappings")

    for words in (str(row.pk), f"{row.pk}: port_down", "port_down 99999", f".{DOWN}"):
        assert f"{row.pk}: port_down {DOWN}" in client.get(address, {"mapping": words}).content.decode(), words
    assert "<option" not in client.get(address, {"mapping": "no such thing"}).content.decode()
    assert client.get(address, {"mapping": "\0 99999999999999999999"}).status_code == 200
    assert signed_in(person("viewer")).get(address).status_code == 403


def test_the_page_of_a_mapping_leads_to_the_replay_of_what_it_reads(line, worker):
    row = OIDMapping.objects.get(oid_pattern=DOWN)
    client = signed_in(person("admin"))
    link = f"{PAGE}?mapping={row.pk}"

    assert f'<a href="{link}">Replay what this matches</a>' in client.get(
        f"/admin/connectors/oidmapping/{row.pk}/change/"
    ).content.decode()  # fmt: skip
    chosen = f"{row.pk}: port_down {DOWN}"
    page = client.post(PAGE, {"action": "run", "span": "1h", "mapping": chosen}, follow=True).content.decode()

    run = ReplayRun.objects.get()
    assert (run.state, run.selection["mapping"], run.selection["oid"]) == ("done", str(row.pk), "")
    assert f"traps read by mapping <b>{row.pk}</b>" in page
    assert Alert.objects.get(condition="raised").alert_type == "port_down"
    wrong = client.post(PAGE, {"action": "run", "mapping": "port_down"})
    assert wrong.status_code == 422
    assert "Choose one from the list" in wrong.content.decode()


def test_the_command_takes_the_number_of_a_mapping(line):
    row = OIDMapping.objects.get(oid_pattern=DOWN)
    out = StringIO()

    call_command("replay", "--mapping", str(row.pk), "--dry-run", "--json", stdout=out)

    told = json.loads(out.getvalue())
    assert (told["read"], told["selection"]["mapping"]) == (1, str(row.pk))
    with pytest.raises(CommandError, match="--mapping: “nonsense” is no OID mapping"):
        call_command("replay", "--mapping", "nonsense")
