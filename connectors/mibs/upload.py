"""Files of any kind to one review: MIB texts, snmptt.conf, OpenNMS events, and archives or folders of them."""

from __future__ import annotations

import io
import lzma
import struct
import time
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from connectors.mibs import opennms, snmptt, source, worker
from connectors.mibs.compile import Compiled, Problem, compile_modules
from connectors.mibs.proposals import Review, compare, from_compiled, stored_names

FILE_BYTES = 2_000_000  # the largest MIB we know has 1.3 MB
FILES_MAX = 200
MEMBERS_MAX = 2_000  # of an archive that are looked at, whether taken or not
TOTAL_BYTES = 40_000_000
PAGE_SECONDS = 60.0


@dataclass(frozen=True)
class Text:
    name: str
    text: str


class Refused(Exception):
    """A sentence about a file that cannot be taken."""


class Gathered:
    """Collects texts within the limits, and says of each file that was not taken why."""

    def __init__(self) -> None:
        self.texts: list[Text] = []
        self.problems: list[Problem] = []
        self.bytes = 0
        self.unpacked = 0  # also of what was refused: an archive of bombs is no less work for it

    def refuse(self, name: str, why: str) -> None:
        self.problems.append(Problem("", 0, f"{name} {why}", file=name))

    def add(self, name: str, data: bytes) -> None:
        """One file, or an archive of them."""
        if zipfile.is_zipfile(io.BytesIO(data)):
            self._archive(name, data)
        elif data:
            self._file(name, data)
        else:
            self.refuse(name, "is empty.")

    def _file(self, name: str, data: bytes) -> None:
        if len(data) > FILE_BYTES:
            self._too_large(name)
        elif len(self.texts) >= FILES_MAX:
            if len(self.texts) == FILES_MAX and not any("At most" in p.text for p in self.problems):
                self.refuse(name, f"and what follows was not read. At most {FILES_MAX} files at once.")
        elif self.bytes + len(data) > TOTAL_BYTES:
            self.refuse(name, f"was not read: more than {TOTAL_BYTES // 1_000_000} MB at once.")
        elif b"\0" in data[:4_096] and not data.startswith((b"\xff\xfe", b"\xfe\xff")):
            self.refuse(name, "is not a text file.")
        else:
            self.bytes += len(data)
            self.texts.append(Text(name, decoded(data)))

    def _too_large(self, name: str) -> None:
        self.refuse(name, f"is larger than {FILE_BYTES // 1_000_000} MB and was not read.")

    def _archive(self, name: str, data: bytes) -> None:
        try:
            with zipfile.ZipFile(io.BytesIO(data)) as archive:
                wanted = (m for m in archive.infolist() if not m.is_dir() and not _is_hidden(Path(m.filename)))
                for number, member in enumerate(wanted):
                    full = len(self.texts) >= FILES_MAX or max(self.bytes, self.unpacked) > TOTAL_BYTES
                    if full or number >= MEMBERS_MAX:
                        limits = f"{FILES_MAX} files, {TOTAL_BYTES // 1_000_000} MB"
                        self.refuse(name, f"has more in it than can be read at once ({limits}).")
                        return
                    self._member(name, archive, member)
        except (
            zipfile.BadZipFile,
            NotImplementedError,
            RuntimeError,
            OSError,
            EOFError,
            ValueError,
            zlib.error,
            lzma.LZMAError,
            struct.error,
        ) as error:
            self.refuse(name, f"cannot be unpacked: {str(error).rstrip('.') or type(error).__name__}.")

    def _member(self, name: str, archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> None:
        """What an archive says of a size is believed when it is too large already; no more than the limit is ever
        unpacked."""
        label = f"{Path(member.filename).name} in {name}"
        if member.flag_bits & 1:
            self.refuse(label, "is encrypted.")
            return
        if member.file_size > FILE_BYTES:
            self._too_large(label)
            return
        with archive.open(member) as file:
            content = file.read(FILE_BYTES + 1)
        self.unpacked += len(content)
        if zipfile.is_zipfile(io.BytesIO(content)):
            self.refuse(label, "is an archive in an archive; unpack it first.")
        elif content:
            self._file(label, content)


def decoded(data: bytes) -> str:
    """MIBs are older than UTF-8: what is not, is read as Windows text, which knows every byte but five. NUL, which no
    row can hold, is a space."""
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        text = data.decode("utf-16", errors="replace")
    else:
        try:
            text = data.decode("utf-8-sig")
        except UnicodeDecodeError:
            text = data.decode("cp1252", errors="replace")
    return text.replace("\0", " ")


def from_paths(paths: Iterable[Path]) -> Gathered:
    """Files, folders (with all below them) and archives. OSError reaches the caller."""
    gathered = Gathered()
    for path in paths:
        for file in _files(path):
            if file.stat().st_size > max(FILE_BYTES, TOTAL_BYTES):
                gathered.refuse(str(file), "is too large and was not read.")
            else:
                gathered.add(str(file.relative_to(path.parent) if path.is_dir() else file.name), file.read_bytes())
    return gathered


def _is_hidden(path: Path) -> bool:
    return any(part.startswith(".") or part == "__MACOSX" for part in path.parts)


def _files(path: Path) -> Iterator[Path]:
    if not path.is_dir():
        yield path
        return
    for file in sorted(path.rglob("*")):
        if file.is_file() and not _is_hidden(file.relative_to(path)):
            yield file


def review(
    gathered: Gathered, *, file_seconds: float = worker.FILE_SECONDS, total_seconds: float = PAGE_SECONDS
) -> Review:
    """Reads everything, proposes rows, compares them with those that exist. Nothing is written."""
    started = time.monotonic()
    result = Review(problems=list(gathered.problems))
    mibs: list[Text] = []
    for text in gathered.texts:
        if time.monotonic() - started > total_seconds:
            told = f"was not read: {total_seconds:g} s had passed. Import fewer files at once."
            result.problems.append(Problem("", 0, f"{text.name} {told}", file=text.name))
            continue
        kind = kind_of(text.text)
        if kind == "mib":
            mibs.append(text)
        elif kind in ("opennms", "snmptt"):
            found = (opennms if kind == "opennms" else snmptt).read(text.text, text.name)
            _extend(result, found)
        else:
            told = "is neither a MIB (no DEFINITIONS ::= BEGIN), nor snmptt.conf, nor an OpenNMS event file."
            # A readme that came along is no mistake of the person who uploads a folder.
            alone = len(gathered.texts) == 1
            result.problems.append(Problem("", 0, f"{text.name} {told}", is_error=alone, file=text.name))
    if mibs:
        left = max(total_seconds - (time.monotonic() - started), 1.0)
        _extend(result, from_compiled(_compiled(mibs, result, file_seconds, left)))
    result.problems.sort(key=lambda p: not p.is_error)
    compare(result)
    return result


def _compiled(mibs: list[Text], result: Review, file_seconds: float, total_seconds: float) -> Compiled:
    modules = []
    for file, found, why_not in worker.read_all(
        [(text.name, text.text) for text in mibs], file_seconds=file_seconds, total_seconds=total_seconds
    ):
        if why_not:
            result.problems.append(Problem("", 0, f"{file} {why_not}", file=file))
        elif not found:
            result.problems.append(Problem("", 0, f"{file} holds no MIB module that could be read.", file=file))
        modules += found
    return compile_modules(modules, stored_names())


def kind_of(text: str) -> str:
    if opennms.looks_like(text):
        return "opennms"
    if source.looks_like_mib(text):
        return "mib"
    return "snmptt" if snmptt.looks_like(text) else ""


def _extend(result: Review, found: Review) -> None:
    keys = {p.key: p for p in result.proposals}
    for proposal in found.proposals:
        first = keys.setdefault(proposal.key, proposal)
        if first is proposal:
            result.proposals.append(proposal)
        else:
            told = f"{proposal.source}: {proposal.row['oid_pattern']} is also in {first.source}, which is proposed."
            result.problems.append(Problem("", 0, told, is_error=False))
    result.objects += found.objects
    result.problems += found.problems
    result.sources += found.sources
