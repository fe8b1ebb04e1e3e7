"""OpenNMS event files (eventconf) to proposals: masks, severities, alarm data, decoded varbinds.

The XML parser takes no document type, so no entity can grow or reach for a file.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from xml.parsers import expat

from connectors.mibs import guess
from connectors.mibs.compile import Object, Problem
from connectors.mibs.proposals import TITLE_MAX, Proposal, Review, row_for, vendor_of
from connectors.mibs.snmptt import _SEVERITIES

DEPTH_MAX = 40
_PARAMETER = re.compile(r"%parm\[(all|#(\d+)|[^\]]*)\]%|%(\w+)(?:\[[^\]]*\])?%|\{|\}|%")
_POSITION = re.compile(r"#?([1-9][0-9]{0,3})")
_NUMERIC = re.compile(r"[0-9]+(\.[0-9]+)+")
_READ_OF_MASKS = {"id", "generic", "specific", "trapoid", "snmpTrapOID"}
_GENERIC = {0: 1, 1: 2, 2: 3, 3: 4, 4: 5, 5: 6}  # the standard traps: generic number -> last arc


class Unsafe(Exception):
    pass


class Element:
    __slots__ = ("attributes", "children", "line", "name", "texts")

    def __init__(self, name: str, attributes: dict[str, str], line: int) -> None:
        self.name, self.attributes, self.line = name, attributes, line
        self.children: list[Element] = []
        self.texts: list[str] = []

    @property
    def text(self) -> str:
        return "".join(self.texts)

    def all(self, name: str) -> list[Element]:
        return [c for c in self.children if c.name == name]

    def first(self, name: str) -> Element | None:
        return next((c for c in self.children if c.name == name), None)

    def said(self, name: str) -> str:
        found = self.first(name)
        return " ".join(found.text.split()) if found is not None else ""


def parse(text: str) -> Element:
    """The root element. Raises Unsafe for a document type or deep nesting, expat.ExpatError for what is no XML."""
    parser = expat.ParserCreate(namespace_separator=" ")
    stack: list[Element] = [Element("", {}, 0)]

    def start(name: str, attributes: dict[str, str]) -> None:
        if len(stack) > DEPTH_MAX:
            raise Unsafe("is nested too deeply")
        element = Element(name.rpartition(" ")[2], attributes, parser.CurrentLineNumber)
        stack[-1].children.append(element)
        stack.append(element)

    def data(text: str) -> None:
        stack[-1].texts.append(text)

    def refuse(*_: Any) -> int:
        raise Unsafe("has a document type (DOCTYPE), which is not accepted: remove it")

    parser.buffer_text = True
    parser.StartElementHandler = start
    parser.EndElementHandler = lambda _: stack.pop()
    parser.CharacterDataHandler = data
    parser.StartDoctypeDeclHandler = refuse
    parser.EntityDeclHandler = refuse
    parser.ExternalEntityRefHandler = refuse
    parser.Parse(text.encode(), True)
    return stack[0].children[0]


def looks_like(text: str) -> bool:
    return text.lstrip("\ufeff \r\n\t").startswith("<")


def read(text: str, file: str) -> Review:
    review = Review(sources=[file])
    try:
        root = parse(re.sub(r"^\s*<\?xml[^>]*\?>", lambda m: "\n" * m[0].count("\n"), text.lstrip("\ufeff")))
    except Unsafe as error:
        review.problems.append(Problem(file, 0, f"{error}.", file=file))
        return review
    except expat.ExpatError as error:
        review.problems.append(Problem(file, error.lineno, f"is no XML: {expat.ErrorString(error.code)}.", file=file))
        return review
    events = root.all("event") if root.name == "events" else ([root] if root.name == "event" else [])
    if not events:
        told = f"has no <event> in <{root.name}>: not an OpenNMS event file."
        review.problems.append(Problem(file, root.line, told, file=file))
        return review
    made: list[tuple[Proposal, Element]] = []
    for event in events:
        proposal = _proposal(event, file, review)
        if proposal is not None:
            made.append((proposal, event))
    _pair(made, review, file)
    merged: dict[tuple[str, str], Proposal] = {}
    for proposal, event in made:
        first = merged.setdefault(proposal.key, proposal)
        if first is not proposal:
            _merge(first, proposal, event, file, review)
    review.proposals = list(merged.values())
    return review


def _problem(review: Review, file: str, line: int, text: str, *, is_error: bool = True) -> None:
    review.problems.append(Problem(file, line, text, is_error, file))


Tests = list[tuple[str, list[str]]]  # a varbind, as conditions call it, and the values the mask lists


def _mask(event: Element) -> tuple[dict[str, list[str]], Tests, list[str]]:
    """What it says of the trap, of its varbinds, and what of it has no counterpart here."""
    mask = event.first("mask")
    elements: dict[str, list[str]] = {}
    varbinds: Tests = []
    for element in mask.all("maskelement") if mask else []:
        elements[element.said("mename")] = [" ".join(v.text.split()) for v in element.all("mevalue")]
    left_out = [f"the mask's {name}" for name in elements if name not in _READ_OF_MASKS]
    for varbind in mask.all("varbind") if mask else []:
        number, oid = varbind.said("vbnumber"), varbind.said("vboid").lstrip(".")
        values = [" ".join(v.text.split()) for v in varbind.all("vbvalue")]
        if re.fullmatch(r"[1-9][0-9]{0,3}", number):
            varbinds.append((f"v{number}", values))
        elif _NUMERIC.fullmatch(oid):
            varbinds.append((oid, values))
        else:
            left_out.append(f"the mask's test of the varbind “{(number or oid)[:40]}”")
    return elements, varbinds, left_out


def _oid(elements: dict[str, list[str]]) -> str:
    """The trap's OID from enterprise, generic and specific, or ""."""
    direct = next((v for name in ("trapoid", "snmpTrapOID") for v in elements.get(name, [])), "").strip().lstrip(".")
    if re.fullmatch(r"\d+(\.\d+)+", direct):
        return direct
    enterprise = next(iter(elements.get("id", [])), "").strip().lstrip(".")
    generic, specific = next(iter(elements.get("generic", [])), ""), next(iter(elements.get("specific", [])), "")
    if generic.isdigit() and int(generic) in _GENERIC:
        return f"1.3.6.1.6.3.1.1.5.{_GENERIC[int(generic)]}"
    if not re.fullmatch(r"\d+(\.\d+)+", enterprise) or not specific.isdigit():
        return ""
    return f"{enterprise}.0.{specific}"


