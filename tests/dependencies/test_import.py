"""manage.py import_dependencies: every shape of file, all rows or none, each mistake with its place."""

from __future__ import annotations

import io
import json
import random
import sys

import pytest
from django.core.management import CommandError, call_command

from dependencies.models import Dependency
from tests.factories import DeviceFactory

pytestmark = pytest.mark.django_db

HEAD = "device_ip,depends_on_ip,dependency_type,description,redundancy_group\n"


@pytest.fixture
def run(tmp_path, monkeypatch):
    """run(text or bytes, *flags) -> (stdout, stderr); a refusal is the message of its CommandError at the end."""

    def run_(content, *flags, name="edges.csv"):
        data = content.encode() if isinstance(content, str) else content
        file = tmp_path / name
        file.write_bytes(data)
        if name == "-":
            monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))
        out, err = io.StringIO(), io.StringIO()
        try:
            call_command("import_dependencies", "-" if name == "-" else str(file), *flags, stdout=out, stderr=err)
        except CommandError as error:
            return out.getvalue(), f"{err.getvalue()}{error}"
        return out.getvalue(), err.getvalue()

    return run_


def stored() -> set[tuple[str, ...]]:
    fields = ("device_ip", "depends_on_ip", "dependency_type", "redundancy_group", "description")
    return set(Dependency.objects.values_list(*fields))


def edge(child, parent, **fields):
    return Dependency.objects.create(device_ip=child, depends_on_ip=parent, **fields)


# --- shapes ---


@pytest.mark.parametrize(
    ("content", "name"),
    [
        (HEAD + '10.0.0.2,10.0.0.1,power,"Left, lower\nshelf",a\n', "x.csv"),
        ("\ufeff" + HEAD + '10.0.0.2,10.0.0.1,power,"Left, lower\nshelf",a\n', "x.csv"),
        ((HEAD + '10.0.0.2,10.0.0.1,power,"Left, lower\nshelf",a\n').encode("utf-16"), "x.csv"),
        (
            (HEAD + '10.0.0.2,10.0.0.1,power,"Left, lower\nshelf",a').replace("\n", "\r\n").replace("lower\r", "lower"),
            "x",
        ),
        ('Redundancy Group;DEPENDS-ON-IP;Device;type;Description\na;10.0.0.1;10.0.0.2;POWER;"Left, lower\nshelf"', "x"),
        ('sep=;\ndevice;parent;type;group;description\n 10.0.0.2 ;10.0.0.1;power;a;"Left, lower\nshelf";;\n', "x"),
        (
            '# ours\n\ndevice\tparent\ttype\tgroup\tdescription\n10.0.0.2\t10.0.0.1\tpower\ta\t"Left, lower\nshelf"\n',
            "-",
        ),
        (
            json.dumps(
                [
                    {
                        "device_ip": "::ffff:10.0.0.2",
                        "depends_on_ip": "10.0.0.1",
                        "dependency_type": "power",
                        "redundancy_group": "a",
                        "description": "Left, lower\nshelf",
                    }
                ]
            ),
            "x.json",
        ),
        (
            "# ours\n- device_ip: 10.0.0.2\n  depends_on_ip: 10.0.0.1\n  dependency_type: power\n"
            '  redundancy_group: a\n  description: "Left, lower\\nshelf"\n',
            "-",
        ),
    ],
)
def test_every_shape_of_file_gives_the_same_edge(run, content, name):
    out, err = run(content, name=name)

    assert out.startswith("1 added, 0 changed, 0 unchanged."), err
    assert stored() == {("10.0.0.2", "10.0.0.1", "power", "a", "Left, lower\nshelf")}


