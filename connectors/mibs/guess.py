"""What names and descriptions of traps suggest. Every guess comes with the reason a person reads when reviewing it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

Words = tuple[str, ...]


class Guess(NamedTuple):
    value: str
    reason: str


_WORD = re.compile(r"[A-Z]+(?=[A-Z][a-z])|[A-Z]?[a-z]+|[A-Z]+(?![a-z])|\d+")
NOISE = {"trap", "traps", "notification", "notifications", "notif", "notify", "notice", "event", "msg"}
# First words of names that are no part of an alert type: the vendor's own.
_PREFIXES = {
    "cisco", "c", "clog", "ciena", "wwp", "leos", "ces", "juniper", "jnx", "hp", "hpicf", "hw", "huawei", "h3c",
    "fgt",
    "fn", "rb", "ubnt", "af", "cp", "axis", "mtx", "mtxr", "apc", "dell", "extreme", "arista", "pan", "f5", "cfw",
    "xups", "dot", "1", "3", "ad", "ag", "ieee", "ietf", "vm", "vmw", "rad", "adva", "nokia", "tmnx", "alcatel",
    "ericsson", "dlink",
}  # fmt: skip
# Vendor words that mean a device: kept, in the word everybody uses.
_RENAMED = {
    "ent": "entity", "replacement": "replace", "comm": "communication", "com": "communication",
    "communications": "communication", "upsmg": "ups", "xupstd": "ups", "xupstdups": "ups", "mgups": "ups",
}  # fmt: skip

_CATEGORIES: tuple[tuple[str, str], ...] = (
    ("security", "intrusion tamper auth authentication authenticate unauthorized login logon password attack "
        "violation "
                 "firewall security tacacs radius ldap acl spoof certificate"),
    ("environment", "temperature temp thermal overheat overheated heat humidity door smoke water leak fire fan fans "
                    "environment environmental environ env airflow contact vibration"),
    ("power", "battery batteries power supply psu ups voltage volt inverter bypass utility outlet pdu charger "
        "breaker "
              "fuse overload rectifier generator boost buck receptacle poe pse"),
    ("video", "video camera recorder recording motion stream lens"),
    ("wireless", "wireless wifi wlan radio rssi cinr snr modulation antenna lte modem rsrp signal rf ssid airmax"),
    ("storage", "disk disks raid volume lun storage filesystem fs drive array flash"),
    ("compute", "cpu memory load swap vm server host hypervisor utilization"),
    ("application", "application license database syslog software backup"),
    ("network", "link port interface if ospf bgp isis eigrp hsrp vrrp stp bridge root topology vlan lldp cdp "
        "mpls lsp tunnel vpn wan "
                "lan ethernet eth sfp xcvr optical neighbor nbr peer session route router ring raps lag agg cfm mac "
                "packet tcp ip dhcp dns ntp snmp start restart reboot config lsa lsdb threshold rmon traffic"),
)  # fmt: skip
_CATEGORY_OF = {word: category for category, words in reversed(_CATEGORIES) for word in words.split()}

_SEVERITIES: tuple[tuple[str, str], ...] = (
    ("critical", "critical emergency fatal imminent fire smoke overheat overheated gasp exhausted discharged "
        "shutdown panic crash"),
    ("major", "major down fail failed failure fails failing fault faulty faulted lost loss missing offline "
        "unreachable "
              "unavailable overload overloaded bad intrusion tamper broken dead depleted out leak stopped "
                  "disconnected"),
    ("minor", "minor degraded degradation low high over under exceeded exceed threshold abnormal error errors "
        "mismatch "
              "removed overflow flap flapping rising incompatible mute loop open battery bypass replace"),
    ("warning", "warning warn approaching auth unauthorized invalid violation denied retransmit alarm pending"),
    ("info", "info informational change changed changes added start started starting completed complete "
        "finished test "
             "success successful inserted enabled disabled config new created generated login logout updated "
             "progress requested reset switch"),
)  # fmt: skip
_SEVERITY_OF = {word: severity for severity, words in reversed(_SEVERITIES) for word in words.split()}
_SEVERITY_WORDS = {
    "critical": "critical", "emergency": "critical", "major": "major", "minor": "minor", "warning": "warning",
    "info": "info", "informational": "info", "information": "info", "notice": "info", "error": "major",
    "indeterminate": "warning", "alert": "critical", "fatal": "critical", "severe": "critical",
}  # fmt: skip
_SAID_SEVERITY = re.compile(
    r"\bseverity\b\W{0,4}(?:is\W{1,3}|of\W{1,3}|level\W{1,4})?\W?(critical|major|minor|warning|informational|info|notice)\b"
    r"|^\W*(critical|major|minor|warning|informational)\s*[:\]\)-]",
    re.IGNORECASE,
)
_SHOUTED_SEVERITY = re.compile(r"\b(CRITICAL|MAJOR|MINOR|WARNING|INFORMATIONAL)\b")

# What ends what: the clear's words, then the words its raise has in their place.
_ENDS: tuple[tuple[str, str], ...] = (
    ("up", "down | failure | fail | failed | lost"),
    ("ok", "fault | fail | failed | failure | bad | low | high | error | lost | loss | critical | warning | "
        "alarm | down | degraded |"),
    ("good", "bad | fail | failed | failure | poor"),
    ("normal", "high | low | high warning | low warning | high alarm | low alarm | alarm | abnormal | critical "
        "| warning | fail | failed |"
               " failure | fault | over | exceeded | overheated | overheat | degraded | bad | out of range |"),
    ("in range", "out of range"),
    ("clear", "set | active | raise | raised | alarm | new | fail | failure | fault | detected | high | low |"),
    ("cleared", "set | active | raise | raised | new | asserted | detected | fail | failed | failure | fault | "
        "high | low | alarm |"),
    ("reset", "set"),
    ("inactive", "active"),
    ("deactivated", "activated"),
    ("deasserted", "asserted"),
    ("restored", "lost | loss | fail | failed | failure | down | fault | interrupted | unavailable |"),
    ("restore", "lost | loss | fail | failure | down |"),
    ("recovered", "lost | loss | fail | failed | failure | down | fault | degraded |"),
    ("recovery", "lost | loss | fail | failed | failure | down | fault | degraded | low | high |"),
    ("recover", "lost | loss | fail | failed | failure | down |"),
    ("resolved", "detected | lost | fail | failed | failure |"),
    ("fixed", "detected | broken | fail | failed | failure |"),
    ("available", "unavailable | not available"),
    ("reachable", "unreachable | not reachable"),
    ("online", "offline"),
    ("connected", "disconnected | lost"),
    ("reconnected", "disconnected"),
    ("established", "lost | terminated | down | fail | failed"),
    ("falling", "rising"),
    ("inserted", "removed | extracted | missing"),
    ("present", "missing | absent | removed | not present"),
    ("sfp in", "sfp out"),
    ("closed", "open | opened"),
    ("close", "open | opened"),
    ("passed", "failed | fail"),
    ("test ok", "test fail | test failed"),
    ("unblocked", "blocked"),
    ("unlocked", "locked"),
    ("unmuted", "muted"),
    ("running", "stopped | not running"),
    ("ended", "started | begun |"),
    ("match", "mismatch"),
    ("not indicated", "indicated"),
    ("exit", "enter"),
    ("dismissed", "raised |"),
)  # fmt: skip
_GENERIC = {
    "on",
    "off",
    "added",
    *_SEVERITY_OF,
    *(w for clear, raised in _ENDS for w in f"{clear} {raised}".replace("|", " ").split()),
}
# Pairs whose direction depends on what they are about.
_MUTES = {"mute", "loop", "loopback", "bypass", "maintenance", "test", "alarm", "tx"}
_DESCRIBED_END = re.compile(
    r"\b(return(?:s|ed|ing)?\s+(?:back\s+)?(?:to|from)|(?:has been|is|was) cleared|been restored|restored|recovered|"
    r"no longer|back to normal|quit\b|exit(?:s|ed|ing)\b|cease[sd]?)",
    re.IGNORECASE,
)
COMPARED_MAX = 2_000  # traps of one module whose descriptions are compared with each other
_ENDING = re.compile(r"\b(?:clears?|ends?|cancels|terminates)\b", re.IGNORECASE)
_EVENT_WORDS = {
    "start", "started", "restart", "restarted", "reboot", "rebooted", "config", "configuration", "change",
    "changed", "changes",
    "login", "logout", "logon", "auth", "authentication", "test", "completed", "complete", "finished", "new",
    "generated",
    "inserted", "updated", "requested", "created", "heartbeat", "keepalive", "aborted", "abort", "progress",
    "gasp", "originate", "retransmit", "single", "success",
}  # fmt: skip
SILENT = {"heartbeat", "keepalive", "alive"}
EVENT_TTL_MINUTES = 60

GOOD_STATES = {
    "up", "ok", "normal", "good", "full", "established", "online", "running", "clear", "cleared", "inservice",
    "operational",
    "available", "present", "healthy", "connected", "locked", "closed", "nofault", "noerror", "none", "noalarm",
    "reachable", "active", "enabled", "forwarding", "pointtopoint", "designatedrouter", "backupdesignatedrouter",
    "otherdesignatedrouter", "pass", "passed", "working", "charged",
}  # fmt: skip
BAD_STATES = {
    "down", "fail", "failed", "failure", "fault", "faulted", "faulty", "critical", "warning", "alarm", "major",
    "minor", "bad",
    "error", "offline", "lost", "shutdown", "degraded", "unavailable", "notpresent", "absent", "missing",
    "notfunctioning",
    "disconnected", "unreachable", "notreachable", "open", "low", "high", "idle", "init", "discharged", "overload",
    "overheated",
    "inactive", "stopped", "notoperational", "outofservice", "lowerlayerdown", "abnormal", "unlocked", "uninstalled",
}  # fmt: skip


def words_of(name: str) -> Words:
    """upsTrapOnBattery -> ups on battery: lower case, without the words every trap has in its name."""
    found = [_RENAMED.get(w.lower(), w.lower()) for w in _WORD.findall(name.replace("_", " ").replace("-", " "))]
    kept = [w for at, w in enumerate(found) if w not in NOISE and found[at - 1 : at] != [w]]
    return tuple(kept or found or ["trap"])


def stems(names: Sequence[str]) -> dict[str, Words]:
    """Words of each name of one module, without the vendor's own and without what all of them begin with."""
    words = {name: words_of(name) for name in names}
    shared = _shared_prefix(list(words.values())) if len(words) >= 2 else 0
    cut = {}
    for name, found in words.items():
        start = 0
        while start < len(found) - 1 and (
            found[start] in _PREFIXES
            or (start < shared and found[start] not in _CATEGORY_OF and found[start] != "alarm")
        ):
            start += 1
        # A word such as “down” alone would say too little.
        if (
            start == len(found) - 1
            and start
            and ((found[-1] in _GENERIC and found[-1] not in _CATEGORY_OF) or len(found[-1]) < 3)
        ):
            start -= 1
        cut[name] = found[start:]
    return cut


