"""Beam search, written once: validation runs this module and export turns the same module into ONNX.

Axis letters: B batch, S source length, T target length, K beam, A hypotheses to align, V vocabulary, C candidates of a
sentence (see selection.py), N size of the decoder state of one hypothesis.

Rules that keep the code exportable: sizes come from tensor shapes, loops go through `loop` or `recurrence`, and loop
bodies take their sizes from carried tensors.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dragoman.runtime.contract import BOS, EOS, PAD
from dragoman.translate.network.cells import recurrence
from dragoman.translate.network.layers import NEG_INF
from dragoman.translate.network.selection import VocabularySelection
from dragoman.translate.network.seq2seq import Memory, Network

# A translation may have limit_ratio times as many ids as its source, plus this many.
EXTRA_LENGTH = 10

# A sentence ends when no open hypothesis could overtake its n best finished ones, even if the next LOOKAHEAD ids had
# probability 1. The exact bound under a length penalty looks ahead to the longest translation allowed, and stops almost
# nothing. A bound at the current length, which most toolkits use, stops hypotheses that would have won.
LOOKAHEAD = 4


class Hypotheses(NamedTuple):
    """The result of the search: the outputs of the tensor contract, best hypothesis first."""

    target: Tensor  # (B, K, T)
    score: Tensor  # (B, K)
    attention: Tensor  # (B, A, T, S)


@torch.library.custom_op("dragoman::reorder", mutates_args=())
def reorder(state: Tensor, parent: Tensor) -> Tensor:
    """Return the states (B, K, N) of the hypotheses at beam indices parent (B, K).

    This is an operator of its own, because ONNX has one for exactly this (GatherND), which the exporter does not find.
    """
    return state.gather(1, parent.unsqueeze(-1).expand(-1, -1, state.shape[-1]))


@reorder.register_fake
def _(state: Tensor, parent: Tensor) -> Tensor:
    return torch.empty_like(state)


@torch.library.custom_op("dragoman::choose", mutates_args=())
def choose(condition: Tensor, then: Tensor, otherwise: Tensor) -> Tensor:
    """Return one of two tensors, of any shapes with as many axes, by a scalar.

    In an exported graph, the tensor that is not chosen is not computed (see graph_passes.make_branches).
    """
    return (then if bool(condition) else otherwise).clone()


@choose.register_fake
def _(condition: Tensor, then: Tensor, otherwise: Tensor) -> Tensor:
    new_size = torch.library.get_ctx().new_dynamic_size
    sizes = (a if type(a) is int and a == b else new_size() for a, b in zip(then.shape, otherwise.shape, strict=True))
    return then.new_empty(*sizes)


class BeamSearch(nn.Module):
    """Beam search over a network, with length-normalised scores: log-probability / length ** length_penalty.

    The K hypotheses of a sentence are open or finished, and compete by normalised score. A finished hypothesis is
    frozen: it stays in the beam with its score and is extended with padding.

    A step costs the same at any length. It stores tokens and back-pointers, which are traced back once at the end. The
    attention of the best hypotheses comes from running the decoder over them once more.

    A beam of one is greedy search, which needs half of the operations.
    """

    def __init__(
        self,
        model: Network,
        limit_ratio: int,
        *,
        right_to_left: bool = False,
        selection: VocabularySelection | None = None,
    ) -> None:
        """Create a search.

        limit_ratio: the longest translation, as a multiple of the source length (see also EXTRA_LENGTH).
        right_to_left: the network generates a translation from its last id to its first. Results are left to right.
        selection: chooses the target ids that a translation may contain; without it, all may occur.
        """
        super().__init__()
        self.model: Network = model
        self.limit_ratio, self.right_to_left = limit_ratio, right_to_left
        self.selection = selection

    def forward(
        self,
        source: Tensor,
        source_length: Tensor,
        beam_vector: Tensor,
        n_best: Tensor,
        max_length_vector: Tensor,
        length_penalty: Tensor,
        n_aligned_vector: Tensor,
    ) -> Hypotheses:
        """Translate a batch: source (B, S), source_length (B). n_best and length_penalty are scalars.

        Three settings are the lengths of vectors, since an exported graph cannot take a tensor's value as a size:
        beam_vector (K) is the beam size, max_length_vector (T) the longest translation, and n_aligned_vector (A) the
        number of best hypotheses to align. Their contents do not matter.
        """
        S = source.shape[1]
        source = pad_to_even(source)
        memory = self.model.encode(source, source_length)
        candidates = self.selection(source, source_length) if self.selection else None
        decoding = Decoding(
            self.model, memory, self.model.projection(candidates), candidates.ids if candidates else None,
            torch.clamp(source_length * self.limit_ratio + EXTRA_LENGTH, max=max_length_vector.shape[0])[:, None],
        )  # fmt: skip
        is_greedy = count(beam_vector) == 1
        # While exporting, both are captured, and the loop that is not wanted ends before its first step.
        target, score = either(
            is_greedy,
            lambda: greedy_search(decoding, max_length_vector, length_penalty, is_greedy),
            lambda: beam_search(decoding, beam_vector, n_best, max_length_vector, length_penalty, ~is_greedy),
        )
        # From here on T is the number of steps that ran.
        aligned = target[:, :, : n_aligned_vector.shape[0]].contiguous()  # (T, B, A)
        attention = align(self.model, aligned, memory, count(target[:, 0, 0]))[..., :S]  # (T, B, A, S)
        target, attention = target.permute(1, 2, 0), attention.permute(1, 2, 0, 3)  # (B, K, T), (B, A, T, S)
        if self.right_to_left:
            order = left_to_right_order(target)
            target = target.gather(2, order)
            attention = attention.gather(2, order[:, : n_aligned_vector.shape[0], :, None].expand_as(attention))
        return Hypotheses(target, score, attention)

    @torch.no_grad()
    def search(
        self,
        source: Tensor,
        source_length: Tensor,
        *,
        beam: int = 5,
        n_best: int = 1,
        max_length: int = 256,
        length_penalty: float = 1.0,
        n_aligned: int = 0,
    ) -> Hypotheses:
        """Translate a batch, with settings as plain numbers: source (B, S), source_length (B)."""
        device = source.device
        longest = int(source_length.max()) * self.limit_ratio + EXTRA_LENGTH
        out: Hypotheses = self(
            source,
            source_length,
            torch.zeros(beam, dtype=torch.int64, device=device),
            torch.tensor(n_best, device=device),
            torch.zeros(min(max_length, longest), dtype=torch.int64, device=device),
            torch.tensor(length_penalty, device=device),
            torch.zeros(n_aligned, dtype=torch.int64, device=device),
        )
        return out


class Decoding(NamedTuple):
    """The inputs of both kinds of search, the same at every step."""

    model: Network
    memory: Any  # of the sources (see Network.encode)
    projection: Any  # onto the candidates (see Network.projection)
    candidates: Tensor | None  # (B, C): the ids of the candidates, or None if they are the vocabulary
    limit: Tensor  # (B, 1): the longest translation of each sentence

    def ids(self, index: Tensor) -> Tensor:
        """Return the ids (B, K) of candidates, given their indices (B, K)."""
        return index if self.candidates is None else self.candidates.gather(1, index)

    def likeliest(self, logits: Tensor, k: int) -> tuple[Tensor, Tensor]:
        """Return log-probability and index (B, K, k) of the k likeliest candidates, given the logits of a step."""
        log_probability = torch.log_softmax(logits, -1)
        if self.candidates is not None:
            log_probability = log_probability[:, :, 1:]  # without the rest, which is no candidate
        likeliest, index = torch.topk(log_probability, k)
        return likeliest, index


def greedy_search(
    decoding: Decoding, max_length_vector: Tensor, length_penalty: Tensor, wanted: Tensor
) -> tuple[Tensor, Tensor]:
    """Return the most likely next id again and again: target (T, B, 1) and score (B, 1).

    This is beam search with a beam of one. T is 0 unless it is `wanted`, a scalar.
    """
    memory, limit = decoding.memory, decoding.limit
    B, T = limit.shape[0], max_length_vector.shape[0]

    def any_open(
        position: Tensor, token: Tensor, score: Tensor, is_open: Tensor, state: Tensor, tokens: Tensor
    ) -> Tensor:
        return is_open.any()

    def extend(
        position: Tensor, token: Tensor, score: Tensor, is_open: Tensor, state: Tensor, tokens: Tensor
    ) -> tuple[Tensor, ...]:
        logits, state = decoding.model.step(token, state, memory, decoding.projection)  # (B, 1, C), (B, 1, N)
        gain, index = (x.squeeze(2) for x in decoding.likeliest(logits, 1))  # (B, 1)
        token = torch.where(is_open, decoding.ids(index), PAD)
        score = torch.where(is_open, score + gain, score)
        next_position = position + 1
        is_open = (token > EOS) & (next_position < limit)
        return next_position, token, score, is_open, state, tokens.index_put((position,), token[None])

    device = limit.device
    position, _, score, _, _, tokens = loop(any_open, extend, (
        torch.zeros(1, dtype=torch.int64, device=device),  # position
        torch.full((B, 1), BOS, dtype=torch.int64, device=device),  # token
        torch.zeros(B, 1, device=device),  # score: the log-probability
        wanted.expand(B, 1).contiguous(),  # is_open
        memory.state[:, None, :].contiguous().clone(),  # state
        torch.full((T, B, 1), PAD, dtype=torch.int64, device=device),  # tokens
    ))  # fmt: skip
    tokens = tokens[: steps_of(position, T)]
    return tokens, score / (tokens != PAD).sum(0).float() ** length_penalty


def beam_search(
    decoding: Decoding, beam_vector: Tensor, n_best: Tensor, max_length_vector: Tensor, length_penalty: Tensor,
    wanted: Tensor,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """Return the best hypotheses of each sentence: target (T, B, K) and score (B, K).

    T is 0 unless they are `wanted`, a scalar.
    """
    model, memory, limit = decoding.model, decoding.memory, decoding.limit
    B, K, T = limit.shape[0], beam_vector.shape[0], max_length_vector.shape[0]
    device = limit.device
    exporting = torch.compiler.is_exporting()
    n_ids = model.bias.shape[0] if decoding.candidates is None else decoding.candidates.shape[1]
    n_extensions = K if exporting else min(K, n_ids)  # of one hypothesis: a vocabulary may be tiny
    beam_index = torch.arange(K, device=device)
    candidate_parent = beam_index[:, None].expand(B, K, n_extensions).reshape(B, -1)  # (B, K*K)
    # A frozen hypothesis has one candidate, itself followed by padding; the others are impossible.
    frozen_gain = torch.where(beam_index[:n_extensions] == 0, 0.0, NEG_INF)  # (K)
    last_best = (torch.clamp(n_best, max=K) - 1).reshape(1)  # the beam index of the n-th best hypothesis

    # Everything that depends on the length alone is a table, so that a step does one lookup.
    lengths = torch.arange(1, T + 1, device=device)  # (T)
    norm = lengths.float() ** length_penalty  # (T): the divisor of a log-probability
    inverse_norm = 1 / norm
    renormalise = torch.cat((norm[:1], norm[:-1])) * inverse_norm  # (T): turns the last step's scores into today's
    # The best that an open hypothesis can reach is its log-probability, unchanged, at length bound_length.
    bound_length = torch.minimum(lengths + LOOKAHEAD, limit)  # (B, T)
    bound_ratio = torch.where(lengths < limit, norm / bound_length.float() ** length_penalty, math.inf)  # (B, T)

    def any_open(
        position: Tensor, token: Tensor, score: Tensor, is_open: Tensor, state: Tensor,
        tokens: Tensor, parents: Tensor,
    ) -> Tensor:  # fmt: skip
        return is_open.any()

    def extend(
        position: Tensor, token: Tensor, score: Tensor, is_open: Tensor, state: Tensor,
        tokens: Tensor, parents: Tensor,
    ) -> tuple[Tensor, ...]:  # fmt: skip
        B, K = score.shape
        logits, state = model.step(token, state, memory, decoding.projection)  # (B, K, C), (B, K, N)
        gain, index = decoding.likeliest(logits, K if exporting else n_extensions)  # (B, K, K)
        # Scores are normalised at every step, so a frozen hypothesis keeps its score exactly.
        previous = score.unsqueeze(2)  # (B, K, 1)
        extended = previous * renormalise.index_select(0, position) + gain * inverse_norm.index_select(0, position)
        extensions = torch.where(is_open.unsqueeze(2), extended, previous + frozen_gain)  # (B, K, K)
        score, chosen = torch.topk(extensions.reshape(B, -1), K, dim=-1)  # (B, K)
        parent = candidate_parent.gather(1, chosen)  # (B, K)
        parent_open = is_open.gather(1, parent)
        token = torch.where(parent_open, decoding.ids(index.reshape(B, -1).gather(1, chosen)), PAD)
        state = reorder(state, parent)

        # All open hypotheses have the same length, so the best of them has the best bound. Scores are sorted: if
        # the n-th score is above the bound, the n best hypotheses are finished and final. At the length limit the
        # bound is -inf (or NaN for a score of 0, which compares false, too).
        is_open = token > EOS  # <unk> and <s> are no candidates, so smaller ids are </s> and padding
        best_open = torch.where(is_open, score, NEG_INF).amax(1, keepdim=True)  # (B, 1)
        best_possible_score = best_open * bound_ratio.index_select(1, position)
        undecided = score.index_select(1, last_best) <= best_possible_score
        return (
            position + 1,
            token,
            score,
            is_open & undecided,
            state,
            tokens.index_put((position,), token[None]),
            parents.index_put((position,), parent[None]),
        )

    carried: tuple[Tensor, ...] = (
        torch.zeros(1, dtype=torch.int64, device=device),  # position
        torch.full((B, K), BOS, dtype=torch.int64, device=device),  # token
        torch.where(beam_index == 0, 0.0, NEG_INF).expand(B, K).contiguous(),  # score: one hypothesis at first
        wanted.expand(B, K).contiguous(),  # is_open
        memory.state[:, None, :].expand(B, K, memory.state.shape[1]).contiguous(),  # state
        torch.full((T, B, K), PAD, dtype=torch.int64, device=device),  # tokens
        beam_index.expand(T, B, K).contiguous(),  # parents: steps that never run keep every hypothesis in place
    )
    position, _, score, _, _, tokens, parents = loop(any_open, extend, carried)
    return trace_back(tokens, parents)[: steps_of(position, T)], score


def count(vector: Tensor) -> Tensor:
    """Return the length of a vector as a tensor, from its contents: an exported graph compares no sizes."""
    return torch.ones_like(vector, dtype=torch.int64).sum()


def steps_of(position: Tensor, longest: int) -> int:
    """Return the value of `position` (1), at most `longest`, as a size."""
    steps = cast(int, position.item())
    torch._check(steps >= 0)
    torch._check(steps <= longest)
    return steps


def left_to_right_order(target: Tensor) -> Tensor:
    """Return the index (..., T) that reverses the ids of each translation in target (..., T).

    `</s>` and padding keep their positions, so the permutation is its own inverse.
    """
    length = (target > EOS).sum(-1, keepdim=True)  # (..., 1)
    position = torch.arange(target.shape[-1], device=target.device).expand_as(target)  # (..., T)
    return torch.where(position < length, length - 1 - position, position)


def pad_to_even(source: Tensor) -> Tensor:
    """Return ids (B, S) with one more column of padding if S is odd.

    ONNX Runtime adds up the last three products of a row in another order than four. Without this, the last bits of a
    result would depend on the padding of the batch.
    """
    return F.pad(source, (0, source.shape[1] % 2))


def either(
    condition: Tensor, then: Callable[[], tuple[Tensor, ...]], otherwise: Callable[[], tuple[Tensor, ...]]
) -> tuple[Tensor, ...]:
    """Return the tensors of one of two functions, by a scalar. While exporting, both are called (see `choose`)."""
    if torch.compiler.is_exporting():
        return tuple(choose(condition, a, b) for a, b in zip(then(), otherwise(), strict=True))
    return then() if bool(condition) else otherwise()


def loop(
    condition: Callable[..., Tensor], body: Callable[..., tuple[Tensor, ...]], carried: tuple[Tensor, ...]
) -> tuple[Tensor, ...]:
    """Run `while condition(*carried): carried = body(*carried)` and return the last carried tensors.

    While exporting, this is `torch.while_loop`, which becomes ONNX Loop. Eager code does not call it, because it would
    compile the body. No tensor that the body returns may alias one of its inputs.
    """
    if torch.compiler.is_exporting():
        out: tuple[Tensor, ...] = torch.while_loop(condition, body, carried)
        return tuple(x.clone() for x in out)  # the exporter mistakes the loop's own outputs for views
    while bool(condition(*carried)):
        carried = body(*carried)
    return carried


def trace_back(tokens: Tensor, parents: Tensor) -> Tensor:
    """Return the ids of all hypotheses, (T, B, K), by following back-pointers from the last step to the first.

    tokens (T, B, K): the id added at each step. parents (T, B, K): the beam index that its hypothesis had before.
    """

    def step_back(index: Tensor, row: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        token, parent = row
        return parent.gather(1, index), token.gather(1, index)

    _, B, K = tokens.shape
    last_index = torch.arange(K, device=tokens.device).expand(B, K).contiguous()
    target: Tensor = recurrence(step_back, last_index, (tokens.flip(0), parents.flip(0)))[1]  # (T, B, K)
    return target.flip(0)


def align(model: Network, target: Tensor, memory: Memory, steps: Tensor) -> Tensor:
    """Return the attention weights (T, B, A, S) of finished translations target (T, B, A).

    The decoder reads them once more. Collecting weights during the search would make every step reorder them.
    steps: T as a scalar.
    """
    T, B, A = target.shape
    S = memory.attention_bias.shape[-1]
    # Without hypotheses to align, no step is worth its time.
    end = torch.where(count(target[0, 0]) > 0, steps, 0)

    def unread(position: Tensor, token: Tensor, state: Tensor, weights: Tensor) -> Tensor:
        return (position < end).all()

    def read(position: Tensor, token: Tensor, state: Tensor, weights: Tensor) -> tuple[Tensor, ...]:
        row, state = model.attention_step(token, state, memory)  # (B, A, S), (B, A, N)
        token = target.index_select(0, position)[0]  # (B, A)
        return position + 1, token, state, weights.index_put((position,), row[None])

    device = target.device
    carried = (
        torch.zeros(1, dtype=torch.int64, device=device),  # position
        torch.full((B, A), BOS, dtype=torch.int64, device=device),  # token
        memory.state[:, None, :].expand(B, A, memory.state.shape[1]).contiguous(),  # state
        torch.zeros(T, B, A, S, device=device),  # weights
    )
    return loop(unread, read, carried)[3]
