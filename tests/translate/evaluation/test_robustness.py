"""Robustness: the changes to text, the failures that are counted, and augmentation in training."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dragoman.cli import main
from dragoman.runtime.errors import UserError
from dragoman.runtime.normalisation import normalise
from dragoman.runtime.translation import Translation
from dragoman.translate.config import AugmentConfig, TokenizerConfig, load
from dragoman.translate.corpus.folder import Corpus, Pair, write_corpus
from dragoman.translate.encoding.augmentation import CHANGES, bare, typo
from dragoman.translate.encoding.ragged import Ragged
from dragoman.translate.encoding.shard_builder import build
from dragoman.translate.encoding.subwords import train_tokenizer
from dragoman.translate.evaluation.robustness import failures, has_loop
from dragoman.translate.training.trainer import Trainer
from tiny import tiny_toml


def changed(name: str, line: str) -> str:
    return CHANGES[name](line, random.Random(1))


def test_changes() -> None:
    line = "A man rides 2 horses."
    assert changed("upper case", line) == "A MAN RIDES 2 HORSES."
    assert changed("title case", line) == "A Man Rides 2 Horses."
    assert changed("no final punctuation", line) == "A man rides 2 horses"
    assert changed("doubled spaces", line) == "A  man  rides  2  horses."
    assert changed("one word", line) == "horses"
    assert changed("empty", line) == ""
    words = changed("unseen numbers", line).split()
    assert (words[:3], len(words[3])) == (["A", "man", "rides"], 5)
    assert len(changed("unseen numbers", "no number here").split()) == 4
    misspelt = changed("typing errors", line)
    assert misspelt != line
    assert abs(len(misspelt) - len(line)) <= 1
    assert bare("„Ende!“") == "„Ende"
    assert bare("50%") == "50%"


@pytest.mark.parametrize(
    ("source", "result", "expected"),
    [
        ("12345 dogs run", Translation("12345 Hunde rennen", -0.1), set()),
        ("12345 dogs run", Translation("12354 Hunde rennen", -0.1), {"lost numbers"}),
        ("two dogs run", Translation("77 Hunde rennen", -0.1), set()),  # an additional number is no loss
        ("two dogs run", Translation("", 0.0), {"empty", "wrong length"}),
        ("", Translation("", 0.0), set()),
        ("two dogs", Translation("so so so so so", -0.1, complete=False), {"loops", "unfinished"}),
        (
            "two dogs",
            Translation("zwei Hunde und noch ein Satz, der nie zu Ende geht und immer weiter redet", -0.1),
            {"wrong length"},
        ),
    ],
)
def test_failures(source: str, result: Translation, expected: set[str]) -> None:
    assert {key for key, value in failures(source, result, 1.0).items() if value} == expected


@given(st.text(), st.integers())
def test_any_line_can_be_changed(text: str, seed: int) -> None:
    for change in CHANGES.values():
        assert isinstance(change(normalise(text), random.Random(seed)), str)
    word = normalise(text).split(" ")[0]
    assert abs(len(typo(word, random.Random(seed))) - len(word)) <= 1


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("one two three", False),
        ("no no no", True),
        ("no no, no", False),
        ("the end of the end of the end of the", True),
        ("a b a b", False),
        ("我我我我我我我我我我我我", True),
        ("です。です。です。です。", True),
        ("000000000000", True),
        ("これは長い文です。", False),
        ("ha haha hahaha", False),
        ("", False),
    ],
)
def test_loops(text: str, expected: bool) -> None:
    assert has_loop(text) is expected


def test_augmentation_changes_the_requested_shares(tmp_path: Path) -> None:
    pairs = [Pair(f"the little dog number {n} barks.", f"der kleine Hund Nummer {n} bellt.") for n in range(400)]
    write_corpus(tmp_path / "c", ("en", "de"), {"train": pairs, "valid": pairs[:5], "test": pairs[:5]}, {})
    corpus = Corpus(tmp_path / "c")
    config = TokenizerConfig(vocabulary=380, sampling=0)
    tokenizers = (train_tokenizer(corpus.lines("train", 0, 1), TokenizerConfig(), 330),) * 2
    augment = AugmentConfig(upper=0.2, title=0.1, bare=0.1, typos=0.3)
    text = build(tmp_path / "shards", corpus, tokenizers, config, 1, "digest", augment)

    def lines(drawn: Ragged) -> list[str]:
        return [tokenizers[0].decode(drawn.row(i).tolist()) for i in range(drawn.rows)]

    source, target = map(lines, text.draw(np.arange(400), [1], augment))
    kinds: dict[str, Callable[[int], tuple[str, ...]]] = {
        "upper": lambda i: (pairs[i].source.upper(), pairs[i].target.upper()),
        "title": lambda i: tuple(CHANGES["title case"](side, random.Random(1)) for side in pairs[i]),
        "bare": lambda i: tuple(side[:-1] for side in pairs[i]),
        "same": lambda i: pairs[i],
    }
    counts = {name: sum((source[i], target[i]) == make(i) for i in range(400)) for name, make in kinds.items()}
    assert counts["upper"] == pytest.approx(80, abs=30)
    assert counts["title"] == pytest.approx(40, abs=20)
    assert counts["bare"] == pytest.approx(40, abs=20)
    typos = [i for i in range(400) if target[i] == pairs[i].target and source[i] != pairs[i].source]
    assert 20 < len(typos) < 140
    assert counts["same"] + len(typos) + counts["upper"] + counts["title"] + counts["bare"] == 400
    assert [*map(lines, text.draw(np.arange(400), [1]))] == [[p.source for p in pairs], [p.target for p in pairs]]


def test_a_run_with_augmentation_trains_and_reports(
    tiny_corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "t.toml").write_text(tiny_toml(tiny_corpus))
    Trainer(load(tmp_path / "t.toml", ["augment.upper=0.1", "augment.typos=0.1"]), tmp_path / "run").fit()
    files = ["--source", str(tiny_corpus / "test.en"), "--reference", str(tiny_corpus / "test.xx")]
    page = tmp_path / "page.html"
    assert main(["evaluate", str(tmp_path / "run"), *files, "--robustness", "--json", "--report", str(page)]) == 0
    rows = json.loads(capsys.readouterr().out)["robustness"]
    assert [row["change"] for row in rows] == ["as it is", *CHANGES]
    assert rows[-1]["empty"] == 0  # the source is empty, too
    assert "typing errors" in page.read_text("utf-8")
    assert main(["evaluate", str(tmp_path / "run"), *files, "--robustness"]) == 0
    assert "lost numbers" in capsys.readouterr().out
    with pytest.raises(UserError, match=r"augment: the fractions add up to 1\.3"):
        load(tmp_path / "t.toml", ["augment.upper=0.7", "augment.typos=0.6"])
