"""/api/v1/devices/ and /api/v1/dependencies/ as a program meets them."""

from __future__ import annotations

import json

import pytest

from dependencies.models import Dependency, Device
from tests.access import Program, assert_problem, person
from tests.factories import DeviceFactory

pytestmark = pytest.mark.django_db

EDGES, DEVICES = "/api/v1/dependencies/", "/api/v1/devices/"


class Caller(Program):
    def send(self, method, path, data=None):
        body = json.dumps({} if data is None else data)
        return self.client.generic(method, path, body, content_type="application/json", headers=self.headers)


@pytest.fixture
def admin():
    return Caller(person("admin"))


def edge(child, parent, **fields):
    return Dependency.objects.create(device_ip=child, depends_on_ip=parent, **fields)


def pairs():
    return set(Dependency.objects.values_list("device_ip", "depends_on_ip"))


# --- dependencies ---


def test_one_dependency_from_its_creation_to_its_end(admin):
    DeviceFactory(ip="10.0.0.1", aliases=["10.255.0.1"])

    made = admin.post(EDGES, {"device_ip": "::ffff:10.0.0.2", "depends_on_ip": "10.255.0.1", "redundancy_group": "a"})

    assert made.status_code == 201
    body = made.json()
    assert body == {
        "id": body["id"],
        "device_ip": "10.0.0.2",
        "depends_on_ip": "10.0.0.1",
        "dependency_type": "network",
        "depends_on_component": "",
        "redundancy_group": "a",
        "description": "",
        "auto_discovered": False,
        "confidence": 100,
        "created_by": "admin",
        "created_at": body["created_at"],
    }
    one = f"{EDGES}{body['id']}/"
    assert admin.send("PATCH", one, {"description": "rack 4"}).json()["description"] == "rack 4"
    assert admin.get(one).json()["redundancy_group"] == "a"
    changed = admin.send("PUT", one, {"device_ip": "10.0.0.2", "depends_on_ip": "10.0.0.7", "dependency_type": "power"})
    assert (changed.json()["depends_on_ip"], changed.json()["dependency_type"]) == ("10.0.0.7", "power")
    assert admin.send("DELETE", one).status_code == 204
    assert_problem(admin.get(one), 404)


def test_a_cycle_and_a_self_edge_are_problems_that_name_the_path(admin):
    edge("10.0.0.1", "10.0.0.2")
    other = edge("10.0.0.3", "10.0.0.9")

    body = assert_problem(admin.post(EDGES, {"device_ip": "10.0.0.2", "depends_on_ip": "10.0.0.1"}), 400)
    assert body["errors"][0]["field"] == "depends_on_ip"
    assert "This closes a cycle: 10.0.0.2 → 10.0.0.1 → 10.0.0.2." in body["detail"]
    body = assert_problem(admin.post(EDGES, {"device_ip": "10.0.0.1", "depends_on_ip": "10.0.0.1"}), 400)
    assert body["detail"] == "depends_on_ip: 10.0.0.1 cannot depend on itself. Name what it stands on."
    change = {"device_ip": "10.0.0.2", "depends_on_ip": "10.0.0.1"}
    assert "→" in assert_problem(admin.send("PATCH", f"{EDGES}{other.pk}/", change), 400)["detail"]
    assert pairs() == {("10.0.0.1", "10.0.0.2"), ("10.0.0.3", "10.0.0.9")}


def test_turning_an_edge_round_is_no_cycle(admin):
    one = edge("10.0.0.1", "10.0.0.2")

    turned = admin.send("PATCH", f"{EDGES}{one.pk}/", {"device_ip": "10.0.0.2", "depends_on_ip": "10.0.0.1"})

    assert turned.status_code == 200
    assert pairs() == {("10.0.0.2", "10.0.0.1")}


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ({"device_ip": "10.0.0.2", "depends_on_ip": "10.0.0.1"}, "already exists"),
        ({"device_ip": "10.0.0.2", "depends_on_ip": "10.255.0.1"}, "already exists"),
        ({"device_ip": "nowhere", "depends_on_ip": "10.0.0.1"}, "device_ip: Enter a valid IPv4 or IPv6 address."),
        ({"device_ip": "10.0.0.2"}, "depends_on_ip: This field is required."),
        ({"device_ip": "10.0.0.2", "depends_on_ip": "10.0.0.3", "type": "power"}, "type: “type” is not a known field"),
        ({"device_ip": "10.0.0.2", "depends_on_ip": "10.0.0.3", "confidence": 101}, "confidence"),
    ],
)
def test_what_is_not_a_dependency_is_a_problem(admin, data, said):
    DeviceFactory(ip="10.0.0.1", aliases=["10.255.0.1"])
    edge("10.0.0.2", "10.0.0.1")

    assert said in assert_problem(admin.post(EDGES, data), 400)["detail"]
    assert Dependency.objects.count() == 1


