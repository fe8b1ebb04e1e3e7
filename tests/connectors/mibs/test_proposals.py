"""What is proposed for a trap: pairs, severities, categories, parts, titles; and what is saved."""

from __future__ import annotations

import pytest

from connectors.mapping_checks import check_row
from connectors.mappings import MappingTable
from connectors.mibs import guess, proposals, source
from connectors.mibs.compile import compile_modules
from connectors.mibs.proposals import Proposal, Review
from connectors.models import MibObject, OIDMapping
from connectors.oids import NameTable
from tests.connectors.mibs.texts import FANS, TABLE, mib, notification


def review_of(*texts: str) -> Review:
    return proposals.from_compiled(compile_modules([m for t in texts for m in source.read(t, "x.txt")]))


def by_name(review: Review) -> dict[str, Proposal]:
    return {p.row["mib_object"]: p for p in review.proposals}


def traps(*names: str, descriptions: dict[str, str] | None = None) -> dict[str, Proposal]:
    told = descriptions or {}
    return by_name(review_of(mib("".join(notification(n, i, told.get(n, "")) for i, n in enumerate(names, 1)))))


@pytest.mark.parametrize(
    ("raised", "cleared"),
    [
        ("acmeLinkDown", "acmeLinkUp"),
        ("acmeFanFail", "acmeFanOk"),
        ("acmeFanFailureTrap", "acmeFanOKTrap"),
        ("acmeAlarmActive", "acmeAlarmClear"),
        ("acmeAlarmSet", "acmeAlarmCleared"),
        ("acmeTempAlarm", "acmeTempNormal"),
        ("acmeTempHigh", "acmeTempNormal"),
        ("acmeTempOutOfRange", "acmeTempInRange"),
        ("acmeBypassOn", "acmeBypassOff"),
        ("acmeOutputOff", "acmeOutputOn"),
        ("acmeThresholdRising", "acmeThresholdFalling"),
        ("acmeAlarmEntryAdded", "acmeAlarmEntryRemoved"),
        ("acmeModuleRemoved", "acmeModuleInserted"),
        ("acmeOnBattery", "acmeReturnFromBattery"),
        ("acmeAtLowBattery", "acmeFromLowBattery"),
        ("acmeLowMemory", "acmeLowMemoryRecovery"),
        ("acmeSignalLoss", "acmeSignalRestored"),
        ("acmeSignal", "acmeSignalRecovered"),
        ("acmeOverload", "acmeNoOverload"),
        ("acmeContactActive", "acmeContactInactive"),
        ("acmePeerDisconnected", "acmePeerConnected"),
        ("acmeServerUnreachable", "acmeServerReachable"),
        ("acmeOverLoad", "acmeLoadOK"),
        ("acmeLoopEnabled", "acmeLoopDisabled"),
        ("acmePortDisabled", "acmePortEnabled"),
        ("acmeDoorOpen", "acmeDoorClosed"),
        ("acmeCpuUtilizationHigh", "acmeCpuUtilizationLow"),
    ],
)
def test_pairs_are_found_by_name(raised, cleared):
    found = traps(raised, cleared)

    assert found[cleared].row["is_clear_event"], found[cleared].reasons
    assert found[cleared].row["clears"] == [found[raised].row["alert_type"]]
    assert found[cleared].row["default_severity"] == "clear"
    assert not found[raised].row["is_clear_event"]
    assert found[raised].reasons["ends"] == f"{cleared} ends it"
    assert "ends" in found[cleared].reasons["clears"] or "before what" in found[cleared].reasons["clears"]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("acmeFanFail", "acmeDiskOk"),
        ("acmeLoginFailure", "acmeLoginSuccess"),
        ("acmeConfigSaved", "acmeConfigChanged"),
        ("acmeSequenceOnStart", "acmeSequenceOffStart"),
        ("acmeCold", "acmeHot"),
    ],
)
def test_traps_that_are_no_pair_are_left_alone(one, other):
    assert not any(p.row["is_clear_event"] for p in traps(one, other).values())


def test_one_clear_may_end_several():
    found = traps("acmeTempHigh", "acmeTempLow", "acmeTempNormal")

    assert found["acmeTempNormal"].row["clears"] == ["temp_high", "temp_low"]


def test_pairs_are_found_by_description():
    found = traps(
        "acmeGeneratorFailure",
        "acmeGeneratorReturn",
        descriptions={"acmeGeneratorReturn": "Clears the alarm acmeGeneratorFailure after a repair."},
    )

    assert found["acmeGeneratorReturn"].row["clears"] == ["generator_failure"]
    assert "its description" in found["acmeGeneratorReturn"].reasons["clears"]


def test_what_only_reads_like_an_end_says_so_and_expires():
    found = traps("acmeServiceRestored", descriptions={"acmeServiceRestored": "Service has been restored."})

    row = found["acmeServiceRestored"].row
    assert (row["is_clear_event"], row["default_severity"], row["ttl_minutes"]) == (False, "info", 60)
    assert "fill in what it clears" in found["acmeServiceRestored"].reasons["ends"]


