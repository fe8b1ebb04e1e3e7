"""/dependencies/, its import and its map, as a browser without scripts asks for them."""

from __future__ import annotations

import html
import re

import pytest
from django.core.cache import cache
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client

from dependencies import views_import
from dependencies.models import Dependency, Device
from tests.access import person, signed_in
from tests.dependencies import network
from tests.dependencies.network import CORE_1, TOWER, UPS
from tests.factories import AlertFactory, DeviceFactory

pytestmark = pytest.mark.django_db

PAGE, MAP, IMPORT, DEVICES = (
    "/dependencies/", "/dependencies/map/", "/dependencies/import/", "/dependencies/import/devices/",
)  # fmt: skip


@pytest.fixture
def viewer():
    return signed_in(person("viewer"))


@pytest.fixture
def admin():
    return signed_in(person("admin"))


def text(response):
    return html.unescape(response.content.decode())


def names(response):
    return re.findall(r'<a class="name"[^>]*>([^<]+)</a>', text(response))


def pairs():
    return set(Dependency.objects.values_list("device_ip", "depends_on_ip"))


# --- overview ---


def test_the_overview_counts_and_links(admin):
    network.build()
    AlertFactory(device_ip=TOWER)

    page = text(admin.get(PAGE, {"q": "tower-7"}))

    assert "35 devices, 37 dependencies between them." in page
    assert "Without dependencies<i>1</i>" in page
    assert "Not in the inventory<i>4</i>" in page
    row = page[page.index('class="name"') :]
    device = Device.objects.get(ip=TOWER)
    assert f"/dependencies/map/?device={TOWER}" in row
    assert f"/alerts/?device_ip={TOWER}" in row
    assert f"/admin/dependencies/device/{device.pk}/change/" in row
    assert f'?parent={TOWER}">30<' in row


def test_filters_narrow_the_overview(viewer):
    network.build()

    assert names(viewer.get(PAGE, {"site": "North"})) == ["core-1", "dist-north", "ups-north"]
    assert names(viewer.get(PAGE, {"site": "North", "role": "UPS"})) == ["ups-north"]
    assert names(viewer.get(PAGE, {"q": "10.255.0.1"})) == ["core-1"]
    assert names(viewer.get(PAGE, {"parent": CORE_1})) == ["dist-north"]
    assert names(viewer.get(PAGE, {"show": "alone"})) == ["lab-spare"]
    assert names(viewer.get(PAGE, {"show": "unlisted"})) == [
        "10.20.8.30", "10.20.30.1", "10.20.30.2", "10.20.30.3",
    ]  # fmt: skip
    assert names(viewer.get(PAGE, {"show": "unlisted", "parent": TOWER})) == ["10.20.8.30"]
    assert names(viewer.get(PAGE, {"show": "unlisted", "q": "30.2"})) == ["10.20.30.2"]
    assert "Nothing fits these filters." in text(viewer.get(PAGE, {"q": "nowhere"}))


def test_pages_of_the_overview_name_every_device_once(viewer):
    for n in range(120):
        DeviceFactory(name="same" if n % 2 else f"d{n:03}")
    Dependency.objects.bulk_create(Dependency(device_ip=f"172.16.{n}.1", depends_on_ip="172.17.0.1") for n in range(60))
    for show, number in (("", 120), ("unlisted", 61)):
        path: str | None = f"{PAGE}?show={show}"
        seen: list[str] = []
        while path:
            page = text(viewer.get(path))
            seen += re.findall(r"<a class=\"name\" href=\"[^\"]*device=([^\"]+)\"", page)
            found = re.search(r'rel="next" href="([^"]+)"', page)
            path = found[1] if found else None
        assert len(seen) == len(set(seen)) == number
    assert "This link to a page is damaged." in text(viewer.get(PAGE, {"cursor": "x"}))


@pytest.mark.parametrize("value", ["\x00", "x" * 5_000, "%", "'; --", "10.0.0.999", "-1", "[]"])
@pytest.mark.parametrize("name", ["q", "site", "role", "parent", "show", "cursor"])
def test_no_parameter_breaks_the_overview(viewer, name, value):
    assert viewer.get(PAGE, {name: value}).status_code == 200
    assert viewer.get(PAGE, {"show": "unlisted", name: value}).status_code == 200


def test_an_empty_installation_says_what_to_do(admin, viewer):
    assert "There are no devices yet." in text(admin.get(PAGE))
    assert 'href="/dependencies/import/devices/"' in text(admin.get(PAGE))
    assert "Import" not in text(viewer.get(PAGE))
    assert "There are no dependencies yet." in text(viewer.get(MAP))


