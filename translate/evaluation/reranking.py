"""Several trained networks that translate together.

Networks with the same tokenizers and reading direction form an ensemble: one search whose steps average their
probabilities. Where ensembles differ, each proposes translations and all of them score every proposal (Liu et al. 2016,
"Agreement on target-bidirectional neural machine translation")."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from dragoman.runtime.batching import pad
from dragoman.runtime.contract import EOS, PAD, Floats, Ids
from dragoman.runtime.errors import UserError
from dragoman.runtime.translator import Translator
from dragoman.translate.encoding.batching import make_batch, plan, reversed_ids
from dragoman.translate.evaluation.engine import TorchEngine, metadata_of, translator_of
from dragoman.translate.network.ensemble import Ensemble
from dragoman.translate.network.layers import NEVER
from dragoman.translate.network.search import BeamSearch
from dragoman.translate.network.seq2seq import Seq2Seq
from dragoman.translate.training.distributed import device_of
from dragoman.translate.training.run import Run

LOGITS_AT_ONCE = {"cpu": 4_000_000, "cuda": 100_000_000}  # logits of translations judged at once: bounds their memory


class Proposer:
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
        return reversed_ids(ids) if self.search.right_to_left else [*ids]

    @torch.no_grad()
    def score_targets(self, source: Sequence[Sequence[int]], target: Sequence[Sequence[int]]) -> Tensor:
        """The log-probabilities (N) of given translations, in the order in which they are written."""
        out = torch.zeros(len(source))
        batch_tokens = max(1, LOGITS_AT_ONCE[self.device.type] // len(self.tokenizers[1]))
        for rows in plan([*map(len, source)], [*map(len, target)], batch_tokens, seed=0):
            batch = make_batch([source[i] for i in rows], [target[i] for i in rows])
            out[rows] = self.ensemble(batch.to(self.device)).cpu()
        return out


class Reranker:
    """An Engine (see runtime.translator): proposers propose, and all of them score_targets. Ids are those of the first proposer."""

    def __init__(self, proposers: Sequence[Proposer]) -> None:
        self.proposers = proposers

    def run(
        self, source: Ids, source_length: Ids, *, beam_size: int, n_best: int, max_length: int,
        length_penalty: float, n_aligned: int,
    ) -> tuple[Ids, Floats, Floats]:  # fmt: skip
        """See Engine. There is no attention: those who propose a translation are not those who score_targets it."""
        rows = [row[:n].tolist() for row, n in zip(source, source_length, strict=True)]
        tokenizer = self.proposers[0].tokenizers[0]
        texts = [tokenizer.decode(row) for row in rows]
        sources = [
            rows
            if proposer.tokenizers[0].model == tokenizer.model
            else [proposer.tokenizers[0].encode(t) for t in texts]
            for proposer in self.proposers
        ]
        proposals: list[dict[str, bool]] = [{} for _ in rows]  # each once, in order, and whether it came to its end
        for proposer, theirs in zip(self.proposers, sources, strict=True):
            target, score, _ = TorchEngine(proposer.search).run(
                *pad(theirs), beam_size=beam_size, n_best=n_best, max_length=max_length,
                length_penalty=length_penalty, n_aligned=0,
            )  # fmt: skip
            for into, ids, row in zip(proposals, target, score, strict=True):
                for written in ids[row > NEVER / 1000].tolist():
                    text, ended = proposer.tokenizers[1].decode(written), EOS in written
                    into[text] = into.get(text, False) or ended
        # What the longest length cut off counts only where nothing else was found.
        proposals = [{t: ended for t, ended in found.items() if ended} or found for found in proposals]
        sentence = [b for b, found in enumerate(proposals) for _ in found]
        total = torch.zeros(len(sentence))
        for proposer, theirs in zip(self.proposers, sources, strict=True):
            targets = [proposer.written(proposer.tokenizers[1].encode(text)) for found in proposals for text in found]
            total += len(proposer.ensemble.members) * proposer.score_targets([theirs[b] for b in sentence], targets)
        total /= sum(len(proposer.ensemble.members) for proposer in self.proposers)
        return self._ranked(proposals, total.tolist(), beam_size, length_penalty)

    def _ranked(
        self, proposals: Sequence[Mapping[str, bool]], total: Sequence[float], beam: int, length_penalty: float
    ) -> tuple[Ids, Floats, Floats]:
        """The `beam` best of each sentence's proposals, given all their log-probabilities in order."""
        encode, judged = self.proposers[0].tokenizers[1].encode, iter(total)
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
    metadatas = [metadata_of(run) for run in runs]
    pairs = [f"{b.source_language}-{b.target_language}" for b in metadatas]
    for run, pair in zip(runs, pairs, strict=True):
        if pair != pairs[0]:
            raise UserError(f"{run.folder} translates {pair} and {runs[0].folder} {pairs[0]}; give runs of one pair")
    if len(runs) == 1:
        return translator_of(runs[0])
    proposers: dict[tuple[bytes, bytes, bool], list[Run]] = {}
    for run, metadata in zip(runs, metadatas, strict=True):
        key = metadata.source_tokenizer, metadata.target_tokenizer, run.config().data.right_to_left
        proposers.setdefault(key, []).append(run)
    made = [Proposer(members) for members in proposers.values()]
    engine = Reranker(made) if len(made) > 1 else TorchEngine(made[0].search)
    first = metadatas[0]
    without_attention = {"model": {**first.config["model"], "attention": "none"}} if len(made) > 1 else {}
    metadata = dataclasses.replace(
        first,
        max_source=min(b.max_source for b in metadatas),
        max_sentences=min(b.max_sentences for b in metadatas),
        config={**first.config, "name": "+".join(b.config["name"] for b in metadatas), **without_attention},
        card={
            "corpus": first.card.get("corpus", {}),
            "parameters": sum(b.card.get("parameters", 0) for b in metadatas),
            "members": [b.card for b in metadatas],
        },
    )
    return Translator(engine, metadata)
