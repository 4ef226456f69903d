"""Several trained networks that translate together, by ensembling and reranking.

Networks with the same tokenizers and reading direction form an ensemble: one search whose steps average their
probabilities. If the networks form several ensembles, each proposes translations and all of them score every proposal
(Liu et al. 2016, "Agreement on target-bidirectional neural machine translation").
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from dragoman.runtime.batching import pad
from dragoman.runtime.contract import EOS, PAD, Floats, Ids
from dragoman.runtime.errors import UserError
from dragoman.runtime.metadata import Metadata
from dragoman.runtime.translator import Translator
from dragoman.translate.encoding.batching import make_batch, plan, reversed_ids
from dragoman.translate.evaluation.engine import TorchEngine, translator_of
from dragoman.translate.network.ensemble import Ensemble
from dragoman.translate.network.layers import NEG_INF
from dragoman.translate.network.search import BeamSearch
from dragoman.translate.network.seq2seq import Seq2Seq
from dragoman.translate.training.distributed import device_of
from dragoman.translate.training.run import Run
from dragoman.translate.training.run_metadata import metadata_of

LOGITS_AT_ONCE = {"cpu": 4_000_000, "cuda": 100_000_000}  # bounds the memory that scoring takes

# The text of each proposal for a sentence, in order of its first occurrence, and whether it ended before max_length.
Proposals = Mapping[str, bool]


class Proposer:
    """An ensemble of runs that search together and score translations."""

    def __init__(self, runs: Sequence[Run]) -> None:
        self.tokenizers = runs[0].tokenizers()
        self.device = device_of()
        searches = [run.search().to(self.device) for run in runs]
        members = [s.model for s in searches if isinstance(s.model, Seq2Seq)]
        self.ensemble = Ensemble(members)
        self.search = BeamSearch(
            self.ensemble, max(s.limit_ratio for s in searches), right_to_left=searches[0].right_to_left
        ).eval()

    def in_decoding_order(self, ids: Sequence[int]) -> list[int]:
        """Return the ids of a translation in the order in which these members generate them."""
        return reversed_ids(ids) if self.search.right_to_left else [*ids]

    @torch.no_grad()
    def score_targets(self, source: Sequence[Sequence[int]], target: Sequence[Sequence[int]]) -> Tensor:
        """Return the log-probabilities (N) of N targets, whose ids are in decoding order."""
        out = torch.zeros(len(source))
        batch_tokens = max(1, LOGITS_AT_ONCE[self.device.type] // len(self.tokenizers[1]))
        for rows in plan([*map(len, source)], [*map(len, target)], batch_tokens, seed=0):
            batch = make_batch([source[i] for i in rows], [target[i] for i in rows])
            out[rows] = self.ensemble(batch.to(self.device)).cpu()
        return out


class Reranker:
    """An Engine (see runtime.engine) in which each proposer proposes translations and all of them score every proposal.

    Ids that go in and come out are those of the first proposer's tokenizers.
    """

    def __init__(self, proposers: Sequence[Proposer]) -> None:
        self.proposers = proposers
        self.device = proposers[0].device

    def run(
        self, source: Ids, source_length: Ids, *, beam_size: int, n_best: int, max_length: int,
        length_penalty: float, n_aligned: int,
    ) -> tuple[Ids, Floats, Floats]:  # fmt: skip
        """Translate a batch: see Engine.

        The attention is empty, because the networks that score a proposal did not generate it.
        """
        sources = self._sources([row[:n].tolist() for row, n in zip(source, source_length, strict=True)])
        proposals = self._propose(sources, beam_size, n_best, max_length, length_penalty)
        scores = self._score(sources, proposals)
        return self._rank(proposals, scores, beam_size, length_penalty)

    def _sources(self, rows: list[list[int]]) -> list[list[list[int]]]:
        """Return the sources as the ids of each proposer's tokenizer."""
        tokenizer = self.proposers[0].tokenizers[0]
        texts = [tokenizer.decode(row) for row in rows]
        return [
            rows
            if proposer.tokenizers[0].model == tokenizer.model
            else [proposer.tokenizers[0].encode(text) for text in texts]
            for proposer in self.proposers
        ]

    def _propose(
        self, sources: Sequence[list[list[int]]], beam_size: int, n_best: int, max_length: int, length_penalty: float
    ) -> list[Proposals]:
        """Return the proposals of all proposers for each sentence."""
        pooled: list[dict[str, bool]] = [{} for _ in sources[0]]
        for proposer, rows in zip(self.proposers, sources, strict=True):
            target, score, _ = TorchEngine(proposer.search).run(
                *pad(rows), beam_size=beam_size, n_best=n_best, max_length=max_length,
                length_penalty=length_penalty, n_aligned=0,
            )  # fmt: skip
            for proposals, hypotheses, hypothesis_scores in zip(pooled, target, score, strict=True):
                for ids in hypotheses[hypothesis_scores > NEG_INF / 1000].tolist():
                    text = proposer.tokenizers[1].decode(ids)
                    proposals[text] = proposals.get(text, False) or EOS in ids
        # A proposal cut off at max_length counts only for a sentence without any other.
        return [{text: ended for text, ended in p.items() if ended} or p for p in pooled]

    def _score(self, sources: Sequence[list[list[int]]], proposals: Sequence[Proposals]) -> list[float]:
        """Return the mean log-probability, over all members, of all proposals of all sentences in order."""
        sentence = [b for b, texts in enumerate(proposals) for _ in texts]
        total = torch.zeros(len(sentence))
        for proposer, rows in zip(self.proposers, sources, strict=True):
            encode = proposer.tokenizers[1].encode
            targets = [proposer.in_decoding_order(encode(text)) for texts in proposals for text in texts]
            total += len(proposer.ensemble.members) * proposer.score_targets([rows[b] for b in sentence], targets)
        total /= sum(len(proposer.ensemble.members) for proposer in self.proposers)
        scores: list[float] = total.tolist()
        return scores

    def _rank(
        self, proposals: Sequence[Proposals], scores: Sequence[float], beam: int, length_penalty: float
    ) -> tuple[Ids, Floats, Floats]:
        """Return the `beam` best proposals of each sentence as a search returns them.

        scores: the log-probabilities of all proposals of all sentences in order.
        """
        encode, log_probability = self.proposers[0].tokenizers[1].encode, iter(scores)
        best = []
        for texts in proposals:
            scored = []
            for text, ended in texts.items():
                ids = encode(text)
                scored.append((next(log_probability) / len(ids) ** length_penalty, ids if ended else ids[:-1]))
            best.append(sorted(scored, key=lambda pair: -pair[0])[:beam])
        width = max(len(ids) for ranked in best for _, ids in ranked)
        target = np.full((len(best), beam, width), PAD, np.int64)
        score = np.full((len(best), beam), NEG_INF, np.float32)
        for b, ranked in enumerate(best):
            for k, (value, ids) in enumerate(ranked):
                target[b, k, : len(ids)], score[b, k] = ids, value
        return target, score, np.zeros((len(best), 0, width, 1), np.float32)


