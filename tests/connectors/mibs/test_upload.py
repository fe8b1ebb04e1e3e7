"""Files, archives and folders: what is taken, what is refused and why."""

from __future__ import annotations

import io
import zipfile

import pytest

from connectors.mibs import upload
from tests.connectors.mibs.texts import FANS, OPENNMS, SNMPTT, mib


def archive(files: dict[str, bytes | str], compression: int = zipfile.ZIP_DEFLATED) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", compression) as target:
        for name, content in files.items():
            target.writestr(name, content)
    return packed.getvalue()


def gathered(**files: bytes) -> upload.Gathered:
    found = upload.Gathered()
    for name, data in files.items():
        found.add(name, data)
    return found


def told(found: upload.Gathered) -> list[str]:
    return [str(p) for p in found.problems]


def test_archives_are_unpacked_and_hidden_files_left():
    found = gathered(all=archive({"mibs/ACME-MIB.txt": FANS, "mibs/.DS_Store": b"\0\0", "__MACOSX/x": b"x"}))

    assert [t.name for t in found.texts] == ["ACME-MIB.txt in all"]
    assert found.texts[0].text == FANS


def test_a_zip_bomb_is_refused_without_unpacking_it():
    bomb = archive({"big.txt": b" " * (upload.FILE_BYTES * 20)})

    found = gathered(bomb=bomb)

    assert len(bomb) < 100_000
    assert found.texts == []
    assert told(found) == ["big.txt in bomb is larger than 2 MB and was not read."]


def test_many_small_bombs_stop_at_the_total(monkeypatch):
    monkeypatch.setattr(upload, "TOTAL_BYTES", 1_000_000)

    found = gathered(bomb=archive({f"{i}.txt": b" " * 400_000 for i in range(20)}))

    assert len(found.texts) == 2
    assert "more than 1 MB at once" in told(found)[0]


def test_archives_in_archives_broken_and_encrypted_ones_are_refused():
    inner = archive({"a.txt": FANS})
    broken = bytearray(archive({"a.txt": FANS}))
    broken[40:60] = b"\xff" * 20

    assert told(gathered(outer=archive({"inner.zip": inner}))) == [
        "inner.zip in outer is an archive in an archive; unpack it first."
    ]
    assert "cannot be unpacked" in told(gathered(broken=bytes(broken)))[0]


def test_too_large_too_many_empty_and_binary_files_are_told():
    many = gathered(**{f"f{i}": b"x" for i in range(upload.FILES_MAX + 5)})

    assert len(many.texts) == upload.FILES_MAX
    assert told(many) == ["f200 and what follows was not read. At most 200 files at once."]
    assert told(gathered(big=b"x" * (upload.FILE_BYTES + 1))) == ["big is larger than 2 MB and was not read."]
    assert told(gathered(none=b"", picture=b"\x89PNG\0\0")) == ["none is empty.", "picture is not a text file."]


def test_old_encodings_are_read():
    assert upload.decoded("Temperatur über 40 °C".encode("cp1252")) == "Temperatur über 40 °C"
    assert upload.decoded("\ufeffA".encode()) == "A"
    assert upload.decoded("A-MIB".encode("utf-16")) == "A-MIB"


def test_kind_is_told_by_content():
    assert [upload.kind_of(t) for t in (FANS, SNMPTT, OPENNMS, "nothing")] == ["mib", "snmptt", "opennms", ""]


@pytest.mark.django_db
def test_different_kinds_come_together_in_one_review():
    found = gathered(
        a=FANS.encode(), b=mib("", "EMPTY-MIB").encode(), c=SNMPTT.encode(), d=OPENNMS.encode(), e=b"readme"
    )

    review = upload.review(found)

    assert review.sources == ["c", "d", "ACME-MIB", "EMPTY-MIB"]
    assert len({p.key for p in review.proposals}) == len(review.proposals)
    assert any("is also in" in str(n) for n in review.notes)
    assert any("e is neither a MIB" in str(n) for n in review.notes)


def lying(data: bytes, size: int) -> bytes:
    """The same archive, whose directory says that everything in it is that small."""
    changed = bytearray(data)
    at = changed.find(b"PK\x01\x02")
    while at >= 0:
        changed[at + 24 : at + 28] = size.to_bytes(4, "little")
        at = changed.find(b"PK\x01\x02", at + 4)
    return bytes(changed)


def test_an_archive_of_bombs_is_left_after_the_limit_even_when_all_are_refused(monkeypatch):
    """Refused for their size or their kind, they are work all the same."""
    binary = archive({f"{i}.bin": b"\0" * 300_000 for i in range(200)})
    large = archive({f"{i}.txt": b" " * (upload.FILE_BYTES + 9) for i in range(30)})
    monkeypatch.setattr(upload, "TOTAL_BYTES", 1_000_000)
    opened = []
    original = zipfile.ZipFile.open

    def counted(self, *args, **options):
        opened.append(args)
        return original(self, *args, **options)

    monkeypatch.setattr(zipfile.ZipFile, "open", counted)

    found = gathered(binary=binary, large=large)

    assert found.texts == []
    assert len(opened) <= 5
    assert any("binary has more in it than can be read at once" in line for line in told(found))


def test_a_directory_that_lies_about_sizes_is_not_believed(monkeypatch):
    monkeypatch.setattr(upload, "TOTAL_BYTES", 5_000_000)
    bomb = lying(archive({f"{i}.txt": b" " * (upload.FILE_BYTES * 2) for i in range(20)}), 100)

    found = gathered(bomb=bomb)

    assert found.unpacked <= 5_000_000 + upload.FILE_BYTES + 1
    assert sum(len(t.text) for t in found.texts) <= 2_000


def test_an_archive_of_very_many_files_is_not_listed_to_its_end(monkeypatch):
    monkeypatch.setattr(upload, "MEMBERS_MAX", 50)

    found = gathered(many=archive({f"{i}.zip": archive({}) for i in range(500)}))

    assert len(told(found)) == 51


@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_damaged_archive_is_refused_and_never_an_error(compression):
    import random

    chance = random.Random(compression)
    whole = archive({"a.txt": FANS, "b.txt": SNMPTT}, compression)

    for _ in range(300):
        damaged = bytearray(whole)
        for _ in range(chance.randint(1, 8)):
            damaged[chance.randrange(len(damaged))] = chance.randrange(256)
        found = gathered(x=bytes(damaged))
        assert len(found.texts) <= 2


def test_characters_no_row_can_hold_do_not_come_in():
    assert upload.decoded(b"a" * 5_000 + b"\0b") == "a" * 5_000 + " b"


@pytest.mark.django_db
def test_no_kind_of_file_is_read_beyond_the_time_of_an_upload():
    found = gathered(**{f"{i}.conf": SNMPTT.encode() for i in range(3)})

    review = upload.review(found, total_seconds=-1.0)

    assert review.proposals == []
    assert len(review.errors) == 3
    assert "had passed. Import fewer files at once." in str(review.errors[0])