# --- map ---


def test_the_map_as_lists_for_those_who_do_not_see_it(viewer):
    network.build()
    network.outage(TOWER, title="No answer <b>")

    page = text(viewer.get(MAP, {"device": "10.20.8.2"}))

    lists = page[page.index('<div class="beside">') :]
    assert '<section class="panel drawing" aria-hidden="true">' in page
    assert 'id="why-device" href="/dependencies/map/?device=10.20.7.1">tower-7-core</a>' in lists
    assert lists.index("tower-7-core") < lists.index("dist-north") < lists.index("core-1")
    assert "10.20.30.3" in lists
    assert "<b>No answer" not in viewer.get(MAP, {"device": "10.20.8.2"}).content.decode().replace("&lt;", "")


def test_the_map_is_found_by_name_alias_or_part_of_a_name(viewer):
    network.build()

    assert 'value="core-1"' in text(viewer.get(MAP, {"device": "core-1"}))
    assert '<h2 id="subject">core-1 ' in text(viewer.get(MAP, {"device": "10.255.0.1"}))
    assert '<h2 id="subject">tower-7-core ' in text(viewer.get(MAP, {"device": "tower"}))
    assert "Devices that “core” may mean" in text(viewer.get(MAP, {"device": "core"}))
    missing = viewer.get(MAP, {"device": "192.0.2.7"})
    assert missing.status_code == 404
    assert "Nothing is known of “192.0.2.7”" in text(missing)


def test_the_map_is_sent_again_only_when_it_changed(viewer):
    network.build()
    ask = {"device": TOWER}
    page = text(viewer.get(MAP, ask))
    poll = re.search(r'hx-get="([^"]+seen=[^"]+)"', page)[1]

    assert viewer.get(poll, headers={"HX-Request": "true"}).status_code == 204
    network.outage(UPS, alert_type="output_off")
    again = viewer.get(poll, headers={"HX-Request": "true"})
    assert again.status_code == 200
    assert "<html" not in text(again)
    assert '<h2 id="subject">tower-7-core <span class="word">cut off' in text(again)


@pytest.mark.parametrize("value", ["\x00", "x" * 9_000, "10.0.0.1*", "10.0.0.1*-5,::1*99999999999999999999", "²*²"])
@pytest.mark.parametrize("name", ["open", "device", "seen"])
def test_no_parameter_breaks_the_map(viewer, name, value):
    network.build()

    assert viewer.get(MAP, {"device": TOWER, name: value}).status_code in (200, 404)


# --- import ---


def send(client, content="", *, page=IMPORT, **data):
    if isinstance(content, str):
        return client.post(page, {"text": content, **data})
    return client.post(page, {"file": SimpleUploadedFile("x.csv", content), **data})


FILE = "device_ip,depends_on_ip,description\n10.0.0.2,10.0.0.1,new\n10.0.0.3,10.0.0.1,b\n10.0.0.4,10.0.0.1,\n"


@pytest.fixture
def three():
    Dependency.objects.create(device_ip="10.0.0.3", depends_on_ip="10.0.0.1", description="a")
    Dependency.objects.create(device_ip="10.0.0.4", depends_on_ip="10.0.0.1")
    Dependency.objects.create(device_ip="10.0.0.5", depends_on_ip="10.0.0.1")


def tally(response):
    return {name: int(n) for name, n in re.findall(r"<dt>([^<]+)</dt><dd>(\d+)</dd>", text(response))}


@pytest.mark.parametrize("content", [FILE, FILE.encode()])
def test_preview_and_then_saving(admin, three, content):
    review = send(admin, content)
    assert review.status_code == 302
    page = admin.get(review["Location"])

    assert tally(page) == {"added": 1, "changed": 1, "unchanged": 1, "removed": 0, "wrong": 0}
    assert len(pairs()) == 3
    done = admin.post(review["Location"], {"seen": page.context["plan"].digest}, follow=True)
    assert "Saved: 1 added, 1 changed, 1 unchanged." in text(done)
    assert len(pairs()) == 4
    assert Dependency.objects.get(device_ip="10.0.0.2").created_by.username == "admin"
    assert Dependency.objects.get(device_ip="10.0.0.3").description == "b"


