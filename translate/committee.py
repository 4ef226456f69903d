"""Several trained networks that translate together.

Those with the same tokenizers and reading direction are an ensemble: one search, each of whose steps averages what they
expect. Where ensembles differ, each proposes translations and all of them judge what any of them proposed (Liu et al.
2016, "Agreement on target-bidirectional neural machine translation").
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dragoman.runtime.bundle import EOS, PAD
from dragoman.runtime.errors import UserError
from dragoman.runtime.translator import Floats, Ids, Translator, pad
from dragoman.translate.batching import Batch, make_batch, plan, turned_round
from dragoman.translate.checkpoint import Run
from dragoman.translate.evaluate import TorchEngine, bundle_of, translator_of
from dragoman.translate.model import NEVER, Memory, Network, Seq2Seq
from dragoman.translate.search import BeamSearch
from dragoman.translate.workers import device_of

JUDGED = {"cpu": 4_000_000, "cuda": 100_000_000}  # logits of translations judged at once: bounds their memory


class Memories(NamedTuple):
    """What the members of an ensemble need of the source."""

    each: tuple[Memory, ...]
    mask: Tensor
    state: Tensor  # theirs, one after the other (B, N)


class Ensemble(Network):
    """Networks of one vocabulary whose probabilities are averaged at every step."""

    def __init__(self, members: Sequence[Seq2Seq]) -> None:
        super().__init__()
        self.members: Sequence[Seq2Seq] = nn.ModuleList(members)  # type: ignore[assignment]  # a list of modules
        self.sizes = [sum(m.decoder.state_sizes) for m in members]
        self.bias = self.never = torch.zeros_like(members[0].bias)  # members have their own

    def encode(self, source: Tensor, source_length: Tensor) -> Memories:
        each = tuple(m.encode(source, source_length) for m in self.members)
        return Memories(each, each[0].mask, torch.cat([m.state for m in each], -1))

    def step(self, token: Tensor, state: Tensor, memory: Memories, bias: Tensor) -> tuple[Tensor, Tensor]:
        logits, states = [], []
        for member, own, part in zip(self.members, state.split(self.sizes, -1), memory.each, strict=True):
            row, after = member.step(token, own, part, member.bias + member.never)
            logits.append(torch.log_softmax(row, -1))
            states.append(after)
        return mean_of(logits) + bias, torch.cat(states, -1)

    def look(self, token: Tensor, state: Tensor, memory: Memories) -> tuple[Tensor, Tensor]:
        parts = zip(self.members, state.split(self.sizes, -1), memory.each, strict=True)
        seen = [member.look(token, own, part) for member, own, part in parts]
        return torch.stack([w for w, _ in seen]).mean(0), torch.cat([s for _, s in seen], -1)

    def forward(self, batch: Batch) -> Tensor:
        """The log-probability (B) of each target of a batch."""
        real = batch.target_out != PAD
        ids = batch.target_out[real]  # (N), of all targets
        each = []
        for m in self.members:
            logits = m.logits(m(batch.source, batch.source_length, batch.target_in)[real]) + m.never
            each.append(-F.cross_entropy(logits.float(), ids, reduction="none"))
        out = torch.zeros(real.shape, device=ids.device)
        out[real] = mean_of(each)
        return out.sum(1)


def mean_of(log_probabilities: Sequence[Tensor]) -> Tensor:
    """The logarithm of the mean of probabilities."""
    return torch.logsumexp(torch.stack([*log_probabilities]), 0) - math.log(len(log_probabilities))


class Party:
    """Members of a committee that can search together."""

    def __init__(self, runs: Sequence[Run]) -> None:
        self.tokenizers = runs[0].tokenizers()
        self.device = device_of()
        searches = [run.search().to(self.device) for run in runs]
        members = [s.model for s in searches if isinstance(s.model, Seq2Seq)]
        self.ensemble = Ensemble(members)
        self.search = BeamSearch(
            self.ensemble, max(s.limit_ratio for s in searches), right_to_left=searches[0].right_to_left
        ).eval()

    def written(self, ids: Sequence[int]) -> list[int]:
        """A translation's ids in the order in which these members write them."""
        return turned_round(ids) if self.search.right_to_left else [*ids]

    @torch.no_grad()
    def judge(self, source: Sequence[Sequence[int]], target: Sequence[Sequence[int]]) -> Tensor:
        """The log-probabilities (N) of given translations, in the order in which they are written."""
        out = torch.zeros(len(source))
        batch_tokens = max(1, JUDGED[self.device.type] // len(self.tokenizers[1]))
        for rows in plan([*map(len, source)], [*map(len, target)], batch_tokens, seed=0):
            batch = make_batch([source[i] for i in rows], [target[i] for i in rows])
            out[rows] = self.ensemble(batch.to(self.device)).cpu()
        return out


class Committee:
    """An Engine (see runtime.translator): parties propose, and all of them judge. Ids are those of the first party."""

    def __init__(self, parties: Sequence[Party]) -> None:
        self.parties = parties

    def run(
        self, source: Ids, source_length: Ids, *, beam_size: int, n_best: int, max_length: int,
        length_penalty: float, attended: int,
    ) -> tuple[Ids, Floats, Floats]:  # fmt: skip
        """See Engine. There is no attention: those who propose a translation are not those who judge it."""
        rows = [row[:n].tolist() for row, n in zip(source, source_length, strict=True)]
        tokenizer = self.parties[0].tokenizers[0]
        texts = [tokenizer.decode(row) for row in rows]
        sources = [
            rows if party.tokenizers[0].model == tokenizer.model else [party.tokenizers[0].encode(t) for t in texts]
            for party in self.parties
        ]
        proposals: list[dict[str, bool]] = [{} for _ in rows]  # each once, in order, and whether it came to its end
        for party, theirs in zip(self.parties, sources, strict=True):
            target, score, _ = TorchEngine(party.search).run(
                *pad(theirs), beam_size=beam_size, n_best=n_best, max_length=max_length,
                length_penalty=length_penalty, attended=0,
            )  # fmt: skip
            for into, ids, row in zip(proposals, target, score, strict=True):
                for written in ids[row > NEVER / 1000].tolist():
                    text, ended = party.tokenizers[1].decode(written), EOS in written
                    into[text] = into.get(text, False) or ended
        # What the longest length cut off counts only where nothing else was found.
        proposals = [{t: ended for t, ended in found.items() if ended} or found for found in proposals]
        sentence = [b for b, found in enumerate(proposals) for _ in found]
        total = torch.zeros(len(sentence))
        for party, theirs in zip(self.parties, sources, strict=True):
            targets = [party.written(party.tokenizers[1].encode(text)) for found in proposals for text in found]
            total += len(party.ensemble.members) * party.judge([theirs[b] for b in sentence], targets)
        total /= sum(len(party.ensemble.members) for party in self.parties)
        return self._ranked(proposals, total.tolist(), beam_size, length_penalty)

    def _ranked(
        self, proposals: Sequence[Mapping[str, bool]], total: Sequence[float], beam: int, length_penalty: float
    ) -> tuple[Ids, Floats, Floats]:
        """The `beam` best of each sentence's proposals, given all their log-probabilities in order."""
        encode, judged = self.parties[0].tokenizers[1].encode, iter(total)
        best = []
        for found in proposals:
            scored = []
            for text, ended in found.items():
                ids = encode(text)
                scored.append((next(judged) / len(ids) ** length_penalty, ids if ended else ids[:-1]))
            best.append(sorted(scored, key=lambda one: -one[0])[:beam])
        width = max(len(ids) for row in best for _, ids in row)
        target = np.full((len(best), beam, width), PAD, np.int64)
        score = np.full((len(best), beam), NEVER, np.float32)
        for b, row in enumerate(best):
            for k, (value, ids) in enumerate(row):
                target[b, k, : len(ids)], score[b, k] = ids, value
        return target, score, np.zeros((len(best), 0, width, 1), np.float32)


def assemble(runs: Sequence[Run]) -> Translator:
    """Runs as one Translator that computes in PyTorch.

    Raises UserError when they translate between different languages, or one does not translate.
    """
    bundles = [bundle_of(run) for run in runs]
    pairs = [f"{b.source_language}-{b.target_language}" for b in bundles]
    for run, pair in zip(runs, pairs, strict=True):
        if pair != pairs[0]:
            raise UserError(f"{run.folder} translates {pair} and {runs[0].folder} {pairs[0]}; give runs of one pair")
    if len(runs) == 1:
        return translator_of(runs[0])
    parties: dict[tuple[bytes, bytes, bool], list[Run]] = {}
    for run, bundle in zip(runs, bundles, strict=True):
        key = bundle.source_tokenizer, bundle.target_tokenizer, run.config().data.right_to_left
        parties.setdefault(key, []).append(run)
    made = [Party(members) for members in parties.values()]
    engine = Committee(made) if len(made) > 1 else TorchEngine(made[0].search)
    first = bundles[0]
    without_attention = {"model": {**first.config["model"], "attention": "none"}} if len(made) > 1 else {}
    bundle = dataclasses.replace(
        first,
        max_source=min(b.max_source for b in bundles),
        max_sentences=min(b.max_sentences for b in bundles),
        config={**first.config, "name": "+".join(b.config["name"] for b in bundles), **without_attention},
        card={
            "corpus": first.card.get("corpus", {}),
            "parameters": sum(b.card.get("parameters", 0) for b in bundles),
            "members": [b.card for b in bundles],
        },
    )
    return Translator(engine, bundle)