def _shared_prefix(words: Sequence[Words]) -> int:
    count = 0
    for column in zip(*words, strict=False):
        if len(set(column)) > 1:
            break
        count += 1
    return count


def category(words: Words, objects: Iterable[str], description: str, module: str) -> Guess:
    for where, candidates in (
        ("its name", words),
        ("its objects", tuple(w for name in objects for w in words_of(name))),
        ("the name of its MIB", tuple(w.lower() for w in re.findall(r"[A-Za-z]+", module))),
        ("its description", tuple(re.findall(r"[a-z]+", description.lower()))),
    ):
        hits = [(_RANK[_CATEGORY_OF[w]], i, w) for i, w in enumerate(candidates) if w in _CATEGORY_OF]
        if hits:
            word = min(hits)[2]
            return Guess(_CATEGORY_OF[word], f"“{word}” in {where}")
    return Guess("network", "nothing in its name says more")


_RANK = {category: rank for rank, (category, _) in enumerate(_CATEGORIES)}


def severity(words: Words, description: str) -> Guess:
    said = _SAID_SEVERITY.search(description)
    if said:
        word = (said[1] or said[2]).lower()
        return Guess(_SEVERITY_WORDS[word], f"its description says severity {word}")
    shouted = _SHOUTED_SEVERITY.search(description)
    if shouted:
        word = shouted[1].lower()
        return Guess(_SEVERITY_WORDS[word], f"“{shouted[1]}” in its description")
    named = [w for w in words if w in ("critical", "major", "minor", "warning", "informational")]
    if named:
        return Guess(_SEVERITY_WORDS[named[-1]], f"“{named[-1]}” in its name")
    refused = next((w for w in words if w in ("auth", "authentication", "login", "logon", "password")), None)
    if refused and "success" not in words:
        return Guess("warning", f"“{refused}” in its name: somebody was refused")
    for level, _ in _SEVERITIES:
        hit = next((w for w in words if _SEVERITY_OF.get(w) == level), None)
        if hit:
            return Guess(level, f"“{hit}” in its name")
    for level, _ in _SEVERITIES[:2]:
        hit = next((w for w in re.findall(r"[a-z]+", description.lower()) if _SEVERITY_OF.get(w) == level), None)
        if hit and hit not in ("out", "down", "lost", "loss"):
            return Guess("minor" if level == "major" else "major", f"“{hit}” in its description")
    return Guess("warning", "nothing in its name says more")


