"""MIB texts to traps and objects; and what is said when a text is wrong."""

from __future__ import annotations

import sys

import pytest

from connectors.mibs import source, worker
from connectors.mibs.compile import Compiled, compile_modules
from tests.connectors.mibs.texts import FANS, HEAD, TABLE, mib, notification
from tests.patience import SECONDS


def compiled(*texts: str, stored: dict[str, dict[str, str]] | None = None) -> Compiled:
    modules = []
    for number, text in enumerate(texts):
        modules += source.read(text, f"file{number}.txt")
    return compile_modules(modules, stored)


def errors(result: Compiled) -> list[str]:
    return [str(p) for p in result.problems if p.is_error]


def notes(result: Compiled) -> list[str]:
    return [str(p) for p in result.problems if not p.is_error]


def oids(result: Compiled) -> dict[str, str]:
    return {n.name: n.oid for n in result.notifications}


def test_notifications_and_objects_get_their_oids_kinds_words_and_units():
    result = compiled(FANS)

    assert errors(result) == notes(result) == []
    assert oids(result)["acmeFanFailed"] == "1.3.6.1.4.1.64999.0.1"
    objects = {o.name: o for o in result.objects}
    assert (objects["acmeFanSpeed"].oid, objects["acmeFanSpeed"].unit) == ("1.3.6.1.4.1.64999.1.1.3", "rpm")
    assert objects["acmeFanSpeed"].kind == "column"
    assert objects["acmeFanIndex"].is_index
    assert objects["acmeFanState"].enum == {"1": "ok", "2": "degraded", "3": "failed", "4": "critical"}
    assert objects["acmeArmed"].kind == "scalar"
    assert objects["acmeArmed"].enum == {"1": "true", "2": "false"}  # of a convention the module only imports
    assert objects["acme"].kind == ""


def test_trap_type_of_version_1_is_its_enterprise_a_zero_and_its_number():
    text = mib(
        'overheat TRAP-TYPE ENTERPRISE box VARIABLES { ifIndex } DESCRIPTION "Hot." ::= 7\n'
        'cold TRAP-TYPE ENTERPRISE { box 2 } ::= 8\nlinkGone TRAP-TYPE ENTERPRISE snmp DESCRIPTION "Gone." ::= 2\n',
        head="IMPORTS enterprises FROM RFC1155-SMI snmp, ifIndex FROM RFC1213-MIB TRAP-TYPE FROM RFC-1215;\n"
        "box OBJECT IDENTIFIER ::= { enterprises 64999 3 }\n",
    )

    result = compiled(text)

    assert errors(result) == []
    assert oids(result) == {
        "overheat": "1.3.6.1.4.1.64999.3.0.7",
        "cold": "1.3.6.1.4.1.64999.3.2.0.8",
        "linkGone": "1.3.6.1.6.3.1.1.5.3",
    }
    assert [o.oid for o in result.notifications[0].objects] == ["1.3.6.1.2.1.2.2.1.1"]


def test_missing_module_is_named_once_with_the_line_of_the_import():
    text = mib(
        "acmeThings OBJECT IDENTIFIER ::= { acmeMgmt 4 }\n"
        + notification("acmeDown", 1, parent="acmeThings 0")
        + notification("acmeUp", 2, parent="acmeThings 0"),
        head="IMPORTS\n    NOTIFICATION-TYPE FROM SNMPv2-SMI\n    acmeMgmt\n        FROM ACME-SMI;\n",
    )

    result = compiled(text)

    assert errors(result) == [
        "ACME-MIB line 4 imports acmeMgmt from ACME-SMI, which was not uploaded. Upload ACME-SMI too. "
        "Left out: acmeThings, acmeDown, acmeUp."
    ]
    assert result.notifications == []


def test_missing_module_that_lends_only_a_type_costs_nothing_but_words():
    text = mib(
        'acmeLevel OBJECT-TYPE SYNTAX AcmeLevel MAX-ACCESS read-only STATUS current DESCRIPTION "" ::= { acme 5 }\n',
        head=HEAD.replace("TruthValue,", "AcmeLevel FROM ACME-TC TruthValue,"),
    )

    result = compiled(text)

    assert errors(result) == []
    assert "ACME-MIB line 4 imports AcmeLevel from ACME-TC, which was not uploaded." in notes(result)[0]
    assert [o.name for o in result.objects] == ["acme", "acmeLevel"]