def test_the_list_has_pages_and_filters(admin):
    for n in range(1, 6):
        edge(f"10.0.0.{n}", "10.1.0.1", dependency_type="power" if n == 5 else "network", redundancy_group=f"g{n}")

    first = admin.get(EDGES, {"page_size": 3}).json()
    second = admin.get(first["next"]).json()
    assert [r["device_ip"] for r in first["results"] + second["results"]] == [f"10.0.0.{n}" for n in range(1, 6)]
    assert second["next"] is None

    def found(**filters):
        return [r["device_ip"] for r in admin.get(EDGES, filters).json()["results"]]

    assert found(dependency_type="power") == ["10.0.0.5"]
    assert found(device_ip="10.0.0.1,10.0.0.2") == ["10.0.0.1", "10.0.0.2"]
    assert len(found(ip="10.1.0.0/16")) == 5
    assert found(depends_on_ip="10.1.0.1", redundancy_group="g3") == ["10.0.0.3"]
    assert found(search="10.1 g4") == ["10.0.0.4"]
    assert found(auto_discovered="true") == []
    assert (
        "Allowed: network, power, service" in assert_problem(admin.get(EDGES, {"dependency_type": "x"}), 400)["detail"]
    )
    assert "not a known filter" in assert_problem(admin.get(EDGES, {"devise": "x"}), 400)["detail"]


def test_bulk_adds_and_removes_all_or_none(admin):
    old = edge("10.0.0.1", "10.0.0.2")
    same = edge("10.0.0.8", "10.0.0.9", redundancy_group="kept")
    body = {
        "create": [
            {"device_ip": "10.0.0.2", "depends_on_ip": "10.0.0.1"},
            {"device_ip": "10.0.0.8", "depends_on_ip": "10.0.0.9", "description": "new"},
        ],
        "delete": [old.pk],
    }

    dry = admin.post(f"{EDGES}bulk/", {**body, "dry_run": True})
    done = {"added": 1, "changed": 1, "unchanged": 0, "removed": 1, "repeated": 0}
    assert dry.json() == {"dry_run": True, **done}
    assert Dependency.objects.filter(pk=old.pk).exists()

    assert admin.post(f"{EDGES}bulk/", body).json() == {"dry_run": False, **done}
    same.refresh_from_db()
    assert (same.redundancy_group, same.description) == ("kept", "new")
    assert pairs() == {("10.0.0.2", "10.0.0.1"), ("10.0.0.8", "10.0.0.9")}
    assert Dependency.objects.get(device_ip="10.0.0.2").created_by.username == "admin"


@pytest.mark.parametrize(
    ("body", "field", "said"),
    [
        ({"delete": [10**9]}, "delete.0", "There is no dependency 1000000000."),
        ({"create": [{"device_ip": "x", "depends_on_ip": "::1"}]}, "create.0.device_ip", "valid IPv4 or IPv6"),
        (
            {
                "create": [
                    {"device_ip": "::1", "depends_on_ip": "::2"},
                    {"device_ip": "::2", "depends_on_ip": "::3"},
                    {"device_ip": "::3", "depends_on_ip": "::1"},
                ]
            },
            "create.2.depends_on_ip",
            "This closes a cycle: ::1 → ::2 → ::3 → ::1. The other rows of it: create.0, create.1.",
        ),
        ({"create": [{"device_ip": "::1", "depends_on_ip": "::1"}]}, "create.0.depends_on_ip", "depend on itself"),
        ({"remove": [1]}, "remove", "not a known field"),
    ],
)
def test_bulk_names_the_item_that_is_wrong(admin, body, field, said):
    body.setdefault("create", []).append({"device_ip": "10.7.0.1", "depends_on_ip": "10.7.0.2"})

    answer = assert_problem(admin.post(f"{EDGES}bulk/", body), 400)

    assert answer["errors"][0]["field"] == field
    assert said in answer["errors"][0]["detail"]
    assert not Dependency.objects.exists()


