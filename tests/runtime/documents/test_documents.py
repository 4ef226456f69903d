"""Whole documents: files in every format, the command, resuming, processes, reports and errors."""

from __future__ import annotations

import gzip
import io
import json
import os
import random
import re
import subprocess
import sys
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

import dragoman.documents
from copying import METADATA, file_of
from dragoman.runtime.commands import main
from dragoman.runtime.documents import files, journal
from dragoman.runtime.documents.encoding import decode
from dragoman.runtime.documents.formats import FORMATS, Document, format_named
from dragoman.runtime.documents.names import ENDINGS
from dragoman.runtime.documents.options import Options
from dragoman.runtime.documents.segments import Content, Text
from dragoman.runtime.documents.translation import MAX_COPIED, Settings, different_numbers, translate_contents
from dragoman.runtime.errors import Interrupted, UserError
from dragoman.runtime.translator import Translator

OPTIONS = Options("en", "de")


def docx(paragraphs: Sequence[str]) -> bytes:
    """Return a small Word document."""
    word = 'xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"'
    body = "".join(f"<w:p><w:r><w:t>{text}</w:t></w:r></w:p>" for text in paragraphs)
    main_type = "application/vnd.openxmlformats-officedocument.wordprocessingml.document.main+xml"
    output = io.BytesIO()
    with zipfile.ZipFile(output, "w") as archive:
        archive.writestr(
            "[Content_Types].xml",
            '<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types">'
            f'<Override PartName="/word/document.xml" ContentType="{main_type}"/></Types>',
        )
        archive.writestr("word/document.xml", f"<w:document {word}><w:body>{body}</w:body></w:document>")
        archive.writestr("word/media/image.bin", bytes(range(256)))
    return output.getvalue()


def odt(paragraphs: Sequence[str]) -> bytes:
    """Return a small OpenDocument text."""
    names = "urn:oasis:names:tc:opendocument:xmlns"
    body = "".join(f"<text:p>{text}</text:p>" for text in paragraphs)
    output = io.BytesIO()
    with zipfile.ZipFile(output, "w") as archive:
        archive.writestr("mimetype", "application/vnd.oasis.opendocument.text")
        archive.writestr(
            "content.xml",
            f'<office:document-content xmlns:office="{names}:office:1.0" xmlns:text="{names}:text:1.0">'
            f"<office:body><office:text>{body}</office:text></office:body></office:document-content>",
        )
    return output.getvalue()


# A document of each format with the texts "copy this line" and "And that one!", and its other content.
DOCUMENTS: dict[str, bytes] = {
    "text": b"copy this line\r\n\r\n  And that one!\n***\n",
    "markdown": b"# copy this line\n\n```\ncode\n```\n\n- And that one!\n",
    "html": b"<!doctype html><p class=x>copy this line<br>And that one!<pre>code</pre>\n",
    "srt": b"1\r\n00:00:01,000 --> 00:00:02,000\r\ncopy this line\r\n\r\n"
    b"2\r\n00:00:03,000 --> 00:00:04,000\r\nAnd that one!\r\n",
    "vtt": b"WEBVTT\n\n00:01.000 --> 00:02.000 align:start\ncopy this line\n\nNOTE no\n\n"
    b"00:03.000 --> 00:04.000\nAnd that one!\n",
    "po": b'# c\nmsgid ""\nmsgstr "Content-Type: text/plain; charset=UTF-8\\n"\n\nmsgid "copy this line"\nmsgstr ""\n\n'
    b'msgid "old"\nmsgstr "alt"\n\nmsgid "And that one!"\nmsgstr ""\n',
    "xliff": b'<?xml version="1.0"?><xliff version="1.2" xmlns="urn:oasis:names:tc:xliff:document:1.2"><file '
    b'source-language="en" target-language="xx" datatype="x" original="y"><body><trans-unit id="1"><source>copy this '
    b'line</source></trans-unit><trans-unit id="2"><source>And that one!</source><target/></trans-unit></body></file>'
    b"</xliff>",
    "json": b'{"a": "copy this line",\r\n "b": [1, true, {"copy this": "And that one!"}], "id": "x-1"}',
    "csv": b'id,text\r\n1,copy this line\r\n2,"And that one!"\r\n',
    "tsv": b"id\ttext\n1\tcopy this line\n2\tAnd that one!\n",
    "docx": docx(["copy this line", "And that one!"]),
    "odt": odt(["copy this line", "And that one!"]),
}  # fmt: skip


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(file_of(tmp_path_factory.mktemp("model") / "copy.onnx"))