@pytest.mark.parametrize(
    ("name", "description", "severity", "category"),
    [
        ("acmeFanFailed", "", "major", "environment"),
        ("acmePowerSupplyLost", "", "major", "power"),
        ("acmeDiskThresholdExceeded", "", "minor", "storage"),
        ("acmeIntrusionDetected", "", "major", "security"),
        ("acmeBatteryLow", "", "minor", "power"),
        ("acmeShutdownImminent", "", "critical", "network"),
        ("acmeAuthFailure", "", "warning", "security"),
        ("acmeConfigChange", "", "info", "network"),
        ("acmeThing", "CRITICAL: something.", "critical", "network"),
        ("acmeThing", "Something. Severity: minor.", "minor", "network"),
        ("acmeThing", "The alarm of severity major about a camera.", "major", "video"),
        ("acmeMinorAlarm", "", "minor", "network"),
        ("acmeThing", "", "warning", "network"),
        ("acmeRadioDegraded", "", "minor", "wireless"),
    ],
)
def test_severity_and_category_follow_words_and_say_which(name, description, severity, category):
    (proposal,) = traps(name, descriptions={name: description}).values()

    assert proposal.row["default_severity"] == severity, proposal.reasons
    assert proposal.row["category"] == category, proposal.reasons
    assert proposal.reasons["severity"]
    assert proposal.reasons["category"]


def test_part_title_and_state_come_from_the_objects():
    found = by_name(review_of(FANS))

    failed = found["acmeFanFailed"].row
    assert failed["component_template"] == "acmeFanIndex"
    assert failed["title_template"].startswith("Fan has stopped")
    assert found["acmeFanRestored"].row["clears"] == ["fan_failed"]
    change = found["acmeFanStateChange"]
    assert change.row["conditions"] == [
        {"oid": "acmeFanState", "op": "in", "value": [1], "is_clear": True},
        {"oid": "acmeFanState", "op": "in", "value": [4], "severity": "critical"},
        {"oid": "acmeFanState", "op": "in", "value": [2, 3], "severity": "major"},
    ]
    assert change.reasons["ends"] == "the value of acmeFanState says whether it begins or ends"
    assert found["acmeHeartbeat"].row["enabled"] is False


def test_proposed_rows_pass_the_checks_and_work_on_a_trap():
    review = review_of(FANS)
    names = NameTable({o.oid: {"name": o.name, "kind": o.kind, "enum": o.enum} for o in review.objects if o.kind})
    table = MappingTable.from_rows([p.row for p in review.proposals], names)
    assert [check_row(p.row) for p in review.proposals] == [{}] * 4
    varbinds = [
        ("1.3.6.1.4.1.64999.1.1.1.3", "Integer", 3),
        ("1.3.6.1.4.1.64999.1.1.2.3", "OctetString", "rear"),
        ("1.3.6.1.4.1.64999.1.1.3.3", "Integer", 0),
    ]

    raised = table.match("1.3.6.1.4.1.64999.0.1", varbinds)
    cleared = table.match("1.3.6.1.4.1.64999.0.2", varbinds[:2])
    changed = table.match("1.3.6.1.4.1.64999.0.3", [varbinds[0], ("1.3.6.1.4.1.64999.1.1.4.3", "Integer", 1)])

    assert raised is not None
    assert cleared is not None
    assert changed is not None
    assert raised.title() == "Fan has stopped, rear, 0 rpm"
    assert (raised.component, cleared.component) == ("acmeFanIndex=3", "acmeFanIndex=3")
    assert cleared.is_clear
    assert cleared.clears == ("fan_failed",)
    assert changed.is_clear
    assert "ok" in changed.title()


def test_raise_and_clear_agree_on_the_part():
    text = mib(
        TABLE + notification("acmeFanFailed", 1, "", "acmeFanIndex, acmeFanName") + notification("acmeFanOk", 2, "")
    )

    found = by_name(review_of(text))

    assert found["acmeFanFailed"].row["component_template"] == found["acmeFanOk"].row["component_template"] == ""


def test_descriptions_cannot_smuggle_templates_into_titles():
    found = traps("acmeThing", descriptions={"acmeThing": "Sent when {{ config }} {% for x in y %} happens here."})

    title = found["acmeThing"].row["title_template"]

    assert "{{" not in title
    assert "{%" not in title


def test_alert_types_lose_the_vendor_but_never_their_meaning():
    assert guess.stems(["ciscoEnvMonFanNotification"]) == {"ciscoEnvMonFanNotification": ("env", "mon", "fan")}
    assert guess.stems(["wwpLeosEthLinkDown"])["wwpLeosEthLinkDown"] == ("eth", "link", "down")
    assert guess.stems(["bgpEstablished", "bgpBackwardTransition", "bgpX"])["bgpEstablished"] == ("bgp", "established")
    assert guess.stems(["upsTrapOnBattery"])["upsTrapOnBattery"] == ("ups", "on", "battery")