def test_a_file_by_the_api(admin):
    edge("10.0.0.3", "10.0.0.1")
    text = "device_ip,depends_on_ip\n10.0.0.2,10.0.0.1\n"

    assert admin.post(f"{EDGES}import/", {"text": text, "dry_run": True}).json()["added"] == 1
    assert admin.post(f"{EDGES}import/", {"text": text, "replace": True}).json()["removed"] == 1
    assert pairs() == {("10.0.0.2", "10.0.0.1")}
    wrong = assert_problem(admin.post(f"{EDGES}import/", {"text": text + "10.0.0.4,x\n"}), 400)
    assert wrong["errors"] == [
        {
            "field": "line 3, column 2 (depends_on_ip)",
            "detail": "“x” is not an address. Write one such as 10.1.2.3 or 2001:db8::5.",
        }
    ]


@pytest.mark.parametrize("path", [EDGES, DEVICES])
@pytest.mark.parametrize("role", ["viewer", "operator"])
def test_who_may_not_write(path, role):
    edge("10.0.0.3", "10.0.0.1")
    DeviceFactory()
    program = Caller(person(role))
    one = f"{path}{program.get(path).json()['results'][0]['id']}/"

    for method, where in (
        ("POST", path),
        ("PATCH", one),
        ("PUT", one),
        ("DELETE", one),
        ("POST", f"{path}import/"),
        ("POST", f"{path}bulk/"),
    ):
        if where == f"{DEVICES}bulk/":
            continue
        assert_problem(program.send(method, where, {}), 403)
    assert_problem(Caller(person("admin"), scopes=["read"]).send("DELETE", one), 403)
    assert_problem(Caller(raw="").get(path), 401)


def test_whoever_may_only_change_adds_and_removes_nothing():
    from django.contrib.auth.models import Permission

    user = person("viewer", username="half")
    user.user_permissions.add(Permission.objects.get(codename="change_dependency"))
    half = Caller(user)
    one = edge("10.0.0.3", "10.0.0.1")
    add = {"create": [{"device_ip": "10.0.0.2", "depends_on_ip": "10.0.0.1"}]}

    assert_problem(half.post(f"{EDGES}bulk/", add), 403)
    assert_problem(half.post(f"{EDGES}bulk/", {"delete": [one.pk]}), 403)
    assert_problem(half.post(f"{EDGES}import/", {"text": "device_ip,depends_on_ip\n::1,::2\n"}), 403)
    assert pairs() == {("10.0.0.3", "10.0.0.1")}


# --- devices ---


def test_one_device_from_its_creation_to_its_end(admin):
    made = admin.post(DEVICES, {"ip": "10.0.0.1", "aliases": ["::ffff:10.255.0.1"], "name": "core-1", "site": "north"})

    assert made.status_code == 201
    one = f"{DEVICES}{made.json()['id']}/"
    assert made.json()["aliases"] == ["10.255.0.1"]
    edge("10.0.0.2", "10.0.0.1")
    moved = admin.send("PATCH", one, {"ip": "10.0.0.100"}).json()
    assert moved["former_ips"] == ["10.0.0.1"]
    assert pairs() == {("10.0.0.2", "10.0.0.100")}
    assert admin.send("DELETE", one).status_code == 204
    assert pairs() == {("10.0.0.2", "10.0.0.100")}


def test_an_address_has_one_device(admin):
    DeviceFactory(ip="10.0.0.1", aliases=["10.255.0.1"], name="core-1")

    body = assert_problem(admin.post(DEVICES, {"ip": "10.255.0.1"}), 400)

    assert body["detail"] == "ip: 10.255.0.1 already belongs to core-1 (10.0.0.1). Remove it there first."
    assert_problem(admin.post(DEVICES, {"ip": "10.0.0.1"}), 400)


def test_an_alias_that_would_close_a_cycle_is_refused(admin):
    device = DeviceFactory(ip="10.0.0.1")
    edge("10.0.0.2", "10.0.0.1")
    edge("10.0.0.9", "10.0.0.2")
    edge("10.0.0.5", "10.0.0.1")
    one = f"{DEVICES}{device.pk}/"

    body = assert_problem(admin.send("PATCH", one, {"aliases": ["10.0.0.9"]}), 400)
    assert "close a cycle: 10.0.0.1 → 10.0.0.2 → 10.0.0.1" in body["detail"]
    body = assert_problem(admin.send("PATCH", one, {"aliases": ["10.0.0.5"]}), 400)
    assert "10.0.0.5 depends on 10.0.0.1, and both would be addresses of one device" in body["detail"]
    assert Device.objects.get().aliases == []
    assert len(pairs()) == 3