class Pair(NamedTuple):
    raises: tuple[str, ...]  # names of the traps it ends
    reason: str


def pairs(stems_of: dict[str, Words], descriptions: dict[str, str]) -> dict[str, Pair]:
    """Clears by name: for each the raises it ends. Nothing ends what is itself an end."""
    by_words: dict[Words, list[str]] = {}
    for name, words in stems_of.items():
        by_words.setdefault(words, []).append(name)
    found: dict[str, Pair] = {}
    for name, words in stems_of.items():
        raises, reason = _ended_by_name(words, by_words)
        raises = [r for r in raises if r != name]
        if raises:
            found[name] = Pair(tuple(dict.fromkeys(raises)), reason)
    ended = {raised for pair in found.values() for raised in pair.raises}
    for name, words in stems_of.items():
        if name in found or name in ended or len(stems_of) > COMPARED_MAX:
            continue
        told = _ended_by_description(name, words, stems_of, descriptions, found)
        if told is not None:
            found[name] = told
    # A clear of a clear is a misreading: of “ok” and “normal” both are ends.
    return {
        name: Pair(kept, pair.reason)
        for name, pair in found.items()
        if (kept := tuple(r for r in pair.raises if r not in found))
    }


def _ended_by_name(words: Words, by_words: dict[Words, list[str]]) -> tuple[list[str], str]:
    for clear_text, raise_texts in _ENDS:
        clear = tuple(clear_text.split())
        for at in range(len(words) - len(clear) + 1):
            if words[at : at + len(clear)] != clear:
                continue
            head, tail = words[:at], words[at + len(clear) :]
            hits: list[str] = []
            for text in raise_texts.split("|"):
                middle = tuple(text.split())
                hits += by_words.get((*head, *middle, *tail), [])
                if not middle and head:  # LoadOK ends OverLoad
                    for position in range(len(head)):
                        hits += by_words.get((*head[:position], "over", *head[position:], *tail), [])
            if hits:
                return hits, f"its name: “{clear_text}” ends {_joined(hits)}"
    for phrase, places in ((("return", "from"), ((), ("on",), ("at",))), (("from",), (("at",), ("on",), ("to",)))):
        for at in range(len(words) - len(phrase)):
            if words[at : at + len(phrase)] == phrase:
                rest = words[:at], words[at + len(phrase) :]
                hits = [n for place in places for n in by_words.get((*rest[0], *place, *rest[1]), [])]
                if hits:
                    return hits, f"its name: “{' '.join(phrase)}” ends {_joined(hits)}"
    for negation in ("no", "not"):
        if negation in words:
            at = words.index(negation)
            hits = by_words.get(words[:at] + words[at + 1 :], [])
            if hits and not ({"available", "reachable", "present", "protected", "running"} & set(words)):
                return hits, f"its name: “{negation}” before what {_joined(hits)} reports"
    return _by_subject(words, by_words)


