"""Lines of files and streams, in every encoding and compression, as they arrive."""

from __future__ import annotations

import bz2
import codecs
import gzip
import io
import lzma
import os
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from copying import file_of
from dragoman.runtime.commands import main
from dragoman.runtime.compression import method_of
from dragoman.runtime.errors import UserError
from dragoman.runtime.foreign import MAGIC
from dragoman.runtime.lines import START_SIZE, UTF16, ZIP, is_utf16, read_line_batches
from dragoman.runtime.translator import Translator

PACK: dict[str, Callable[[bytes], bytes]] = {
    "plain": bytes, "gzip": gzip.compress, "bzip2": bz2.compress, "xz": lzma.compress,
}  # fmt: skip
ENCODE: dict[str, Callable[[str], bytes]] = {
    "UTF-8": str.encode,
    "UTF-8 with BOM": lambda text: codecs.BOM_UTF8 + text.encode(),
    "UTF-16LE": lambda text: codecs.BOM_UTF16_LE + text.encode("utf-16-le"),
    "UTF-16BE": lambda text: codecs.BOM_UTF16_BE + text.encode("utf-16-be"),
}
line_text = st.text(st.characters(exclude_characters="\n\r", exclude_categories=["Cs"]))


def read(data: bytes, max_lines: int = 100) -> list[bytes]:
    return [line for lines in read_line_batches(io.BytesIO(data), max_lines, "notes") for line in lines]


def is_other(data: bytes) -> bool:
    """Return True for bytes that are taken for another format than UTF-8 without a byte order mark."""
    # A reader decides by what it has read: all, or the first line or bytes of a slow stream. A short start such as
    # b"\xc2\x80\0\n" is a line in UTF-16 as well.
    starts = (data, data[: data.find(b"\n") + 1], data[:START_SIZE])
    is_other_text = any(is_utf16(start) for start in starts) or data.startswith((*UTF16, codecs.BOM_UTF8))
    return bool(method_of(data)) or is_other_text or is_foreign(data)


def is_foreign(data: bytes) -> bool:
    return data.startswith((*ZIP, codecs.BOM_UTF32_LE)) or any(pattern.match(data) for pattern, _ in MAGIC)


class OneByteAtATime(io.RawIOBase):
    """A stream that never gives more than one byte at once."""

    def __init__(self, data: bytes) -> None:
        self.data, self.place = data, 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:  # noqa: ANN401 (a buffer has no type before Python 3.12)
        byte = self.data[self.place : self.place + 1]
        self.place += len(byte)
        buffer[: len(byte)] = byte
        return len(byte)


@pytest.mark.parametrize("pack", PACK)
@pytest.mark.parametrize("encoding", ENCODE)
@pytest.mark.parametrize("ending", ["\n", "\r\n"])
@given(lines=st.lists(line_text, min_size=1), last_is_open=st.booleans())
@example(lines=["\x80\x00", "\u0800"], last_is_open=False)
@settings(max_examples=25)
def test_every_encoding_and_compression_gives_the_same_lines(
    pack: str, encoding: str, ending: str, lines: list[str], last_is_open: bool
) -> None:
    text = ending.join(lines) + ("" if last_is_open and lines[-1] else ending)
    data = ENCODE[encoding](text)
    assume(not (is_foreign(data) or (encoding == "UTF-8" and is_other(data))))
    data = PACK[pack](data)
    assert [line.decode() for line in read(data)] == lines
    stream = io.BufferedReader(OneByteAtATime(data))
    assert [line.decode() for batch in read_line_batches(stream, 3) for line in batch] == lines


@pytest.mark.parametrize("size", [1, 2, 100])
@given(st.lists(st.binary().map(lambda line: line.replace(b"\n", b"").replace(b"\r", b"")), min_size=1))
@example([b"\xff", b"\xfe", b"a\0b", b"\0" * 9, b"BZh", b"\x1f"])
def test_no_bytes_are_lost(size: int, lines: list[bytes]) -> None:
    data = b"\n".join(lines) + b"\n"
    assume(not is_other(data))
    found = [*read_line_batches(io.BytesIO(data), size)]
    assert [line for chunk in found for line in chunk] == lines
    assert all(len(chunk) == size for chunk in found[:-1])