def test_dependencies_are_found_among_uploads_in_any_order_and_among_earlier_imports():
    child = mib(
        notification("acmeDown", 1, parent="acmeMgmt 0"),
        head="IMPORTS NOTIFICATION-TYPE FROM SNMPv2-SMI acmeMgmt FROM ACME-SMI;\n",
    )
    parent = mib("acmeMgmt OBJECT IDENTIFIER ::= { acme 9 }\n", "ACME-SMI")

    assert oids(compiled(child, parent)) == {"acmeDown": "1.3.6.1.4.1.64999.9.0.1"}
    assert oids(compiled(child, stored={"ACME-SMI": {"acmeMgmt": "1.3.6.1.4.1.64999.9"}})) == {
        "acmeDown": "1.3.6.1.4.1.64999.9.0.1"
    }


def test_module_of_another_version_is_told_apart_from_a_missing_one():
    child = mib(
        notification("acmeDown", 1, parent="acmeNew 0"),
        head="IMPORTS NOTIFICATION-TYPE FROM SNMPv2-SMI acmeNew FROM ACME-SMI;\n",
    )

    result = compiled(child, mib("", "ACME-SMI"))

    assert (
        "imports acmeNew from ACME-SMI, which does not define it. Is it another version of ACME-SMI?"
        in errors(result)[0]
    )


def test_modules_that_import_each_other_are_resolved():
    one = mib(
        "aRoot OBJECT IDENTIFIER ::= { enterprises 64999 1 }\n" + notification("oneDown", 1, parent="bRoot 0"),
        "ONE-MIB",
        "IMPORTS enterprises FROM SNMPv2-SMI bRoot FROM TWO-MIB;\n",
    )
    two = mib(
        "bRoot OBJECT IDENTIFIER ::= { aRoot 2 }\n" + notification("twoDown", 1, parent="aRoot 0"),
        "TWO-MIB",
        "IMPORTS aRoot FROM ONE-MIB;\n",
    )

    result = compiled(one, two)

    assert errors(result) == []
    assert oids(result) == {"oneDown": "1.3.6.1.4.1.64999.1.2.0.1", "twoDown": "1.3.6.1.4.1.64999.1.0.1"}


def test_definitions_that_lead_back_to_themselves_are_reported():
    text = mib(
        "aaa OBJECT IDENTIFIER ::= { bbb 1 }\nbbb OBJECT IDENTIFIER ::= { aaa 1 }\n"
        + notification("lost", 1, parent="aaa 0")
    )

    result = compiled(text)

    assert len(errors(result)) == 1
    assert "by itself: following its parents leads back to it. Left out: aaa, bbb, lost." in errors(result)[0]


def test_deep_tree_is_walked_without_recursion_and_its_impossible_oids_are_reported():
    chain = "".join(f"n{i} OBJECT IDENTIFIER ::= {{ n{i - 1} 1 }}\n" for i in range(1, 3000))

    result = compiled(mib("n0 OBJECT IDENTIFIER ::= { acme 1 }\n" + chain))

    assert len(result.objects) == 2 + 120  # acme and n0 to n120 fit into 128 arcs
    assert all("OID that cannot exist" in e for e in errors(result))


def test_mistake_in_one_definition_costs_that_definition_and_names_line_and_word():
    text = mib(
        TABLE + "acmeOdd OBJECT-TYPE SYNTAX Integer32 MAX-ACCESS\n  read-only STATUS current )\n  ::= { acme 7 }\n"
    )
    line = text[: text.index("current )")].count("\n") + 1

    result = compiled(text)

    assert errors(result) == [
        f"ACME-MIB line {line} the definition of acmeOdd cannot be read: “)” is not expected there. "
        "Its name and OID are kept, the rest is lost."
    ]
    assert "1.3.6.1.4.1.64999.7" in {o.oid for o in result.objects}
    assert {"acmeFanState", "acmeFanSpeed"} <= {o.name for o in result.objects}


def test_mistakes_with_a_clear_meaning_are_only_noted():
    text = mib(
        "acmeTable OBJECT-TYPE SYNTAX SEQUENCE OF acmeEntry MAX-ACCESS not-accessible STATUS current\n"
        'DESCRIPTION "" ::= { acme 3 }\n'
        "acmeMode OBJECT-TYPE SYNTAX Integer32 { on(1), off(2), } MAX-ACCESS read-only STATUS current\n"
        'DESCRIPTION "" ::= { acme 4 }\n'
    )

    result = compiled(text)

    assert errors(result) == []
    assert [n.partition("the definition of ")[2].split()[0] for n in notes(result)] == ["acmeTable", "acmeMode"]
    assert {o.name: o.enum for o in result.objects}["acmeMode"] == {"1": "on", "2": "off"}


