"""Beam search, written once: validation runs this module and export turns the same module into ONNX.

Axis letters: B batch, S source length, T target length, K beam, V vocabulary, N size of the decoder state."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dragoman.runtime.contract import BOS, EOS, PAD
from dragoman.translate.network.cells import recurrence
from dragoman.translate.network.layers import NEVER
from dragoman.translate.network.seq2seq import Memory, Network

EXTRA_LENGTH = 10  # ids that a translation may have beyond limit_ratio times its source


# A sentence ends when no open hypothesis could beat its best finished ones even if its next LOOKAHEAD ids were
# certain. With a length penalty the exact bound looks ahead to the longest translation allowed and stops almost
# nothing; the present length alone (what most toolkits use) stops hypotheses that would have won.
LOOKAHEAD = 4


class Hypotheses(NamedTuple):
    """What the search returns: the outputs of the tensor contract."""

    target: Tensor  # (B, K, T)
    score: Tensor  # (B, K)
    attention: Tensor  # (B, A, T, S), A the number of hypotheses asked for


@torch.library.custom_op("dragoman::reorder", mutates_args=())
def reorder(state: Tensor, parent: Tensor) -> Tensor:
    """The states (B, K, N) of the hypotheses that stand at parent (B, K) in their sentences' beams.

    An operator of its own because ONNX has one for just this (GatherND), which the exporter would not find.
    """
    return state.gather(1, parent.unsqueeze(-1).expand(-1, -1, state.shape[-1]))


@reorder.register_fake
def _(state: Tensor, parent: Tensor) -> Tensor:
    return torch.empty_like(state)


class BeamSearch(nn.Module):
    """Beam search over a network, with length-normalised scores: log-probability / length ** length_penalty.

    The K places of a sentence hold open and finished hypotheses alike, ranked by normalised score; a finished one is
    frozen and adds no score. Back-pointers are kept and followed once at the end, and attention comes from
    reading the winners once more, so a step costs the same however long the translation is.
    """

    def __init__(self, model: Network, limit_ratio: int, *, right_to_left: bool = False) -> None:
        """right_to_left: the network writes a translation from its last id to its first; results read to_left_to_right."""
        super().__init__()
        self.model: Network = model
        self.limit_ratio, self.right_to_left = limit_ratio, right_to_left

    def forward(
        self,
        source: Tensor,
        source_length: Tensor,
        beam: Tensor,
        n_best: Tensor,
        max_length_rows: Tensor,
        length_penalty: Tensor,
        n_aligned: Tensor,
    ) -> Hypotheses:
        """source (B, S), source_length (B); n_best and length_penalty are scalars.

        beam (K), max_length_rows (T) and n_aligned (A) count by their length, which is how a size can be an input of an exported
        graph: the beam size, the longest translation, and for how many of the best hypotheses attention is wanted.
        """
        model = self.model
        S = source.shape[1]
        source = even_width(source)
        memory = model.encode(source, source_length)
        B, K = source.shape[0], beam.shape[0]
        bias = model.bias + model.never
        exporting = torch.compiler.is_exporting()
        best = K if exporting else min(K, bias.shape[0])  # candidates of a hypothesis
        T = max_length_rows.shape[0]
        device = source.device
        places = torch.arange(K, device=device)
        owner = places[:, None].expand(B, K, best).reshape(B, -1)  # of each of the K*K candidates of a sentence
        # A frozen hypothesis has one candidate: itself, followed by padding.
        itself = torch.where(places[:best] == 0, 0.0, NEVER)
        worst = (torch.clamp(n_best, max=K) - 1).reshape(1)  # the place of the last one wanted

        # What depends on the length alone stands in tables, so that a step only looks it up.
        lengths = torch.arange(1, T + 1, device=device)
        limit = torch.clamp(source_length * self.limit_ratio + EXTRA_LENGTH, max=T)[:, None]  # (B, 1)
        scale = lengths.float() ** length_penalty  # (T)
        shrink = 1 / scale
        growth = torch.cat((scale[:1], scale[:-1])) * shrink
        bound_length = torch.minimum(lengths + LOOKAHEAD, limit)  # (B, T)
        bound_ratio = torch.where(lengths < limit, scale / bound_length.float() ** length_penalty, math.inf)

        def unfinished(
            position: Tensor, token: Tensor, score: Tensor, open: Tensor, state: Tensor,
            tokens: Tensor, parents: Tensor,
        ) -> Tensor:  # fmt: skip
            return open.any()

        def extend(
            position: Tensor, token: Tensor, score: Tensor, open: Tensor, state: Tensor,
            tokens: Tensor, parents: Tensor,
        ) -> tuple[Tensor, ...]:  # fmt: skip
            B, K = score.shape
            logits, state = model.step(token, state, memory, bias)
            gain, ids = torch.topk(torch.log_softmax(logits, -1), K if exporting else best, dim=-1)  # (B, K, K)
            # Scores are normalised at every step, so that a frozen hypothesis keeps its own, whatever the others do.
            before = score.unsqueeze(2)
            grown = before * growth.index_select(0, position) + gain * shrink.index_select(0, position)
            candidates = torch.where(open.unsqueeze(2), grown, before + itself)
            score, chosen = torch.topk(candidates.reshape(B, -1), K, dim=-1)  # (B, K)
            parent = owner.gather(1, chosen)
            was_open = open.gather(1, parent)
            token = torch.where(was_open, ids.reshape(B, -1).gather(1, chosen), PAD)
            state = reorder(state, parent)

            # All open hypotheses have one length, so the best of them has the best best_possible_score; scores are sorted, so the
            # n best finished ones win when the n-th score is above that best_possible_score. (Ids below </s> are never written.)
            open = token > EOS
            best_possible_score = torch.where(open, score, NEVER).amax(1, keepdim=True) * bound_ratio.index_select(
                1, position
            )
            going = (
                score.index_select(1, worst) <= best_possible_score
            )  # at the limit best_possible_score is -inf, or no number after certainty
            return (
                position + 1,
                token,
                score,
                open & going,
                state,
                tokens.index_put((position,), token[None]),
                parents.index_put((position,), parent[None]),
            )

        carried: tuple[Tensor, ...] = (
            torch.zeros(1, dtype=torch.int64, device=device),
            torch.full((B, K), BOS, dtype=torch.int64, device=device),
            torch.where(places == 0, 0.0, NEVER).expand(B, K).contiguous(),
            torch.ones(B, K, dtype=torch.bool, device=device),
            memory.state[:, None, :].expand(B, K, memory.state.shape[1]).contiguous(),
            torch.full((T, B, K), PAD, dtype=torch.int64, device=device),
            places.expand(T, B, K).contiguous(),  # steps that are never run leave every hypothesis in its place
        )
        position, _, score, _, _, tokens, parents = loop(unfinished, extend, carried)
        steps = cast(int, position.item())
        torch._check(steps >= 1)
        torch._check(steps <= T)
        target = follow(tokens, parents)
        attention = attend(model, target[:, :, : n_aligned.shape[0]].contiguous(), memory, position)
        target, attention = target[:steps].permute(1, 2, 0), attention[:steps, ..., :S].permute(1, 2, 0, 3)
        if self.right_to_left:
            order = to_left_to_right(target)
            target = target.gather(2, order)
            attention = attention.gather(2, order[:, : n_aligned.shape[0], :, None].expand_as(attention))
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
        """`forward` with plain numbers."""
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


def to_left_to_right(target: Tensor) -> Tensor:
    """Where the ids of translations written from right to left stand when read to_left_to_right: (..., T) -> (..., T).

    `</s>` and padding stay at their places. It is its own inverse.
    """
    written = (target > EOS).sum(-1, keepdim=True)
    places = torch.arange(target.shape[-1], device=target.device).expand_as(target)
    return torch.where(places < written, written - 1 - places, places)


def even_width(source: Tensor) -> Tensor:
    """Ids (B, S) with a column of padding where S is odd.

    ONNX Runtime adds up the last three of a row's products in another order than four of them, and a sentence's last
    bits would depend on how far its batch is padded.
    """
    return F.pad(source, (0, source.shape[1] % 2))


def loop(
    going: Callable[..., Tensor], body: Callable[..., tuple[Tensor, ...]], carried: tuple[Tensor, ...]
) -> tuple[Tensor, ...]:
    """`while going(*carried): carried = body(*carried)`; while exporting, `torch.while_loop`, which becomes ONNX Loop.

    (Called eagerly, torch.while_loop would compile.) No carried tensor may alias an input of the body.
    """
    if torch.compiler.is_exporting():
        out: tuple[Tensor, ...] = torch.while_loop(going, body, carried)
        return tuple(x.clone() for x in out)  # the exporter takes the loop's own outputs for views
    while bool(going(*carried)):
        carried = body(*carried)
    return carried


def follow(tokens: Tensor, parents: Tensor) -> Tensor:
    """Read whole hypotheses from back-pointers, from the end.

    tokens, parents (T, B, K): the id written at each step, and the place that its hypothesis held before.
    Returns (T, B, K).
    """

    def back(place: Tensor, row: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        written, parent = row
        return parent.gather(1, place), written.gather(1, place)

    _, B, K = tokens.shape
    last = torch.arange(K, device=tokens.device).expand(B, K).contiguous()
    target: Tensor = recurrence(back, last, (tokens.flip(0), parents.flip(0)))[1]
    return target.flip(0)


def attend(model: Network, target: Tensor, memory: Memory, steps: Tensor) -> Tensor:
    """The attention behind finished translations, by reading them once more: target (T, B, A) -> (T, B, A, S)."""
    T, B, A = target.shape
    S = memory.mask.shape[-1]
    wanted = torch.ones(A + 1, dtype=torch.int64, device=target.device).sum() - 1  # A, as a tensor
    end = torch.where(wanted > 0, steps, 0)  # nothing to read when nobody asks

    def going(position: Tensor, token: Tensor, state: Tensor, weights: Tensor) -> Tensor:
        return (position < end).all()

    def read(position: Tensor, token: Tensor, state: Tensor, weights: Tensor) -> tuple[Tensor, ...]:
        row, state = model.attention_step(token, state, memory)
        token = target.index_select(0, position)[0]
        return position + 1, token, state, weights.index_put((position,), row[None])

    device = target.device
    start = (
        torch.zeros(1, dtype=torch.int64, device=device),
        torch.full((B, A), BOS, dtype=torch.int64, device=device),
        memory.state[:, None, :].expand(B, A, memory.state.shape[1]).contiguous(),
        torch.zeros(T, B, A, S, device=device),
    )
    return loop(going, read, start)[3]