@pytest.mark.parametrize(
    ("data", "lines"),
    [
        (b"", []), (b"\n", [b""]), (b"\n\n", [b"", b""]), (b"a", [b"a"]), (b"a\nb", [b"a", b"b"]),
        (b"a\r\nb\r\n", [b"a", b"b"]), (b"a\rb\n", [b"a\rb"]), (b"a\r\r\n", [b"a\r"]), (b"\r\n", [b""]),
        (b"\xef\xbb\xbf", []), (b"\xef\xbb\xbfa\n", [b"a"]), (b"\xff\xfe", []), 
        (b"a\xe2\x80\xa8b\x0c\x85\n", [b"a\xe2\x80\xa8b\x0c\x85"]),
        (b"a\0b\n", [b"a\0b"]), (b"\0\n", [b"\0"]), (b"x\0\n" * 2, [b"x\0"] * 2),
    ],
)  # fmt: skip
def test_lines_end_at_line_feeds_alone(data: bytes, lines: list[bytes]) -> None:
    assert read(data) == lines


@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress, lzma.compress])
def test_files_of_several_members_are_read_to_their_end(pack: Callable[[bytes], bytes]) -> None:
    """As `cat a.gz b.gz` and pigz write them."""
    assert read(pack(b"one\ntw") + pack(b"o\nthree\n")) == [b"one", b"two", b"three"]
    assert read(pack(b"")) == []


@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress, lzma.compress])
def test_damaged_compressed_files_are_one_sentence(pack: Callable[[bytes], bytes]) -> None:
    whole = pack(b"".join(b"line %d\n" % i for i in range(5000)))
    for data in (whole[: len(whole) // 2], whole[:-5], whole[:40] + bytes(20) + whole[60:]):
        with pytest.raises(UserError, match=r"^cannot read notes: [^\n]+$"):
            read(data)


def archive(kind: str) -> bytes:
    file = io.BytesIO()
    if kind == "zip":
        with zipfile.ZipFile(file, "w") as packed:
            packed.writestr("a.txt", "one\n")
    else:
        with tarfile.open(fileobj=file, mode="w:gz" if kind == "tar.gz" else "w") as tar:
            tar.add(__file__, "a.txt")
    return file.getvalue()


CHINESE = "我们看到了一只狗。\n第一行在这里，一二三四五六七八九十。\n" * 3


@pytest.mark.parametrize(
    ("data", "message"),
    [
        *(
            (text.encode(encoding), "notes looks like UTF-16 without a byte order mark; save it as UTF-8")
            for encoding in UTF16.values()
            for text in ("ab\n", "Grüße\r\n", "Привет, мир\n", CHINESE, "日本語\n" * 9, "𝒳𝒴\n", "\n\n\n")
        ),
        (archive("zip"), "notes is a zip archive"),
        (archive("tar"), "notes is a tar archive; give plain text"),
        (archive("tar.gz"), "notes is a tar archive; give plain text"),
        (b"\x28\xb5\x2f\xfd\x24\x04\x21\x00\x00one\n", "notes is compressed with zstd"),
        (b"%PDF-1.7\n", "notes is a PDF document; give plain text"),
        (codecs.BOM_UTF32_LE + "a\n".encode("utf-32-le"), "notes is UTF-32"),
        (codecs.BOM_UTF32_BE + "a\n".encode("utf-32-be"), "notes is UTF-32"),
    ],
)
def test_other_formats_are_refused(data: bytes, message: str) -> None:
    with pytest.raises(UserError, match=message):
        read(data)
    if not method_of(data):
        with pytest.raises(UserError, match=message):
            read(gzip.compress(data))


@given(st.text())
@example(CHINESE)
@example("a\0b")
def test_utf8_is_not_taken_for_utf16(text: str) -> None:
    if "\0" not in text:
        assert not is_utf16(text.encode("utf-8", "replace"))


@pytest.mark.parametrize("encoding", UTF16.values())
def test_invalid_utf16_is_kept_to_be_reported(encoding: str) -> None:
    mark = next(mark for mark, name in UTF16.items() if name == encoding)
    lone = "a\ud83db\n".encode(encoding, "surrogatepass")
    assert [line.decode("utf-8", "replace") for line in read(mark + lone + b"\x41")] == [
        "a\ufffd\ufffd\ufffdb",
        "\ufffd",
    ]


def test_available_lines_are_read_without_waiting() -> None:
    """As with `tail -f`, or another program that writes a line and waits for its translation."""
    reading, writing = os.pipe()
    with open(reading, "rb") as stream, open(writing, "wb", buffering=0) as sender:
        found = read_line_batches(stream, 100)
        for sent, received in ((b"o\n", 1), (b"two\nthree\n", 2), (b"half\n and", 1), (b" half\n", 1)):
            sender.write(sent)
            assert len(next(found)) == received
        sender.write(b"last")
        sender.close()
        assert [*found] == [[b"last"]]


def test_long_lines_make_small_batches() -> None:
    batches = [*read_line_batches(io.BytesIO(b"x" * 400_000 + b"\n" + b"x" * 10**6 + b"\ny\n"), 100)]
    assert [len(lines) for lines in batches] == [2, 1]


def test_a_command_answers_each_line_at_once(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "dragoman.runtime", "translate", str(file_of(tmp_path / "m.onnx"))]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0) as process:
        assert process.stdin
        assert process.stdout
        for text in (b"copy\n", b"B\n", "Größe 1\n".encode(), b"\n", b"that one\n"):
            process.stdin.write(text)
            answer = b""
            while not answer.endswith(b"\n"):
                answer += process.stdout.read(1)
            assert answer == text
        process.stdin.close()
        assert process.wait() == 0


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(file_of(tmp_path_factory.mktemp("copy") / "copy.onnx"))


def run(words: list[str], data: bytes, monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(data)))
    return main(words)


