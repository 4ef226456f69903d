"""The training recipe, line by line: each test fails when its line of the recipe is removed (see tests/mutants.py)."""

from __future__ import annotations

import copy
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dragoman.runtime.contract import BOS, EOS, PAD
from dragoman.translate.config import load
from dragoman.translate.encoding.batching import Batch, TranslationBatch, make_batch, plan
from dragoman.translate.network.cells import Recurrent
from dragoman.translate.network.heads import mean_and_max
from dragoman.translate.network.layers import Embedding
from dragoman.translate.network.search import BeamSearch
from dragoman.translate.network.selection import Candidates
from dragoman.translate.network.seq2seq import DecoderLayer, EncoderLayer, Memory, Network, Seq2Seq
from dragoman.translate.training.checkpoint import load_tensors
from dragoman.translate.training.trainer import Trainer
from tiny import tiny_config


def plain_loss(model: Seq2Seq, batch: TranslationBatch, smoothing: float = 0.0) -> Tensor:
    """Return the summed cross-entropy of a batch, by PyTorch's own function."""
    logits = model.logits(model(batch.source, batch.source_length, batch.target_in))
    return F.cross_entropy(
        logits.flatten(0, 1), batch.target_out.flatten(), ignore_index=PAD, label_smoothing=smoothing, reduction="sum"
    )