def _proposal(event: Element, file: str, review: Review) -> Proposal | None:
    uei = event.said("uei")
    if event.first("mask") is None:
        return None  # an event of OpenNMS itself, not of a trap
    elements, varbinds, left_out = _mask(event)
    oid = _oid(elements)
    if not oid:
        told = "has no numeric enterprise (id) and specific number in its mask: no trap of one OID. It was left out."
        _problem(review, file, event.line, f"{uei or 'an event'} {told}", is_error="id" in elements)
        return None
    specifics = elements.get("specific", [])
    if len(specifics) > 1:
        told = f"{uei} stands for the specific numbers {', '.join(specifics)}; only the first is proposed."
        _problem(review, file, event.line, told, is_error=False)
    name = uei.rstrip("/").rpartition("/")[2] or event.said("event-label") or oid
    words = guess.stems([name])[name]
    description = _plain(event.said("descr"))
    severity_word = event.said("severity") or "Indeterminate"
    severity = _SEVERITIES.get(severity_word.lower(), "warning")
    category = guess.category(words, [], description, "")
    decodes = _decodes(event)
    title = title_of(_plain(event.said("logmsg")), decodes)
    row = row_for(
        oid,
        "_".join(words),
        vendor=vendor_of(oid),
        category=category.value,
        default_severity=severity,
        title_template=title,
        description=description[:2_000],
        mib_object=name[:200],
    )
    reasons = {"category": category.reason, "severity": f"its severity {severity_word}", "title": "its logmsg"}
    logmsg = event.first("logmsg")
    if logmsg is not None and logmsg.attributes.get("dest") in ("donotpersist", "discardtraps"):
        row["enabled"] = False
        reasons["enabled"] = f"not kept there ({logmsg.attributes['dest']})"
    if varbinds:
        row["conditions"] = [_condition(varbinds, row)]
        reasons["conditions"] = "the varbinds of its mask"
    _objects(decodes, review)
    reasons.update(_of_words(decodes, title))
    if left_out:
        told = f"{uei}: {', '.join(left_out)} has no counterpart here and was left out."
        _problem(review, file, event.line, told, is_error=False)
        reasons["left out"] = ", ".join(left_out)
    return Proposal(row, f"{file} line {event.line}", reasons)


