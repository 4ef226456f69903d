"""What the benches of training read and give: JoeyNMT's log, data and pieces, and what operators are for."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from dragoman.translate.corpus.folder import Corpus
from dragoman.translate.training.run import Run
from tiny import script

LINE = "2026-01-01 - INFO - joeynmt.training - Epoch 1, Step: {:8}, Batch Loss: 5.0, Tokens per Sec: {:8}, Lr: 0.001"


def test_the_peers_rate_is_of_its_later_steps() -> None:
    bench = script("bench/training.py")
    rates = [1, 1, 400, 400, 1200, 1200]
    log = "\n".join(LINE.format(10 * n, rate) for n, rate in enumerate(rates, 1))
    assert 10 * len(rates) == bench.STEPS
    assert bench.joeynmt_rate(log) == pytest.approx(600)  # as many tokens at 400 a second as at 1,200
    with pytest.raises(SystemExit, match=r"JoeyNMT did not train: .*Step: +50"):
        bench.joeynmt_rate(log[: log.rindex("\n")])
    with pytest.raises(SystemExit, match="it said nothing"):
        bench.joeynmt_rate("\n")


def test_the_peer_learns_from_the_same_pairs_in_the_same_pieces(
    tiny_run: Path, tiny_corpus: Path, tmp_path: Path
) -> None:
    corpus, pieces = Corpus(tiny_corpus), Run(tiny_run).tokenizers()[0]
    script("bench/training.py").prepare_joeynmt(tmp_path, corpus, pieces)
    for part in ("train", "valid"):
        for side, language in enumerate(corpus.languages):
            lines = (tmp_path / f"{part}.{language}").read_text("utf-8").splitlines()
            assert lines == [pair[side] for pair in corpus.read(part)]
    names = (tmp_path / "vocab.txt").read_text("utf-8").splitlines()
    assert [pieces.processor.PieceToId(name) for name in names] == list(range(4, len(pieces)))
    assert (tmp_path / "pieces.model").read_bytes() == pieces.model
    told = (tmp_path / "bench.yaml").read_text("utf-8")
    assert f'train: "{tmp_path}/train"' in told
    assert "{lang: en," in told
    assert "{lang: xx," in told
    assert "{{" not in told


@pytest.mark.parametrize(
    ("names", "part"),
    [
        (["aten::addmm", "aten::linear"], "the network's products"),
        (["aten::mm", "Optimizer.step#Muon.step"], "Muon's products"),
        (["aten::lerp_", "Optimizer.step#Muon.step"], "Muon, the rest"),
        (["aten::_fused_adamw_", "Optimizer.step#AdamW.step"], "AdamW, the rest"),
        (["aten::sub", "_Function"], "loss, but for its products"),
        (["aten::mm", "_Function"], "the network's products"),
        (["aten::addcmul", "_LinearRecurrenceBackward", "autograd::engine"], "the recurrence and its gradient"),
        (["aten::native_layer_norm", "aten::layer_norm"], "normalisation"),
        (["aten::embedding"], "embedding"),
        (["aten::relu"], None),
    ],
)
def test_each_operator_has_its_part(names: list[str], part: str | None) -> None:
    event: Any = None
    for name in reversed(names):
        event = SimpleNamespace(name=name, cpu_parent=event)
    bench = script("bench/step.py")
    assert bench.part_of(event) == (part or bench.REST)