@pytest.fixture(scope="module")
def translator(model: str) -> Translator:
    return Translator.load(model)


@pytest.fixture(autouse=True)
def _in_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def name_of(form: str) -> str:
    return f"in{ENDINGS[form][0]}"


def texts_of(data: bytes, form: str) -> list[str]:
    return [segment.text for segment in Document(data, format_named(form), OPTIONS).segments]


def parts_of(data: bytes) -> dict[str, bytes]:
    """Return the members of an archive, or other data as one member."""
    if data[:2] != b"PK":
        return {"": data}
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def test_every_format_has_a_document_here_and_a_name_for_the_command_line() -> None:
    assert DOCUMENTS.keys() == FORMATS.keys() == ENDINGS.keys()
    endings = [ending for each in ENDINGS.values() for ending in each]
    assert len(endings) == len({*endings})


@pytest.mark.parametrize("form", DOCUMENTS)
def test_a_document_translated_into_itself_is_itself(form: str, model: str, translator: Translator) -> None:
    """The model copies its source, so that nothing may change but what a format adds to a translation."""
    data = DOCUMENTS[form]
    assert texts_of(data, form) == ["copy this line", "And that one!"]
    Path(name_of(form)).write_bytes(data)
    target = "out" + ENDINGS[form][0]
    dragoman.documents.translate(translator, name_of(form), target)
    written = Path(target).read_bytes()
    if form in ("po", "xliff"):
        expected = data.replace(b'this line"\nmsgstr ""', b'this line"\nmsgstr "copy this line"')
        expected = expected.replace(b'one!"\nmsgstr ""', b'one!"\nmsgstr "And that one!"')
        expected = expected.replace(b"line</source>", b"line</source><target>copy this line</target>")
        expected = expected.replace(b"<target/>", b"<target>And that one!</target>")
        assert written == expected
    elif form in ("docx", "odt"):
        assert texts_of(written, form) == texts_of(data, form)
        changed = [name for name, member in parts_of(written).items() if parts_of(data)[name] != member]
        assert len(changed) <= 1
    else:
        assert written == data
    in_memory = dragoman.documents.translate_bytes(translator, data, form)
    assert parts_of(in_memory.data) == parts_of(written)
    assert sorted(path.name for path in Path().iterdir()) == sorted([name_of(form), target])
    if form != "text":  # lines, which the command reads one by one
        assert main(["translate", model, "--in", name_of(form), "--out", target]) == 0
        assert Path(target).read_bytes() == written


@pytest.mark.parametrize("form", [form for form in DOCUMENTS if form != "text"])
def test_a_document_from_standard_input_to_standard_output(form: str, model: str) -> None:
    command = [sys.executable, "-m", "dragoman.runtime", "translate", model, "--format", form]
    found = subprocess.run(command, input=DOCUMENTS[form], capture_output=True, check=True)
    assert texts_of(found.stdout, form) == ([] if form in ("po", "xliff") else ["copy this line", "And that one!"])
    assert found.stderr == b""


def shouting(contents: Sequence[Sequence[Content]]) -> list[str]:
    return ["".join(item.text for item in content if isinstance(item, Text)) for content in contents]


def test_the_same_text_is_translated_alike_everywhere(translator: Translator) -> None:
    texts = ["copy this line", "And that one!", "copy this line, number 3. And that one!"]
    contents = [(Text(text),) for text in texts]
    results = translate_contents(translator, contents, Settings())
    assert [result.text for result in results] == [found.text for found in translator.translate(texts)]