def test_a_training_equals_one_written_with_pytorch_alone(
    toml: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Loss with label smoothing, clipping, the schedule, AdamW and its groups: the weights agree after every step."""
    clip, decay, peak, warmup = 0.3, 0.5, 0.02, 4
    changes = ["model.dropout=0", "tokenizer.sampling=0", "training.epochs=2", f"training.clip_norm={clip}"]
    changes += [f"training.weight_decay={decay}", f"training.lr={peak}", f"training.warmup={warmup}"]
    trainer = Trainer(load(toml, [*changes, "training.label_smoothing=0.2"]), tmp_path / "run")
    assert isinstance(trainer.model, Seq2Seq)
    model = copy.deepcopy(trainer.model)
    steps: list[tuple[TranslationBatch, list[Tensor]]] = []
    train_step = trainer.train_step

    def spy(batch: Batch, rate: float) -> tuple[float, float]:
        out = train_step(batch, rate)
        assert isinstance(batch, TranslationBatch)
        steps.append((batch, [p.detach().clone() for p in trainer.model.parameters()]))
        return out

    monkeypatch.setattr(trainer, "train_step", spy)
    trainer.fit()
    matrices, vectors = ([p for p in model.parameters() if (p.ndim > 1) == many] for many in (True, False))
    groups = [{"params": matrices, "weight_decay": decay}, {"params": vectors, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, betas=(0.9, 0.98), eps=1e-9)
    clipped = []
    for number, (batch, after) in enumerate(steps):
        progress = number / len(steps)
        warm = min(1.0, max((number + 1) / warmup, progress / 0.1))
        for group in optimizer.param_groups:
            group["lr"] = peak * warm * (1 - progress)
        optimizer.zero_grad()
        (plain_loss(model, batch, 0.2) / int((batch.target_out != PAD).sum())).backward()
        clipped.append(float(nn.utils.clip_grad_norm_(model.parameters(), clip)) > clip)
        optimizer.step()
        for (name, expected), found in zip(model.named_parameters(), after, strict=True):
            if not name.endswith("key.bias"):  # softmax ignores it: its gradient is noise, which Adam enlarges
                torch.testing.assert_close(found, expected, atol=2e-4, rtol=2e-3)
    assert len(steps) > 10
    assert any(clipped)


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_step_whose_gradient_is_not_finite_changes_nothing(
    value: float, optimizer: str, toml: Path, tmp_path: Path
) -> None:
    trainer = Trainer(load(toml, [f"training.optimizer={optimizer}"]), tmp_path / "run")
    batches = iter(trainer.batches(0))
    trainer.train_step(next(batches), 1e-3)
    before = [p.detach().clone() for p in trainer.model.parameters()]
    parameter = next(p for p in trainer.model.parameters() if p.ndim > 1)
    hook = parameter.register_hook(lambda gradient: torch.full_like(gradient, value))
    trainer.train_step(next(batches), 1e-3)
    for p, expected in zip(trainer.model.parameters(), before, strict=True):
        assert torch.equal(p, expected)
    hook.remove()
    trainer.train_step(next(batches), 1e-3)
    assert not torch.equal(parameter, before[0])
    assert all(torch.isfinite(p).all() for p in trainer.model.parameters())


def test_batches_come_in_an_order_of_their_own_in_every_epoch() -> None:
    lengths = np.random.default_rng(0).integers(1, 60, 600).tolist()
    orders = []
    for seed in range(4):
        longest = [max(lengths[i] for i in batch) for batch in plan(lengths, lengths, 300, seed)]
        correlation = np.corrcoef(longest, range(len(longest)))[0, 1]
        assert abs(correlation) < 0.5
        orders.append(longest)
    assert len({tuple(order) for order in orders}) == len(orders)


def silence(module: nn.Module | None) -> None:
    """Let a block contribute nothing."""
    if module is not None:
        for p in module.parameters():
            p.data.zero_()


@pytest.mark.parametrize("part", ["update", "attention", "feed_forward"])
def test_dropout_acts_on_each_block_of_the_decoder(part: str) -> None:
    torch.manual_seed(0)
    model = Seq2Seq(tiny_config(decoder_layers=1), 20, 20)
    model.decoder.dropout.rate = 0.0  # of the embedded ids
    (layer,) = model.decoder.layers
    assert isinstance(layer, DecoderLayer)
    layer.dropout.rate = 0.5
    if part != "update":
        layer.recurrent.output.weight.data[: layer.width] = 0
        layer.recurrent.output.bias.data[: layer.width] = 0
    if part != "attention":
        silence(layer.attention.value)
    if part != "feed_forward":
        silence(layer.feed)
    model.encoder.eval()
    memory = model.encode(torch.randint(4, 20, (2, 5)), torch.tensor([5, 5]))
    x = torch.randn(4, 2, tiny_config().width)
    model.decoder.train()
    assert not torch.equal(model.decoder.sequence(x, memory)[0], model.decoder.sequence(x, memory)[0])
    model.decoder.eval()
    assert torch.equal(model.decoder.sequence(x, memory)[0], model.decoder.sequence(x, memory)[0])


@pytest.mark.parametrize("part", ["recurrent", "feed_forward"])
def test_dropout_acts_on_each_block_of_the_encoder(part: str) -> None:
    torch.manual_seed(0)
    layer = EncoderLayer(tiny_config())
    layer.dropout.rate = 0.5
    silence(layer.feed if part == "recurrent" else layer.recurrent.output)
    x, mask = torch.randn(5, 2, tiny_config().width), torch.ones(5, 2, dtype=torch.bool)
    assert not torch.equal(layer(x, mask), layer(x, mask))


def test_embedded_ids_have_unit_variance() -> None:
    torch.manual_seed(0)
    embedding = Embedding(500, 64, 0.0)
    ids = torch.arange(500)
    assert float(embedding(ids).detach().std()) == pytest.approx(1, abs=0.05)
    assert float(embedding.logits(torch.randn(100, 64), torch.zeros(500)).detach().std()) == pytest.approx(1, abs=0.05)


class Chain(Network):
    """A network whose next id depends on the last one alone, by a table of probabilities."""

    def __init__(self, probabilities: dict[int, dict[int, float]], vocabulary: int) -> None:
        super().__init__()
        table = torch.full((vocabulary, vocabulary), 1e-9)
        for token, row in probabilities.items():
            for following, probability in row.items():
                table[token, following] = probability
        self.table = table.log()
        self.bias = torch.zeros(vocabulary)

    def encode(self, source: Tensor, source_length: Tensor) -> Memory:
        mask = torch.zeros(source.shape[0], 1, 1, source.shape[1])
        return Memory((), (), mask, torch.zeros(source.shape[0], 1))

    def projection(self, candidates: Candidates | None = None) -> None:
        assert candidates is None

    def step(self, token: Tensor, state: Tensor, memory: Memory, projection: None) -> tuple[Tensor, Tensor]:
        return self.table[token], state


def test_the_search_waits_for_a_hypothesis_that_may_yet_win() -> None:
    """A short translation ends first; a longer one is worse until its last, certain ids have been written."""
    a, b, c, d = 4, 5, 6, 7
    chain = Chain({BOS: {a: 0.55, b: 0.45}, a: {EOS: 0.9, a: 0.1}, b: {c: 1.0}, c: {d: 1.0}, d: {EOS: 1.0}}, 8)
    found = BeamSearch(chain, 4).search(torch.tensor([[4, EOS]]), torch.tensor([2]), beam=2, n_best=1)
    assert found.target[0, 0].tolist()[:4] == [b, c, d, EOS]
    assert float(found.score[0, 0]) == pytest.approx(np.log(0.45) / 4, abs=1e-4)


@pytest.mark.parametrize(("cell", "kept"), [("lstm", "c"), ("sru", "c")])
def test_gated_cells_remember_at_first(cell: str, kept: str) -> None:
    """With nothing to read, a fresh cell keeps sigmoid(1) of its state (Jozefowicz et al. 2015)."""
    hidden = 6
    layer = Recurrent(cell, 4, hidden, 1)  # type: ignore[arg-type]  # one of the cells
    state = torch.zeros(1, layer.state_size)
    state[:, -hidden:] = 1.0
    _, after = layer.step(torch.zeros(1, 4), state)
    torch.testing.assert_close(after[:, -hidden:], torch.full((1, hidden), 0.7311), atol=1e-3, rtol=0)


def test_pooling_joins_the_mean_and_the_maximum_of_real_positions() -> None:
    x = torch.randn(5, 3, 4)
    length = torch.tensor([5, 1, 3])
    out = mean_and_max(x, torch.arange(5)[:, None] < length)
    for b, n in enumerate(length.tolist()):
        expected = torch.cat((x[:n, b].mean(0), x[:n, b].max(0).values))
        torch.testing.assert_close(out[b], expected)


def test_the_validation_loss_is_that_of_every_pair(toml: Path, tmp_path: Path) -> None:
    trainer = Trainer(load(toml, ["training.batch_tokens=60"]), tmp_path / "run")
    assert isinstance(trainer.model, Seq2Seq)
    trainer.model.eval()
    total = tokens = 0.0
    sources, targets = trainer.task.valid_ids  # type: ignore[attr-defined]  # of the translation task
    with torch.no_grad():
        for source, target in zip(sources, targets, strict=True):
            batch = make_batch([source], [target])
            total += float(plain_loss(trainer.model, batch))
            tokens += len(target)
    assert len([*trainer.task.validation()]) > 3
    assert trainer.validation_loss() == pytest.approx(total / tokens, rel=1e-4)


@pytest.mark.parametrize(("kind", "epochs"), [("last", (3, 4)), ("best", (1, 3))])
def test_the_checkpoints_that_are_averaged(
    kind: str, epochs: tuple[int, int], toml: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Greedy scores of four epochs, then the final ones, of which that of the average is the highest."""
    scores = iter([8.0, 1.0, 9.0, 2.0, 10.0, 11.0])
    weights: list[dict[str, Tensor]] = []

    def score(model: nn.Module, *, final: bool) -> dict[str, float]:
        if not final:
            weights.append({name: p.detach().clone() for name, p in model.named_parameters()})
        return {"BLEU": next(scores), "chrF": 0.0}

    config = load(toml, ["training.epochs=4", "training.average=2", f"training.average_of={kind}"])
    trainer = Trainer(config, tmp_path / "run")
    monkeypatch.setattr(trainer.task, "scores", score)
    assert trainer.fit()["training"]["weights"] == "average of 2"
    averaged = load_tensors(tmp_path / "run" / "model.safetensors")[0]
    first, second = (weights[epoch - 1] for epoch in epochs)
    for name, value in averaged.items():
        torch.testing.assert_close(value, (first[name] + second[name]) / 2)