def _by_subject(words: Words, by_words: dict[Words, list[str]]) -> tuple[list[str], str]:
    """Added and removed, enabled and disabled, on and off, high and low: which one is good depends on the thing."""
    things = set(words)
    rules = (
        ("removed", "added", bool(things & {"alarm", "entry", "fault"})),
        ("deleted", "added", bool(things & {"alarm", "fault"})),
        ("disabled", "enabled", bool(things & _MUTES)),
        ("enabled", "disabled", not things & _MUTES),
        ("off", "on", bool(things & {"bypass", "battery", "maintenance", "mute", "alarm"})),
        ("on", "off", not things & {"bypass", "battery", "maintenance", "mute", "alarm", "control"}),
        ("low", "high", bool(things & {"utilization", "usage", "utilisation"})),
        ("success", "failure", "test" in things),
    )
    for clear, raised, holds in rules:
        if holds and clear in words:
            at = words.index(clear)
            if clear in ("on", "off") and at != len(words) - 1:
                continue  # OnToStart, OffComplete: steps of a sequence
            hits = by_words.get((*words[:at], raised, *words[at + 1 :]), [])
            if hits:
                return hits, f"its name: “{clear}” ends {_joined(hits)}"
    return [], ""


def _ended_by_description(
    name: str,
    words: Words,
    stems_of: dict[str, Words],
    descriptions: dict[str, str],
    known: dict[str, Pair],
) -> Pair | None:
    """A description that says it is an end, and names its raise or leaves one that shares its subject."""
    text = descriptions.get(name, "")
    said = _DESCRIBED_END.search(text)
    verb = _ENDING.search(text)
    if verb is not None:
        # It names its raise within the same breath.
        told = [w for w in re.findall(r"[A-Za-z][\w-]*", text[verb.end() : verb.end() + 80]) if w in stems_of]
        if told and told[0] != name:
            return Pair((told[0],), f"its description: “{verb[0]} … {told[0]}”")
    if said is None or not any(w in words for clear, _ in _ENDS for w in clear.split()):
        return None
    subject = {w for w in words if w not in _SEVERITY_OF and w in _CATEGORY_OF}
    ended = {n for pair in known.values() for n in pair.raises}
    candidates = [
        other
        for other, theirs in stems_of.items()
        if other != name
        and other not in known
        and other not in ended
        and subject & set(theirs)
        and any(_SEVERITY_OF.get(w) in ("critical", "major", "minor") for w in theirs)
    ]
    if len(candidates) != 1:
        return None
    only = candidates[0]
    return Pair((only,), f"its description says “{said[0]}”, and only {only} shares its subject; check it")


