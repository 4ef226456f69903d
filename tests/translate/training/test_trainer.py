"""Training: pure functions against oracles, exact resumption, interruption, errors, and learning itself."""

from __future__ import annotations

import itertools
import json
import math
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch._ops import OpOverload
from torch.utils._python_dispatch import TorchDispatchMode

from dragoman.runtime.contract import BOS, EOS
from dragoman.runtime.errors import Interrupted, UserError
from dragoman.translate.config import ModelConfig, TrainingConfig, load
from dragoman.translate.corpus.folder import Corpus
from dragoman.translate.encoding.batching import make_batch, plan
from dragoman.translate.evaluation.engine import translate_all, translator_of
from dragoman.translate.evaluation.metrics import score
from dragoman.translate.files import read_rows
from dragoman.translate.network import loss as loss_module
from dragoman.translate.network.loss import LabelSmoothedCrossEntropy
from dragoman.translate.network.search import BeamSearch
from dragoman.translate.network.seq2seq import Seq2Seq
from dragoman.translate.progress import bar
from dragoman.translate.tasks.translation import limit_ratio, max_sentences
from dragoman.translate.training import checkpoint, record
from dragoman.translate.training import trainer as trainer_module
from dragoman.translate.training.averaging import averaged_entries
from dragoman.translate.training.checkpoint import load_tensors, weights_of
from dragoman.translate.training.display import Display
from dragoman.translate.training.distributed import WorkerLost
from dragoman.translate.training.run import Run
from dragoman.translate.training.schedule import learning_rate
from dragoman.translate.training.trainer import Trainer
from tiny import CELLS, torchrun


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("chunk", [7 * 30, 8_000_000])
@pytest.mark.parametrize("low", [False, True])
def test_loss_equals_torch(smoothing: float, chunk: int, low: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loss_module, "CHUNK", chunk)
    torch.manual_seed(0)
    first = torch.randn(40, 12), torch.randn(30, 12), torch.randn(30)
    target = torch.randint(0, 30, (40,))
    if low:  # values that bfloat16 holds exactly, so that only sums are rounded
        first = tuple(t.bfloat16().float() for t in first)  # type: ignore[assignment]  # three of them
    ours, theirs = ([t.clone().requires_grad_() for t in first] for _ in range(2))
    with torch.autocast("cpu", torch.bfloat16, enabled=low):
        compute = LabelSmoothedCrossEntropy(smoothing)
        compute(ours[0][:9], ours[1], ours[2], target[:9])  # its scratch memory must not leak into the next call
        loss, plain = compute(ours[0], ours[1], ours[2], target)
    scores = F.linear(*theirs)
    expected = F.cross_entropy(scores, target, label_smoothing=smoothing, reduction="sum")
    (loss * 0.5).backward()
    (expected * 0.5).backward()
    rtol, atol = (2e-2, 2e-2) if low else (1e-4, 1e-5)
    torch.testing.assert_close(loss, expected, rtol=rtol, atol=atol)
    torch.testing.assert_close(plain, F.cross_entropy(scores, target, reduction="sum"), rtol=rtol, atol=atol)
    assert not plain.requires_grad
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a.grad, b.grad, rtol=rtol, atol=atol)


