"""Published MIBs: every one imports, or it is said precisely what is wrong with it. net-snmp is asked too."""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
from pathlib import Path

import pytest

from connectors.mibs import proposals, worker
from connectors.mibs.compile import Compiled, base, compile_modules
from connectors.mibs.proposals import Proposal

ROOT = Path(__file__).resolve().parents[3]
MIBS = Path(os.environ.get("OPSCONDUCTOR_FIXTURES") or ROOT.parent / "shared" / "fixtures") / "mibs"
FILES = sorted(MIBS.glob("*.txt")) if MIBS.is_dir() else []

pytestmark = pytest.mark.skipif(not FILES, reason=f"no MIB files in {MIBS} (set OPSCONDUCTOR_FIXTURES)")

# What is wrong with them and harmless, word for word: nothing of it costs a trap or an object.
NOTED = {
    "CP-ETHERNET-MIB": 1,
    "RFC-1212": 1,
    "RFC-1215": 1,
    "RFC1155-SMI": 1,
    "SNMPv2-CONF": 1,
    "SNMPv2-SMI": 1,
    "UBNT-AirFIBER-MIB": 15,
    "UI-AF60-MIB": 1,
    "WIPIPE-MIB": 1,
}


@pytest.fixture(scope="module")
def modules():
    found = []
    for file, read, why_not in worker.read_all([(f.name, f.read_text(errors="replace")) for f in FILES]):
        assert why_not == "", file
        found += read
    return found


@pytest.fixture(scope="module")
def result(modules) -> Compiled:
    return compile_modules(modules)


@pytest.fixture(scope="module")
def found(result) -> dict[str, Proposal]:
    return {f"{p.row['mib_name']}::{p.row['mib_object']}": p for p in proposals.from_compiled(result).proposals}


def test_all_of_them_are_read_together_without_an_error(result):
    assert len(result.modules) == len(FILES) == 76
    assert [str(p) for p in result.problems if p.is_error] == []
    assert len(result.notifications) == 288
    assert sum(1 for o in result.objects if o.kind) > 4_000


def test_what_is_wrong_with_them_is_said_precisely(result):
    noted: dict[str, int] = {}
    for problem in result.problems:
        noted[problem.module] = noted.get(problem.module, 0) + 1
    assert noted == NOTED
    told = [str(p) for p in result.problems]
    assert (
        "CP-ETHERNET-MIB line 15 the definition of ethernetPortTable cannot be read: “ethernetPortEntry” is not "
        "expected there; what is meant is clear." in told
    )
    assert "UI-AF60-MIB line 141 defines af60StationTable again, after line 27; the first one is used." in told
    assert (
        "WIPIPE-MIB line 306 says that gpioPinTrap carries pinDescr, which is neither defined nor imported. "
        "It will be shown by its OID." in told
    )


def test_each_alone_imports_or_names_the_modules_it_needs(modules):
    """Somebody uploads one file: the base that ships carries it, or the sentence says which module to add."""
    names = {m["name"] for m in modules}
    for module in modules:
        for problem in compile_modules([module]).problems:
            if problem.is_error:
                assert problem.line, problem
                assert "which was not uploaded. Upload " in problem.text, problem
                assert problem.text.partition("Upload ")[2].split()[0] in names, problem


def test_shipped_facts_are_those_of_the_published_modules(result):
    published: dict[str, dict[str, str]] = {}
    for o in result.objects:
        published.setdefault(o.mib_name, {})[o.name] = o.oid
    for module, facts in base().items():
        if module in published:
            assert facts["nodes"] == published[module], module
        assert set(facts["columns"]) | set(facts["scalars"]) <= set(facts["nodes"]), module


def test_net_snmp_finds_every_trap_and_object_at_the_same_oid(result):
    program = shutil.which("snmptranslate")
    if program is None:
        pytest.skip("snmptranslate is not installed")
    # Twice defined (UI-AF60-MIB), or older than what net-snmp maps: those with v1 traps it numbers without the zero.
    ours = {f"{n.mib_name}::{n.name}": n.oid for n in result.notifications}
    ours |= {f"{o.mib_name}::{o.name}": o.oid for o in result.objects if o.kind and o.mib_name != "UI-AF60-MIB"}
    asked = list(ours)
    answer = subprocess.run(
        [program, "-M", str(MIBS), "-m", "ALL", "-On", *asked],
        capture_output=True, text=True, check=False, env={"PATH": os.environ["PATH"], "MIBS": ""},
    )  # fmt: skip
    theirs = answer.stdout.split()

    assert len(theirs) == len(asked), answer.stderr[-500:]
    differing = {
        name: (ours[name], oid.lstrip("."))
        for name, oid in zip(asked, theirs, strict=True)
        if ours[name] != oid.lstrip(".")
    }
    assert differing == {}


