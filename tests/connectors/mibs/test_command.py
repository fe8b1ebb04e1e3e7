"""manage.py import_mib."""

from __future__ import annotations

import io

import pytest
from django.core.management import CommandError, call_command

from connectors.models import MibObject, OIDMapping
from tests.connectors.mibs.texts import FANS, SNMPTT, mib, notification

pytestmark = pytest.mark.django_db


def run(*arguments: str) -> tuple[str, str, str]:
    """What it printed, what it complained about, and how it ended."""
    out, err = io.StringIO(), io.StringIO()
    end = ""
    try:
        call_command("import_mib", *arguments, stdout=out, stderr=err)
    except CommandError as error:
        end = str(error)
    return out.getvalue(), err.getvalue(), end


def imported() -> set[str]:
    return set(OIDMapping.objects.filter(origin="imported").values_list("mib_object", flat=True))


def test_dry_run_shows_the_table_and_saves_nothing(tmp_path):
    (tmp_path / "ACME-MIB.txt").write_text(FANS)

    out, err, end = run(str(tmp_path / "ACME-MIB.txt"), "--dry-run")

    assert (err, end) == ("", "")
    assert "acmeFanRestored     fan_restored      clear" in out
    assert "4 new." in out
    assert imported() == set()
    assert not MibObject.objects.exists()


def test_a_folder_is_saved_and_the_second_run_finds_nothing_new(tmp_path):
    (tmp_path / "ACME-MIB.txt").write_text(FANS)
    (tmp_path / "snmptt.conf").write_text(SNMPTT)

    out, _, end = run(str(tmp_path), "--yes")

    assert "Saved " in out
    assert {"acmeFanFailed", "acmeNoise"} <= imported()
    assert end == "Something is missing: errors above: 1."  # the trap that snmptt.conf names by its MIB
    out, _, _ = run(str(tmp_path), "--yes")
    assert "Saved 0 new and 0 changed mappings" in out


def test_errors_end_with_code_1_and_the_others_are_saved(tmp_path):
    bad = mib(
        notification("badDown", 1, parent="acmeMgmt 0"),
        "BAD-MIB",
        "IMPORTS NOTIFICATION-TYPE FROM SNMPv2-SMI acmeMgmt FROM ACME-SMI;\n",
    )
    (tmp_path / "bad.txt").write_text(bad)
    (tmp_path / "good.txt").write_text(FANS)

    _, err, end = run(str(tmp_path), "--yes")

    assert "Error: BAD-MIB line 2 imports acmeMgmt from ACME-SMI, which was not uploaded. Upload ACME-SMI too." in err
    assert end == "Something is missing: errors above: 1."
    assert "acmeFanFailed" in imported()


def test_edited_rows_stay_unless_replace_is_given(tmp_path):
    (tmp_path / "a.txt").write_text(FANS)
    OIDMapping.objects.create(oid_pattern="1.3.6.1.4.1.64999.0.1", alert_type="mine", origin="edited")

    out, _, _ = run(str(tmp_path / "a.txt"), "--yes")
    assert "kept as edited" in out
    assert OIDMapping.objects.get(oid_pattern="1.3.6.1.4.1.64999.0.1").alert_type == "mine"

    out, _, _ = run(str(tmp_path / "a.txt"), "--yes", "--replace")
    assert "alert type mine -> fan_failed" in out
    assert OIDMapping.objects.get(oid_pattern="1.3.6.1.4.1.64999.0.1").alert_type == "fan_failed"


def test_without_yes_and_without_a_terminal_nothing_is_saved(tmp_path):
    (tmp_path / "a.txt").write_text(FANS)

    _, _, end = run(str(tmp_path / "a.txt"))

    assert end == "Nothing was saved: add --yes to save, or --dry-run to look only."
    assert imported() == set()


def test_file_that_is_not_there_is_named():
    _, _, end = run("/nowhere/x.mib")

    assert end == "/nowhere/x.mib: No such file or directory."