def _condition(varbinds: Tests, row: dict[str, Any]) -> dict[str, Any]:
    comparisons: list[dict[str, Any]] = []
    for varbind, values in varbinds:
        if len(values) == 1 and values[0].startswith("~"):
            comparisons.append({"oid": varbind, "op": "regex", "value": values[0][1:]})
        elif len(values) == 1 and values[0].endswith("%"):
            comparisons.append({"oid": varbind, "op": "regex", "value": "^" + re.escape(values[0][:-1])})
        else:
            comparisons.append({"oid": varbind, "op": "in", "value": [_typed(v) for v in values]})
    first, *others = comparisons
    effect = {
        "alert_type": row["alert_type"],
        "severity": row["default_severity"],
        "title_template": row["title_template"],
    }
    return {**first, **({"and": others} if others else {}), **effect}


def _typed(text: str) -> int | str:
    return int(text) if re.fullmatch(r"-?\d{1,18}", text) else text


def _decodes(event: Element) -> dict[str, dict[str, str]]:
    """Words of values, by the varbind they are of: an OID, a name, or v1 for the first."""
    found: dict[str, dict[str, str]] = {}
    for decode in event.all("varbindsdecode"):
        parameter = decode.said("parmid").removeprefix("parm[").removesuffix("]").lstrip(".")
        position = _POSITION.fullmatch(parameter)
        words = {
            number: word
            for decoded in decode.all("decode")
            if (number := decoded.attributes.get("varbindvalue", ""))
            and (word := " ".join(decoded.attributes.get("varbinddecodedstring", "").split()))
        }
        if words:
            found.setdefault(f"v{position[1]}" if position else parameter, {}).update(words)
    return found


def _objects(decodes: dict[str, dict[str, str]], review: Review) -> None:
    """Words by OID belong to an object, which every trap that carries it shows by them."""
    for parameter, words in decodes.items():
        if _NUMERIC.fullmatch(parameter) and parameter.count(".") > 3:
            enum = {number: word for number, word in words.items() if re.fullmatch(r"-?[0-9]+", number)}
            base = parameter.removesuffix(".0")
            review.objects.append(Object(base, f"object-{base.replace('.', '-')}", "", "scalar", enum=enum))


def _of_words(decodes: dict[str, dict[str, str]], title: str) -> dict[str, str]:
    """What became of words by position or name: there is no object to give them to, but the title can say them."""
    told = []
    for parameter, words in decodes.items():
        if not _NUMERIC.fullmatch(parameter):
            listed = ", ".join(f"{number} {word}" for number, word in list(words.items())[:12])
            listed += ", …" if len(words) > 12 else ""
            where = "in the title" if _words_of(parameter, words) in title else "left out, the title does not show it"
            told.append(f"{parameter or 'a varbind'} ({listed}): {where}")
    return {"words": "; ".join(told)} if told else {}


def _words_of(name: str, words: dict[str, str]) -> str:
    """A template's expression for the word of a value, or the value when it has none."""
    listed = ", ".join(f"'{_quotable(number)}': '{_quotable(word)}'" for number, word in words.items())
    return f"{{{{ {{{listed}}}[{name}|string]|default({name}) }}}}"


def _quotable(text: str) -> str:
    return re.sub(r"['\"\\\\{}%#]", " ", text)


