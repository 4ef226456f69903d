"""Beam search: against brute force, greedy search and batches of one, scores, limits, stopping, attention."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from dragoman.runtime.contract import BOS, EOS, PAD
from dragoman.translate.network.search import BeamSearch, Decoding, beam_search, greedy_search, trace_back
from dragoman.translate.network.seq2seq import Seq2Seq
from tiny import CELLS, VOCABULARY, tiny_search, tiny_selection

Source = Callable[[int, int], tuple[Tensor, Tensor]]
SMALL = 7  # four special ids and three letters; with </s> there are four choices per step


def log_probability(search: BeamSearch, source: Tensor, length: Tensor, ids: tuple[int, ...]) -> float:
    """Return the log-probability of a target under teacher forcing."""
    model = search.model
    assert isinstance(model, Seq2Seq)
    x = model(source, length, torch.tensor([[BOS, *ids[:-1]]]))
    logits = torch.nn.functional.linear(x, model.output.weight, model.bias + model.suppression)
    return float(torch.log_softmax(logits, -1)[0, torch.arange(len(ids)), torch.tensor(ids)].sum())


def strip(row: Tensor) -> tuple[int, ...]:
    return tuple(i for i in row.tolist() if i != PAD)


@pytest.mark.parametrize("penalty", [0.0, 0.7, 1.3])
@pytest.mark.parametrize("longest", [1, 2, 4])
def test_equals_brute_force(longest: int, penalty: float) -> None:
    search = tiny_search(vocabulary=SMALL, scale=1.8)
    source, length = torch.tensor([[4, 6, 5, EOS]]), torch.tensor([4])
    letters = (4, 5, 6)
    every = [
        (*body, *end)
        for n in range(longest + 1)
        for body in itertools.product(letters, repeat=n)
        for end in ([(EOS,)] if n < longest else [()])
    ]
    scored = sorted(((log_probability(search, source, length, y) / len(y) ** penalty, y) for y in every), reverse=True)
    out = search.search(source, length, beam=4**longest, n_best=4**longest, max_length=longest, length_penalty=penalty)
    for k, (score, ids) in enumerate(scored[:8]):
        assert strip(out.target[0, k]) == ids
        assert float(out.score[0, k]) == pytest.approx(score, abs=1e-5)
    best = search.search(source, length, beam=4**longest, n_best=1, max_length=longest, length_penalty=penalty)
    assert strip(best.target[0, 0]) == scored[0][1]


@pytest.mark.parametrize("cell", CELLS)
def test_beam_of_one_is_greedy(cell: str, random_source: Source) -> None:
    search = tiny_search(cell)
    model = search.model
    source, length = random_source(6, 8)
    out = search.search(source, length, beam=1)
    for b in range(6):
        memory = model.encode(source[b : b + 1], length[b : b + 1])
        ids: list[int] = []
        token, state = torch.tensor([[BOS]]), memory.state[:, None]
        while len(ids) < int(length[b]) * 2 + 10 and EOS not in ids:
            logits, state = model.step(token, state, memory, model.projection())
            token = logits.argmax(-1)
            ids.append(int(token))
        assert strip(out.target[b, 0]) == tuple(ids)


@pytest.mark.parametrize("penalty", [0.0, 1.0, 1.7])
@pytest.mark.parametrize("selected", [False, True])
def test_greedy_search_is_beam_search_with_a_beam_of_one(selected: bool, penalty: float, random_source: Source) -> None:
    search = tiny_search(selection=tiny_selection() if selected else None)
    source, length = random_source(9, 8)
    memory = search.model.encode(source, length)
    candidates = search.selection(source, length) if search.selection else None
    for longest in (1, 4, 40):
        vector = torch.zeros(longest)
        limit = torch.clamp(length * 2 + 10, max=longest)[:, None]
        ids = candidates.ids if candidates else None
        decoding = Decoding(search.model, memory, search.model.projection(candidates), ids, limit)
        wanted = torch.tensor(True)
        greedy = greedy_search(decoding, vector, torch.tensor(penalty), wanted)
        beam = beam_search(decoding, torch.zeros(1), torch.tensor(1), vector, torch.tensor(penalty), wanted)
        assert torch.equal(greedy[0], beam[0])
        torch.testing.assert_close(greedy[1], beam[1], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("selected", [False, True])
@pytest.mark.parametrize("heads", [1, 3])
@pytest.mark.parametrize("beam", [1, 2, 5])
def test_batch_of_many_equals_batches_of_one(beam: int, heads: int, selected: bool, random_source: Source) -> None:
    search = tiny_search(heads=heads, selection=tiny_selection() if selected else None)
    source, length = random_source(7, 9)
    together = search.search(source, length, beam=beam, n_best=beam, n_aligned=1)
    for b in range(7):
        S = int(length[b])
        alone = search.search(source[b : b + 1, :S], length[b : b + 1], beam=beam, n_best=beam, n_aligned=1)
        assert [strip(r) for r in alone.target[0]] == [strip(r) for r in together.target[b]]
        torch.testing.assert_close(alone.score[0], together.score[b], atol=1e-5, rtol=1e-5)
        T = len(strip(alone.target[0, 0]))
        torch.testing.assert_close(alone.attention[0, 0, :T], together.attention[b, 0, :T, :S], atol=1e-5, rtol=1e-4)


def test_score_is_log_probability_over_length_to_the_penalty(random_source: Source) -> None:
    search = tiny_search()
    source, length = random_source(1, 5)
    for penalty in (0.0, 0.5, 1.0, 2.0):
        out = search.search(source, length, beam=4, n_best=4, length_penalty=penalty)
        for k in range(4):
            ids = strip(out.target[0, k])
            expected = log_probability(search, source, length, ids) / len(ids) ** penalty
            assert float(out.score[0, k]) == pytest.approx(expected, abs=2e-5)
        assert out.score[0].tolist() == sorted(out.score[0].tolist(), reverse=True)


def test_finished_hypotheses_end_once_and_are_padded(random_source: Source) -> None:
    search = tiny_search()
    source, length = random_source(8, 6)
    out = search.search(source, length, beam=4, n_best=4)
    assert not set(out.target.unique().tolist()) & {1, BOS}
    for row in out.target.reshape(-1, out.target.shape[-1]).tolist():
        if EOS in row:
            assert set(row[row.index(EOS) + 1 :]) <= {PAD}
            assert PAD not in row[: row.index(EOS)]


def test_each_translation_has_its_own_length_limit(random_source: Source) -> None:
    search = tiny_search()
    search.model.bias.data[EOS] = -1e4  # only the limit ends a translation
    source, length = random_source(5, 9)
    out = search.search(source, length, beam=2)
    assert [len(strip(r)) for r in out.target[:, 0]] == (length * 2 + 10).tolist()
    assert [len(strip(r)) for r in search.search(source, length, beam=2, max_length=7).target[:, 0]] == [7] * 5


@pytest.mark.parametrize("heads", [1, 3])
def test_attention_equals_teacher_forcing(heads: int, random_source: Source) -> None:
    """It equals the attention of the last layer under teacher forcing, averaged over heads."""
    search = tiny_search(heads=heads)
    model = search.model
    assert isinstance(model, Seq2Seq)
    seen: list[Tensor] = []
    source, length = random_source(4, 7)
    out = search.search(source, length, beam=3, n_best=2, n_aligned=2)
    model.decoder.layers[-1].attention.register_forward_hook(lambda *call: seen.append(call[2][1]))
    for b, k in itertools.product(range(4), range(2)):
        ids, S = strip(out.target[b, k]), int(length[b])
        seen.clear()
        model(source[b : b + 1, :S], length[b : b + 1], torch.tensor([[BOS, *ids[:-1]]]))
        torch.testing.assert_close(out.attention[b, k, : len(ids), :S], seen[0][0].mean(0), atol=1e-5, rtol=1e-4)
        assert not out.attention[b, k, : len(ids), S:].any()


def test_ties_are_broken_deterministically(random_source: Source) -> None:
    search = tiny_search()
    for p in search.model.parameters():
        p.data.zero_()  # all ids are equally likely
    source, length = random_source(3, 4)
    together, again = (search.search(source, length, beam=3, n_best=3, max_length=6).target for _ in range(2))
    assert torch.equal(together, again)
    for b in range(3):
        alone = search.search(source[b : b + 1, : length[b]], length[b : b + 1], beam=3, n_best=3, max_length=6).target
        assert [strip(r) for r in alone[0]] == [strip(r) for r in together[b]]


def test_stops_when_no_open_hypothesis_can_win(random_source: Source) -> None:
    search = tiny_search()
    search.model.bias.data[EOS] = 60.0  # </s> has probability 1
    source, length = random_source(2, 9)
    assert search.search(source, length, beam=5).target.shape[-1] == 1


def test_trace_back_reads_back_pointers() -> None:
    tokens = torch.tensor([[[5, 6]], [[7, 8]], [[9, 4]]])  # (T, B, K)
    parents = torch.tensor([[[0, 0]], [[1, 0]], [[1, 0]]])
    out = trace_back(tokens, parents)
    assert out[:, 0, 0].tolist() == [5, 8, 9]
    assert out[:, 0, 1].tolist() == [6, 7, 4]


def test_vocabulary_smaller_than_the_beam(random_source: Source) -> None:
    search = tiny_search(vocabulary=SMALL)
    source = torch.tensor([[4, 5]])
    out = search.search(source, torch.tensor([2]), beam=SMALL + 5, n_best=SMALL + 5, max_length=1)
    real = out.score[0] > -1e6
    assert int(real.sum()) == 4  # three letters and </s>; other scores mark absent hypotheses
    assert VOCABULARY > SMALL