@pytest.mark.parametrize("pack", PACK)
@pytest.mark.parametrize("encoding", ENCODE)
def test_standard_input_is_decoded(
    pack: str, encoding: str, model: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    data = PACK[pack](ENCODE[encoding]("one day\r\n\nGröße 2\nthree"))
    for words in ([], ["-"]):
        assert run(["translate", model, *words], data, monkeypatch) == 0
        assert capsys.readouterr() == ("one day\n\nGröße 2\nthree\n", "")


@pytest.mark.parametrize(
    "data", ["a line\n".encode("utf-16-le"), archive("zip"), gzip.compress(b"one\n" * 99, mtime=0)[:-9]]
)
def test_other_standard_input_is_refused_in_one_line(
    data: bytes, model: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["translate", model], data, monkeypatch) == 2
    error = capsys.readouterr().err
    assert error.startswith(("dragoman: standard input ", "dragoman: cannot read standard input: "))
    assert error.count("\n") == 1


def test_a_dash_among_texts_is_refused(model: str, capsys: pytest.CaptureFixture[str]) -> None:
    for words in (["-", "a"], ["a", "-"], ["a", "--beam", "1", "-"]):
        assert main(["translate", model, *words]) == 2
        assert capsys.readouterr().err == "dragoman: - stands for standard input; give it without another TEXT\n"


def test_warnings_about_many_lines_are_counted(
    model: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["translate", model], b"good\n" + b"b\xe4d\n" * 1200, monkeypatch) == 0
    output = capsys.readouterr()
    assert output.out == "good\n" + "b\ufffdd\n" * 1200
    lines = output.err.splitlines()
    assert lines[:2] == [f"dragoman: line {n}: byte 2 is not UTF-8 and was replaced" for n in (2, 3)]
    assert lines[10:] == ["dragoman: 1,190 more lines: bytes that are not UTF-8 were replaced"]


@given(lines=st.lists(st.one_of(line_text, st.text().map(lambda t: t.replace("\n", " ")), st.binary()), max_size=20))
@settings(max_examples=150)
def test_each_line_is_translated_as_if_it_were_alone(model: str, lines: list[str | bytes]) -> None:
    """Through the command, with all of Unicode and bytes that are no text."""
    raw = [line.encode("utf-8", "surrogatepass") if isinstance(line, str) else line for line in lines]
    raw = [line.replace(b"\n", b"").removesuffix(b"\r") for line in raw]
    data = b"".join(line + b"\n" for line in raw)
    assume(not is_other(data))
    out = io.BytesIO()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(data)))
        patch.setattr("sys.stdout", io.TextIOWrapper(out, newline="\n"))
        patch.setattr("sys.stderr", io.StringIO())
        assert main(["translate", model]) == 0
        sys.stdout.flush()
        found = out.getvalue().decode().split("\n")
    assert found.pop() == ""
    translator = Translator.load(model)
    assert found == [translator.translate(line.decode("utf-8", "replace")).text for line in raw]
