"""Which events say that a problem is over, and which alert types each of them ends. The one place that decides.

Whoever read the event has the first word: a mapping or the source says that it is a clear (or that it is none), and
may list what it ends. Only where nobody says so does the name decide, by its ending:

    ending                       ends (X is what stands before it)
    _cleared, _clear             X
    _up                          X, X_down, X_partial_down
    _online                      X_offline, X_unreachable, X_down, X_disconnected
    _restored                    X, X_lost, X_loss, X_failure, X_failed, X_fault, X_down, X_offline ...
    _ok                          X, X_error, X_failure, X_failed, X_fault, X_warning, X_critical, X_full ...
    _normal                      X, high_X, low_X, X_high, X_low, X_alarm, X_warning, X_critical, X_degraded ...

Names whose raise is another word stand in ENDS. All of it is on the same device and the same part of it, so that what
is listed too much ends nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

CLEARS_MAX = 50  # fingerprints an event locks

_BROKEN = ("_error", "_failure", "_failed", "_fault")
_GONE = ("_down", "_offline", "_lost", "_loss", "_missing", "_disconnected", "_unreachable")
_LEVELS = ("_high", "_low", "_alarm", "_warning", "_critical", "_degraded", "_full")

SUFFIXES: dict[str, tuple[str, ...]] = {
    "_cleared": ("",),
    "_clear": ("",),
    "_up": ("", "_down", "_partial_down"),
    "_online": ("_offline", "_unreachable", "_down", "_disconnected"),
    "_restored": ("", *_GONE, *_BROKEN, "_degraded", "_disruption", "_off", "_removed"),
    "_ok": ("", *_BROKEN, *_LEVELS, *_GONE, "_not_ready", "_silent", "_unknown", "_broken", "_uncorrectable"),
    "_normal": ("", *_LEVELS, *_BROKEN, "_unusual", "_changed", "_active", "_out_of_range"),
}
# Endings whose raise may put the word before: temperature_normal ends high_temperature.
_BEFORE = ("high_", "low_")
_WITH_BEFORE = ("_ok", "_normal")

# Clears whose raise has another name; what their ending says is added.
ENDS: dict[str, tuple[str, ...]] = {
    "adoption_ok": ("device_unadopted",),
    "alignment_ok": ("rf_misaligned",),
    "battery_replace_cleared": ("battery_replace_due",),
    "bypass_cleared": ("on_bypass",),
    "capacity_normal": ("link_capacity_low",),
    "casing_closed_ok": ("casing_open",),
    "data_cap_cleared": ("data_cap_reached",),
    "ethernet_ok": ("ethernet_speed_low",),
    "firmware_ok": ("firmware_update_available",),
    "gpu_active_ok": ("gpu_idle_allocated",),
    "gpu_throttle_cleared": ("gpu_throttled",),
    "gpu_xid_cleared": ("gpu_xid_error",),
    "load_average_normal": ("high_load",),
    "load_normal": ("overload",),
    "login_normal": ("login_denied_burst",),
    "loopback_cleared": ("loopback_on",),
    "on_utility": ("on_battery",),
    "outage_cleared": ("device_outage",),
    "recording_started": ("recording_stopped",),
    "ring_alarm_cleared": (
        "ring_protection_switch", "ring_provision_mismatch", "ring_no_messages", "ring_no_owner",
    ),
    "ring_protection_cleared": ("ring_protection_switch", "ring_provision_mismatch"),
    "settings_ok": ("device_settings_error",),
    "shutdown_cleared": ("shutdown_imminent",),
    "storage_writable_ok": ("storage_readonly",),
    "temperature_normal": ("overheating",),
    "tx_mute_cleared": ("tx_muted",),
    "ups_ok": ("ups_internal_fault",),
    "utility_restored": ("on_battery",),
    "wan_primary_restored": ("wan_failover",),
    "aaa_servers_ok": ("aaa_servers_down",),
    "pdu_load_normal": ("pdu_overload",),
}  # fmt: skip


def clears_of(alert_type: str, is_clear: bool | None, clears: Sequence[str] = ()) -> tuple[str, ...] | None:
    """The alert types an event ends, most likely ones first; None when it is a raise.

    `is_clear` is what the mapping or the source says, None when neither says anything; `clears` is what they list. A
    clear that lists nothing ends its own type, and what its name ends.
    """
    if is_clear is False:
        return None
    if is_clear and clears:
        return tuple(clears[:CLEARS_MAX])
    named = _by_name(alert_type)
    if is_clear:
        return (alert_type, *named)
    return named or None


@lru_cache(maxsize=10_000)
def _by_name(alert_type: str) -> tuple[str, ...]:
    found = list(ENDS.get(alert_type, ()))
    for suffix, endings in SUFFIXES.items():
        stem = alert_type.removesuffix(suffix)
        if stem and stem != alert_type:
            found += [stem + ending for ending in endings]
            if suffix in _WITH_BEFORE:
                head, between, last = stem.rpartition("_")
                found += [word + stem for word in _BEFORE]
                if between:  # gpu_temperature_normal ends gpu_high_temperature
                    found += [f"{head}_{word}{last}" for word in _BEFORE]
            break
    return tuple(dict.fromkeys(found))[:CLEARS_MAX]