def reads_like_an_end(words: Words, description: str) -> bool:
    return _DESCRIBED_END.search(description) is not None and bool(
        {"restored", "recovered", "cleared", "normal", "ok", "recovery", "return", "inactive"} & set(words)
    )


def is_event(words: Words) -> str:
    """The word that makes it an event, which expires, instead of a state, which lasts; or ""."""
    return next((w for w in words if w in _EVENT_WORDS), "")


def states(enum: dict[str, str]) -> tuple[list[int], list[int]]:
    """Numbers of the good and of the bad words of an enumeration; both empty when it has not both."""
    good, bad = [], []
    words = {re.sub(r"[^a-z]", "", word.lower()) for word in enum.values()}
    # A protocol that reaches “established” is still trying while it is “active”.
    trying = {"active"} if words & {"established", "full"} else set()
    for number, word in enum.items():
        plain = re.sub(r"[^a-z]", "", word.lower())
        if plain in GOOD_STATES - trying:
            good.append(int(number))
        elif plain in BAD_STATES or plain in _SEVERITY_WORDS:
            bad.append(int(number))
    return (good, bad) if good and bad else ([], [])


def severities(enum: dict[str, str]) -> dict[str, list[int]]:
    """Severity -> the numbers of an enumeration that mean it."""
    found: dict[str, list[int]] = {}
    for number, word in enum.items():
        meant = _SEVERITY_WORDS.get(re.sub(r"[^a-z]", "", word.lower()))
        if meant:
            found.setdefault(meant, []).append(int(number))
    return found


