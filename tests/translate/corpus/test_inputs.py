"""Tests of inputs of any kind: compressed files, zip archives, pipes, folders with bad files, foreign formats."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import random
import struct
import subprocess
import sys
import tempfile
import threading
import zipfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dragoman.cli import main
from dragoman.runtime import compression
from dragoman.runtime.errors import UserError
from dragoman.translate.corpus.readers.conll import read_tags
from dragoman.translate.corpus.readers.files import read_files
from dragoman.translate.corpus.readers.lines import read_byte_lines, read_bytes, read_lenient, read_strict
from dragoman.translate.corpus.readers.rows import UnreadableRow

EN_DE = ("en", "de")
Compress = Callable[[bytes], bytes]
METHODS: dict[str, Compress] = {"gz": gzip.compress, "bz2": bz2.compress, "xz": lzma.compress}
TABLE = b"one\teins\ntwo\tzwei\n"
ROWS = [("one", "eins"), ("two", "zwei")]

TMX = (
    b'<?xml version="1.0"?>\n<tmx version="1.4"><header/><body>'
    b'<tu><tuv xml:lang="en"><seg>one</seg></tuv><tuv xml:lang="de"><seg>eins</seg></tuv></tu>'
    b'<tu><tuv xml:lang="en"><seg>two</seg></tuv><tuv xml:lang="de"><seg>zwei</seg></tuv></tu></body></tmx>'
)
XLIFF = (
    b'<xliff version="1.2"><file source-language="en" target-language="de" original="x"><body>'
    b'<trans-unit id="1"><source>one</source><target>eins</target></trans-unit>'
    b'<trans-unit id="2"><source>two</source><target>zwei</target></trans-unit></body></file></xliff>'
)
PO = b'# by hand\nmsgid ""\nmsgstr "Language: de\\n"\n\nmsgid "one"\nmsgstr "eins"\n\nmsgid "two"\nmsgstr "zwei"\n'
JSONL = b'{"en": "one", "de": "eins"}\n{"en": "two", "de": "zwei"}\n'
FORMATS = {"tsv": TABLE, "tmx": TMX, "xlf": XLIFF, "po": PO, "jsonl": JSONL}


def text_rows(
    *paths: Path | str, languages: tuple[str, str] = EN_DE, log: Callable[[str], None] = lambda _: None
) -> list[tuple[str, str]]:
    rows = [row for row in read_files(map(str, paths), languages, log) if not isinstance(row, UnreadableRow)]
    return [(text(source), text(target)) for source, target in rows]


def text(side: bytes | str) -> str:
    return side.decode() if isinstance(side, bytes) else side


def make_zip(path: Path, files: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return path


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", ["a.tsv", "a", "a.tsv.{}", "a.{}", "a.tsv.gz"])
def test_compression_is_known_by_the_first_bytes(tmp_path: Path, method: str, name: str) -> None:
    path = tmp_path / name.format(method)
    path.write_bytes(METHODS[method](TABLE))
    assert text_rows(path) == ROWS
    assert read_strict(path) == read_lenient(path) == TABLE.decode().splitlines()
    assert read_bytes(path) == TABLE


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("size", [0, 1, 5, 511, 512, 513, 1 << 16, 1_000_003])
def test_all_members_of_a_stream_are_read(tmp_path: Path, method: str, size: int) -> None:
    """The standard library's readers of bzip2 and xz ignore a damaged second member."""
    compress, path = METHODS[method], tmp_path / "a"
    data = random.Random(size).randbytes(size)
    path.write_bytes(compress(data) + compress(b"") + compress(b"more") + compress(data))
    assert read_bytes(path) == data + b"more" + data
    path.write_bytes(compress(b"x") + b"\0" * 8 + compress(data) + b"\0" * 512)
    assert read_bytes(path) == b"x" + data