@pytest.mark.parametrize(
    ("content", "name", "said"),
    [
        ("", "x.csv", "Line 1: The file is empty. Its first line names the columns: device_ip,"),
        ("\n \n", "x.csv", "The file is empty"),
        (HEAD, "x.csv", "Line 1: There are no rows below the header"),
        ("10.0.0.2,10.0.0.1\n", "x.csv", "Line 1: The first line is no header: it names none of the columns. Put this"),
        (
            "device_ip,type\n1.1.1.1,power\n",
            "x.csv",
            "Line 1: The column depends_on_ip is missing. Add it to the header",
        ),
        (
            "device_ip,depends_on_ip,depends\n",
            "x.csv",
            "Line 1, column 3: There is no column “depends”. Rename or remove it; known are device_ip,",
        ),
        (
            "device,device_ip,parent\n",
            "x",
            "Line 1, column 2 (device_ip): This column is named twice, first in column 1",
        ),
        (
            HEAD + "10.0.0.2,10.0.0.1\n10.0.0.300,10.0.0.1\n",
            "x",
            "Line 3, column 1 (device_ip): “10.0.0.300” is not an",
        ),
        (HEAD + "10.0.0.2,\n", "x", "Line 2, column 2 (depends_on_ip): The address is missing. Write one such as"),
        (
            HEAD + "10.0.0.2,10.0.0.1,wifi\n",
            "x",
            "column 3 (dependency_type): “wifi” is not a type of dependency. Write",
        ),
        (HEAD + "10.0.0.2,10.0.0.1,,,a,b\n", "x", "Line 2, column 6: This row has 6 values and the header 5 columns"),
        (HEAD + '10.0.0.2,10.0.0.1,,"a\nb"\n1.1.1.1,2', "x", "Line 4, column 2 (depends_on_ip): “2” is not an address"),
        (HEAD + '10.0.0.2,10.0.0.1,,"a\n\n', "x", "Line 2: This row cannot be read"),
        (HEAD + "10.0.0.2,10.0.0.1,,," + "g" * 61, "x", "column 5 (redundancy_group): This is 61 characters long"),
        (HEAD.encode() + b"10.0.0.2,10.0.0.1,,caf\xe9\n", "x", "Line 2: This is not UTF-8 text. In a spreadsheet"),
        (b"PK\x03\x04\x00\x00\x08" + b"\x00" * 50, "x.csv", "Line 1: This is not a text file. Export it as CSV UTF-8"),
        (b"\x7fELF\x02\x01\x00\x00", "-", "This is not a text file"),
        (
            '[{"device_ip": "10.0.0.2",\n "depends_on_ip": 5.5}]',
            "x.json",
            "Line 1, column 2 (depends_on_ip): Write a text",
        ),
        ('[\n {"device_ip": "10.0.0.2"}\n]', "x.json", "Line 2, column 2 (depends_on_ip): The address is missing"),
        ('[\n {"device_ip": "10.0.0.2"\n', "x.json", "Line 3, column 1: This is not JSON: Expecting ',' delimiter"),
        ('[{"device_ip": "::1", "parent": "::2"} {"a": 1}]', "x.json", "There is no comma before this"),
        ('[{"device_ip": "::1", "parent": "::2"}', "x.json", "The list is not closed"),
        ("[" * 100_000, "x.json", "nested too deeply"),
        ("[3]", "x.json", 'Line 1, column 2: Each row is an object: {"device_ip": "…"'),
        (
            "- device_ip: 10.0.0.2\n  depends_on_ip: nowhere\n",
            "x.yaml",
            "column 18 (depends_on_ip): “nowhere” is not an",
        ),
        ("- device_ip: 10.0.0.2\n  dep: [1\n", "x.yaml", "This is not YAML"),
        ("- " * 5_000 + "a", "x.yaml", "Each row is a mapping in one list"),
        ("- &a {device_ip: 10.0.0.2, parent: 10.0.0.1}\n- *a\n", "x.yaml", "Line 2, column 3: Each row is a mapping"),
        ("- {device_ip: !!python/object:os.system x}\n", "x.yaml", "“x” is not an address"),
    ],
)
def test_what_is_wrong_is_named_with_its_place_and_what_to_do(run, content, name, said):
    edge("10.9.0.1", "10.9.0.2")

    out, err = run(content, name=name)

    assert said in err
    assert "wrong. Nothing was saved." in err
    assert out == ""
    assert Dependency.objects.count() == 1