def test_gradient_of_the_loss() -> None:
    torch.manual_seed(0)
    x, weight, bias = (torch.randn(*s, dtype=torch.float64, requires_grad=True) for s in ((5, 3), (7, 3), (7,)))
    target = torch.randint(0, 7, (5,))

    def loss(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
        return LabelSmoothedCrossEntropy(0.1)(x, weight, bias, target)[0]

    assert torch.autograd.gradcheck(loss, (x, weight, bias), check_undefined_grad=False)


class MatrixProducts(TorchDispatchMode):
    """The number of matrix products that PyTorch computes inside the block."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # of torch
        self.count = 0

    def __torch_dispatch__(
        self, function: OpOverload, types: object, arguments: Sequence[object] = (),
        settings: dict[str, object] | None = None,
    ) -> object:  # fmt: skip
        self.count += function.overloadpacket in (torch.ops.aten.mm, torch.ops.aten.addmm, torch.ops.aten.addmm_)
        return function(*arguments, **(settings or {}))


@pytest.mark.parametrize("low", [False, True])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_without_gradients_the_loss_computes_only_logits(
    smoothing: float, low: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loss_module, "CHUNK", 7 * 30)  # six chunks
    torch.manual_seed(0)
    x, weight, bias = (torch.randn(*shape, requires_grad=True) for shape in ((40, 12), (30, 12), (30,)))
    target = torch.randint(0, 30, (40,))
    compute = LabelSmoothedCrossEntropy(smoothing)
    with torch.autocast("cpu", torch.bfloat16, enabled=low):
        with MatrixProducts() as training:
            expected = compute(x, weight, bias, target)
        with torch.no_grad(), MatrixProducts() as validating:
            found = compute(x, weight, bias, target)
        constants = compute(x.detach(), weight.detach(), bias.detach(), target)
    assert training.count == 3 * 6  # logits, and the gradients of x and of the weight
    assert validating.count == 6
    for a, b, c in zip(found, expected, constants, strict=True):
        assert torch.equal(a, b)
        assert torch.equal(c, b)
        assert not a.requires_grad
        assert not c.requires_grad
    assert expected[0].requires_grad


def test_validation_computes_no_gradients(toml: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trainer = Trainer(load(toml), tmp_path / "run")

    def fail(*_: object) -> None:
        raise AssertionError

    monkeypatch.setattr(loss_module, "_Gradients", fail)
    assert 1 < trainer.validation_loss() < 10


def test_learning_rate() -> None:
    c = TrainingConfig(lr=1.0, warmup=10)
    assert [learning_rate(s, 0, c) for s in (0, 4, 9, 50)] == [0.1, 0.5, 1.0, 1.0]
    assert learning_rate(50, 0.75, c) == pytest.approx(0.25)
    assert learning_rate(1, 0.05, c) == pytest.approx(0.5 * 0.95)  # in a short training, warm-up is a tenth
    assert learning_rate(3, 0.2, c) == pytest.approx(0.8)
    assert learning_rate(50, 1.2, c) == 0
    assert learning_rate(50, 0.5, TrainingConfig(lr=1.0, warmup=0, decay="cosine")) == pytest.approx(0.5)
    assert learning_rate(39, 0.5, TrainingConfig(lr=1.0, warmup=10, decay="inverse_sqrt")) == pytest.approx(0.5)


def test_limit_ratio_exceeds_the_ratios_of_the_training_text() -> None:
    assert limit_ratio(np.full(50, 10), np.full(50, 10)) == 2
    assert limit_ratio(np.full(50, 10), np.full(50, 40)) == 5
    ten = np.full(2000, 10)
    assert limit_ratio(ten, np.r_[np.full(1999, 10), 50]) == 2  # ignores a single outlier
    assert limit_ratio(ten, np.r_[np.full(1995, 10), [50] * 5]) == 7  # follows a quarter of a percent of the lines


def test_max_sentences_is_the_99th_percentile() -> None:
    one, three = "He came.", "He came. She left. They stayed."
    assert max_sentences([one] * 198 + [three] * 2, "en") == 1
    assert max_sentences([one] * 180 + [three] * 20, "en") == 3
    assert max_sentences([""], "en") == 1


def test_batches_hold_every_row_once_and_little_padding() -> None:
    torch.manual_seed(0)
    lengths = torch.randint(1, 60, (500,)).tolist()
    batches = plan(lengths, lengths, 300, seed=1)
    assert sorted(i for b in batches for i in b) == list(range(500))
    assert all(len(b) * max(lengths[i] for i in b) <= 300 for b in batches)
    padded = sum(len(b) * max(lengths[i] for i in b) for b in batches)
    assert sum(lengths) / padded > 0.95
    assert batches == plan(lengths, lengths, 300, seed=1)
    assert batches != plan(lengths, lengths, 300, seed=2)
    batch = make_batch([[7, EOS]], [[8, 9, EOS]])
    assert batch.target_in.tolist() == [[BOS, 8, 9]]
    assert batch.target_out.tolist() == [[8, 9, EOS]]


@pytest.mark.parametrize("cell", CELLS)
def test_each_cell_overfits_32_reversals(cell: str) -> None:
    torch.manual_seed(0)
    rows = [torch.randint(4, 14, (int(n),)).tolist() for n in torch.randint(3, 8, (32,))]
    batch = make_batch([[*r, EOS] for r in rows], [[*reversed(r), EOS] for r in rows])
    shape = {"width": 32, "hidden": 32, "encoder_layers": 1, "decoder_layers": 1, "feed_forward": 0, "heads": 2}
    c = msgspec.convert({**shape, "cell": cell, "dropout": 0}, ModelConfig)
    model = Seq2Seq(c, 14, 14)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    for _ in range(150):
        logits = model.logits(model(batch.source, batch.source_length, batch.target_in))
        loss = F.cross_entropy(logits.flatten(0, 1), batch.target_out.flatten(), ignore_index=0)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
    out = BeamSearch(model, 2).eval().search(batch.source, batch.source_length, beam=1)
    T = batch.target_out.shape[1]
    assert torch.equal(out.target[:, 0, :T], batch.target_out)


def weights(folder: Path, name: str = "last.safetensors") -> dict[str, torch.Tensor]:
    return load_tensors(folder / name)[0]


def assert_same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> None:
    assert a.keys() == b.keys()
    for name in a:
        assert torch.equal(a[name], b[name]), name


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_resuming_is_exact_bit_for_bit(toml: Path, tmp_path: Path, optimizer: str) -> None:
    config = load(toml, [f"training.optimizer={optimizer}"])
    Trainer(config, tmp_path / "whole").fit()
    for stop in (1, 10):  # in the first epoch and in a later one
        trainer = Trainer(config, tmp_path / f"cut{stop}")
        step = trainer.train_step

        def counted(
            batch: object, rate: float, trainer: Trainer = trainer, stop: int = stop, step: object = step
        ) -> object:
            if trainer.position.step == stop - 1:
                os.kill(os.getpid(), signal.SIGINT)
            return step(batch, rate)  # type: ignore[operator]  # the method

        trainer.train_step = counted  # type: ignore[method-assign,assignment]  # a spy
        with pytest.raises(Interrupted, match=f"after step {stop},"):
            trainer.fit()
        Trainer(config, tmp_path / f"cut{stop}", resume=True).fit()
        assert_same(weights(tmp_path / "whole"), weights(tmp_path / f"cut{stop}"))
        assert_same(
            weights(tmp_path / "whole", "model.safetensors"), weights(tmp_path / f"cut{stop}", "model.safetensors")
        )


def test_a_run_records_its_training(tiny_run: Path) -> None:
    rows = [json.loads(line) for line in (tiny_run / "metrics.jsonl").read_text().splitlines()]
    valid = [r for r in rows if r["kind"] == "validation"]
    assert [r["epoch"] for r in valid] == [1, 2, 3]
    assert valid[-1]["loss"] < valid[0]["loss"]
    assert valid[0]["perplexity"] == pytest.approx(math.exp(valid[0]["loss"]), rel=1e-3)
    facts = Run(tiny_run).read_json("run.json")
    assert facts["training"]["weights"] in ("average of 2", "epoch 2", "epoch 3")
    assert facts["training"]["epochs"] == 3
    assert facts["training"]["steps"] == valid[-1]["step"] == rows[-1]["step"]
    assert len(list(tiny_run.glob("step-*.safetensors"))) == 2
    assert not list(tiny_run.glob("*.part"))


def test_the_average_is_the_mean_of_the_last_checkpoints(
    toml: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scores = iter(range(100))
    monkeypatch.setattr(Trainer, "_scores", lambda self, *, final: {"BLEU": next(scores), "chrF": 0.0})
    facts = Trainer(
        load(toml), tmp_path / "run"
    ).fit()  # every score is higher than the one before; the average comes last
    assert facts["training"]["weights"] == "average of 2"
    whole, *members = (
        weights(tmp_path / "run", path.name)
        for path in (tmp_path / "run" / "model.safetensors", *(tmp_path / "run").glob("step-*.safetensors"))
    )
    assert len(members) == 2
    for name, mean in whole.items():
        torch.testing.assert_close(mean, (members[0][name] + members[1][name]) / 2)
    assert not torch.equal(whole["bias"], members[0]["bias"])


def test_the_scores_in_the_card_are_those_of_its_beam(tiny_run: Path, tiny_corpus: Path) -> None:
    scores = Run(tiny_run).read_json("run.json")["scores"]["validation"]
    valid = Corpus(tiny_corpus).read("valid")
    assert scores["sentences"] == len(valid)
    translations = translate_all(translator_of(Run(tiny_run)), [p.source for p in valid], beam=scores["beam"])
    for metric in score([t.text for t in translations], [[p.target for p in valid]], "xx", ter=False):
        assert scores[metric.metric] == round(metric.score, 2)


def test_a_failed_write_leaves_the_last_checkpoint(toml: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trainer = Trainer(load(toml), tmp_path / "run")
    trainer.save()
    before = (tmp_path / "run" / "last.safetensors").read_bytes()

    def full(tensors: object, path: Path, metadata: object) -> None:
        path.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(checkpoint, "save_file", full)
    with pytest.raises(UserError, match="No space left on device; the previous checkpoint is kept"):
        trainer.save()
    assert (tmp_path / "run" / "last.safetensors").read_bytes() == before
    assert not list((tmp_path / "run").glob("*.part"))


def test_runs_are_not_overwritten_or_resumed_with_other_settings(toml: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    with pytest.raises(UserError, match="nothing to resume"):
        Trainer(load(toml), folder, resume=True)
    Trainer(load(toml, ["training.lr=0.5"]), folder)  # before the first checkpoint there is nothing to lose
    Trainer(load(toml), folder).save()
    with pytest.raises(UserError, match="already holds a run; continue it with --resume"):
        Trainer(load(toml), folder)
    with pytest.raises(UserError, match=r"started with other values of model\.cell, training\.lr"):
        Trainer(load(toml, ["training.lr=0.5", "model.cell=gru"]), folder, resume=True)
    Trainer(load(toml, ["training.epochs=4"]), folder, resume=True)


def test_resuming_on_another_corpus_is_refused(toml: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(load(toml).data.corpus, copy)
    config = load(toml, [f'data.corpus="{copy}"'])
    Trainer(config, tmp_path / "run").save()
    text = (copy / "train.en").read_text().splitlines()
    (copy / "train.en").write_text("\n".join(reversed(text)) + "\n")
    with pytest.raises(UserError, match="is not the corpus that"):
        Trainer(config, tmp_path / "run", resume=True)


def test_a_failed_start_leaves_the_name_free(toml: Path, tmp_path: Path) -> None:
    for wrong in ('data.corpus="nowhere"', "tokenizer.vocabulary=60000"):
        with pytest.raises(UserError):
            Trainer(load(toml, [wrong]), tmp_path / "run")
    Trainer(load(toml), tmp_path / "run")


def test_resuming_beyond_a_lowered_limit_still_writes_the_model(toml: Path, tmp_path: Path) -> None:
    late = ["training.validate_every=50"]
    trainer = Trainer(load(toml, [*late, "training.epochs=50"]), tmp_path / "run")
    for batch in trainer.batches(0):
        trainer.train_step(batch, 1e-3)
    trainer.position.epoch, trainer.position.step = 3, 30
    trainer.save()
    trainer.close()
    facts = Trainer(load(toml, [*late, "training.epochs=2"]), tmp_path / "run", resume=True).fit()
    assert facts["training"]["weights"] == "epoch 3"


def test_the_log_has_no_step_twice(toml: Path, tmp_path: Path) -> None:
    trainer = Trainer(load(toml), tmp_path / "run")
    trainer.save()
    trainer.close()
    (tmp_path / "run" / "metrics.jsonl").write_text('{"kind": "train", "step": 0}\n{"kind": "train", "step": 9}\n{"ki')
    resumed = Trainer(load(toml), tmp_path / "run", resume=True)
    assert [row["step"] for row in read_rows(resumed.run.path("metrics.jsonl"))] == [0]


def test_a_new_start_removes_the_log_of_a_killed_one(toml: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "metrics.jsonl").write_text('{"kind": "train", "step": 900}\n')
    (folder / "step-900.safetensors").write_bytes(b"")
    Trainer(load(toml, ["training.epochs=1"]), folder).fit()
    assert max(row["step"] for row in read_rows(folder / "metrics.jsonl")) < 900
    assert not (folder / "step-900.safetensors").exists()


def test_an_extended_run_keeps_its_results_until_it_ends_again(
    toml: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Run(tmp_path / "run")
    before = Trainer(load(toml, ["training.epochs=1"]), run.folder).fit()
    monkeypatch.setattr(sys, "argv", ["dragoman", "train", "further"])
    Trainer(load(toml, ["training.epochs=2"]), run.folder, resume=True)  # a resumption that is killed
    assert run.read_json("run.json") == before
    trainer = Trainer(load(toml, ["training.epochs=2"]), run.folder, resume=True)
    monkeypatch.setattr(record, "commit", lambda: "a commit made during training")
    after = trainer.fit()
    assert after["command"] == "dragoman train further"
    assert after["commit"] == before["commit"]
    assert after["training"]["epochs"] == 2


def test_large_seeds(toml: Path, tmp_path: Path) -> None:
    trainer = Trainer(load(toml, ["training.seed=2147483647"]), tmp_path / "run")
    assert trainer.batches(3).expected > 1


@pytest.mark.parametrize("damage", [lambda d: d[: len(d) // 2], lambda d: b"\x80\x04pickle", lambda d: b""])
def test_damaged_checkpoints_are_errors(toml: Path, tmp_path: Path, damage: object) -> None:
    folder = tmp_path / "run"
    Trainer(load(toml), folder).save()
    path = folder / "last.safetensors"
    path.write_bytes(damage(path.read_bytes()))  # type: ignore[operator]  # a function of bytes
    with pytest.raises(UserError, match="is not a complete safetensors file"):
        Trainer(load(toml), folder, resume=True)


def test_early_stopping_and_best_average(toml: Path, tmp_path: Path) -> None:
    config = load(toml, ["training.epochs=30", "training.patience=2", "training.lr=1e-9", "training.average_of=best"])
    facts = Trainer(config, tmp_path / "run").fit()
    assert facts["training"]["epochs"] < 30


def test_the_best_epoch_is_kept_however_early(toml: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scores = iter(
        [1.0, 9.0, *range(2, 6), 9.5, 1.0]
    )  # greedy scores of six epochs, then final scores of two candidates
    monkeypatch.setattr(Trainer, "_scores", lambda self, final: {"BLEU": float(next(scores)), "chrF": 0.0})
    trainer = Trainer(load(toml, ["training.epochs=6", "training.average=2"]), tmp_path / "run")
    facts = trainer.fit()
    assert facts["training"]["weights"] == "epoch 2"
    assert facts["candidates"] == {"epoch 2": {"BLEU": 9.5, "chrF": 0.0}, "average of 2": {"BLEU": 1.0, "chrF": 0.0}}
    kept = {trainer.position.history[n]["step"] for n in (1, 4, 5)}
    assert {int(path.stem.split("-")[1]) for path in (tmp_path / "run").glob("step-*")} == kept


def test_the_schedule_starts_after_preparation(toml: Path, tmp_path: Path) -> None:
    trainer = Trainer(load(toml, ["training.epochs=100000", "training.minutes=10"]), tmp_path / "run")
    trainer.position.prepared, trainer.position.seconds = 300.0, 300.0
    epoch = trainer.batches(0)
    assert trainer.progress(epoch) == 0
    trainer.position.seconds = 450.0
    assert trainer.progress(epoch) == pytest.approx(0.5)
    with pytest.raises(UserError, match="ran out before the first step"):
        Trainer(load(toml, ["training.minutes=0.00001"]), tmp_path / "late").fit()
    assert not (tmp_path / "late" / "model.safetensors").exists()


def test_a_limit_in_minutes_ends_training(toml: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By a clock that moves on by a twentieth of a second whenever it is read, on every machine."""
    clock = itertools.count()
    monkeypatch.setattr(trainer_module, "time", SimpleNamespace(perf_counter=lambda: next(clock) / 20))
    config = load(toml, ["training.epochs=100000", "training.minutes=0.05", "training.validate_every=1000"])
    trainer = Trainer(config, tmp_path / "run")
    ended = trainer.fit()["training"]
    assert trainer.position.seconds >= 3
    assert 10 < ended["steps"] < 60
    share = ended["steps"] / trainer.batches(0).expected  # approximate: epochs differ in length
    assert ended["epochs"] == pytest.approx(share, rel=0.1, abs=0.05)


@pytest.mark.slow
def test_sigkill_leaves_a_checkpoint_to_resume_from(toml: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "dragoman", "train", str(toml), "--set", "training.epochs=400"]
    process = subprocess.Popen(
        [*command, "--set", "training.checkpoint_minutes=0.001"], cwd=tmp_path, stderr=subprocess.DEVNULL
    )
    last = tmp_path / "runs" / "tiny" / "last.safetensors"
    try:
        deadline = time.monotonic() + 600
        while not last.exists() and time.monotonic() < deadline:
            time.sleep(0.05)
    finally:
        process.kill()  # SIGKILL: no handler runs
        process.wait()
    _, position = load_tensors(last)
    resumed = Trainer(
        load(toml, ["training.checkpoint_minutes=0.001", "training.epochs=400"]), last.parent, resume=True
    )
    assert resumed.position.step == position["step"] > 0


def test_two_trainings_in_one_folder_are_an_error(toml: Path, tmp_path: Path) -> None:
    trainer = Trainer(load(toml), tmp_path / "run")
    code = (
        "import sys; from dragoman.translate.config import load\n"
        "from dragoman.translate.training.trainer import Trainer\n"
        "from dragoman.runtime.errors import UserError\n"
        "try: Trainer(load(sys.argv[1]), sys.argv[2])\n"
        "except UserError as error: print(error)"
    )
    words = [sys.executable, "-c", code, str(toml), str(tmp_path / "run")]
    stdout = subprocess.run(words, capture_output=True, text=True, check=True).stdout
    assert f"run is being trained by process {os.getpid()}; wait for it" in stdout
    del trainer
    assert subprocess.run(words, capture_output=True, text=True, check=True).stdout == ""


def test_sigterm_saves_a_checkpoint(toml: Path, tmp_path: Path) -> None:
    trainer = Trainer(load(toml), tmp_path / "run")
    step = trainer.train_step

    def terminate(*arguments: Any) -> tuple[float, float]:  # noqa: ANN401 (passed on)
        if trainer.position.step == 3:
            os.kill(os.getpid(), signal.SIGTERM)
        return step(*arguments)

    trainer.train_step = terminate  # type: ignore[method-assign,assignment]  # a spy
    with pytest.raises(Interrupted, match="after step 4,"):
        trainer.fit()
    assert (tmp_path / "run" / "last.safetensors").exists()


def test_sigterm_while_saving_after_a_lost_worker(toml: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trainer = Trainer(load(toml), tmp_path / "run")
    save = trainer.save

    def lost(*arguments: object) -> tuple[float, float]:
        raise WorkerLost("another worker of this training has ended")

    def save_under_sigterm() -> None:
        os.kill(os.getpid(), signal.SIGTERM)  # torchrun sends it to the workers that are left
        save()

    monkeypatch.setattr(trainer, "train_step", lost)
    monkeypatch.setattr(trainer, "save", save_under_sigterm)
    with pytest.raises(UserError, match=r"another worker of this training has ended\. Checkpoint of step 0 saved"):
        trainer.fit()
    assert (tmp_path / "run" / "last.safetensors").exists()


def test_an_interrupted_validation_is_repeated(toml: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Trainer(load(toml), tmp_path / "whole").fit()
    trainer = Trainer(load(toml), tmp_path / "cut")

    def interrupt() -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(trainer, "validate", interrupt)
    with pytest.raises(KeyboardInterrupt):
        trainer.fit()
    Trainer(load(toml), tmp_path / "cut", resume=True).fit()
    assert_same(weights(tmp_path / "whole"), weights(tmp_path / "cut"))
    kinds = [[r["kind"] for r in read_rows(tmp_path / name / "metrics.jsonl")] for name in ("whole", "cut")]
    assert kinds[0] == kinds[1]


@pytest.mark.slow
def test_two_workers_train_as_one_with_twice_the_batch(toml: Path, tmp_path: Path) -> None:
    changes = ["model.dropout=0", "training.epochs=2", f'data.corpus="{load(toml).data.corpus}"']
    curves = {}
    for name, world, tokens in (("one", 1, 400), ("two", 2, 200)):
        done = torchrun(tmp_path, toml, world, [*changes, f"training.batch_tokens={tokens}", f"name={name}"])
        _, stderr = done.communicate(timeout=600)
        assert done.returncode == 0, stderr
        rows = read_rows(tmp_path / "runs" / name / "metrics.jsonl")
        curves[name] = [(r["step"], r["loss"]) for r in rows]
    assert [s for s, _ in curves["one"]] == [s for s, _ in curves["two"]]
    assert [x for _, x in curves["one"]] == pytest.approx([x for _, x in curves["two"]], rel=1e-3)
    both = [weights(tmp_path / "runs" / name, "model.safetensors") for name in ("one", "two")]
    for name in both[0]:
        torch.testing.assert_close(both[0][name], both[1][name], atol=2e-3, rtol=1e-2)


SHUTDOWN = """
import sys
from pathlib import Path
from types import SimpleNamespace
from dragoman.translate.config import load
from dragoman.translate.training.trainer import Trainer

def threads():
    return sum("gloo" in t.read_text() for t in Path("/proc/self/task").glob("*/comm"))

trainer = Trainer(load(sys.argv[1], ["training.epochs=1"]), "run")
before = threads()
trainer.fit()
Path(f"threads-{trainer.workers.rank}").write_text(f"{before > 0} {threads()}")
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="threads are counted in /proc")
def test_shutdown_ends_the_threads_of_the_connections(toml: Path, tmp_path: Path) -> None:
    (tmp_path / "shutdown.py").write_text(SHUTDOWN)
    words = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", "shutdown.py"]
    done = subprocess.run([*words, str(toml)], cwd=tmp_path, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    for rank in range(2):
        assert (tmp_path / f"threads-{rank}").read_text() == "True 0"


@pytest.mark.slow
def test_a_killed_worker_ends_the_training_with_a_checkpoint(toml: Path, tmp_path: Path) -> None:
    running = torchrun(tmp_path, toml, 2, ["training.epochs=1000", "name=killed"])
    folder = tmp_path / "runs" / "killed"
    deadline = time.monotonic() + 600
    while not (folder / "metrics.jsonl").exists() and time.monotonic() < deadline:
        time.sleep(0.2)
    children = subprocess.run(["ps", "-o", "pid=", "--ppid", str(running.pid)], capture_output=True, text=True)
    first = int((folder / "lock").read_text())
    (second,) = {int(pid) for pid in children.stdout.split()} - {first}
    os.kill(second, signal.SIGKILL)
    _, stderr = running.communicate(timeout=600)
    assert running.returncode != 0
    assert re.search(r"another worker of this training has ended\. Checkpoint of step \d+ saved", stderr) or (
        ", checkpoint saved" in stderr  # torchrun's SIGTERM reached the first worker before its step failed
    )
    tensors, facts = load_tensors(folder / "last.safetensors")
    assert facts["step"] > 0
    assert all(torch.isfinite(x).all() for x in tensors.values())


def test_resuming_a_finished_training_changes_nothing(
    toml: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    two = load(toml, ["training.epochs=2"])
    facts = Trainer(two, tmp_path / "run").fit()
    written = (tmp_path / "run" / "run.json").read_text()
    again = Trainer(two, tmp_path / "run", resume=True, display=Display())
    assert again.fit() == facts
    assert "is already trained" in capsys.readouterr().err
    assert (tmp_path / "run" / "run.json").read_text() == written
    chosen = load_tensors(tmp_path / "run" / "model.safetensors")[0]
    assert all(torch.equal(chosen[name], value) for name, value in weights_of(again.model).items())
    more = Trainer(load(toml, ["training.epochs=3"]), tmp_path / "run", resume=True, display=Display()).fit()
    assert "resumes with new values of training.epochs" in capsys.readouterr().err
    assert more["training"]["epochs"] == 3
    config = (tmp_path / "run" / "config.json").read_text()
    Trainer(two, tmp_path / "run", resume=True, display=Display()).fit()
    assert "is already trained, up to training.epochs = 2; raise it to continue" in capsys.readouterr().err
    assert (tmp_path / "run" / "config.json").read_text() == config  # still of three epochs


def test_the_message_names_the_patience_that_ended_a_training(
    toml: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    no_progress = ["training.patience=1", "training.lr=1e-9"]
    Trainer(load(toml, ["training.epochs=9", *no_progress]), tmp_path / "run").fit()
    Trainer(load(toml, ["training.epochs=20", *no_progress]), tmp_path / "run", resume=True, display=Display()).fit()
    message = capsys.readouterr().err
    assert "is already trained, up to training.patience = 1; raise it to continue" in message
    assert "resumes with new values" not in message


def test_the_lower_loss_decides_between_equal_scores() -> None:
    history = [{"step": n, "BLEU": 0.0, "loss": loss} for n, loss in enumerate((5.0, 3.0, 4.0))]
    best = averaged_entries(history, "BLEU", TrainingConfig(average_of="best", average=1))
    assert [entry["step"] for entry in best] == [1]


def test_progress_ends_at_100_percent(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    display = Display()
    display.start(1, 1, False, "tokens")
    now[0] = 100.0
    display.step(1.03, 90.0, {"epoch": 0, "loss": 1.0, "tokens_per_second": 7})
    assert "100%  0:00 left  epoch 1, loss 1.000, 7 tokens/s" in capsys.readouterr().err
    with bar("translating", 1000) as move:
        for seconds, done in ((100, 600), (110, 650), (140, 700), (190, 900), (260, 1000)):
            now[0] = float(seconds)
            move(done)
    lines = capsys.readouterr().err.splitlines()
    assert lines == [
        " 70%  2:00 left  translating: 700 of 1,000", "100%  0:00 left  translating: 1,000 of 1,000"
    ]  # fmt: skip
    with bar("runs/[/a]", 2) as move:  # brackets are text, not markup of rich
        now[0] += 60
        move(1)
    assert "runs/[/a]: 1 of 2" in capsys.readouterr().err
    resumed = Display()  # the time left follows this process alone
    for spent, progress in ((36_000.0, 0.5), (36_060.0, 0.6)):
        now[0] += 100
        resumed.step(progress, spent, {"epoch": 0, "loss": 1.0, "tokens_per_second": 7})
    assert " 60%  4:00 left" in capsys.readouterr().err