def test_words_of_the_language_inside_descriptions_do_no_harm():
    text = mib(
        notification("acmeDown", 1, "The MACRO of CHOICE EXPORTS -- not a comment; END BEGIN ::= { } IMPORTS x FROM y;")
    )

    result = compiled(text)

    assert errors(result) == []
    assert result.notifications[0].description.startswith("The MACRO of CHOICE EXPORTS -- not a comment")


def test_text_that_is_cut_off_or_whose_quotes_do_not_match_is_reported_and_the_rest_kept():
    cut = FANS[: FANS.index("acmeHeartbeat") + 60]
    open_quote = FANS.replace('"Sent every minute."', '"Sent every minute.')

    assert "acmeFanRestored" in oids(compiled(cut))
    assert "the file looks cut off" in " ".join(errors(compiled(cut)))
    assert "acmeFanStateChange" in oids(compiled(open_quote))
    assert "opens a quotation mark that is never closed" in " ".join(errors(compiled(open_quote)))


def test_unlisted_names_are_reported_at_the_definition():
    text = mib("acmeThing OBJECT IDENTIFIER ::= { nobody 1 }\n" + notification("acmeDown", 1, "x", "acmeNothing"))

    result = compiled(text)

    assert "puts acmeThing under nobody, which is neither defined nor imported there." in errors(result)[0]
    assert "says that acmeDown carries acmeNothing, which is neither defined nor imported." in notes(result)[0]
    assert oids(result) == {"acmeDown": "1.3.6.1.4.1.64999.0.1"}


def test_module_given_twice_is_used_once():
    result = compiled(FANS, FANS)

    assert len(result.notifications) == 4
    assert notes(result) == ["ACME-MIB line 1 is also in file0.txt; it is the same."]


@pytest.mark.parametrize(
    "text", ["", "hello", "\0\1\2", "x" * 200_000, "BEGIN END " * 5_000, '"' * 999, "DEFINITIONS ::= BEGIN"]
)
def test_garbage_has_no_modules_and_no_accident(text):
    assert source.read(text, "garbage.txt") == []


def test_garbage_inside_a_module_is_limited_in_what_it_says():
    noise = "".join(f"acmeX{i} OBJECT-TYPE ) ( ] ::= \n" for i in range(500))

    (module,) = source.read(mib(noise), "noise.txt")

    assert len(module["problems"]) == source.PROBLEMS_MAX + 1


class TestWorker:
    def test_reads_in_another_process_with_the_same_result(self):
        ((file, modules, why_not),) = worker.read_all([("fans.txt", FANS)])

        assert (file, why_not) == ("fans.txt", "")
        assert len(compile_modules(modules).notifications) == 4

    def test_what_takes_too_long_is_stopped_and_the_next_file_is_read(self, monkeypatch):
        slow = "import sys, time\nfor line in sys.stdin:\n    time.sleep(3600)\n"
        reader = worker.Reader(0.2, [sys.executable, "-c", slow])

        with pytest.raises(worker.TooSlow):
            reader.read(FANS, "slow.txt")

        assert reader.process is None
        reader.command = worker.Reader().command
        reader.file_seconds = SECONDS
        assert reader.read(FANS, "fans.txt")[0]["name"] == "ACME-MIB"
        reader.stop()

    def test_a_child_that_dies_is_reported_and_replaced(self):
        reader = worker.Reader(SECONDS, [sys.executable, "-c", "import sys; sys.stdin.readline(); sys.exit(3)"])

        with pytest.raises(worker.Broken, match="ended"):
            reader.read(FANS, "x.txt")

        assert reader.process is None

    def test_the_total_time_is_limited_too(self):
        found = list(worker.read_all([("a", FANS), ("b", FANS)], total_seconds=-1))

        assert [modules for _, modules, _ in found] == [[], []]
        assert "Import fewer files at once" in found[0][2]

    def test_texts_made_to_take_long_end_in_time(self):
        """Whatever a text does, the process that asked waits no longer than the limit."""
        definitions = "".join(
            f'a{i} OBJECT-TYPE SYNTAX INTEGER ACCESS read-only STATUS x DESCRIPTION "" ::= {{ a 1 }} '
            for i in range(4_000)
        )
        hard = [
            ("macros", mib("AA MACRO ::= BEGIN " * 40_000)),
            ("definitions", mib(definitions)),
            ("braces", mib("acmeX OBJECT-TYPE SYNTAX INTEGER { " + "a(1), " * 60_000)),
            ("names", mib("a " * 400_000)),
            ("equals", mib("aaa ::= " * 100_000)),
        ]

        for file, _, why_not in worker.read_all(hard, file_seconds=2):
            assert why_not in ("", "could not be read within 2 s and was left out. Is it really a MIB?"), file