def test_filters_of_devices(admin):
    DeviceFactory(ip="10.0.0.1", aliases=["10.255.0.1"], name="core-1", site="north", role="core switch")
    DeviceFactory(ip="10.0.0.2", name="cam-1", site="south", role="camera", vendor="axis")

    def found(**filters):
        return [r["ip"] for r in admin.get(DEVICES, filters).json()["results"]]

    assert found(site="north,east") == ["10.0.0.1"]
    assert found(ip="10.255.0.1") == ["10.0.0.1"]
    assert found(ip="10.0.0.0/24", role="camera") == ["10.0.0.2"]
    assert found(vendor="axis", search="CAM south") == ["10.0.0.2"]
    assert "not a known filter" in assert_problem(admin.get(DEVICES, {"sites": "x"}), 400)["detail"]


def test_devices_from_a_file(admin):
    DeviceFactory(ip="10.0.0.1", name="core-1", site="north", notes="kept")
    text = "IP;Name;Site;Aliases\n10.0.0.1;core-one;north;10.255.0.1 10.255.0.2\n10.0.0.2;cam-1;south;\n"
    edge("10.0.0.2", "10.255.0.1")

    assert admin.post(f"{DEVICES}import/", {"text": text, "dry_run": True}).json() == {
        "dry_run": True, "added": 1, "changed": 1, "unchanged": 0,
    }  # fmt: skip
    assert Device.objects.count() == 1
    assert admin.post(f"{DEVICES}import/", {"text": text}).json()["added"] == 1
    core = Device.objects.get(ip="10.0.0.1")
    assert (core.name, core.aliases, core.notes) == ("core-one", ["10.255.0.1", "10.255.0.2"], "kept")
    assert pairs() == {("10.0.0.2", "10.0.0.1")}
    assert admin.post(f"{DEVICES}import/", {"text": text}).json()["unchanged"] == 2


@pytest.mark.parametrize(
    ("rows", "place", "said"),
    [
        ("10.0.0.300;x;;", "line 2, column 1 (ip)", "is not an address"),
        ("10.0.0.5;x;;10.0.0.6 y", "line 2, column 4 (aliases)", "is not a list of addresses"),
        ("10.0.0.5;a;;\n10.0.0.5;b;;", "line 3, column 1 (ip)", "This address stands in line 2 already"),
        ("10.0.0.5;a;;10.0.0.1", "line 2, column 1 (ip)", "10.0.0.1 already belongs to 10.0.0.1"),
        ("10.0.0.5;a;;10.0.0.6\n10.0.0.6;b;;", "line 2, column 1 (ip)", "10.0.0.6 already belongs to 10.0.0.6"),
        ("10.255.0.1;a;;", "line 2, column 1 (ip)", "10.255.0.1 already belongs to 10.0.0.1"),
        ("10.0.0.3;a;;10.0.0.4", "line 2, column 1 (ip)", "10.0.0.4 depends on 10.0.0.3, and both would be addresses"),
        (f"10.0.0.5;{'n' * 201};;", "line 2, column 2 (name)", "This is 201 characters long. Shorten it to 200."),
    ],
)
def test_a_wrong_file_of_devices_changes_nothing(admin, rows, place, said):
    DeviceFactory(ip="10.0.0.1", aliases=["10.255.0.1"], name="core-1")
    edge("10.0.0.4", "10.0.0.3")

    body = assert_problem(admin.post(f"{DEVICES}import/", {"text": f"ip;name;site;aliases\n{rows}\n"}), 400)

    assert body["errors"][0]["field"] == place
    assert said in body["errors"][0]["detail"]
    assert Device.objects.count() == 1


def test_an_alias_may_move_from_one_device_to_another_in_one_file(admin):
    DeviceFactory(ip="10.0.0.1", aliases=["10.255.0.1"])
    DeviceFactory(ip="10.0.0.2")

    text = "ip,aliases\n10.0.0.1,\n10.0.0.2,10.255.0.1\n"

    assert admin.post(f"{DEVICES}import/", {"text": text}).json()["changed"] == 2
    assert Device.objects.get(ip="10.0.0.2").aliases == ["10.255.0.1"]


def test_the_description_of_the_api_names_them(admin):
    paths = admin.get("/api/v1/schema/").json()["paths"]

    for path in (EDGES, DEVICES):
        assert set(paths[path]) == {"get", "post"}
        assert set(paths[f"{path}{{id}}/"]) == {"get", "put", "patch", "delete"}
        assert set(paths[f"{path}import/"]) == {"post"}
    assert set(paths[f"{EDGES}bulk/"]) == {"post"}