@pytest.mark.parametrize("method", METHODS)
def test_truncated_and_damaged_streams_are_errors(tmp_path: Path, method: str) -> None:
    compress, path = METHODS[method], tmp_path / "a"
    first = compress(b"first")
    whole = first + compress(random.Random(1).randbytes(300))
    for size in range(7 if method == "gz" else 10, len(whole)):
        if size != len(first):
            path.write_bytes(whole[:size])
            with pytest.raises(UserError, match=r"cannot read .*/a: its \w+ data is (truncated|damaged)"):
                read_bytes(path)
    path.write_bytes(first + b"garbage at the end, which is no member")
    with pytest.raises(UserError, match=r"a: its \w+ data is damaged"):
        read_bytes(path)
    path.write_bytes(whole[:-40] + bytes(byte ^ 255 for byte in whole[-40:-36]) + whole[-36:])
    with pytest.raises(UserError, match=r"a: its \w+ data is damaged"):
        read_bytes(path)


@given(st.sampled_from([*METHODS]), st.lists(st.binary(max_size=200), min_size=1, max_size=4), st.data())
@settings(max_examples=60)
def test_a_stream_cut_anywhere_is_never_read_as_another_text(
    method: str, parts: list[bytes], data: st.DataObject
) -> None:
    members = [METHODS[method](part) for part in parts]
    ends = {sum(map(len, members[:i])) for i in range(1, len(members) + 1)}
    whole = b"".join(members)
    cut = data.draw(st.integers(20, max(20, len(whole))))
    with tempfile.NamedTemporaryFile() as file:
        file.write(whole[:cut])
        file.flush()
        if cut >= len(whole):
            assert read_bytes(file.name) == b"".join(parts)
        elif cut not in ends:
            with pytest.raises(UserError, match=r"truncated|damaged"):
                read_bytes(file.name)


@pytest.mark.parametrize("method", [*METHODS, "zip"])
def test_decompression_bombs_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, method: str) -> None:
    monkeypatch.setattr(compression, "FREE_BYTES", 1 << 16)
    path = tmp_path / "bomb.po"
    bomb = b"#" * 10_000_000
    if method == "zip":
        make_zip(path, {"a.po": bomb})
    else:
        path.write_bytes(METHODS[method](bomb))
    with pytest.raises(UserError, match=r"bomb\.po expands to more than 200 times its size.*a decompression bomb"):
        text_rows(path)


def test_a_line_without_an_end_does_not_fill_the_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dragoman.translate.corpus.readers.lines.MAX_LINE", 1 << 20)
    (tmp_path / "a").write_bytes(b"x" * (1 << 20) + b"\n")
    with pytest.raises(UserError, match="a has a line of more than 1 MiB"):
        read_strict(tmp_path / "a")


@pytest.mark.parametrize("method", METHODS)
def test_compressed_xml_and_catalogues(tmp_path: Path, method: str) -> None:
    for ending, data in FORMATS.items():
        path = tmp_path / f"a.{ending}.{method}"
        path.write_bytes(METHODS[method](data))
        assert text_rows(path) == ROWS


# Zip archives.

OPUS = {
    "README": b"Corpus Name: Books\n", "LICENSE": b"free\n", "Books.de-en.xml": b"<cesAlign/>\n",
    "Books.de-en.ids": b"x\ty\t1\t1\n", "Books.de-en.de": b"eins\nzwei\n", "Books.de-en.en": b"one\ntwo\n",
}  # fmt: skip


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_zip_of_two_plain_files_is_read_in_the_requested_direction(tmp_path: Path, method: int) -> None:
    path, messages = make_zip(tmp_path / "de-en.txt.zip", OPUS, method), list[str]()
    assert text_rows(path, log=messages.append) == ROWS
    assert text_rows(path, languages=("de", "en")) == [(b, a) for a, b in ROWS]
    assert messages[0].startswith(f"skipped in {path}: 2 without an ending, 1 .ids, 1 .xml, such as Books.de-en.ids")
    assert text_rows(f"{path}/Books.de-en.en", f"{path}/Books.de-en.de") == ROWS
    assert read_strict(f"{path}/Books.de-en.de") == ["eins", "zwei"]
    with pytest.raises(UserError, match=r"no two plain files whose names end in \.en and \.fr; found 6 other files"):
        text_rows(path, languages=("en", "fr"))
    with pytest.raises(UserError, match=r"de-en\.txt\.zip has no such file"):
        read_strict(path / "Books.de-en.fr")
    with pytest.raises(UserError, match=r"is a zip archive of 6 files; name one, such as .*\.zip/Books\.de-en\.de"):
        read_strict(path)


