"""Labelled text: reading tables and CoNLL columns, splitting, errors."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from dragoman.cli import main
from dragoman.runtime.errors import UserError
from dragoman.translate.corpus.folder import Corpus, Pair
from dragoman.translate.corpus.readers.classes import read_classes
from dragoman.translate.corpus.readers.conll import read_tags


def test_conll_and_treebank_columns(tmp_path: Path) -> None:
    conll = "-DOCSTART- -X- O\n\nAda NNP B-PER\nLovelace NNP I-PER\n\nran VBD O\n"
    (tmp_path / "a").write_text(conll)
    assert [*read_tags(tmp_path / "a")] == [Pair("Ada Lovelace", "B-PER I-PER"), Pair("ran", "O")]
    assert [*read_tags(tmp_path / "a", tag=2)] == [Pair("Ada Lovelace", "NNP NNP"), Pair("ran", "VBD")]
    rest = "\t_" * 6
    rows = ["# text = du 1 000", f"1-2\tdu\t_\t_{rest}", f"1\tde\tde\tADP{rest}", f"2\t1 000\t1000\tNUM{rest}", ""]
    (tmp_path / "b").write_text("\n".join(rows))
    assert [*read_tags(tmp_path / "b")] == [Pair("de 1_000", "ADP NUM")]


def test_quotes_are_removed_only_from_spreadsheets(tmp_path: Path) -> None:
    (tmp_path / "a").write_text('good\t"He said ""fine"""\n"so\nso"\t"two\nlines"\n\t\n\nbad\tpo\ror\n')
    assert [*read_classes(tmp_path / "a")] == [
        Pair('He said "fine"', "good"),
        Pair("two\nlines", "so so"),
        Pair("po or", "bad"),
    ]
    unclosed = 'good\t"He said ""fine"""\nbad\t"poor\nbad\tworse\n'
    (tmp_path / "a").write_text(unclosed)
    assert [*read_classes(tmp_path / "a")] == [
        Pair(text, label) for label, text in (line.split("\t") for line in unclosed.splitlines())
    ]
    (tmp_path / "a").write_text('good\t"Fine", he said.\nbad\t"Poor"\n')
    assert [*read_classes(tmp_path / "a")] == [Pair('"Fine", he said.', "good"), Pair('"Poor"', "bad")]
    (tmp_path / "a").write_text('good\t"He said ""fine"""\t\n"so\nso"\ttwo\t3\n')
    with pytest.raises(UserError, match="line 3 has 3 columns"):  # where the row ends
        [*read_classes(tmp_path / "a")]


@pytest.mark.parametrize(
    ("read", "text", "message"),
    [
        (read_classes, "good\tfine\nno tab\n", "line 2: each line needs label, tab, text"),
        (read_classes, "\tfine\n", "line 1: each line needs label, tab, text"),
        (read_classes, "good\tfine\t\nbad\tpoor\t2\n", "line 2 has 3 columns; keep two: label, tab, text"),
        (read_tags, "a O\nb\n", "line 2 has 1 column, but the lines before have 2"),
        (read_tags, "a\nb\n", "line 1: no column 2; each line needs a word and a label"),
        (read_tags, "a\t\tO\n", None),
        (read_tags, "\tO\n", "line 1: the word or its label is empty"),
    ],
)
def test_bad_labelled_text(
    tmp_path: Path, read: Callable[[Path], Iterable[Pair]], text: str, message: str | None
) -> None:
    (tmp_path / "f").write_text(text)
    if message is None:
        assert [*read(tmp_path / "f")]
        return
    with pytest.raises(UserError, match=message):
        [*read(tmp_path / "f")]
    (tmp_path / "f").write_bytes(b"\xff\tx\n")
    with pytest.raises(UserError, match="line 1 is not UTF-8"):
        [*read(tmp_path / "f")]


