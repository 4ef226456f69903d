"""The benchmark scripts: JoeyNMT's log and data, the parts of a step, and recorded rows."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
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


def test_a_busy_core_is_busy_only_inside_the_block() -> None:
    bench = script("bench/training.py")
    with bench.busy_core() as process:
        assert process.poll() is None
    assert process.poll() is not None


@pytest.mark.parametrize(("beside", "status"), [(60.0, 0), (30.0, 1)])
def test_training_beside_a_busy_core_is_compared_with_itself_alone(
    beside: float, status: int, toml: Path, tiny_corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    bench = script("bench/training.py")
    turns: list[tuple[bool, bool]] = []
    busy = [False]

    @contextmanager
    def busy_core() -> Iterator[None]:
        busy[0] = True
        yield
        busy[0] = False

    def rate(options: object, corpus: Path, changes: list[str]) -> tuple[float, int]:
        assert corpus == tiny_corpus
        turns.append((busy[0], bool(changes)))
        return 50.0 if changes else beside + len(turns) if busy[0] else 100.0, 1_000_000

    monkeypatch.setattr(bench, "busy_core", busy_core)
    monkeypatch.setattr(bench, "dragoman_rate", rate)
    file = tmp_path / "rows.jsonl"
    words = ["training.py", "--config", str(toml), "--corpus", str(tiny_corpus), "--peer", "", "--record", str(file)]
    monkeypatch.setattr("sys.argv", words)
    assert bench.main() == status
    assert ("less than 0.45" in capsys.readouterr().err) == bool(status)
    assert turns == [(False, False), (True, False), (False, True)] * 3
    rows = read_rows(file)
    assert [row["against"] for row in rows] == ["lstm of as many parameters", "the same training alone"]
    ratios = [(beside + turn) / 100 for turn in (2, 5, 8)]
    assert rows[1]["ratio"] == ratios[1]
    assert rows[1]["spread"] == [ratios[0], ratios[2]]
    assert rows[1]["figure"] == "training, flagship beside a process that keeps one core busy, 1.0M parameters"
    assert rows[1]["peer"] == 100
    assert bench.MIN_BUSY_RATIO == 0.45


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
