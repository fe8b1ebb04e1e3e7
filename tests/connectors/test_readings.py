"""The last values of a device as people read them."""

from __future__ import annotations

import pytest

from connectors.readings import label, readings, short, shown


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("load_pct", 25, "25 %"),
        ("battery_v", 78.4, "78.4 V"),
        ("output_w", [231, 944], "231 W, 944 W"),
        ("rsl_dbm", -38, "-38 dBm"),
        ("uptime_s", 93_784, "1 d 2 h"),
        ("rx_mbps", 2050.0, "2,050 Mbit/s"),
        ("runtime_min", 143.7, "143.7 min"),
        ("link", "up", "up"),
        ("bypass", False, "no"),
        ("probe_c", None, "-"),
        ("alarms", [], "none"),
    ],
)
def test_values_have_their_units(name: str, value: object, said: str) -> None:
    assert shown(name, value) == said


def test_names_are_words() -> None:
    assert [label(n) for n in ("cpu_pct", "interfaces_up", "tx_power_dbm")] == ["CPU", "Interfaces up", "TX power"]


def test_what_there_is_several_of_becomes_a_table() -> None:
    found = readings(
        {
            "load_pct": 25,
            "storage_pct": {"/": 40, "/var": 97},
            "radios": {"radio 1": {"signal_dbm": -70, "ccq_pct": 33}, "radio 2": {"signal_dbm": -60}},
            "remotes": {},
        }
    )
    assert found.single == [("Load", "25 %")]
    storage, radios = found.tables
    assert (storage.title, storage.rows) == ("Storage", [("/", ["40 %"]), ("/var", ["97 %"])])
    assert radios.columns == ["Signal", "CCQ"]
    assert radios.rows == [("radio 1", ["-70 dBm", "33 %"]), ("radio 2", ["-60 dBm", "-"])]


def test_a_line_of_a_list_takes_what_is_one_word() -> None:
    assert short({"name": "x", "uptime_s": 5, "cpu_pct": 6, "storage_pct": {"/": 1}}) == [("CPU", "6 %")]