def test_unusable_labelled_corpora_are_rejected(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, text in (("a", "x\tone\nx\ttwo\n" * 20), ("b", "y\tthree\n"), ("c", "z\tfour\n")):
        (tmp_path / name).write_text(text)
    words = ["--language", "en", "--out", str(tmp_path / "out")]
    a, b, c = (str(tmp_path / name) for name in "abc")
    for files, message in (
        ([a], "too few to hold out"),
        ([a, b], "got 2 files; give one (validation and test texts are taken from it) or three (train, valid, test)"),
        ([a, b, c], "the training texts have the labels ['x']"),
        ([a, b, c, "--valid", "1"], "three files are split already"),
    ):
        assert main(["corpus", "classes", *files, *words]) == 2
        assert message in capsys.readouterr().err
    assert main(["corpus", "tags", a, *words]) == 2
    message = "too few texts to train on and to hold some out: 1; the format is a word a line, an empty line after each"
    assert message in capsys.readouterr().err
    (tmp_path / "a").write_text("Label\ttext\n" + "x\tone\ny\ttwo\n" * 20)
    assert main(["corpus", "classes", a, *words]) == 2
    assert "the first line looks like a header, because its label is 'Label'" in capsys.readouterr().err
    (tmp_path / "a").write_text("x\tone\ny\ttwo\n")
    assert main(["corpus", "classes", a, b, c, *words]) == 2
    assert "the label 'z' of 'four' in test does not occur in training; correct the label" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_held_out_labels(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Pairs with a label that only the random held-out part has go to training. Given held-out files stay unchanged."""
    text = "".join(f"x\tone {chr(97 + i)}\ny\ttwo {chr(97 + i)}\n" for i in range(20))
    text += "".join(f"{c}\tnone but {c}\n" for c in "abcde")
    (tmp_path / "a").write_text(text)
    (tmp_path / "b").write_text("x\tthree\nx\tthree\ny\tone a\n")
    words = ["--language", "pt-BR", "--out", str(tmp_path / "out")]
    for seed in range(4):
        assert main(["corpus", "classes", str(tmp_path / "a"), *words, "--seed", str(seed), "--test", "20"]) == 0
        corpus = Corpus(tmp_path / "out")
        assert corpus.languages == ("pt-BR", "labels")
        assert {p.target for p in corpus.read("train")} == set("xyabcde")
        assert len(corpus.read("test")) + len(corpus.read("valid")) == 24 - corpus.card["moved"]
        assert "held-out texts to training" in capsys.readouterr().out
    few = "".join(f"x\tone {c}\ny\ttwo {c}\n" for c in "abcde") + "z\tthree\n"
    (tmp_path / "few").write_text(few)
    for seed in range(12):
        assert main(["corpus", "classes", str(tmp_path / "few"), *words, "--seed", str(seed)]) == 0
        read = [Corpus(tmp_path / "out").read(part) for part in ("train", "valid", "test")]
        assert [len(part) for part in read] == [9, 1, 1]
        assert len({pair for part in read for pair in part}) == 11
        assert "z" in {pair.target for pair in read[0]}
    capsys.readouterr()
    three = [str(tmp_path / name) for name in "abb"]
    assert main(["corpus", "classes", *three, *words]) == 0
    assert [p.source for p in Corpus(tmp_path / "out").read("test")] == ["three", "three", "one a"]
    assert "one a" not in {p.source for p in Corpus(tmp_path / "out").read("train")}
    assert main(["corpus", "classes", *three, *words[2:], "--language", "e/n"]) == 2
    assert "--language e/n: give a code such as en or pt-BR" in capsys.readouterr().err


def test_columns_that_resemble_a_treebank(tmp_path: Path) -> None:
    path = tmp_path / "a"
    ten = "Ada a b c d e f g h B-PER\n7 a b c d e f g h O\n".replace(" ", "\t")
    path.write_text(ten)
    assert [*read_tags(path)] == [Pair("Ada 7", "B-PER O")]
    path.write_text("# id 52\tdomain=en\n" + ten)
    assert [*read_tags(path)] == [Pair("Ada 7", "B-PER O")]
    path.write_text("a X\n\n# one\nb Y\n\n# two\nc X\n\n# X\nd Y\n")
    assert [*read_tags(path)] == [Pair("a", "X"), Pair("b", "Y"), Pair("c", "X"), Pair("# d", "X Y")]


def test_a_number_sign_is_a_word(tmp_path: Path) -> None:
    path = tmp_path / "a.conll"
    path.write_text("# of a treebank\ncost O\n# B-M\n5 I-M\n\n# B-M\n7 I-M\n")
    assert [*read_tags(path)] == [Pair("cost # 5", "O B-M I-M"), Pair("# 7", "B-M I-M")]
    path.write_text("# text\n5\tO\n\n# comment\n#\tB-M\n7\tI-M\n\n#tag\tO\n")
    assert [*read_tags(path)] == [Pair("5", "O"), Pair("# 7", "B-M I-M"), Pair("#tag", "O")]
