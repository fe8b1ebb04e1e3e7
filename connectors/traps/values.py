"""What a person reads in a varbind, what is stored of it, and the one spelling of a trap's OID.

SNMP sends text, hardware addresses, dates and bit fields under the same OCTET STRING tag and leaves telling
them apart to the MIB. Without the MIB at hand the octets themselves have to do, so `readable` guesses;
`json_value` does not, for conditions and templates rely on it.
"""

import struct
from datetime import datetime, timedelta, timezone
from typing import Final

_LINE_BREAKS: Final = str.maketrans("\t\r\n\u00a0", "    ")
# Columns of type PhysAddress or MacAddress, whose values are hardware addresses even when they look like
# text: ifPhysAddress, ipNetToMediaPhysAddress, dot1dTpFdbAddress.
_ADDRESS_COLUMNS: Final = ("1.3.6.1.2.1.2.2.1.6.", "1.3.6.1.2.1.4.22.1.2.", "1.3.6.1.2.1.17.4.3.1.1.")
_EXCEPTIONS: Final = frozenset({"noSuchObject", "noSuchInstance", "endOfMibView"})


def readable(vb_type: str, value: int | bytes | str | None, oid: str = "") -> str:
    """The value as an operator wants to see it; never raises.

    Octets become a date, text, a hardware address or else "0x.." hex, in this order; TimeTicks (1/100 s)
    become "1 d 02:03:04.05"; Null becomes "", the exceptions of RFC 3416 their names. `oid` settles octets
    that could be either, where the column is a standard one.
    """
    if value is None:
        return vb_type if vb_type in _EXCEPTIONS else ""
    if isinstance(value, bytes):
        return _opaque(value) if vb_type == "Opaque" else _octets(value, oid)
    if isinstance(value, int):
        if vb_type == "TimeTicks" and 0 <= value < 1 << 64:
            return _ticks(value)
        # Python refuses to write out integers of several thousand digits in decimal.
        return str(value) if value.bit_length() <= 64 else hex(value)
    return value


def json_value(vb_type: str, value: int | bytes | str | None) -> int | str | None:
    """The value for JSON, and for PostgreSQL's jsonb, which takes no NUL character.

    Octets are text when they are UTF-8 without control characters other than tab and line ends, else "0x.."
    hex, so nothing is lost but the difference between the octet 0x41 and the text "0x41". Opaque is always
    hex.
    """
    if isinstance(value, bytes):
        if vb_type != "Opaque":
            try:
                text = value.decode()
            except UnicodeDecodeError:
                return "0x" + value.hex()
            if text.isprintable() or not any(_is_control(character) for character in text):
                return text
        return "0x" + value.hex()
    if isinstance(value, str):
        return value.replace("\0", "")
    return value


def normalise_oid(oid: str) -> str:
    """The same text for a trap's OID in both its forms: without a leading dot, E.0.N and E.0.0.N as E.N.

    A v1 trap always becomes E.0.N (RFC 3584 section 3.1) while the same device's v2c trap carries what its
    MIB defines, often E.N. That holds for the specific trap 0 too: E.0.0 and E.0 are one, and E.0 stays as it
    is, for E itself is no trap.
    """
    oid = oid.lstrip(".")
    if ".0." not in oid:
        return oid
    stem, _, last = oid.rpartition(".")
    while stem.endswith(".0"):
        stem = stem[:-2]
    return f"{stem}.{last}"


def _is_control(character: str) -> bool:
    """C0 and C1 controls and DEL, except tab and line ends."""
    return (character < " " and character not in "\t\r\n") or "\x7f" <= character <= "\x9f"


def _ticks(ticks: int) -> str:
    seconds, hundredths = divmod(ticks, 100)
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    clock = f"{hours:02}:{minutes:02}:{seconds:02}.{hundredths:02}"
    return f"{days} d {clock}" if days else clock


def _octets(value: bytes, oid: str) -> str:
    if not value:
        return ""
    if len(value) == 6 and oid.startswith(_ADDRESS_COLUMNS):
        return value.hex(":")
    if len(value) in (8, 11):
        date = _date_and_time(value)
        if date:
            return date
    text = _text(value)
    if text is not None:
        return text
    return value.hex(":") if len(value) == 6 else "0x" + value.hex()


def _date_and_time(value: bytes) -> str | None:
    """ISO 8601 for a DateAndTime (RFC 2579 section 2), or None when its fields are no date of our times.

    Eight octets are local time of an unknown zone, eleven carry the offset. The year's high octet is a
    control character for every year this accepts, so no text is taken for a date.
    """
    year, month, day, hour, minute, second, tenth = struct.unpack(">H6B", value[:8])
    if not 1970 <= year <= 2199 or tenth > 9:
        return None
    zone = None
    if len(value) == 11:
        sign, hours, minutes = value[8:]
        if sign not in b"+-" or hours > 14 or minutes > 59:
            return None
        offset = timedelta(hours=hours, minutes=minutes)
        zone = timezone(offset if sign == 0x2B else -offset)
    leap = second == 60  # which datetime does not know
    try:
        text = datetime(year, month, day, hour, minute, 59 if leap else second, tzinfo=zone).isoformat()
    except ValueError:
        return None
    if leap:
        text = text[:17] + "60" + text[19:]
    return f"{text[:19]}.{tenth}{text[19:]}" if tenth else text


def _text(value: bytes) -> str | None:
    """The octets as text, or None when they are none.

    Trailing NULs (C strings) are dropped. Taken are UTF-8 that prints; Latin-1 that prints, when three
    quarters of at least four octets are ASCII; and longer text of either kind with a stray character that
    does not print (controls, but also marks that reverse the direction of reading), written as an escape.
    """
    value = value.rstrip(b"\0")
    if not value:
        return None  # only NULs: a number, an address or bits rather than nothing at all
    try:
        text = value.decode()
    except UnicodeDecodeError:
        ascii_octets = sum(octet < 0x80 for octet in value)
        if len(value) < 4 or ascii_octets * 4 < len(value) * 3:
            return None
        text = value.decode("latin-1")
    if text.translate(_LINE_BREAKS).isprintable():
        return text
    odd = sum(not character.isprintable() and character not in "\t\r\n\u00a0" for character in text)
    if len(text) < 16 or odd * 16 > len(text):
        return None
    return "".join(
        character
        if character.isprintable() or character in "\t\r\n\u00a0"
        else character.encode("unicode_escape").decode()
        for character in text
    )


# net-snmp's special types (draft-perkins-opaque-01): 0x9f, the type and the number's length, inside Opaque.
_OPAQUE_NUMBERS: Final = {
    b"\x9f\x78\x04": (">f", 7),
    b"\x9f\x79\x08": (">d", 15),
}


def _opaque(value: bytes) -> str:
    number = _OPAQUE_NUMBERS.get(value[:3])
    if number and len(value) == 3 + value[2]:
        form, digits = number
        (decoded,) = struct.unpack(form, value[3:])
        return f"{decoded:.{digits}g}"
    if len(value) > 3 and value[0] == 0x9F and len(value) == 3 + value[2] and value[2] <= 9:
        if value[1] == 0x7A:
            return str(int.from_bytes(value[3:], "big", signed=True))
        if value[1] in (0x76, 0x7B):
            return str(int.from_bytes(value[3:], "big"))
    return "0x" + value.hex()