@pytest.mark.parametrize(
    ("names", "languages", "chosen"),
    [
        (["a.en", "a.de", "b.en", "b.de"], EN_DE, ["a.en+a.de", "b.en+b.de"]),
        (["en.txt", "de.txt", "fr.txt"], EN_DE, ["en.txt+de.txt"]),
        (["news-en.txt", "news-de.txt"], EN_DE, ["news-en.txt+news-de.txt"]),
        (["x/a.eng", "x/a.deu", "y/a.deu"], EN_DE, ["x/a.eng+x/a.deu"]),
        (["a.pt_BR", "a.pt", "a.en"], ("en", "pt"), ["a.en+a.pt"]),
        (["a.pt-BR", "a.pt-PT", "a.en"], ("en", "pt_BR"), ["a.en+a.pt-BR"]),
        (["a.zh_CN", "a.zh_TW", "a.en"], ("en", "zh_TW"), ["a.en+a.zh_TW"]),
        (["a.en.gz", "a.de.xz"], EN_DE, ["a.en.gz+a.de.xz"]),
        (["OpenSubtitles.de-en.en", "OpenSubtitles.de-en.de"], ("de", "en"),
         ["OpenSubtitles.de-en.de+OpenSubtitles.de-en.en"]),
        (["a.en", "b.de", "read.me", "de", "x.ids"], EN_DE, []),
    ],
)  # fmt: skip
@pytest.mark.parametrize("is_zip", [True, False])
def test_pairs_of_plain_files_in_folders(
    tmp_path: Path, names: list[str], languages: tuple[str, str], chosen: list[str], is_zip: bool
) -> None:
    path = tmp_path / "in"
    for name in names:
        file = path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        data = f"{name}\n".encode()
        compress = METHODS.get(file.suffix[1:])
        file.write_bytes(compress(data) if compress else data)
    if is_zip:
        path = make_zip(tmp_path / "in.zip", {name: (path / name).read_bytes() for name in names})
    if chosen:
        assert ["+".join(row) for row in text_rows(path, languages=languages)] == chosen
    else:
        with pytest.raises(UserError, match="no two plain files"):
            text_rows(path, languages=languages)


def test_zips_of_other_formats(tmp_path: Path) -> None:
    for ending, data in FORMATS.items():
        assert text_rows(make_zip(tmp_path / "a.zip", {f"a.{ending}": data})) == ROWS
        assert text_rows(make_zip(tmp_path / f"a.{ending}", {f"a.{ending}.gz": gzip.compress(data)})) == ROWS
        assert text_rows(make_zip(tmp_path / "b.zip", {"unknown": data})) == ROWS
    several = {f"sub/a.{ending}": data for ending, data in FORMATS.items()} | {"__MACOSX/sub/._a.tsv": b"\0\5\x16\7"}
    assert text_rows(make_zip(tmp_path / "all.zip", several)) == ROWS * len(FORMATS)
    (tmp_path / "folder").mkdir()
    make_zip(tmp_path / "folder" / "x.zip", OPUS)
    (tmp_path / "folder" / "y.tsv").write_bytes(TABLE)
    assert text_rows(tmp_path / "folder") == ROWS * 2
    for name in ("__MACOSX/._a.en", "__MACOSX/._a.de", "a.en", "a.de", "._a.de", "._b.tsv"):
        path = tmp_path / "unpacked" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(OPUS[f"Books.de-en.{name[-2:]}"] if name[:2] == "a." else b"\0\5\x16\7")
    assert text_rows(tmp_path / "unpacked") == ROWS
    catalogue = {"app/de/LC_MESSAGES/app.po": PO.replace(b"Language", b"X-No")}
    assert text_rows(make_zip(tmp_path / "po.zip", catalogue)) == ROWS


def test_names_in_a_zip_cannot_lead_out_of_it(tmp_path: Path) -> None:
    (tmp_path / "secret.tsv").write_bytes(b"a\tb\n")
    names = ["../secret.tsv", "/etc/x.tsv", "./y.tsv", "a//z.tsv"]
    path = make_zip(tmp_path / "a.zip", dict.fromkeys(names, TABLE))
    assert text_rows(path) == ROWS * 3
    assert read_byte_lines(f"{path}/etc/x.tsv").__next__() == b"one\teins"


