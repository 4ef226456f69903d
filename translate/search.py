"""Beam search, written once: the module that validation runs is the module that is exported.

Axis letters: B batch, S source length, T target length, K beam, V vocabulary, N numbers of decoder state.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, cast

import torch
from torch import Tensor, nn

from dragoman.runtime.bundle import BOS, EOS, PAD
from dragoman.translate.model import NEVER, Memory, Seq2Seq

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


class BeamSearch(nn.Module):
    """Beam search over a Seq2Seq, with length-normalised scores: log-probability / length ** length_penalty.

    The K places of a sentence hold open and finished hypotheses alike, ranked by normalised score; a finished one is
    frozen and adds no score. Back-pointers are kept and followed once at the end, and attention comes from
    reading the winners once more, so a step costs the same however long the translation is.
    """

    def __init__(self, model: Seq2Seq, limit_ratio: int) -> None:
        super().__init__()
        self.model = model
        self.limit_ratio = limit_ratio

    def forward(
        self,
        source: Tensor,
        source_length: Tensor,
        beam: Tensor,
        n_best: Tensor,
        room: Tensor,
        length_penalty: Tensor,
        attended: Tensor,
    ) -> Hypotheses:
        """source (B, S), source_length (B); n_best and length_penalty are scalars.

        beam (K), room (T) and attended (A) count by their length, which is how a size can be an input of an exported
        graph: the beam size, the longest translation, and for how many of the best hypotheses attention is wanted.
        """
        model = self.model
        memory = model.encode(source, source_length)
        B, K = source.shape[0], beam.shape[0]
        bias = model.bias + model.never
        V = bias.shape[0]
        exporting = torch.compiler.is_exporting()
        best = K if exporting else min(K, V)  # candidates of a hypothesis
        T = room.shape[0]
        limit = torch.clamp(source_length * self.limit_ratio + EXTRA_LENGTH, max=T)  # (B)
        first_row = torch.arange(B, device=source.device)[:, None] * K  # (B, 1)
        places = torch.arange(K, device=source.device)
        owner = places[:, None].expand(K, best).reshape(-1)  # of each of the K*K candidates of a sentence
        # A frozen hypothesis has one candidate: itself, followed by padding.
        itself = torch.where(places[:best] == 0, 0.0, NEVER)

        def unfinished(
            position: Tensor, token: Tensor, raw: Tensor, scale: Tensor, frozen: Tensor, state: Tensor,
            tokens: Tensor, parents: Tensor,
        ) -> Tensor:  # fmt: skip
            return ~frozen.all()

        def extend(
            position: Tensor, token: Tensor, raw: Tensor, scale: Tensor, frozen: Tensor, state: Tensor,
            tokens: Tensor, parents: Tensor,
        ) -> tuple[Tensor, ...]:  # fmt: skip
            B, K = raw.shape
            logits, state = model.step(token, state, memory, bias)
            top, ids = torch.topk(logits, K if exporting else best, dim=-1)  # (B, K, K)
            gain = top - torch.logsumexp(logits, -1, keepdim=True)
            gain = torch.where(frozen[:, :, None], itself, gain)
            candidates = raw[:, :, None] + gain
            length = (position + 1).to(raw.dtype)
            scale = torch.where(frozen, scale, length**length_penalty)
            _, chosen = torch.topk((candidates / scale[:, :, None]).reshape(B, -1), K, dim=-1)  # (B, K)
            parent = owner[chosen]
            raw = candidates.reshape(B, -1).gather(1, chosen)
            was_frozen = frozen.gather(1, parent)
            token = torch.where(was_frozen, PAD, ids.reshape(B, -1).gather(1, chosen))
            scale = scale.gather(1, parent)
            rows = (first_row + parent).reshape(-1)
            state = state.reshape(B * K, -1).index_select(0, rows).reshape(B, K, -1)

            finished = was_frozen | (token == EOS)
            score = raw / scale
            horizon = torch.minimum(position + 1 + LOOKAHEAD, limit).to(raw.dtype)  # (B)
            hope = torch.where(finished, NEVER, raw / horizon[:, None] ** length_penalty).amax(1, keepdim=True)
            beaten = (finished & (score >= hope)).sum(1) >= n_best
            done = beaten | (position + 1 >= limit)
            frozen = finished | done[:, None]
            return (
                position + 1,
                token,
                raw,
                scale,
                frozen,
                state,
                tokens.index_put((position.reshape(1),), token[None]),
                parents.index_put((position.reshape(1),), parent[None]),
            )

        raw = torch.where(places == 0, 0.0, NEVER).expand(B, K).contiguous()
        carried: tuple[Tensor, ...] = (
            torch.zeros((), dtype=torch.int64, device=source.device),
            torch.full((B, K), BOS, dtype=torch.int64, device=source.device),
            raw,
            torch.ones_like(raw),
            torch.zeros(B, K, dtype=torch.bool, device=source.device),
            memory.state[:, None, :].expand(B, K, memory.state.shape[1]).contiguous(),
            torch.full((T, B, K), PAD, dtype=torch.int64, device=source.device),
            torch.zeros(T, B, K, dtype=torch.int64, device=source.device),
        )
        position, _, raw, scale, _, _, tokens, parents = loop(unfinished, extend, carried)
        steps = cast(int, position.item())
        torch._check(steps >= 1)
        torch._check(steps <= T)
        target = follow(tokens, parents, position)
        attention = attend(model, target[:, :, : attended.shape[0]].contiguous(), memory, position)
        return Hypotheses(target[:steps].permute(1, 2, 0), raw / scale, attention[:steps].permute(1, 2, 0, 3))

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
        attended: int = 0,
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
            torch.zeros(attended, dtype=torch.int64, device=device),
        )
        return out


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


def follow(tokens: Tensor, parents: Tensor, steps: Tensor) -> Tensor:
    """Read whole hypotheses from back-pointers.

    tokens, parents (T, B, K): the id written at each step, and the place that its hypothesis held before;
    steps is T as a scalar tensor, which is what a loop can compare with while exporting.
    Returns (T, B, K).
    """
    _, B, K = tokens.shape
    last = torch.arange(K, device=tokens.device).expand(B, K).contiguous()

    def going(position: Tensor, place: Tensor, target: Tensor) -> Tensor:
        return position >= 0

    def back(position: Tensor, place: Tensor, target: Tensor) -> tuple[Tensor, ...]:
        at = position.reshape(1)
        written = tokens.index_select(0, at)[0].gather(1, place)
        before = parents.index_select(0, at)[0].gather(1, place)
        return position - 1, before, target.index_put((at,), written[None])

    return loop(going, back, (steps - 1, last, torch.zeros_like(tokens)))[2]


def attend(model: Seq2Seq, target: Tensor, memory: Memory, steps: Tensor) -> Tensor:
    """The attention behind finished translations, by reading them once more: target (T, B, A) -> (T, B, A, S)."""
    T, B, A = target.shape
    S = memory.mask.shape[-1]

    def going(position: Tensor, token: Tensor, state: Tensor, weights: Tensor) -> Tensor:
        return position < steps

    def read(position: Tensor, token: Tensor, state: Tensor, weights: Tensor) -> tuple[Tensor, ...]:
        _, state, row = model.decoder.step(model.target_embedding(token), state, memory)
        at = position.reshape(1)
        return position + 1, target.index_select(0, at)[0], state, weights.index_put((at,), row[None])

    device = target.device
    start = (
        torch.zeros((), dtype=torch.int64, device=device),
        torch.full((B, A), BOS, dtype=torch.int64, device=device),
        memory.state[:, None, :].expand(B, A, memory.state.shape[1]).contiguous(),
        torch.zeros(T, B, A, S, device=device),
    )
    return loop(going, read, start)[3]