def assemble(runs: Sequence[Run]) -> Translator:
    """Return one or more runs as one Translator that computes in PyTorch.

    Raises UserError when a run does not translate, or the runs translate different pairs of languages.
    """
    metadatas = [metadata_of(run) for run in runs]
    pairs = [f"{m.source_language}-{m.target_language}" for m in metadatas]
    for run, pair in zip(runs, pairs, strict=True):
        if pair != pairs[0]:
            raise UserError(
                f"{run.folder} translates {pair} and {runs[0].folder} translates {pairs[0]}; "
                "give runs of one pair of languages"
            )
    if len(runs) == 1:
        return translator_of(runs[0])
    groups: dict[tuple[bytes, bytes, bool], list[Run]] = {}
    for run, metadata in zip(runs, metadatas, strict=True):
        key = metadata.source_tokenizer, metadata.target_tokenizer, run.config().data.right_to_left
        groups.setdefault(key, []).append(run)
    proposers = [Proposer(members) for members in groups.values()]
    engine = Reranker(proposers) if len(proposers) > 1 else TorchEngine(proposers[0].search)
    return Translator(engine, _joint_metadata(metadatas, has_attention=len(proposers) == 1))


def _joint_metadata(metadatas: Sequence[Metadata], *, has_attention: bool) -> Metadata:
    """Return the metadata of several translators that work as one."""
    first = metadatas[0]
    without_attention = {} if has_attention else {"model": {**first.config["model"], "attention": "none"}}
    return dataclasses.replace(
        first,
        max_source=min(m.max_source for m in metadatas),
        max_sentences=min(m.max_sentences for m in metadatas),
        config={**first.config, "name": "+".join(m.config["name"] for m in metadatas), **without_attention},
        card={
            "corpus": first.card.get("corpus", {}),
            "parameters": sum(m.card.get("parameters", 0) for m in metadatas),
            "members": [m.card for m in metadatas],
        },
    )