@pytest.mark.parametrize(
    ("cleared", "raised"),
    [
        ("IF-MIB::linkUp", ["link_down"]),
        ("CP-ETHERNET-MIB::portUp", ["port_down"]),
        ("CP-SYSTEM-MIB::cpuUtilizationLow", ["cpu_utilization_high"]),
        ("RADIO-BRIDGE-MIB::trapTemperatureInRange", ["temperature_out_of_range"]),
        ("RADIO-BRIDGE-MIB::trapSfpIn", ["sfp_out"]),
        ("RADIO-BRIDGE-MIB::trapLoopDisabled", ["loop_enabled"]),
        ("RADIO-BRIDGE-MIB::trapTxMuteDisabled", ["tx_mute_enabled"]),
        ("RADIO-BRIDGE-MIB::trapNoLowestModulation", ["lowest_modulation"]),
        ("UPS-MIB::upsTrapAlarmEntryRemoved", ["ups_alarm_entry_added"]),
        ("XUPS-MIB::xupstdReturnFromLowBattery", ["ups_low_battery"]),
        ("XUPS-MIB::xupstdContactInactiveNotice", ["ups_contact_active"]),
        ("MG-SNMP-UPS-MIB::upsmgReturnFromBattery", ["ups_on_battery"]),
        ("MG-SNMP-UPS-MIB::upsmgEnvironTemperatureOK", ["ups_environ_temperature_high", "ups_environ_temperature_low"]),
        ("MG-SNMP-UPS-MIB::upsmgBatteryReplaceNotIndicated", ["ups_battery_replace_indicated"]),
        ("CISCO-MEMORY-POOL-MIB::ciscoMemoryPoolLowMemoryRecoveryNotif", ["memory_pool_low_memory"]),
        ("RMON-MIB::fallingAlarm", ["rising_alarm"]),
        ("ALARM-MIB::alarmClearState", ["alarm_active_state"]),
        ("AXIS-VIDEO-MIB::alarmCleared", ["alarm_new"]),
        ("IEEE8023-LAG-MIB::dot3adAggLinkUpNotification", ["agg_link_down"]),
        ("WWP-LEOS-PORT-MIB::wwpLeosEthLinkUp", ["eth_link_down"]),
    ],
)
def test_raises_and_clears_of_known_families_are_paired(found, cleared, raised):
    assert found[cleared].row["is_clear_event"], found[cleared].reasons
    assert set(raised) <= set(found[cleared].row["clears"])


def test_spot_checks_of_parts_states_and_severities(found):
    assert found["IF-MIB::linkDown"].row["component_template"] == "ifIndex"
    assert found["IF-MIB::linkDown"].row["default_severity"] == "major"
    neighbour = found["OSPF-TRAP-MIB::ospfNbrStateChange"].row
    assert neighbour["component_template"] == "ospfNbrIpAddr,ospfNbrAddressLessIndex"
    assert neighbour["conditions"][0] == {"oid": "ospfNbrState", "op": "in", "value": [8], "is_clear": True}
    fan = found["CISCO-ENVMON-MIB::ciscoEnvMonFanStatusChangeNotif"].row
    assert fan["conditions"][0]["is_clear"]
    assert {c.get("severity") for c in fan["conditions"]} >= {"critical", "warning"}
    ciena = found["CIENA-CES-AAA-MIB::cienaCesAAAAllTacacsServersDownEvent"].row
    assert (ciena["category"], ciena["vendor"]) == ("security", "ciena")
    assert {c["oid"] for c in ciena["conditions"]} == {"cienaGlobalSeverity"}
    battery = found["UPS-MIB::upsTrapOnBattery"].row
    assert (battery["category"], battery["title_template"][:32]) == ("power", "UPS is operating on battery powe")
    assert found["WIPIPE-MIB::gpioPinTrap"].row["oid_pattern"].startswith("1.3.6.1.4.1.20992.")
    assert found["XUPS-MIB::xupstdHeartbeat"].row["enabled"] is False
    assert found["CISCO-ENVMON-MIB::ciscoEnvMonShutdownNotification"].row["default_severity"] == "critical"


def test_every_proposal_passes_the_checks_of_a_row_and_has_its_reasons(found):
    for name, proposal in found.items():
        assert proposals.problems_of(proposal.row) == {}, name
        assert {"severity", "category", "title"} <= set(proposal.reasons), name
        assert proposal.row["is_clear_event"] == bool(proposal.row["clears"]), name


def test_a_folder_of_them_is_read_in_seconds():
    """Seconds of a processor, whoever else has it meanwhile."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)

    list(worker.read_all([(f.name, f.read_text(errors="replace")) for f in FILES[:20]]))

    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 20