_LEAD = re.compile(
    r"^(?:the |an? |this )?(?:\w+ )?(?:snmp )?(?:trap|notification|notif|alarm|event|\w+)?\s*"
    r"(?:is|will be)?\s*(?:signifies|indicates|sent|generated|issued|raised|triggered|sent out|means|reports|used)\s*"
    r"(?:to indicate|by the (?:agent|device|system))?\s*(?:out )?"
    r"(?:when|whenever|if|that|each time|every ?time|upon|once)\s+(?:that )?"
    r"(?:the snmp entity, acting in an agent role, has detected that )?",
    re.IGNORECASE,
)
_ASIDE = re.compile(r"\((?:i\.?e|e\.?g)\b[^)]*\)|, (?:i\.e\.|e\.g\.).*?(?=\.\s|$)")
_MARKUP = str.maketrans({"{": "(", "}": ")", "%": " percent"})


def sentence(words: Words, description: str, limit: int = 90) -> Guess:
    """What an operator reads: the first sentence of the description when it is short and plain, else the name."""
    plain_text = _ASIDE.sub("", description)
    first = re.split(r"(?<=[A-Za-z0-9)])\s*\.(?:\s|$)", plain_text.strip(), maxsplit=1)[0].strip()
    first = re.sub(r"(\w)- (\w)", r"\1\2", first)
    plain = _LEAD.sub("", first)
    plain = " ".join(plain.replace("(where extant)", "").split())
    plain = re.sub(r"\s+traps?$", "", plain, flags=re.IGNORECASE)
    plain = re.sub(r"^trap (?=[A-Z])", "", plain, flags=re.IGNORECASE)
    plain = re.sub(r"^(?:the|an?) (?=\w)", "", plain, flags=re.IGNORECASE).strip(" .,;:")
    too_odd = re.search(r"\b[a-z]+[A-Z]\w{8,}|\b(?i:traps?|notification|notif|object|SNMP|MIB|instance)\b", plain)
    if 12 <= len(plain) <= limit and not too_odd:
        plain = plain.translate(_MARKUP)
        return Guess(plain[0].upper() + plain[1:], "the first sentence of its description")
    return Guess(humanised(words), "its name")


_UPPER = {
    "ups", "cpu", "bgp", "ospf", "hsrp", "vrrp", "sfp", "lag", "vlan", "stp", "ip", "tcp", "aaa", "ldap", "usb",
    "wan", "lan",
    "lsa", "pse", "lsdb", "cinr", "rssi", "psu", "poe", "mac", "fs", "lldp", "cfm", "vpn", "raid", "snmp", "ac",
    "dc", "rf",
}  # fmt: skip


def humanised(words: Words) -> str:
    shown = [w.upper() if w in _UPPER else w for w in words]
    text = " ".join(shown)
    return text[0].upper() + text[1:] if text else "Trap"


_SPELT = {"if": "interface", "nbr": "neighbor", "addr": "address", "num": "number", "cfg": "configuration"}

_TOGETHER = {("power", "supply"), ("ip", "address"), ("remote", "address"), ("fan", "module")}


def label(name: str) -> str:
    """What stands before the value of an index: ifIndex -> interface, portIndex -> port."""
    words = [_SPELT.get(w, w) for w in words_of(name)]
    if len(words) > 1 and words[-1] in ("index", "id", "number"):
        words.pop()
    pair = tuple(words[-2:])
    return " ".join(pair) if pair in _TOGETHER else words[-1]


def _joined(names: Sequence[str]) -> str:
    unique = list(dict.fromkeys(names))
    return ", ".join(unique[:3]) + (" and more" if len(unique) > 3 else "")
