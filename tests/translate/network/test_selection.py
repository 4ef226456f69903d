"""Vocabulary selection: which candidates a sentence has, and the search over them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from dragoman.runtime.contract import EOS, PAD
from dragoman.translate.network.search import BeamSearch, Decoding
from dragoman.translate.network.selection import VocabularySelection
from dragoman.translate.network.seq2seq import Seq2Seq
from tiny import VOCABULARY, tiny_config, tiny_search, tiny_selection

rows = st.lists(st.integers(EOS, VOCABULARY - 1), min_size=1, max_size=12)


@settings(max_examples=60, deadline=None)
@given(st.lists(rows, min_size=1, max_size=5), st.integers(0, 6), st.integers(0, 2**31))
def test_candidates_are_those_of_the_source_ids_and_of_no_neighbour(
    sources: list[list[int]], extra: int, seed: int
) -> None:
    selection = tiny_selection()
    longest = max(map(len, sources)) + extra
    generator = torch.Generator().manual_seed(seed)
    source = torch.randint(4, VOCABULARY, (len(sources), longest), generator=generator)  # any ids at padding
    for b, ids in enumerate(sources):
        source[b, : len(ids)] = torch.tensor(ids)
    candidates = selection(source, torch.tensor([len(ids) for ids in sources]))
    assert torch.equal(candidates.shared, selection.shared)
    tables = [t.tolist() for t in selection.table.split(selection.lengths.tolist())]
    for b, ids in enumerate(sources):
        expected = {i for s in ids for i in [*tables[s], int(selection.copies[s])]} - {PAD}
        own = [i for i in candidates.own[b].tolist() if i != PAD]
        assert sorted(own) == sorted(expected)  # each once
        assert candidates.ids[b].tolist() == [*selection.shared.tolist(), *candidates.own[b].tolist()]


@pytest.mark.parametrize("beam", [1, 4])
def test_the_search_equals_one_in_which_all_other_ids_are_suppressed(beam: int) -> None:
    selected, full = tiny_search(selection=tiny_selection(rest=False)), tiny_search()
    assert selected.selection is not None
    generator = torch.Generator().manual_seed(0)
    for _ in range(20):
        source = torch.randint(4, VOCABULARY, (1, 6), generator=generator)
        candidates = selected.selection(source, torch.tensor([6]))
        suppression = torch.full((VOCABULARY,), -1e9)
        suppression[[i for i in candidates.ids[0].tolist() if i != PAD]] = 0
        assert isinstance(full.model, Seq2Seq)
        full.model.suppression = suppression
        found, expected = (
            s.search(source, torch.tensor([6]), beam=beam, n_best=beam, n_aligned=1) for s in (selected, full)
        )
        assert torch.equal(found.target, expected.target)
        torch.testing.assert_close(found.score, expected.score, atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(found.attention, expected.attention)


@pytest.mark.parametrize("beam", [1, 4])
def test_the_rest_has_its_share_of_every_softmax_and_is_never_chosen(beam: int) -> None:
    selected, full = tiny_search(selection=tiny_selection()), tiny_search(vocabulary=VOCABULARY + 1)
    assert selected.selection is not None
    assert isinstance(full.model, Seq2Seq)
    assert isinstance(selected.model, Seq2Seq)
    # The other network has the rest in place of an ordinary id, `top`. Where it wins, the search goes astray.
    weights, top = selected.model.state_dict(), VOCABULARY
    weights["target_embedding.weight"] = torch.cat((weights["target_embedding.weight"], selected.selection.rest[None]))
    weights["bias"] = torch.cat((weights["bias"], selected.selection.rest_bias))
    for name in ("source_embedding.weight", "output.weight"):
        weights[name] = weights["target_embedding.weight"]
    full.model.load_state_dict(weights)

    def without_rest(decoding: Decoding, logits: Tensor, k: int) -> tuple[Tensor, Tensor]:
        log_probability = torch.log_softmax(logits, -1)
        log_probability[..., top] = -1e9
        result, index = torch.topk(log_probability, k)
        return result, index

    rest_won = False
    generator = torch.Generator().manual_seed(0)
    for _ in range(20):
        source = torch.randint(4, VOCABULARY, (1, 6), generator=generator)
        candidates = selected.selection(source, torch.tensor([6]))
        suppression = torch.full((VOCABULARY + 1,), -1e9)
        suppression[[top, *(i for i in candidates.ids[0].tolist() if i != PAD)]] = 0
        full.model.suppression = suppression
        found = selected.search(source, torch.tensor([6]), beam=beam, n_best=beam)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Decoding, "likeliest", without_rest)
            expected = full.search(source, torch.tensor([6]), beam=beam, n_best=beam)
        rest_won |= top in full.search(source, torch.tensor([6]), beam=beam).target
        assert torch.equal(found.target, expected.target)
        torch.testing.assert_close(found.score, expected.score, atol=1e-5, rtol=1e-5)
    assert rest_won  # otherwise the test shows nothing


def test_a_selection_of_everything_changes_nothing() -> None:
    nothing = np.zeros(VOCABULARY, np.int64)
    width = tiny_config().width
    selection = VocabularySelection.compact(np.arange(EOS, VOCABULARY), nothing, nothing, nothing[:0], width)
    source, length = torch.randint(4, VOCABULARY, (5, 7)), torch.tensor([7, 3, 1, 5, 6])
    for beam in (1, 3):
        found, expected = (
            s.search(source, length, beam=beam, n_best=beam) for s in (tiny_search(selection=selection), tiny_search())
        )
        assert torch.equal(found.target, expected.target)
        torch.testing.assert_close(found.score, expected.score, atol=1e-5, rtol=1e-5)


def test_an_output_layer_of_its_own_is_selected_from() -> None:
    torch.manual_seed(0)
    model = Seq2Seq(tiny_config(), VOCABULARY, VOCABULARY)
    model.output.weight.data.normal_()
    source, length = torch.randint(4, VOCABULARY, (3, 6)), torch.tensor([6, 2, 4])
    out = BeamSearch(model, 2, selection=tiny_selection()).eval().search(source, length, beam=2)
    candidates = tiny_selection()(source, length)
    for b in range(3):
        assert set(out.target[b, 0].tolist()) <= {PAD, *candidates.ids[b].tolist()}