def _pair(made: list[tuple[Proposal, Element]], review: Review, file: str) -> None:
    """alarm-type 2 ends the alarms whose reduction key is its clear key; without alarm data names decide."""
    raised: dict[str, list[Proposal]] = {}
    for proposal, event in made:
        alarm = event.first("alarm-data")
        if alarm is not None and alarm.attributes.get("alarm-type") != "2":
            for key in _keys(alarm.attributes.get("reduction-key", ""), event):
                raised.setdefault(key, []).append(proposal)
    by_name = {p.row["mib_object"]: p for p, _ in made}
    named = guess.pairs(guess.stems(list(by_name)), {n: p.row["description"] for n, p in by_name.items()})
    for proposal, event in made:
        alarm = event.first("alarm-data")
        is_clear = alarm is not None and alarm.attributes.get("alarm-type") == "2"
        ended: list[Proposal] = []
        why = "its clear-key"
        if is_clear and alarm is not None:
            for key in _keys(alarm.attributes.get("clear-key", ""), event):
                ended += [p for p in raised.get(key, []) if p is not proposal]
        by_its_name = is_clear or (alarm is None and proposal.row["default_severity"] in ("clear", "info"))
        if not ended and by_its_name and proposal.row["mib_object"] in named:
            pair = named[proposal.row["mib_object"]]
            ended, why = [by_name[name] for name in pair.raises], pair.reason
        if ended:
            clears = sorted({p.row["alert_type"] for p in ended})
            _clear(proposal, clears)
            proposal.reasons["clears"] = why
        elif proposal.row["default_severity"] == "clear" or is_clear:
            _soften(proposal)
            if is_clear:
                told = f"{proposal.row['mib_object']} ends an alarm that is not in this file: fill in what it clears."
                _problem(review, file, event.line, told, is_error=False)


def _keys(template: str, event: Element) -> list[str]:
    """The UEI parts of a key; the rest of it (node, interface, varbinds) is the same for raise and clear."""
    expanded = template.replace("%uei%", event.said("uei"))
    return re.findall(r"uei\.[^:%\s]+", expanded)


def _clear(proposal: Proposal, clears: list[str]) -> None:
    row = proposal.row
    row.update(is_clear_event=True, default_severity="clear", clears=clears, ttl_minutes=None)
    for condition in row["conditions"]:
        condition.pop("severity", None)
        condition.update(is_clear=True, clears=clears)


def _soften(proposal: Proposal) -> None:
    row = proposal.row
    row.update(default_severity="info", ttl_minutes=guess.EVENT_TTL_MINUTES)
    proposal.reasons["ends"] = "it says that something is over, but not what: fill in what it clears"
    for condition in row["conditions"]:
        condition["severity"] = "info"


def _merge(first: Proposal, other: Proposal, event: Element, file: str, review: Review) -> None:
    """Several events of one trap differ by varbinds: further conditions. The first that fits wins, there and here."""
    if other.row["conditions"]:
        first.row["conditions"] = [*first.row["conditions"], *other.row["conditions"]]
    elif first.row["conditions"]:
        first.row = {**other.row, "conditions": first.row["conditions"]}
    else:
        told = f"{other.row['mib_object']} has the mask of {first.row['mib_object']}; the first one is proposed."
        _problem(review, file, event.line, told, is_error=False)


def _plain(text: str) -> str:
    """Descriptions are HTML inside XML."""
    return " ".join(re.sub(r"<[^<>]{1,200}>", " ", text).replace("&nbsp;", " ").split())


def title_of(text: str, decodes: Mapping[str, dict[str, str]] | None = None) -> str:
    """A logmsg as a title: %parm[#1]% is v1, %parm[name]% a varbind's name; both by the words of their values, as long
    as the title has room for them."""
    left = dict(decodes or {})
    while len(title := _title(text, left)) > TITLE_MAX and left:
        left.pop(max(left, key=lambda name: len(str(left[name]))))
    return title if len(title) <= TITLE_MAX else title[:TITLE_MAX].rpartition("{{")[0].strip()


def _title(text: str, decodes: Mapping[str, dict[str, str]]) -> str:
    def variable(name: str) -> str:
        return _words_of(name, decodes[name]) if name in decodes else f"{{{{ {name} }}}}"

    def replaced(match: re.Match[str]) -> str:
        if match[0] in "{}":
            return {"{": "(", "}": ")"}[match[0]]
        if match[0] == "%":
            return " percent"
        if match[2]:
            return variable(f"v{int(match[2])}") if int(match[2]) else ""
        if match[1] == "all":
            return "{{ v|join(' ') }}"
        if match[1] and re.fullmatch(r"\.?[0-9]+(\.[0-9]+)+", match[1]):
            oid = match[1].lstrip(".")
            return f"{{{{ {'word' if oid in decodes else 'vb'}['{oid}'] }}}}"
        if match[1] and re.fullmatch(r"[A-Za-z]\w*", match[1]):
            return variable(match[1])
        return "{{ device }}" if match[3] in ("nodelabel", "host", "interface", "snmphost") else ""

    return " ".join(_PARAMETER.sub(replaced, text).split())
