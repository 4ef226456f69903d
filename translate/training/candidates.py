"""Learn the candidates of a vocabulary selection from a trained network: what it writes when it reads a source id.

The network predicts the targets of training pairs, and its attention says which source ids each prediction comes from.
So the candidates include what the network writes in place of the reference, and need no aligner. With IBM Model 1 on
the same pairs (Brown et al. 1993), 17 % of the translations change instead of 11 % (docs/speed.md).

Axis letters: B batch, S source length, T target length, I target ids of a batch without padding, E model width,
V vocabulary, Q likely predictions of a batch, P pairs of a source id and a target id.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from dragoman.runtime.contract import EOS, PAD
from dragoman.runtime.errors import UserError
from dragoman.runtime.tokenizer import Tokenizer
from dragoman.translate.encoding.batching import TranslationBatch
from dragoman.translate.encoding.ragged import Ints
from dragoman.translate.network.layers import NEG_INF, Column
from dragoman.translate.network.selection import VocabularySelection
from dragoman.translate.network.seq2seq import Seq2Seq
from dragoman.translate.training.checkpoint import load_tensors, save_tensors

SELECTION = "selection.safetensors"  # the file in a run

# How many candidates all sentences share: the first number with which enough translations stay the same. A step
# multiplies by all of them.
SHARED = (1024, 1536, 2048, 3072, 4096, 5120, 6144, 8192)
SAME = 0.985  # of the validation set's translations, at least: they consist of candidates, so selection keeps them

# Candidates of a source id at most, and on average. They take two bytes each in a file, and a step multiplies by those
# of a sentence for each sentence of a batch alone, so more shared candidates cost less than more of these.
OWN, OWN_ON_AVERAGE = 16, 4
SENTENCES = 25_000  # pairs to learn from, at most
REST_SENTENCES = 5_000  # of which the rest is learnt from these

# Predictions that are less likely do not count. Among the source positions, those with the most attention do.
MIN_PROBABILITY, POSITIONS = 0.003, 3


class Lexicon(NamedTuple):
    """Pairs of a source id and a target id."""

    source: Ints  # (P)
    target: Ints  # (P)
    expected_count: npt.NDArray[np.float64]  # (P)


class PairCounts:
    """Expected counts of pairs of a source id and a target id."""

    def __init__(self, target_vocabulary: int) -> None:
        self.target_vocabulary = target_vocabulary
        self.keys: npt.NDArray[np.int64] = np.zeros(0, np.int64)  # (P), ascending
        self.counts: npt.NDArray[np.float64] = np.zeros(0)  # (P)
        self._pending: list[tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]] = []
        self._pending_size = 0

    def add(self, source: Tensor, target: Tensor, count: Tensor) -> None:
        """Add counts of pairs: three tensors of one shape."""
        keys = (source * self.target_vocabulary + target).flatten().cpu().numpy()
        self._pending.append((keys, count.flatten().double().cpu().numpy()))
        self._pending_size += len(keys)
        if self._pending_size > max(2_000_000, len(self.keys)):
            self.merge()

    def merge(self) -> None:
        """Bring `keys` and `counts` up to date."""
        keys = np.concatenate([self.keys, *(keys for keys, _ in self._pending)])
        counts = np.concatenate([self.counts, *(counts for _, counts in self._pending)])
        self.keys, place = np.unique(keys, return_inverse=True)
        self.counts = np.bincount(place, counts, len(self.keys)).astype(np.float64)
        self._pending, self._pending_size = [], 0

    def by_source(self) -> Lexicon:
        """Return all pairs, by source id and then from the most frequent target on."""
        self.merge()
        source, target = np.divmod(self.keys, self.target_vocabulary)
        order = np.lexsort((target, -self.counts, source))
        return Lexicon(source[order], target[order], self.counts[order])


def most_frequent(lexicon: Lexicon, size: int, longest: int, excluded: Ints) -> tuple[Ints, Ints]:
    """Return the `size` most frequent pairs, at most `longest` of each source id, as source and target ids.

    excluded: target ids to leave out. The pairs keep their order.
    """
    kept = ~np.isin(lexicon.target, excluded)
    source, target, count = lexicon.source[kept], lexicon.target[kept], lexicon.expected_count[kept]
    _, first, lengths = np.unique(source, return_index=True, return_counts=True)
    kept = np.arange(len(source)) - np.repeat(first, lengths) < longest
    source, target, count = source[kept], target[kept], count[kept]
    kept = np.zeros(len(source), bool)
    kept[np.argsort(-count, kind="stable")[:size]] = True
    return source[kept], target[kept]


def must_share(tokenizer: Tokenizer) -> list[int]:
    """Return the target ids that any sentence may need: `</s>`, bytes, and subwords without a letter."""
    processor = tokenizer.processor
    subwords = enumerate(tokenizer.subwords(range(len(tokenizer))))
    return [
        i for i, subword in subwords
        if i == EOS or (i > EOS and (processor.IsByte(i) or not any(map(str.isalpha, subword))))
    ]  # fmt: skip


@torch.no_grad()
def learn_selection(
    model: Seq2Seq,
    batches: Iterable[TranslationBatch],
    source_tokenizer: Tokenizer,
    target_tokenizer: Tokenizer,
    examples: Callable[[], Iterable[tuple[list[int], list[int]]]],
    progress: Callable[[int], None] = lambda _: None,
) -> VocabularySelection | None:
    """Return the vocabulary selection of a trained network, or None if it would gain too little.

    batches: training pairs, of which the first SENTENCES count. progress is called with the number of sentences read.
    examples: returns source ids of other sentences, and the ids of their translations with the whole vocabulary.

    A network without attention has no selection. Nor does one whose sentences would share more than half of the
    vocabulary.
    """
    vocabulary = len(target_tokenizer)
    must = must_share(target_tokenizer)
    sizes = [size for size in SHARED if len(must) <= size <= vocabulary // 2]
    if not sizes or model.decoder.layers[-1].attention.none:
        return None
    model.eval()
    device = model.bias.device
    counts, frequency = PairCounts(vocabulary), torch.zeros(vocabulary, device=device)
    for b in _first(batches, SENTENCES, device, progress):
        mask = b.target_out != PAD  # (B, T)
        x, attention = model.forward_with_attention(b.source, b.source_length, b.target_in)
        probability = torch.softmax((model.logits(x[mask]) + model.suppression).float(), -1)  # (I, V)
        frequency += probability.sum(0)
        i, target = (probability > MIN_PROBABILITY).nonzero(as_tuple=True)  # (Q), (Q)
        weight, position = attention[mask].topk(min(POSITIONS, attention.shape[-1]))  # (I, POSITIONS)
        source = b.source[mask.nonzero()[:, :1], position]  # (I, POSITIONS)
        count = probability[i, target, None] * weight[i]  # (Q, POSITIONS)
        counts.add(source[i], target[:, None].expand_as(count), count)
    order = np.argsort(-frequency.cpu().numpy(), kind="stable")
    order = order[(order > EOS) & ~np.isin(order, must)]
    lexicon, copies, pairs = counts.by_source(), copies_of(source_tokenizer, target_tokenizer), [*examples()]
    for size in sizes:
        shared = np.sort([*must, *order[: size - len(must)]])
        selection = _selection(lexicon, shared, copies, vocabulary, model.output.weight.shape[1])
        if _covered(selection, pairs) >= SAME * len(pairs):
            selection = selection.to(device)
            selection.rest, selection.rest_bias = fit_rest(model, selection, batches)
            return selection
    return None


def _first(
    batches: Iterable[TranslationBatch], sentences: int, device: torch.device,
    progress: Callable[[int], None] = lambda _: None,
) -> Iterator[TranslationBatch]:  # fmt: skip
    """Yield batches of so many sentences in all, or a few more, and report after each how many were read."""
    done = 0
    for batch in batches:
        yield batch.to(device)
        done += len(batch.source)
        progress(done)
        if done >= sentences:
            return


@torch.no_grad()
def fit_rest(model: Seq2Seq, selection: VocabularySelection, batches: Iterable[TranslationBatch]) -> Column:
    """Return the column that stands for all ids that are not candidates. The selection is on the network's device.

    To the softmax they are one class. Its logit, the logarithm of the sum of their exponentials, is nearly a linear
    function of the decoder's output, which logistic regression finds from the first REST_SENTENCES pairs.
    """
    device = model.bias.device
    outputs, sums, probabilities = [], [], []
    for b in _first(batches, REST_SENTENCES, device):
        mask = b.target_out != PAD  # (B, T)
        x = model(b.source, b.source_length, b.target_in)[mask]  # (I, E)
        logits = (model.logits(x) + model.suppression).float()  # (I, V)
        ids = selection(b.source, b.source_length).ids  # (B, C)
        is_candidate = torch.zeros(len(ids), logits.shape[1], dtype=torch.bool, device=device).scatter_(1, ids, True)
        of_candidates = torch.where(is_candidate[mask.nonzero()[:, 0]], logits, NEG_INF).logsumexp(1)  # (I)
        outputs.append(x.float())
        sums.append(of_candidates)
        probabilities.append(-torch.expm1(of_candidates - logits.logsumexp(1)))
    x, log_sum, probability = (torch.cat(tensors).cpu() for tensors in (outputs, sums, probabilities))
    probability = probability.clamp(0, 1)
    weight, bias = torch.zeros(x.shape[1], requires_grad=True), torch.zeros(1, requires_grad=True)
    optimizer = torch.optim.LBFGS([weight, bias], max_iter=200, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        optimizer.zero_grad()
        out = F.binary_cross_entropy_with_logits(x @ weight + bias - log_sum, probability)
        out.backward()
        return out

    with torch.enable_grad():
        optimizer.step(loss)
    return Column(weight.detach().to(device), bias.detach().to(device))


def _covered(selection: VocabularySelection, pairs: Iterable[tuple[list[int], list[int]]]) -> int:
    """Return of how many pairs of source and translation all ids of the translation are candidates of the source."""
    shared, own = {*selection.shared.tolist()}, selection.by_source()
    return sum({*target} <= shared.union(own[source].flatten().tolist()) for source, target in pairs)


def _selection(lexicon: Lexicon, shared: Ints, copies: Ints, target_vocabulary: int, width: int) -> VocabularySelection:
    """Return the selection that follows from pairs, the candidates that all share, and the copies of source ids."""
    sources, targets = most_frequent(lexicon, OWN_ON_AVERAGE * target_vocabulary, OWN, shared)
    own_copies = np.where(np.isin(copies, shared), PAD, copies)
    lengths = np.bincount(sources, minlength=len(copies))
    return VocabularySelection.compact(shared, own_copies, lengths, targets, width)


def copies_of(source: Tokenizer, target: Tokenizer) -> Ints:
    """Return for each source id the target id of the same subword, or PAD if there is none."""
    target_id = {subword: i for i, subword in enumerate(target.subwords(range(len(target)))) if i > EOS}
    copies = np.array([target_id.get(subword, PAD) for subword in source.subwords(range(len(source)))])
    copies[: EOS + 1] = PAD
    return copies


def save_selection(path: Path, selection: VocabularySelection | None) -> None:
    """Write a selection to a file, or remove the file of an earlier one."""
    if selection is None:
        path.unlink(missing_ok=True)
    else:
        save_tensors(path, dict(selection.named_buffers()))


def load_selection(path: Path) -> VocabularySelection | None:
    """Read a selection from a file, or return None if there is no file. Raises UserError if the file is damaged."""
    if not path.exists():
        return None
    remedy = "restore it from a copy, or remove it, and every translation uses the whole vocabulary"
    tensors = load_tensors(path, remedy)[0]
    if tensors.keys() != VocabularySelection.__annotations__.keys():
        raise UserError(f"{path} holds no vocabulary selection; {remedy}")
    return VocabularySelection(**tensors)