def test_encrypted_and_damaged_zips_are_one_sentence(tmp_path: Path) -> None:
    path = make_zip(tmp_path / "a.zip", {"a.tsv": random.Random(1).randbytes(100).hex().encode() + b"\tx\n"})
    whole = path.read_bytes()
    for size in range(4, len(whole)):
        path.write_bytes(whole[:size])
        with pytest.raises(UserError, match=r"cannot read .*a\.zip: its zip data is damaged or truncated"):
            text_rows(path)
    for position in range(len(whole)):  # no traceback, and never another text
        path.write_bytes(whole[:position] + bytes([whole[position] ^ 255]) + whole[position + 1 :])
        with suppress(UserError):
            assert len(text_rows(path)) == 1
    encrypted = bytearray(whole)
    for magic, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        encrypted[encrypted.index(magic) + offset] |= 1
    path.write_bytes(encrypted)
    with pytest.raises(UserError, match=r"a\.zip/a\.tsv: it is encrypted; unzip it with its password"):
        text_rows(path)
    make_zip(path, {})
    with pytest.raises(UserError, match="has no file in a supported format"):
        text_rows(path)


def test_a_member_that_declares_another_size_is_damaged(tmp_path: Path) -> None:
    path = make_zip(tmp_path / "a.zip", {"a.tsv": TABLE * 100})
    data = path.read_bytes()
    size = struct.pack("<L", len(TABLE) * 100)
    path.write_bytes(data.replace(size, struct.pack("<L", len(TABLE))))
    with pytest.raises(UserError, match=r"a\.zip/a\.tsv: its zip data is damaged"):
        text_rows(path)


# Pipes.