def test_equal_texts_are_translated_once(translator: Translator, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []
    translate = Translator.translate

    def spy(self: Translator, texts: list[str], **settings: object) -> object:
        seen.extend(texts)
        return translate(self, texts, **settings)  # type: ignore[call-overload]  # what was given

    monkeypatch.setattr(Translator, "translate", spy)
    translate_contents(translator, [(Text("copy"),), (Text("that"),), (Text("copy"),)], Settings())
    assert sorted(seen) == ["copy", "that"]


def many(count: int) -> bytes:
    generator = random.Random(0)
    words = "copy this line and that one number".split()
    paragraphs = (" ".join(generator.choices(words, k=generator.randint(1, 9))) for _ in range(count))
    return "".join(f"<p>{text} <b>{i}</b></p>\n" for i, text in enumerate(paragraphs)).encode()


def test_processes_do_not_change_the_result(model: str) -> None:
    Path("in.html").write_bytes(many(200))
    for processes in ("1", "2"):
        options = ["--batch-size", "2", "--processes", processes, "--report", f"{processes}.json"]
        assert main(["translate", model, "--in", "in.html", "--out", f"{processes}.html", *options]) == 0
    assert Path("1.html").read_bytes() == Path("2.html").read_bytes() == Path("in.html").read_bytes()
    assert Path("1.json").read_bytes() == Path("2.json").read_bytes()


def stopping(after: int, error: BaseException) -> Callable[..., object]:
    """Return a replacement of `translate_contents` that raises an error after some batches."""
    calls = iter(range(after))

    def stop(*arguments: object) -> object:
        if next(calls, None) is None:
            raise error
        return translate_contents(*arguments)  # type: ignore[arg-type]  # what was given

    return stop


@pytest.mark.parametrize("error", [KeyboardInterrupt(), UserError("the disk is full")])
@pytest.mark.parametrize("cut", [0, 1, 7])
def test_an_interrupted_document_goes_on_where_it_stopped(
    error: BaseException, cut: int, model: str, translator: Translator, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("in.html").write_bytes(many(100))
    with monkeypatch.context() as patch:
        patch.setattr(files, "translate_contents", stopping(2, error))
        with pytest.raises(
            Interrupted if isinstance(error, KeyboardInterrupt) else UserError, match="--resume to go on"
        ):
            dragoman.documents.translate(translator, "in.html", "out.html", batch_size=2)
    assert not Path("out.html").exists()
    partial = Path("out.html.partial")
    if cut:  # the machine failed while a line was written
        partial.write_bytes(partial.read_bytes()[:-cut])
    n_segments = len(Document(many(100), format_named("html"), OPTIONS).segments)
    done: list[int] = []
    with pytest.raises(UserError, match="go on with --resume, or remove that file"):
        dragoman.documents.translate(translator, "in.html", "out.html", batch_size=2)
    dragoman.documents.translate(
        translator, "in.html", "out.html", batch_size=2, resume=True, progress=lambda n, _: done.append(n)
    )
    assert done[0] == (32 if cut else 64) + 32  # nothing is translated twice, and nothing is left out
    assert done[-1] == n_segments
    assert Path("out.html").read_bytes() == Path("in.html").read_bytes()
    assert not partial.exists()


def test_a_journal_of_something_else_is_not_continued(
    translator: Translator, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("in.html").write_bytes(many(100))
    with monkeypatch.context() as patch:
        patch.setattr(files, "translate_contents", stopping(2, KeyboardInterrupt()))
        with pytest.raises(Interrupted):
            dragoman.documents.translate(translator, "in.html", "out.html", batch_size=2)
    for change in ({"beam": 1}, {"drop_tags": True}):
        with pytest.raises(UserError, match="made with another options; repeat the command"):
            dragoman.documents.translate(translator, "in.html", "out.html", resume=True, **change)
    Path("in.html").write_bytes(many(99))
    with pytest.raises(UserError, match="made with another input"):
        dragoman.documents.translate(translator, "in.html", "out.html", resume=True)
    Path("out.html.partial").write_text("notes of mine\n")
    with pytest.raises(UserError, match="was not left by an interrupted command, and would be overwritten"):
        dragoman.documents.translate(translator, "in.html", "out.html")
    assert Path("out.html.partial").read_text() == "notes of mine\n"
    Path("out.html.partial").unlink()
    dragoman.documents.translate(translator, "in.html", "out.html", resume=True)
    assert "there is no" in capsys.readouterr().err


@pytest.mark.parametrize("option", ["--out", "--report"])
def test_the_model_is_not_overwritten(option: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = file_of(tmp_path / "model.html")  # a name that an output may have
    before = model.read_bytes()
    Path("in.html").write_bytes(many(3))
    arguments = [option, "./model.html"]
    assert main(["translate", str(model), "--in", "in.html", *arguments]) == 2
    assert f"{option} ./model.html would overwrite {model}; name another file" in capsys.readouterr().err
    assert model.read_bytes() == before


def test_findings_are_printed_even_if_the_report_cannot_be_written(
    model: str, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("in.html").write_text(HTML, "utf-8", "surrogateescape")
    os.mkdir("r.json.part")  # in the way of the temporary file
    assert main(["translate", model, "--in", "in.html", "--out", "out.html", "--report", "r.json"]) == 2
    error = capsys.readouterr().err
    assert "in.html, line 2: " in error
    assert "cannot write r.json" in error


@pytest.mark.parametrize("facts", ["3", "[]", "null"])
def test_a_journal_without_facts_is_a_file_of_something_else(translator: Translator, facts: str) -> None:
    Path("in.html").write_bytes(many(3))
    Path("out.html.partial").write_text(f'{{"facts": {facts}}}\n[]\n')
    with pytest.raises(UserError, match="was not left by an interrupted command"):
        dragoman.documents.translate(translator, "in.html", "out.html", resume=True)


@pytest.mark.parametrize(
    "line",
    [
        "[1]",
        "[[1, 2]]",
        "[[1, 2, []]]",
        '[["a", "a", [["kept"]]]]',
        '[["a", "a", [[1, 2]]]]',
        '["abc"]',
        "[null]",
        "{}x",
    ],
)
def test_a_damaged_line_ends_the_journal(line: str) -> None:
    valid = '[["a", "b", [["kept", "c"]]], [null, "d", []]]'
    Path("out.html.partial").write_text(f'{{"facts": {{}}}}\n{valid}\n{line}\n{valid}\n')
    held = journal.Journal(Path("out.html"), {}, resume=True)
    assert [entry.text for entry in held.entries] == ["b", "d"]
    held.finish()


def test_a_journal_is_written_by_one_process(translator: Translator) -> None:
    pytest.importorskip("fcntl", reason="Windows has no such locks")
    held = journal.Journal(Path("out.html"), {}, resume=False)
    Path("in.html").write_bytes(many(3))
    with pytest.raises(UserError, match=r"another process is writing out\.html"):
        dragoman.documents.translate(translator, "in.html", "out.html")
    held.finish()


HTML = (
    "<p><b>copy {this} line 12</b></p>\n"
    "<p>" + "<b>" * 101 + "copy" + "</b>" * 101 + "</p>\n"
    "<p>And that one</p>\n"
    "<p>bytes \udcff here</p>\n"
)  # fmt: skip


def test_a_report_lists_what_a_person_should_look_at(model: str, capsys: pytest.CaptureFixture[str]) -> None:
    Path("in.html").write_bytes(HTML.encode("utf-8", "surrogateescape"))
    for ending in ("json", "html"):
        assert main(["translate", model, "--in", "in.html", "--out", "out.html", "--report", f"report.{ending}"]) == 0
    assert Path("out.html").read_bytes() == Path("in.html").read_bytes()
    report = json.loads(Path("report.json").read_text())
    assert (report["segments"], report["translated"], report["format"]) == (4, 2, "html")
    assert [(row["place"], row["problems"][0]["kind"]) for row in report["listed"]] == [
        ("line 2", "kept"),
        ("line 4", "kept"),
    ]
    page = Path("report.html").read_text()
    assert page.count("<tr><td>") == 2
    assert page.count('<tr class="listed"><td>') == 2
    assert "4 segments, 2 translated, 2 left in the source language, 2 to look at" in page
    assert re.findall("https?://", page) == []
    errors = capsys.readouterr().err
    assert "dragoman: in.html, line 2: its inline tags are nested 101 deep, and at most 100 can be placed" in errors
    assert "line 4: it has bytes that are not text in the document's encoding" in errors


def test_tags_are_dropped_only_if_the_user_says_so(model: str) -> None:
    Path("in.html").write_bytes(HTML.encode("utf-8", "surrogateescape"))
    options = ["--drop-tags", "--report", "report.json"]
    assert main(["translate", model, "--in", "in.html", "--out", "out.html", *options]) == 0
    assert b"<p>copy</p>\n" in Path("out.html").read_bytes()
    kinds = [row["problems"][0]["kind"] for row in json.loads(Path("report.json").read_text())["listed"]]
    assert kinds == ["tags", "kept"]


@pytest.mark.parametrize(
    ("source", "target", "message"),
    [
        ("in 2022, 5 of 5", "5 von 5 im Jahr 2022", ""),
        ("1,000.5", "1.000,5", ""),
        ("page 5", "Seite", "5 is only in the source"),
        ("page", "Seite 5 6", "5 6 are only in the translation"),
        ("5 5 7", "5 8", "5 7 are only in the source and 8 is only in the translation"),
    ],
)
def test_numbers_are_compared(source: str, target: str, message: str) -> None:
    assert different_numbers(source, target) == message


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--in", "in.html", "--out", "in.html"], "--out in.html would overwrite in.html; name another file"),
        (["--in", "in.html", "--out", "out.docx"], "out.docx would be HTML, as in.html is, and its ending says a Word"),
        (["--format", "html", "--out", "out.docx"], "out.docx would be HTML, as standard input is, and its"),
        (["--in", "in.html", "--out", "a.html.gz"], "a.html.gz: documents are written without compression; name it"),
        (["--in", "zipped", "--format", "html"], "zipped: the document is compressed with gzip; decompress it first"),
        (["--in", "in.html", "--out", "none/out.html"], "--out none/out.html: there is no folder none; make it first"),
        (["--in", "none.html", "--out", "out.html"], "cannot read none.html: no such file"),
        (["--in", "in.html", "--json"], "--json: in.html is a document, which keeps its format; a report is --report"),
        (["--in", "in.html", "--scores"], "--scores: in.html is a document, which has one translation"),
        (["--in", "in.html", "--n-best", "2"], "--n-best: in.html is a document"),
        (["--in", "in.html", "--alignments"], "--alignments: in.html is a document"),
        (["--in", "in.html", "--report", "r.txt"], "--report r.txt: a report is a .json or a .html file; name it so"),
        (["--in", "in.html", "--report", "none/r.html"], "--report none/r.html: there is no folder none"),
        (["--in", "in.html", "--report", "in.html"], "--report in.html would overwrite in.html; name another file"),
        (["--in", "in.html", "--report", "./in.html"], "--report ./in.html would overwrite in.html"),
        (["--in", "in.html", "--report", "linked.html"], "--report linked.html would overwrite in.html"),
        (["--in", "in.html", "--out", "x/../a.html", "--report", "a.html"], "--report a.html would overwrite x/../a"),
        (["--in", "in.html", "--keys", "a"], "--keys is for JSON, and in.html is HTML; leave --keys out"),
        (["--in", "in.json", "--columns", "a"], "--columns is for CSV and TSV, and in.json is JSON; leave --columns"),
        (["--in", "in.srt", "--fuzzy"], "--fuzzy is for PO and XLIFF, and in.srt is SubRip subtitles; leave --fuzzy"),
        (["--in", "in.html", "--resume"], "--resume continues a file; name it with --out"),
        (["--in", "in.html", "--encoding", "utf-9"], "in.html: 'utf-9' is no encoding that Python knows"),
        (["--format", "html", "--out", "a.html", "--resume"], "--resume: a document on standard input cannot be"),
        (["--format", "html", "text"], "--format html: give the document with --in, or on standard input, not as TEXT"),
        (["--in", "in.docx"], "in.docx: the document is no zip archive"),
        (["--in", "in.json"], "in.json: line 1, column 1"),
        (["--in", "in.xliff"], "in.xliff: "),
        (["--in", "in.srt"], "in.srt: "),
        (["--in", "text.txt", "--keys", "a"], "--keys: text.txt is no document, but lines of text"),
        (["--report", "r.json"], "--report: standard input is no document, but lines of text"),
        (["--in", "text.txt", "--fuzzy"], "--fuzzy: text.txt is no document, but lines of text"),
    ],
)  # fmt: skip
def test_mistakes_are_one_line(
    arguments: list[str], message: str, model: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"text\n")))
    for name in ("in.html", "in.docx", "in.json", "in.xliff", "in.srt", "text.txt"):
        Path(name).write_text("text, no such format\n")
    Path("zipped").write_bytes(gzip.compress(b"<p>copy"))
    os.link("in.html", "linked.html")
    os.mkdir("x")
    before = sorted(os.listdir())
    assert main(["translate", model, *arguments]) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"dragoman: {message}")
    assert error.count("\n") == 1
    assert sorted(os.listdir()) == before


