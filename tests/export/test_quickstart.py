"""The quickstart, shortened: it learns, and what it reports is true."""

from __future__ import annotations

from pathlib import Path

import pytest

from dragoman.export.quickstart import run_quickstart
from dragoman.runtime.translator import Translator
from dragoman.translate.corpus.folder import Corpus
from dragoman.translate.evaluation.metrics import score

# BLEU far above that of a model that learnt nothing; this training reaches 27.
FLOOR = 10


@pytest.mark.slow  # trains for half a minute
def test_a_short_quickstart_learns(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The length is given in epochs, so that the score does not depend on the machine's speed."""
    short = {"epochs": 5, "batch_tokens": 400, "validate_every": 5, "warmup": 60, "lr": 4e-3, "minutes": 600}
    bleu = run_quickstart("en-de", tmp_path, phrases=4000, training_config=short)
    assert bleu > FLOOR
    out = capsys.readouterr().out
    assert f"BLEU {bleu:.2f} on 1,000 held-out phrases" in out
    translator, test = (
        Translator.load(tmp_path / "en-de.onnx", self_test=True),
        Corpus(tmp_path / "corpus").read("test"),
    )
    output = [t.text for t in translator.translate([p.source for p in test])]
    found = next(s for s in score(output, [[p.target for p in test]], "de", ter=False) if s.metric == "BLEU")
    assert found.score == pytest.approx(bleu)
    exact = sum(a == p.target for a, p in zip(output, test, strict=True)) / len(test)
    assert f"{exact:.1%} of them" in out
    for name in ("attention.png", "run/curves.png"):
        assert (tmp_path / name).read_bytes().startswith(b"\x89PNG")