def test_all_mistakes_of_a_file_are_counted_and_the_first_hundred_named(run):
    rows = "".join(f"10.0.0.2,host-{n}\n" for n in range(2_500))

    _, err = run("device_ip,depends_on_ip\n" + rows)

    assert err.count("is not an address") == 100
    assert "Line 101, column 2" in err
    assert "2,500 wrong. Nothing was saved." in err


def test_a_file_that_is_too_large_or_has_too_many_rows_is_refused(run, monkeypatch):
    monkeypatch.setattr("dependencies.tables.MOST_ROWS", 2)
    _, err = run("device_ip,depends_on_ip\n" + "".join(f"10.0.0.{n},10.0.1.1\n" for n in range(5)))
    assert "Line 4: There are more than 2 rows. Import them in several files." in err

    monkeypatch.setattr("dependencies.tables.MOST_BYTES", 1_000_000)
    _, err = run(b"x" * 1_000_002)
    assert "larger than 1 MB" in err


def test_a_file_that_is_not_there(run):
    with pytest.raises(CommandError, match="No such file"):
        call_command("import_dependencies", "/nowhere/edges.csv")


# --- what it does ---


def test_the_result_counts_added_changed_unchanged_and_removed(run):
    edge("10.0.0.2", "10.0.0.1", description="old", redundancy_group="g")
    edge("10.0.0.3", "10.0.0.1")
    edge("10.0.0.4", "10.0.0.1")
    found = edge("10.0.0.5", "10.0.0.1", auto_discovered=True, confidence=60)
    confirmed = edge("10.0.0.6", "10.0.0.1", auto_discovered=True, confidence=60)
    rows = "10.0.0.2,10.0.0.1,new\n10.0.0.3,10.0.0.1,\n10.0.0.9,10.0.0.1,x\n10.0.0.9,10.0.0.1,x\n10.0.0.6,10.0.0.1,\n"

    before = stored()
    out, _ = run("device_ip,depends_on_ip,description\n" + rows, "--replace", "--dry-run")
    assert stored() == before
    assert out == (
        "1 added, 2 changed, 1 unchanged, 1 removed; 1 row repeats an earlier one.\nNothing was saved (--dry-run).\n"
    )

    assert run("device_ip,depends_on_ip,description\n" + rows, "--replace")[0] == out.partition("\n")[0] + "\n"
    assert stored() == {
        ("10.0.0.2", "10.0.0.1", "network", "g", "new"),  # the group has no column, so it stays
        ("10.0.0.3", "10.0.0.1", "network", "", ""),
        ("10.0.0.5", "10.0.0.1", "network", "", ""),  # discovered: its discoverer decides
        ("10.0.0.6", "10.0.0.1", "network", "", ""),
        ("10.0.0.9", "10.0.0.1", "network", "", "x"),
    }
    found.refresh_from_db()
    confirmed.refresh_from_db()
    assert (found.confidence, confirmed.confidence, confirmed.auto_discovered) == (60, 100, False)
    assert run("device_ip,depends_on_ip,description\n" + rows)[0].startswith("0 added, 0 changed, 4 unchanged;")


def test_rows_that_contradict_each_other_are_wrong(run):
    _, err = run(HEAD + "10.0.0.2,10.0.0.1,network,a,\n10.0.0.2,10.0.0.1,network,b,\n")

    assert "Line 3, column 2 (depends_on_ip): Another row, line 2, says something else of the same dependency." in err
    assert stored() == set()


def test_an_alias_stands_for_its_device(run):
    DeviceFactory(ip="10.0.0.1", aliases=["10.255.0.1", "2001:db8::1"])

    run("device_ip,depends_on_ip\n10.0.0.2,10.255.0.1\n10.0.0.3,2001:DB8::0001\n")
    _, err = run("device_ip,depends_on_ip\n10.255.0.1,2001:db8::1\n")

    assert {row[:2] for row in stored()} == {("10.0.0.2", "10.0.0.1"), ("10.0.0.3", "10.0.0.1")}
    assert "10.255.0.1 and 2001:db8::1 are addresses of one device, 10.0.0.1, which cannot depend on itself" in err


# --- cycles: cases 49 and 50 ---


