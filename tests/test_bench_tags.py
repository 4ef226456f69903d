"""The benchmark of tags: its set from help pages, and its comparisons on made translations."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from dragoman.runtime.alignment import AttentionMap
from dragoman.runtime.documents.html import segments
from dragoman.runtime.documents.options import Options
from dragoman.runtime.documents.projection import project
from dragoman.runtime.documents.segments import Segment
from dragoman.runtime.documents.translation import Problem, Result
from dragoman.runtime.errors import UserError
from dragoman.runtime.translation import Translation
from dragoman.translate.corpus.builders.libreoffice import help_pages
from dragoman.translate.files import read_rows
from tiny import script

LINK = '<a href="{}/text/a.html">'
PAGE = (
    '<h1 dir="auto" id="1">{}</h1><p id="2" class="x">{}\n</p><p>no id <b>x</b></p>'
    '<p id="3">{}</p><p id="4">{}</p><p id="5">two<br><b>lines</b></p>'
    '<p id="6"><span class="switchinline"><span><b>Mac</b></span></span></p>'
)
ENGLISH = ("no tags", f"press  the\n{LINK.format('en-US')}Enter</a> key", "<b>bold</b>", "<i>not</i> chosen")
GERMAN = ("keine", f"die Taste\n{LINK.format('de')}Eingabe</a> drücken", "<i>fett</i>", "<i>nicht</i> gewählt")


@pytest.fixture
def tags() -> ModuleType:
    bench: ModuleType = script("bench/tags.py")
    return bench


def pages(folder: Path, texts: tuple[str, ...]) -> list[tuple[str, str]]:
    """Return the pages of a made package."""
    text = folder / "usr/share/libreoffice/help/xx/text/shared"
    text.mkdir(parents=True)
    for name in ("a.html", "b.html"):  # equal paragraphs count once
        (text / name).write_text(PAGE.format(*texts), "utf-8")
    return [*help_pages(folder)]


def test_the_set_has_the_tagged_paragraphs_of_both_languages(tags: ModuleType, tmp_path: Path) -> None:
    sources, references = (
        tags.paragraphs(pages(tmp_path / code, texts)) for code, texts in (("en", ENGLISH), ("de", GERMAN))
    )
    assert sorted(sources) == [(f"shared/{name}.html", number) for name in "ab" for number in "1234"]
    texts = ["no tags", "press the Enter key", "bold", "Mac", "elsewhere"]
    set_, counts = tags.examples(sources, references, texts)
    assert [(tags.plain(source.text), tags.plain(reference.text)) for source, reference in set_] == [
        ("press the Enter key", "die Taste Eingabe drücken")
    ]
    assert counts == {"texts": 5, "in_help": 3, "with_tags": 2, "different_tags": 1, "segments": 1, "tags": 2}


def segment(markup: str) -> Segment:
    (found,) = segments(markup, Options())
    return found


@pytest.mark.parametrize(
    ("source", "reference", "translation", "expected"),
    [
        ("a <b>b</b> c", "d <b>e</b> f", "d <b>e</b> g", {"e": (False, True, True)}),
        ("a <b>b</b> c", "d <b>e</b> f", "<b>d e</b> g", {"e": (False, False, False)}),
        ("a <b>b</b> c", "d <b>e:</b> f", "d <b>E</b> e: g", {"e:": (False, False, True)}),
        ("a <b>b</b> c", "d <b>e</b> f", "d <b>eg</b>", {}),  # another word
        ("<b>b</b>", "<b>e</b>", "<b>e</b>", {"e": (True, True, True)}),
        ("<b>b</b> a", "<b>e</b>", "<b>e</b>", {"e": (True, True, True)}),
        ("<b>b</b> or <b>c</b>", "<b>e</b> d <b>f</b>", "<b>f</b> d <b>e</b>",
         {"e": (False, True, True), "f": (False, True, True)}),
        ("<b>b</b> or <i>c</i>", "<b>e</b> d <i>f</i>", "<i>e</i> d <b>f</b>",
         {"e": (False, False, False), "f": (False, False, False)}),
        ("<b>b</b> <b>b</b> b", "<b>e</b> <b>e</b> e", "<b>e</b> e e",
         {"e": (False, False, False)}),  # one of two; the dict keeps the last one
        (f"a {LINK.format('en')}b</a>", f"{LINK.format('de')}e</a> d", f"{LINK.format('en')}e</a> d",
         {"e": (False, True, True)}),
    ],
)  # fmt: skip
def test_comparisons(
    tags: ModuleType, source: str, reference: str, translation: str, expected: dict[str, tuple[bool, ...]]
) -> None:
    content = segment(translation).content
    example = tags.Example(segment(source), segment(reference))
    found = [*tags.comparisons(example, tags.text_of(content), tags.elements(content))]
    assert {comparison.element[1]: comparison[1:] for comparison in found} == expected


def translated(source: Segment, target: str, links: list[int]) -> Translation:
    """Return a translation whose word t attends to source word links[t] alone. Words are subwords."""
    words = source.text.split(), target.split()
    weights = np.zeros((len(words[1]) + 1, len(words[0]) + 1), np.float32)
    weights[np.arange(len(words[1])), links] = 1
    weights[-1, -1] = 1
    subwords = [(*(f"▁{word}" for word in side), "</s>") for side in words]
    return Translation(target, attention=(AttentionMap(subwords[0], subwords[1], weights),))


def test_the_baseline_gives_each_word_the_tags_of_one_source_word(tags: ModuleType) -> None:
    source = segment("press <b>the <i>Enter</i></b> key <u>now</u>")
    translation = translated(source, "jetzt die Eingabe Taste jetzt drücken", [4, 1, 2, 3, 4, 0])
    assert tags.bergamot_elements(source.content, translation) == [
        ("<i>", "Eingabe"), ("<b>", "die Eingabe"), ("<u>", ""),  # in two pieces
    ]  # fmt: skip


def test_figures(tags: ModuleType, tmp_path: Path) -> None:
    source, reference = segment("press <b>Enter</b> now"), segment("nun die <b>Eingabe</b> drücken")
    translation = translated(source, "nun die Eingabe drücken", [2, 1, 1, 0])
    placed = project(source.content, translation.text, translation.attention)
    lost = [item for item in placed if item.source is None]
    results = [
        Result(tuple(placed), translation.text, (Problem("numbers", ""),)),
        Result(tuple(lost), translation.text),
        Result(None, source.text, (Problem("kept", ""),)),
    ]
    set_ = [tags.Example(source, reference)] * 3
    row, wrong, without_tags = tags.figures(set_, results, [translation] * 3)
    assert row == {
        "tags_kept": 1, "problems": {"numbers": 1, "kept": 1}, "elements": 3, "words_agree": 2, "words_agree_inner": 2,
        "right": {
            tags.OURS: {"inner_exact": 50.0, "inner_lenient": 50.0, "all_exact": 50.0, "all_lenient": 50.0},
            tags.BASELINE: {"inner_exact": 0.0, "inner_lenient": 0.0, "all_exact": 0.0, "all_lenient": 0.0},
        },
    }  # fmt: skip
    assert without_tags == [set_[1]]
    assert [item.content for item in wrong] == [tuple(lost)]
    assert "nun die <b>Eingabe</b> drücken" in tags.shown(wrong[0])
    counts = dict.fromkeys(("texts", "in_help", "with_tags", "different_tags", "segments", "tags"), 1234)
    assert "1,234 segments with 1,234 tags; 1 keep" in tags.table({**counts, **row})


def test_a_row_replaces_that_of_the_same_model_and_set(tags: ModuleType, tmp_path: Path) -> None:
    file = tmp_path / "tags.jsonl"
    row = {"model": "a", "corpus": "c", "set": "test", "beam": 5, "tags": 1}
    for change in ({}, {"beam": 1}, {"set": "valid"}, {"tags": 2}):
        tags.record(file, {**row, **change})
    assert read_rows(file) == [{**row, "beam": 1}, {**row, "set": "valid"}, {**row, "tags": 2}]


def test_mistakes_are_one_line(
    tags: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "libreoffice-help-en-us_1_all.deb").touch()
    with pytest.raises(UserError, match=r"holds no libreoffice-help-de_.*deb"):
        tags.unpacked_help(("en", "de"), str(tmp_path), tmp_path)
    monkeypatch.setattr("sys.argv", ["tags.py", str(tmp_path / "none.onnx"), "--corpus", str(tmp_path)])
    assert tags.main() == 2
    assert "none.onnx" in capsys.readouterr().err