def test_a_full_disk_leaves_no_output(translator: Translator, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("in.html").write_bytes(many(3))

    def full(path: Path, data: bytes) -> None:
        raise UserError(f"cannot write {path}: No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(files, "write_atomically", full)
        with pytest.raises(UserError, match="No space left on device; repeat the command with --resume"):
            dragoman.documents.translate(translator, "in.html", "out.html")
    assert not Path("out.html").exists()
    dragoman.documents.translate(translator, "in.html", "out.html", resume=True)
    assert Path("out.html").read_bytes() == many(3)


def test_a_document_that_is_too_large_is_refused(translator: Translator) -> None:
    data = b"x" * (5 << 20)
    with pytest.raises(UserError, match=r"big has 5\.0 MiB, and Markdown is read as a whole, up to 4 MiB; split it"):
        dragoman.documents.translate_bytes(translator, data, "markdown", name="big")
    Path("big.md").write_bytes(data)
    with pytest.raises(UserError, match=r"big\.md has 5\.0 MiB"):
        dragoman.documents.translate(translator, "big.md", "out.md")
    assert [path.name for path in Path().iterdir()] == ["big.md"]


@pytest.mark.parametrize("name", ["out.html", "out.html.part", "out.html.partial"])
def test_a_source_is_not_overwritten_by_a_file_beside_the_target(name: str, translator: Translator) -> None:
    Path(name).write_text("<p>copy")
    with pytest.raises(UserError, match=f"out.html would overwrite {name}; name another file"):
        dragoman.documents.translate(translator, name, "out.html", format="html")
    assert Path(name).read_text() == "<p>copy"


@pytest.mark.parametrize(
    ("data", "declares", "encoding", "codec"),
    [
        ("<meta charset=windows-1252>Ä€".encode("cp1252"), "html", "", "cp1252"),
        ("<meta charset=latin1>Ä".encode("latin-1"), "html", "", "cp1252"),
        (b"<meta charset=latin1>\xc4\x81", "html", "", "iso8859-1"),
        ("<meta charset=utf-8>Ä".encode(), "html", "", "utf-8"),
        (b"<meta charset=utf-16>\xff", "html", "", "utf-8"),
        (b"<meta charset=none>\xff", "html", "", "utf-8"),
        (b"<meta charset=base64>x", "html", "", "utf-8"),
        ("<?xml version='1.0' encoding='ISO-8859-1'?>Ä".encode("latin-1"), "xml", "", "iso8859-1"),
        ('"Content-Type: text/plain; charset=KOI8-R\\n"я'.encode("koi8-r"), "po", "", "koi8-r"),
        ("\ufeffÄ".encode("utf-16-le"), "", "", "utf-16-le"),
        ("\ufeffÄ".encode("utf-16-be"), "", "", "utf-16-be"),
        ("Ä".encode("cp1252"), "", "cp1252", "cp1252"),
        (b"\xff\x00\xc3", "", "", "utf-8"),
        ("日本".encode("shift_jis"), "", "shift_jis", "shift_jis"),
        ("\ufeffÄ".encode("utf-32-le"), "", "", "utf-32-le"),
        ("\ufeffÄ".encode("utf-32-be"), "html", "", "utf-32-be"),
        ("<meta charset=latin1>Ä".encode(), "html", "utf-8", "utf-8"),
        (b"<meta charset=utf-8>\xc4", "html", "latin1", "cp1252"),
        (b"\xef\xbb\xbfa", "", "", "utf-8"),
        (b"", "", "", "utf-8"),
    ],
)
def test_every_byte_comes_back(data: bytes, declares: str, encoding: str, codec: str) -> None:
    text, found = decode(data, declares, encoding)
    assert found.codec == codec
    assert found.encode(text) == data


@pytest.mark.parametrize(("declares", "encoding"), [("", "ascii"), ("html", "utf-16"), ("po", "utf-32")])
def test_an_encoding_that_a_user_gives_must_fit(declares: str, encoding: str) -> None:
    with pytest.raises(UserError, match=f"the document is not in the encoding {encoding}; name the right one"):
        decode("<meta charset=utf-8>Ä".encode(), declares, encoding)


def test_characters_that_an_encoding_lacks(translator: Translator) -> None:
    assert decode(b"<meta charset=koi8-r>", "html")[1].fit("é я") == "&#233; я"
    assert decode("я".encode("koi8-r"), "", "koi8-r")[1].fit("é я") is None
    assert decode(b"x")[1].fit("é") == "é"


def test_bytes_in_tags_stay(translator: Translator) -> None:
    data = b"<p>copy <b title='\xe9'>this</b> line</p>"
    translated = dragoman.documents.translate_bytes(translator, data, "html")
    assert translated.data == data
    assert translated.report.listed == []


def test_arguments_are_checked(translator: Translator) -> None:
    with pytest.raises(UserError, match="the batch size is 0; it must be at least 1"):
        dragoman.documents.translate_bytes(translator, b"<p>copy", "html", batch_size=0)
    found = dragoman.documents.translate_bytes(translator, b'{"copy": "copy"}', "json", keys="copy")
    assert [row.place for row in found.report.rows] == ["copy"]


@pytest.mark.parametrize("drop_tags", [False, True])
@pytest.mark.parametrize("unit", ["copy <code>x</code> ", "copy <kbd>y</kbd> <b>it</b> "])
def test_a_paragraph_with_too_many_copied_texts_stays(translator: Translator, unit: str, drop_tags: bool) -> None:
    data = ("<p>" + unit * (MAX_COPIED + 1)).encode()
    translated = dragoman.documents.translate_bytes(translator, data, "html", drop_tags=drop_tags)
    assert translated.data == data
    [problem] = translated.report.listed[0].problems
    assert (problem.kind, "1,001" in problem.message or "2,002" in problem.message) == ("kept", True)


def test_a_model_without_attention_keeps_segments_with_tags(tmp_path: Path) -> None:
    from dataclasses import replace

    path = file_of(tmp_path / "plain.onnx", replace(METADATA, config={"model": {"attention": "none"}}))
    data = b"<p>copy <b>this</b></p><p><b>all</b></p><p>run <code>this</code> line</p>"
    found = dragoman.documents.translate_bytes(Translator.load(path), data, "html")
    assert found.data == data
    assert [row.place for row in found.report.listed] == ["line 1"]
    assert "a model without attention cannot place" in found.report.listed[0].problems[0].message
