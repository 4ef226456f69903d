"""The benchmark scripts: JoeyNMT's log and data, the parts of a step, and recorded rows."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from dragoman.translate.corpus.folder import Corpus
from dragoman.translate.files import read_rows, write_rows
from dragoman.translate.training.run import Run
from tiny import script

LINE = "2026-01-01 - INFO - joeynmt.training - Epoch 1, Step: {:8}, Batch Loss: 5.0, Tokens per Sec: {:8}, Lr: 0.001"


def test_joeynmt_rate_skips_the_warm_up() -> None:
    bench = script("bench/training.py")
    rates = [1, 1, 400, 400, 1200, 1200]
    log = "\n".join(LINE.format(10 * n, rate) for n, rate in enumerate(rates, 1))
    assert 10 * len(rates) == bench.STEPS
    assert bench.rate_in_log(log) == pytest.approx(600)  # the harmonic mean of 400 and 1,200
    with pytest.raises(SystemExit, match=r"JoeyNMT did not train: .*Step: +50"):
        bench.rate_in_log(log[: log.rindex("\n")])
    with pytest.raises(SystemExit, match="it printed nothing"):
        bench.rate_in_log("\n")


def test_joeynmt_gets_the_same_pairs_and_subwords(tiny_run: Path, tiny_corpus: Path, tmp_path: Path) -> None:
    corpus, tokenizer = Corpus(tiny_corpus), Run(tiny_run).tokenizers()[0]
    script("bench/training.py").prepare_joeynmt(tmp_path, corpus, tokenizer)
    for part in ("train", "valid"):
        for side, language in enumerate(corpus.languages):
            lines = (tmp_path / f"{part}.{language}").read_text("utf-8").splitlines()
            assert lines == [pair[side] for pair in corpus.read(part)]
    subwords = (tmp_path / "vocab.txt").read_text("utf-8").splitlines()
    assert [tokenizer.processor.PieceToId(subword) for subword in subwords] == list(range(4, len(tokenizer)))
    assert (tmp_path / "subwords.model").read_bytes() == tokenizer.model
    config = (tmp_path / "bench.yaml").read_text("utf-8")
    assert f'train: "{tmp_path}/train"' in config
    assert "{lang: en," in config
    assert "{lang: xx," in config
    assert "{{" not in config


@pytest.mark.parametrize(
    ("names", "part"),
    [
        (["aten::addmm", "aten::linear"], "network, matrix products"),
        (["aten::mm", "Optimizer.step#Muon.step"], "Muon, matrix products"),
        (["aten::lerp_", "Optimizer.step#Muon.step"], "Muon, other"),
        (["aten::_fused_adamw_", "Optimizer.step#AdamW.step"], "AdamW, other"),
        (["aten::sub", "_Function"], "loss, without matrix products"),
        (["aten::mm", "_Function"], "network, matrix products"),
        (["aten::addcmul", "_LinearRecurrenceBackward", "autograd::engine"], "recurrence, forward and backward"),
        (["aten::native_layer_norm", "aten::layer_norm"], "normalisation"),
        (["aten::embedding"], "embedding"),
        (["aten::relu"], None),
    ],
)
def test_part_of_an_operator(names: list[str], part: str | None) -> None:
    event: Any = None
    for name in reversed(names):
        event = SimpleNamespace(name=name, cpu_parent=event)
    bench = script("bench/step.py")
    assert bench.part_of(event) == (part or bench.OTHER)


@pytest.mark.parametrize("path", ["bench/speed.py", "bench/training.py"])
def test_record_replaces_only_rows_of_the_same_machine(path: str, tmp_path: Path) -> None:
    bench, file = script(path), tmp_path / "rows.jsonl"
    old, other, new = ({"machine": machine, "ratio": ratio} for machine, ratio in (("a", 1), ("b", 2), ("a", 3)))
    bench.record(file, [old])
    assert read_rows(file) == [old]
    write_rows(file, [old, other, old])
    bench.record(file, [new, new])
    assert read_rows(file) == [other, new, new]