@pytest.mark.django_db
class TestSaving:
    def test_new_rows_are_saved_as_imported_and_a_second_import_changes_nothing(self):
        review = review_of(FANS)
        proposals.compare(review)
        assert {p.state for p in review.proposals} == {"new"}

        saved = proposals.save(review.proposals, review.objects)

        assert (saved.created, saved.changed, saved.kept) == (4, 0, 0)
        row = OIDMapping.objects.get(oid_pattern="1.3.6.1.4.1.64999.0.2")
        assert (row.origin, row.clears, row.default_severity) == ("imported", ["fan_failed"], 0)
        row.full_clean()
        assert MibObject.objects.get(name="acmeFanSpeed").unit == "rpm"
        assert MibObject.objects.get(name="acme").kind == ""
        proposals.compare(review)
        assert {p.state for p in review.proposals} == {"same"}
        again = proposals.save(review.proposals, review.objects)
        assert (again.created, again.changed, again.objects) == (0, 0, 0)

    def test_shipped_and_edited_rows_stay_unless_replaced(self):
        OIDMapping.objects.create(oid_pattern="1.3.6.1.4.1.64999.1", alert_type="mine", origin="edited")
        review = review_of(FANS)
        proposals.compare(review)
        kept = next(p for p in review.proposals if p.row["mib_object"] == "acmeFanFailed")
        assert (kept.state, kept.existing) == ("kept", "edited")
        assert kept.difference["alert_type"] == ("mine", "fan_failed")

        proposals.save(review.proposals, [])
        assert OIDMapping.objects.get(oid_pattern="1.3.6.1.4.1.64999.1").alert_type == "mine"
        saved = proposals.save(review.proposals, [], replace=True)

        assert saved.changed == 1
        assert OIDMapping.objects.get(oid_pattern="1.3.6.1.4.1.64999.1").alert_type == "fan_failed"
        assert not OIDMapping.objects.filter(oid_pattern="1.3.6.1.4.1.64999.0.1").exists()

    def test_imported_row_that_differs_is_changed(self):
        proposals.save(review_of(FANS).proposals, [])
        OIDMapping.objects.filter(oid_pattern="1.3.6.1.4.1.64999.0.1").update(alert_type="old_word")
        review = review_of(FANS)
        proposals.compare(review)

        saved = proposals.save(review.proposals, [])

        assert [p.state for p in review.proposals].count("changed") == 1
        assert saved.changed == 1
        assert OIDMapping.objects.get(oid_pattern="1.3.6.1.4.1.64999.0.1").alert_type == "fan_failed"

    def test_row_that_fails_its_checks_is_refused_and_the_others_saved(self):
        review = review_of(FANS)
        review.proposals[0].row["title_template"] = "{{ broken"

        saved = proposals.save(review.proposals, [])

        assert saved.created == 3
        assert "acmeFanFailed: The template cannot be used" in saved.refused[0]

    def test_earlier_imports_resolve_later_ones(self):
        proposals.save_objects(review_of(FANS).objects)
        child = mib(
            notification("acmeDown", 1, parent="acme 0"),
            "LATER-MIB",
            "IMPORTS NOTIFICATION-TYPE FROM SNMPv2-SMI acme FROM ACME-MIB;\n",
        )

        result = compile_modules(source.read(child, "later.txt"), proposals.stored_names())

        assert [n.oid for n in result.notifications] == ["1.3.6.1.4.1.64999.0.1"]


def test_a_protocol_that_is_still_trying_is_not_up():
    """bgpPeerState: active is one step before opensent, and nothing to end an alert with."""
    states = {"1": "idle", "2": "connect", "3": "active", "4": "opensent", "5": "openconfirm", "6": "established"}

    assert guess.states(states) == ([6], [1])
    assert guess.states({"1": "active", "2": "inactive"}) == ([1], [2])


def test_one_table_says_how_vendors_are_spelt():
    assert proposals.vendor_of("1.3.6.1.4.1.705.1.11") == "eaton"
    assert proposals.vendor_of("1.3.6.1.4.1.25461.2") == "palo-alto"
    assert proposals.vendor_of("1.3.6.1.6.3.1.1.5.3") == ""


@pytest.mark.parametrize(
    ("condition", "text"),
    [
        ({"oid": "fanState", "op": "in", "value": [1, 2], "severity": "critical"}, "fanState is 1, 2: critical"),
        ({"oid": "a", "op": "eq", "value": 0, "is_clear": True}, "a is 0: ends it"),
        ({"oid": "a", "op": "lt", "value": 0, "is_clear": True, "clears": ["x", "y"]}, "a below 0: ends x, y"),
        (
            {"oid": "a", "op": "gt", "value_oid": "b", "and": [{"oid": "c", "op": "regex", "value": "z"}]},
            "a above b and c matches z: as the row says",
        ),
    ],
)
def test_conditions_are_shown_in_words(condition, text):
    assert proposals.condition_text(condition) == text