def test_case_49_a_cycle_in_the_file_is_named_and_refused(run):
    _, err = run(
        "device_ip,depends_on_ip\n10.0.0.1,10.0.0.2\n10.0.0.9,10.0.0.1\n10.0.0.2,10.0.0.3\n10.0.0.3,10.0.0.1\n"
    )

    assert "Line 5, column 2 (depends_on_ip): This closes a cycle: 10.0.0.1 → 10.0.0.2 → 10.0.0.3 → 10.0.0.1." in err
    assert "The other rows of it: lines 2, 4." in err
    assert stored() == set()


def test_case_49_a_cycle_with_what_is_stored_is_named_and_refused(run):
    edge("10.0.0.1", "10.0.0.2")

    _, err = run("device_ip,depends_on_ip\n10.0.0.2,10.0.0.1\n")

    assert "Line 2, column 2 (depends_on_ip): This closes a cycle: 10.0.0.2 → 10.0.0.1 → 10.0.0.2." in err
    assert "The rest is stored already." in err
    assert Dependency.objects.count() == 1


def test_a_cycle_that_replacing_breaks_is_none(run):
    edge("10.0.0.1", "10.0.0.2")

    out, _ = run("device_ip,depends_on_ip\n10.0.0.2,10.0.0.1\n", "--replace")

    assert out == "1 added, 0 changed, 0 unchanged, 1 removed.\n"


def test_cycles_are_named_beside_other_mistakes_in_the_order_of_the_file(run):
    _, err = run("device_ip,depends_on_ip\n10.0.0.1,10.0.0.2\n10.0.0.2,10.0.0.1\nx,10.0.0.1\n10.0.0.5,10.0.0.5\n")

    assert [line.partition(",")[0] for line in err.splitlines()] == [
        "Line 3",
        "Line 4",
        "Line 5",
        "3 wrong. Nothing was saved.",
    ]


def test_several_cycles_are_named_each(run):
    _, err = run(
        "device_ip,depends_on_ip\n10.0.0.1,10.0.0.2\n10.0.0.2,10.0.0.1\n10.1.0.1,10.1.0.2\n10.1.0.2,10.1.0.1\n"
    )

    assert err.count("closes a cycle") == 2
    assert "2 wrong" in err


def test_case_50_self_dependency(run):
    _, err = run("device_ip,depends_on_ip\n10.0.0.2,10.0.0.1\n10.0.0.1,::ffff:10.0.0.1\n")

    assert "Line 3, column 2 (depends_on_ip): 10.0.0.1 cannot depend on itself." in err
    assert stored() == set()


def hundred_thousand(extra=()):
    """A network of 100,000 edges: access switches below distribution below two cores, each twice connected."""
    rows: list[str] = []
    for n in range(50_000):
        child = f"10.{n >> 14 & 255}.{n >> 7 & 127}.{n & 127}"
        up = n // 40
        rows += [f"{child},172.{side}.{up >> 7 & 127}.{up & 127},network,port {n},uplink" for side in (17, 18)]
    random.Random(7).shuffle(rows)
    rows[500:500] = extra
    return "device_ip,depends_on_ip,dependency_type,description,redundancy_group\n" + "\n".join(rows) + "\n"


def test_100000_rows_with_progress_and_then_a_cycle_of_seven_among_them(run):
    out, err = run(hundred_thousand())

    assert out == "100,000 added, 0 changed, 0 unchanged.\n"
    assert err.splitlines() == [
        *(f"Read {n * 20_000:,} rows." for n in range(1, 6)),
        "Comparing with what is stored.",
        "Preparing 100,000 rows.",
        "Saving.",
    ]
    ring = [f"192.168.0.{n},192.168.0.{n % 7 + 1},network,," for n in range(1, 8)]
    _, err = run(hundred_thousand(ring), "--replace")

    assert "This closes a cycle: " in err
    path = err.partition("This closes a cycle: ")[2].partition(".\x20")[0].split(" → ")
    assert len(path) == 8
    assert path[0] == path[-1]
    assert set(path) == {f"192.168.0.{n}" for n in range(1, 8)}
    assert "Line 508, column 2" in err
    assert "1 wrong. Nothing was saved." in err
    assert Dependency.objects.count() == 100_000