def through_fifo(path: Path, data: bytes) -> threading.Thread:
    os.mkfifo(path)
    thread = threading.Thread(target=path.write_bytes, args=(data,))
    thread.start()
    return thread


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no FIFOs in the file system")
@pytest.mark.parametrize("pack", [bytes, *METHODS.values()])
def test_fifos_are_read_once(tmp_path: Path, pack: Compress) -> None:
    sides = [through_fifo(tmp_path / name, pack(text)) for name, text in (("a", b"one\ntwo\n"), ("b", b"eins\nzwei\n"))]
    assert text_rows(tmp_path / "a", tmp_path / "b") == ROWS
    for name, data in FORMATS.items():
        sides.append(through_fifo(tmp_path / name, pack(data)))
        assert text_rows(tmp_path / name) == ROWS
    sides.append(through_fifo(tmp_path / "lines", pack(b"\xef\xbb\xbfa\nb")))
    assert read_strict(tmp_path / "lines") == ["a", "b"]
    sides.append(through_fifo(tmp_path / "utf-16", pack("ä\r\nb".encode("utf-16"))))
    assert read_strict(tmp_path / "utf-16") == ["ä", "b"]
    sides.append(through_fifo(tmp_path / "tags", pack(b"# O\nin X\n\na #\n")))  # needs a second look
    assert [*read_tags(tmp_path / "tags")][-1] == ("a", "#")
    for side in sides:
        side.join()


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no FIFOs in the file system")
def test_zips_and_errors_come_through_pipes(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, data in OPUS.items():
            archive.writestr(name, data)
    threads = [through_fifo(tmp_path / "zip", buffer.getvalue())]
    assert text_rows(tmp_path / "zip") == ROWS
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("lines.txt", b"a\nb\n")
    threads.append(through_fifo(tmp_path / "one", buffer.getvalue()))
    assert read_strict(tmp_path / "one") == ["a", "b"]
    threads.append(through_fifo(tmp_path / "broken", TMX[:100]))
    with pytest.raises(UserError) as caught:
        text_rows(tmp_path / "broken")
    assert str(caught.value).startswith(f"{tmp_path}/broken, line 2, column ")
    for thread in threads:
        thread.join()


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no bash")
def test_process_substitution_and_standard_input(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("".join(f"line {chr(97 + i % 26)}{i}\n" for i in range(60)))
    (tmp_path / "b").write_text("".join(f"Zeile {chr(97 + i % 26)}{i}\n" for i in range(60)))
    command = f"{sys.executable} -m dragoman corpus files --pair en-de --allow all --valid 5 --test 5"
    for inputs in ("<(cat a) <(cat b)", "a <(cat b)", "/dev/stdin < <(paste a b)", "/dev/stdin < table"):
        script = f"paste a b > table; {command} --out out {inputs}"
        result = subprocess.run(["bash", "-c", script], cwd=tmp_path, capture_output=True, text=True, timeout=120)
        assert (result.returncode, result.stdout.splitlines()[0]) == (0, "out: 50 train, 5 valid, 5 test"), (
            result.stderr
        )


def test_the_command_reads_archives_and_members_and_counts_headers(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sides = [[f"{word} {i}\n" for i in range(40)] for word in ("line", "Zeile")]
    names = ("Books.de-en.en", "Books.de-en.de")
    path = make_zip(tmp_path / "a.zip", {n: "".join(side).encode() for n, side in zip(names, sides, strict=True)})
    table = "de\ten\n" + "".join(f"{b[:-1]}\t{a}" for a, b in zip(*sides, strict=True))
    (tmp_path / "a.tsv").write_text(table)
    dropped = tmp_path / "dropped.tsv"
    for files in ([path], [path / name for name in names], [tmp_path / "a.tsv"]):
        options = ["--pair", "en-de", "--allow", "all", "--valid", "5", "--test", "5", "--dropped", str(dropped)]
        assert main(["corpus", "files", *options, "--out", str(tmp_path / "out"), *map(str, files)]) == 0
        assert "out: 30 train, 5 valid, 5 test\n" in capsys.readouterr().out
        assert dropped.read_text() == ("header row\tde\\ten\t\n" if files[0].suffix == ".tsv" else "")
    options = ["--pair", "en-de", "--out", str(tmp_path / "x")]
    assert main(["corpus", "files", *options, str(path / "none"), str(path)]) == 2
    assert "a.zip has no such file" in capsys.readouterr().err
    assert not (tmp_path / "x").exists()


# Folders with bad files.

BAD = {
    "empty.tsv": b"",
    "header.tsv": b"en\tde\n",
    "header.po": b'msgid ""\nmsgstr "Language: de\\n"\n',
    "foreign.po": PO.replace(b"de", b"fr", 1),
    "untranslated.po": b'msgid ""\nmsgstr "Language: de\\n"\n\nmsgid "one"\nmsgstr ""\n',
    "cut.tmx": TMX[:50],
    "cut.tsv.gz": gzip.compress(TABLE, mtime=0)[:-3],
    "not.tsv": b"no tab\n" * 30,
    "not.jsonl": b"[]\n",
    "latin.tsv": "Straße\tstreet\n".encode("latin-1") * 30,
    "binary.mo": b"\xde\x12\x04\x95",
    "bad.zip": b"PK\x03\x04 but no more",
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_file_in_a_folder_is_named_and_skipped(tmp_path: Path, name: str) -> None:
    messages: list[str] = []
    (tmp_path / name).write_bytes(BAD[name])
    with pytest.raises(UserError, match=name):  # alone, it is an error
        text_rows(tmp_path)
    with pytest.raises(UserError, match=name):
        text_rows(tmp_path / name)
    (tmp_path / "good.tmx").write_bytes(TMX)
    assert [row for row in text_rows(tmp_path, log=messages.append) if "�" not in str(row)][-2:] == ROWS
    assert len(messages) == 1
    assert messages[0].startswith(("skipped: ", "read in part: "))
    assert name in messages[0]
    with pytest.raises(UserError, match=name):
        text_rows(tmp_path / "good.tmx", tmp_path / name)


def test_many_bad_files_are_one_line(tmp_path: Path) -> None:
    for i in range(500):
        (tmp_path / f"{i:03}.po").write_bytes(BAD["foreign.po"])
    with pytest.raises(UserError, match=r"no file in .* can be read: .*000\.po translates .*004\.po.*; and 495 more$"):
        text_rows(tmp_path)
    (tmp_path / "good.tsv").write_bytes(TABLE)
    messages: list[str] = []
    assert text_rows(tmp_path, log=messages.append) == ROWS
    assert len(messages) == 6
    assert messages[-1] == f"skipped in {tmp_path}: 500 of 501 files; the first 5 are named above"


def test_rows_before_an_error_are_kept_and_counted(tmp_path: Path) -> None:
    unit = TMX[TMX.index(b"<tu>") : TMX.index(b"</tu>") + 5]
    (tmp_path / "a.tmx").write_bytes(b"<tmx><body>" + unit * 1234 + b"<tu></tuv>")
    (tmp_path / "b.tsv").write_bytes(TABLE)
    messages: list[str] = []
    assert len(text_rows(tmp_path, log=messages.append)) == 1236
    assert len(messages) == 1
    assert messages[0].startswith(f"read in part: {tmp_path}/a.tmx, line 1, column ")
    assert messages[0].endswith(" Its first 1,234 pairs are kept.")


def test_plain_files_of_different_lengths_in_a_folder_give_no_pair(tmp_path: Path) -> None:
    """A line is missing somewhere, so the pairs after it are wrong."""
    (tmp_path / "a.en").write_text("one\ntwo\n")
    (tmp_path / "a.de").write_text("zwei\n")
    (tmp_path / "b.tsv").write_bytes(TABLE)
    messages: list[str] = []
    assert text_rows(tmp_path, log=messages.append) == ROWS
    assert len(messages) == 1
    assert messages[0].startswith(f"skipped: {tmp_path}/a.en has 2 lines and {tmp_path}/a.de has 1")


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no FIFOs in the file system")
def test_what_is_no_file_in_a_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "good.tsv").write_bytes(TABLE)
    (tmp_path / "gone.tsv").symlink_to(tmp_path / "nowhere")
    os.mkfifo(tmp_path / "pipe.tsv")
    messages: list[str] = []
    assert text_rows(tmp_path, log=messages.append) == ROWS
    assert messages == [
        f"skipped: {tmp_path}/pipe.tsv is not a regular file",
        f"skipped: cannot read {tmp_path}/gone.tsv: No such file or directory",
    ]


# Foreign formats.


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("a.docx", b"", "is a text document; save it as plain text in UTF-8, a sentence a line, one file for each"),
        ("a.xlsx", b"", "is a spreadsheet; save it as CSV in UTF-8"),
        ("a.tar", b"x", "is a tar archive; unpack it with `tar xf` and name the folder"),
        ("a.tar.gz", gzip.compress(b"x", mtime=0), "is a tar archive"),
        ("a.tar.xz", lzma.compress(b"x"), "is a tar archive"),
        ("a.tgz", gzip.compress(b"x", mtime=0), "is a tar archive"),
        ("a.7z", b"7z\xbc\xaf\x27\x1c", "is a 7z archive; unpack it with `7z x`"),
        ("a.rar", b"Rar!\x1a\x07\0", "is a RAR archive; unpack it"),
        ("a.tbx", b"<?xml version='1.0'?><martif/>", r"is a term base \(TBX\); export it as TMX"),
        ("a.sdltm", b"SQLite format 3\0", "is a database, as Trados keeps translation memories in; export it as TMX"),
        ("a.json", b'[{"en": "a"}]', r"is JSON in one piece; write an object a line \(\.jsonl\)"),
        ("a.html", b"<p>x", "is a web page"),
        ("a.pdf", b"%PDF-1.7", "is a PDF document"),
        ("a.tsv.zst", b"\x28\xb5\x2f\xfdxx", "is compressed with zstd; decompress it with `zstd -d`, or use gzip"),
        ("a.tsv", b"\x28\xb5\x2f\xfdxx", "is compressed with zstd; decompress it with `zstd -d`, or use gzip"),
        ("a.tsv", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "is a document of Microsoft Office"),
        ("a.xml", b'<?xml version="1.0"?><cesAlign/>', "is XML or HTML, but neither TMX nor XLIFF"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("twice", [False, True])
def test_foreign_formats_are_named_with_a_remedy(
    tmp_path: Path, name: str, data: bytes, message: str, twice: bool
) -> None:
    path = tmp_path / name
    path.write_bytes(data)
    if twice and name == "a.xml":
        message = "and .*a.xml are XML; plain text has a sentence a line"
    with pytest.raises(UserError, match=rf"{name} {message}"):
        text_rows(*[path] * (2 if twice else 1))


def test_office_documents_and_tar_archives_are_known_by_their_content(tmp_path: Path) -> None:
    import tarfile

    for kind, members in {
        "is a text document": ["[Content_Types].xml", "word/document.xml"],
        "is a spreadsheet": ["[Content_Types].xml", "xl/workbook.xml"],
    }.items():
        path = make_zip(tmp_path / "a.tsv", dict.fromkeys(members, b"<x/>"))
        for read in (text_rows, read_strict):
            with pytest.raises(UserError, match=kind):
                read(path)
    for mode in ("w", "w:gz", "w:xz", "w:bz2"):
        with tarfile.open(tmp_path / "a.tsv", mode) as archive:
            archive.add(__file__, "test.py")
        for read in (text_rows, read_strict):
            with pytest.raises(UserError, match=r"a\.tsv is a tar archive; unpack it"):
                read(tmp_path / "a.tsv")


def test_binary_files_are_no_text(tmp_path: Path) -> None:
    for data in (
        b"\0\0\0\1Bud1\0\0\x10",
        b"\x7fELF\2\1\1" + b"\0" * 9 + b"\n",
        random.Random(1).randbytes(40) + b"\0" * 9,
    ):
        (tmp_path / "a").write_bytes(data)
        for read in (text_rows, read_strict):
            with pytest.raises(UserError, match="a looks like UTF-16 without a byte order mark, or is no text"):
                read(tmp_path / "a")
    (tmp_path / "a").write_bytes(b"a\0\tb, which is a text with a stray zero byte\nc\td\n")
    assert text_rows(tmp_path / "a") == [("a\0", "b, which is a text with a stray zero byte"), ("c", "d")]


def test_xliff_of_other_tools_and_json_lines_under_another_name(tmp_path: Path) -> None:
    for name in ("a.sdlxliff", "a.mxliff", "a.mqxliff", "a.txt", "A.SDLXLIFF"):
        (tmp_path / name).write_bytes(XLIFF)
        assert text_rows(tmp_path / name) == ROWS
    (tmp_path / "a.json").write_bytes(JSONL)
    assert text_rows(tmp_path / "a.json") == ROWS


def test_notes_on_many_files_are_few_lines(tmp_path: Path) -> None:
    for i in range(100):
        (tmp_path / f"{i:03}.tsv").write_bytes(b"de\ten\nzwei\ttwo\n")
        (tmp_path / f"{i:03}.tmx").write_bytes(TMX[:-13])
    messages: list[str] = []
    assert len(text_rows(tmp_path, log=messages.append)) == 300
    assert len(messages) == 12
    assert messages[-2:] == [
        f"read in part in {tmp_path}: 100 of 200 files; the first 5 are named above",
        f"noted in {tmp_path}: 100 of 200 files; the first 5 are named above",
    ]


def test_two_plain_files_without_a_line_are_named(tmp_path: Path) -> None:
    for name in ("a.en", "a.de", "b.en", "b.de"):
        (tmp_path / name).write_text("x\n" if name[0] == "b" else "")
    messages: list[str] = []
    assert text_rows(tmp_path, log=messages.append) == [("x", "x")]
    assert messages == [f"skipped: {tmp_path}/a.en has no pair of a source and a target"]


def test_formats_are_known_by_content_in_linear_time(tmp_path: Path) -> None:
    for start in (b"\n" * 4000, b" \n" * 2000, b"#\t\n" * 1300, b"\t" * 4000 + b"\n"):
        (tmp_path / "a").write_bytes(start + b"one\teins\n")
        assert text_rows(tmp_path / "a")[-1] == ("one", "eins")
    (tmp_path / "a").write_bytes(b"\n# by\n \n#, fuzzy\n" + PO)
    assert text_rows(tmp_path / "a") == ROWS


HIDDEN = [
    ".git/objects/a.tsv",
    ".svn/b.tmx",
    "__MACOSX/a.tsv",
    "sub/.DS_Store",
    "Thumbs.db",
    "sub/.hidden.tsv",
    "._x.tsv",
]


@pytest.mark.parametrize("is_zip", [False, True])
def test_hidden_files_and_folders_are_counted_and_not_read(tmp_path: Path, is_zip: bool) -> None:
    files = {**dict.fromkeys(HIDDEN, b"x\ty\n"), "sub/a.tsv": TABLE, ".git/objects/b.tsv": b"x\ty\n"}
    path = tmp_path / ".data" / "in"
    for name, data in files.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(data)
    if is_zip:
        path = make_zip(tmp_path / ".data" / "in.zip", files)
    messages: list[str] = []
    assert text_rows(path, log=messages.append) == ROWS
    (line,) = messages
    assert line.startswith(f"skipped in {path}: 7 hidden files and folders, such as {path}/.")
    one = {"a.tsv": TABLE, ".DS_Store": b"x"}
    assert text_rows(make_zip(tmp_path / "one.zip", one), log=messages.append) == ROWS
    assert messages[1:] == [
        f"skipped in {tmp_path}/one.zip: 1 hidden file or folder, such as {tmp_path}/one.zip/.DS_Store"
    ]
    assert [*read_byte_lines(tmp_path / "one.zip")] == TABLE.splitlines()
    assert [*read_byte_lines(tmp_path / "one.zip" / ".DS_Store")] == [b"x"]  # named by the user


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("a\nb\x1a", ["a", "b"]), ("a\r\nb\r\n\x1a", ["a", "b"]), ("a\n\x1a\x1a\x1a", ["a"]), ("\x1a", []),
        ("a\x1a\nb", ["a\x1a", "b"]), ("\x1aa\n\x1a\nb\n", ["\x1aa", "\x1a", "b"]), ("a\n\n\x1a", ["a", ""]),
        ("a\rb\rc", ["a", "b", "c"]), ("a\rb\r", ["a", "b"]), ("a\r\rb\r\x1a", ["a", "", "b"]), ("\r", [""]),
        ("a\rb\nc\rd", ["a\rb", "c\rd"]), ("a\n\rb", ["a", "\rb"]), ("", []), ("a\r\n", ["a"]), ("\n", [""]),
    ],
)  # fmt: skip
def test_ends_of_lines_and_of_files(tmp_path: Path, text: str, lines: list[str], encoding: str) -> None:
    (tmp_path / "a").write_bytes(text.encode(encoding))
    assert read_strict(tmp_path / "a") == lines


@pytest.mark.parametrize(("ending", "data"), [*FORMATS.items()])
@pytest.mark.parametrize("end", ["", "\x1a"])
@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
def test_files_of_dos_and_of_the_classic_mac(tmp_path: Path, ending: str, data: bytes, end: str, newline: str) -> None:
    path = tmp_path / f"a.{ending}"
    path.write_bytes(data.replace(b"\n", newline.encode()) + end.encode())
    assert text_rows(path) == ROWS
    assert not any(isinstance(row, UnreadableRow) for row in read_files([str(path)], EN_DE))


def test_plain_files_of_the_classic_mac(tmp_path: Path) -> None:
    for name, word in (("a.en", "one"), ("a.de", "eins")):
        (tmp_path / name).write_bytes("".join(f"{word} {i}\r" for i in range(40)).encode())
    rows = text_rows(tmp_path / "a.en", tmp_path / "a.de")
    assert rows == [(f"one {i}", f"eins {i}") for i in range(40)]


def test_one_is_written_in_the_singular(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["corpus", "files", "--pair", "en-de", "--out", str(tmp_path / "out")]
    (tmp_path / "a.tsv").write_bytes(b"one\teins\n")
    assert main([*command, str(tmp_path / "a.tsv")]) == 2
    assert "1 different source line is too few to hold out" in (error := capsys.readouterr().err)
    assert "; 1 pair read" in error
    (tmp_path / "a.en").write_bytes(b"one\n")
    (tmp_path / "a.de").write_bytes(b"eins\nzwei\n")
    assert main([*command, str(tmp_path / "a.en"), str(tmp_path / "a.de")]) == 2
    assert "a.en has 1 line and" in capsys.readouterr().err
    cut = TMX[: TMX.index(b"two")]
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.tmx").write_bytes(cut)
    messages: list[str] = []
    assert text_rows(tmp_path / "in", log=messages.append) == ROWS[:1]
    assert messages[0].endswith(" Its first pair is kept.")