def test_replacing_is_shown_before_it_is_done(admin, three):
    review = send(admin, FILE, replace="1")["Location"]
    page = admin.get(review)

    assert tally(page)["removed"] == 1
    assert "Save: 1 added, 1 changed, 1 removed" in text(page)
    admin.post(review, {"seen": page.context["plan"].digest})
    assert ("10.0.0.5", "10.0.0.1") not in pairs()


def test_what_somebody_else_changed_meanwhile_is_shown_and_nothing_saved(admin, three):
    review = send(admin, FILE)["Location"]
    seen = admin.get(review).context["plan"].digest
    Dependency.objects.create(device_ip="10.0.0.2", depends_on_ip="10.0.0.1", description="theirs")

    refused = admin.post(review, {"seen": seen})

    assert refused.status_code == 409
    assert "Somebody changed dependencies since you looked. Nothing was saved" in text(refused)
    assert tally(refused)["changed"] == 2
    assert Dependency.objects.get(device_ip="10.0.0.2").description == "theirs"
    assert admin.post(review, {"seen": refused.context["plan"].digest}).status_code == 302
    assert Dependency.objects.get(device_ip="10.0.0.2").description == "new"


def test_a_cycle_that_came_meanwhile_is_named_and_nothing_saved(admin, three):
    review = send(admin, FILE)["Location"]
    seen = admin.get(review).context["plan"].digest
    Dependency.objects.create(device_ip="10.0.0.1", depends_on_ip="10.0.0.2")

    refused = admin.post(review, {"seen": seen})

    assert "This closes a cycle: 10.0.0.2 → 10.0.0.1 → 10.0.0.2." in text(refused)
    assert ("10.0.0.2", "10.0.0.1") not in pairs()


def test_what_is_saved_is_what_the_server_kept(admin, three):
    review = send(admin, FILE)["Location"]

    assert admin.post(review, {"seen": "made up"}).status_code == 409
    other = signed_in(person("root"))
    assert other.get(review).status_code == 302, "a token is of one user"
    cache.clear()
    gone = admin.post(review, {"seen": ""}, follow=True)
    assert "kept for an hour and is gone by now" in text(gone)
    assert len(pairs()) == 3


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("device_ip,depends_on_ip\n10.0.0.2,x\n", "“x” is not an address"),
        ("device_ip,depends_on_ip\n10.0.0.1,10.0.0.2\n10.0.0.2,10.0.0.1\n", "10.0.0.1 → 10.0.0.2 → 10.0.0.1"),
        (b"\x00\x01", "This is not a text file."),
        ("   ", "Choose a file, or paste its text."),
        ("#", "There is no header."),
    ],
)
def test_a_wrong_file_comes_back_with_its_mistakes(admin, content, said):
    answer = send(admin, content)

    assert answer.status_code in (400, 422)
    assert said in text(answer)
    assert pairs() == set()


def test_a_file_that_is_too_large_for_a_page(admin, monkeypatch):
    monkeypatch.setattr(views_import, "MOST_BYTES", 10)

    assert "Use manage.py import_dependencies" in text(send(admin, FILE.encode()))


def test_devices_are_imported_the_same_way(admin):
    DeviceFactory(ip="10.0.0.1", name="old", notes="kept")
    content = "- ip: 10.0.0.1\n  name: core-1\n- ip: 10.0.0.2\n  name: cam\n  aliases: [10.1.0.2, 10.1.0.3]\n"

    review = send(admin, content, page=DEVICES)["Location"]
    page = admin.get(review)
    assert tally(page) == {"added": 1, "changed": 1, "unchanged": 0, "wrong": 0}
    Device.objects.filter(ip="10.0.0.1").update(name="another")
    assert admin.post(review, {"seen": page.context["plan"].digest}).status_code == 409
    now = admin.get(review).context["plan"].digest
    assert "Saved: 1 added, 1 changed" in text(admin.post(review, {"seen": now}, follow=True))
    assert Device.objects.get(ip="10.0.0.1").notes == "kept"
    assert Device.objects.get(ip="10.0.0.2").aliases == ["10.1.0.2", "10.1.0.3"]


def test_who_may_see_and_who_may_import(viewer, admin):
    stranger = signed_in(person(""))
    for page in (PAGE, MAP):
        assert stranger.get(page).status_code == 403
        assert viewer.get(page).status_code == 200
    for page in (IMPORT, DEVICES):
        assert viewer.get(page).status_code == 403
        assert send(viewer, FILE, page=page).status_code == 403
    assert "/accounts/login/" in Client().get(PAGE)["Location"]
