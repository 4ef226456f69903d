"""The encoder-decoder: teacher forcing against single steps, batch invariance, dropout, shared embeddings."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import pytest
import torch

from dragoman.runtime.contract import BOS
from dragoman.translate.network.layers import Dropout, Embedding
from dragoman.translate.network.seq2seq import Seq2Seq
from tiny import CELLS, VOCABULARY, tiny_config, tiny_search

Source = Callable[[int, int], tuple[torch.Tensor, torch.Tensor]]


@pytest.mark.parametrize(("attention", "heads"), [("dot", 1), ("dot", 3), ("additive", 3), ("none", 3)])
@pytest.mark.parametrize("cell", CELLS)
def test_teacher_forcing_equals_stepping(cell: str, attention: str, heads: int, random_source: Source) -> None:
    model = tiny_search(cell, attention, scale=1.5, heads=heads).model
    assert isinstance(model, Seq2Seq)
    source, length = random_source(3, 6)
    target = torch.randint(4, VOCABULARY, (3, 8))
    target[:, 0] = BOS
    whole = model.logits(model(source, length, target))
    memory = model.encode(source, length)
    state = memory.state[:, None]
    for t in range(target.shape[1]):
        logits, state = model.step(target[:, t : t + 1], state, memory, model.projection())
        torch.testing.assert_close(logits[:, 0], whole[:, t] + model.suppression, atol=2e-5, rtol=1e-4)


@pytest.mark.parametrize("heads", [1, 3])
@pytest.mark.parametrize("cell", CELLS)
def test_padding_and_neighbours_do_not_matter(cell: str, heads: int, random_source: Source) -> None:
    model = tiny_search(cell, heads=heads).model
    source, length = random_source(4, 6)
    target = torch.randint(4, VOCABULARY, (4, 5))
    whole = model(source, length, target)
    noise = torch.where(torch.arange(6) < length[:, None], source, torch.randint(0, VOCABULARY, (4, 6)))
    wider = torch.cat((noise, torch.randint(0, VOCABULARY, (4, 3))), 1)
    torch.testing.assert_close(model(wider, length, target), whole, atol=1e-5, rtol=1e-4)
    for b in range(4):
        alone = model(source[b : b + 1, : length[b]], length[b : b + 1], target[b : b + 1])
        torch.testing.assert_close(alone, whole[b : b + 1], atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize(
    ("inputs", "layers", "expected"), [(0.4, None, (0.4, 0.4)), (0.4, 0.0, (0.4, 0.0)), (0.0, 0.2, (0.0, 0.2))]
)
def test_dropout_of_inputs_and_of_layers(inputs: float, layers: float | None, expected: tuple[float, float]) -> None:
    model = Seq2Seq(
        msgspec.structs.replace(tiny_config(), dropout=inputs, layer_dropout=layers), VOCABULARY, VOCABULARY
    )
    for half in (model.encoder, model.decoder):
        assert half.dropout.rate == expected[0]
        assert {layer.dropout.rate for layer in half.layers} == {expected[1]}


def test_variational_dropout_is_one_mask_a_sentence() -> None:
    torch.manual_seed(0)
    out = Dropout(0.5).train()(torch.ones(9, 4, 6))
    assert torch.equal(out, out[:1].expand(9, 4, 6))
    assert set(out.unique().tolist()) == {0.0, 2.0}
    assert not torch.equal(out[:, 0], out[:, 1])


def test_word_dropout_removes_whole_tokens() -> None:
    torch.manual_seed(0)
    zero = (Embedding(20, 6, 0.5).train()(torch.randint(0, 20, (8, 50))) == 0).all(-1).float().mean()
    assert 0.4 < float(zero) < 0.6


def test_embeddings_are_one_matrix() -> None:
    names = [n for n, _ in tiny_search().model.named_parameters()]
    assert sum("embedding" in n or n.startswith("output") for n in names) == 1
