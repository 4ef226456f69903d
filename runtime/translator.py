"""Translate text: split it into parts, tokenise, run the file once for each batch, detokenise and join."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import repeat
from pathlib import Path
from typing import Any, NamedTuple, overload

import numpy as np

from dragoman.runtime.alignment import AttentionMap
from dragoman.runtime.arguments import list_of_texts, number_between, whole_number
from dragoman.runtime.batching import BATCH_SIZE, BATCH_TOKENS, batches_of, pad
from dragoman.runtime.contract import EOS, PAD, PRECISIONS, Floats, Ids
from dragoman.runtime.engine import Engine, OnnxEngine
from dragoman.runtime.errors import UserError
from dragoman.runtime.loaded_model import LoadedModel
from dragoman.runtime.memory import return_memory
from dragoman.runtime.metadata import Metadata
from dragoman.runtime.parts import Part, PartSplitter, join_parts
from dragoman.runtime.protection import lost_spans, respell, show
from dragoman.runtime.session import ModelFactory, SelfTestError, load_as
from dragoman.runtime.tokenizer import Tokenizer
from dragoman.runtime.translation import Hypothesis, Translation
from dragoman.runtime.wording import counted

# Batches after which free memory is returned to the system. More often takes time.
RETURN_EVERY = 32
MAX_LENGTH = 1_000_000  # largest `max_length` of a translation, in ids
MAX_LENGTH_PENALTY = 5
SHOWN_IDS = 5  # of a test sentence, in a message


class SearchSettings(NamedTuple):
    """Settings of a search. Parts with equal settings may share a batch.

    Attributes:
        n_best: Number of different texts to return.
        beam_size: Beam size.
        n_searched: Number of hypotheses to search, of which some are the same text in other subwords.
        max_length: Longest translation in ids.
        length_penalty: Exponent of the length in the score.
        n_aligned: Number of hypotheses whose attention to return.
    """

    n_best: int
    beam_size: int
    n_searched: int
    max_length: int
    length_penalty: float
    n_aligned: int

    def inputs(self) -> dict[str, int | float]:
        """Return the arguments of `Engine.run`."""
        return {
            "beam_size": self.beam_size,
            "n_best": self.n_searched,
            "max_length": self.max_length,
            "length_penalty": self.length_penalty,
            "n_aligned": self.n_aligned,
        }


class PreparedTexts(NamedTuple):
    """Texts in parts, before and after `Translator.translate_parts`.

    Attributes:
        parts: The parts of each text.
        search: The settings of their search.
    """

    parts: list[list[Part]]
    search: SearchSettings

    @property
    def pending(self) -> list[Part]:
        """The parts that have something to translate."""
        return [part for parts in self.parts for part in parts if part.ids]

    def translations(self) -> list[Translation]:
        """Return the translation of each text, once all pending parts are translated."""
        return [join_parts(parts, self.search.n_best) for parts in self.parts]


class Translator(LoadedModel):
    """A translator of text, loaded from a file that `dragoman export` made.

    Attributes:
        metadata: The file's metadata: languages, default settings, model card.
        source_tokenizer: Tokenizer of the source language.
        target_tokenizer: Tokenizer of the target language.

    Example:
        >>> translator = dragoman.Translator.load("en-de.onnx")
        >>> translator.translate("two dogs run").text
        'Zwei Hunde rennen.'
    """

    engine: Engine

    def __init__(self, engine: Engine, metadata: Metadata) -> None:
        self.engine, self.metadata = engine, metadata
        self.source_tokenizer = Tokenizer(metadata.source_tokenizer, metadata.normalisation)
        joint = metadata.source_tokenizer == metadata.target_tokenizer
        self.target_tokenizer = (
            self.source_tokenizer if joint else Tokenizer(metadata.target_tokenizer, metadata.normalisation)
        )
        placeholders = self.source_tokenizer.has_placeholders and self.target_tokenizer.has_placeholders
        self._splitter = PartSplitter(metadata, self.source_tokenizer, placeholders=placeholders)
        self._batches_run = 0

    @classmethod
    def load(cls, path: str | Path, *, threads: int = 1, self_test: bool = False) -> Translator:
        """Load a translator from a file made by `dragoman export`.

        Args:
            path: The file, usually `*.onnx`.
            threads: Threads of ONNX Runtime, from 1 to 1,024, or 0 for one per core.
            self_test: Also check that the file's test sentences get the tokens and scores that they got at export. A
                file for `vnni` is always checked.

        Raises:
            ModelFileError: The file cannot be read, is damaged, holds no translator, cannot run with the installed
                onnxruntime, or fails its self-test. It is a UserError.
            UserError: `threads` is out of range.

        Example:
            >>> translator = dragoman.Translator.load("en-de.onnx", self_test=True)
        """
        factories: dict[str, ModelFactory[Translator]] = {
            "translate": lambda session, metadata: cls(OnnxEngine(session), metadata)
        }
        return load_as(path, factories, threads, self_test=self_test)

    def self_test(self) -> None:
        """Translate the test sentences stored in the file.

        Raises:
            ModelFileError: Tokens differ from those stored at export, or scores differ by more than the tolerance for
                the file's precision.
        """
        tolerance = PRECISIONS[self.metadata.precision]
        for case in self.metadata.self_test["cases"]:
            source = np.array([case["source"]], dtype=np.int64)
            target, score, _ = self.engine.run(
                source, np.array([source.shape[1]]), n_aligned=0, **self.metadata.self_test["settings"]
            )
            ids = _without_padding(target[0, 0])
            if ids != case["target"] or not abs(float(score[0, 0]) - case["score"]) <= tolerance:
                raise SelfTestError(
                    f"the test sentence with the subword numbers {_shortened(case['source'])} gave {_shortened(ids)} "
                    f"with score {score[0, 0]:.5f}, and at export {_shortened(case['target'])} with score "
                    f"{case['score']:.5f}"
                )

    @overload
    def translate(  # type: ignore[overload-overlap]  # a str is an Iterable[str], too
                  self, text: str, *, beam: int | None = ..., n_best: int = ...,
                  length_penalty: float | None = ..., max_length: int | None = ..., alignments: bool = ...,
                  protected: Iterable[str] = ..., batch_size: int = ..., batch_tokens: int = ...
                  ) -> Translation: ...  # fmt: skip

    @overload
    def translate(self, text: Iterable[str], *, beam: int | None = ..., n_best: int = ...,
                  length_penalty: float | None = ..., max_length: int | None = ..., alignments: bool = ...,
                  protected: Iterable[Iterable[str]] = ..., batch_size: int = ..., batch_tokens: int = ...
                  ) -> list[Translation]: ...  # fmt: skip

    def translate(
        self,
        text: str | Iterable[str],
        *,
        beam: int | None = None,
        n_best: int = 1,
        length_penalty: float | None = None,
        max_length: int | None = None,
        alignments: bool = False,
        protected: Iterable[str] | Iterable[Iterable[str]] = (),
        batch_size: int = BATCH_SIZE,
        batch_tokens: int = BATCH_TOKENS,
    ) -> Translation | list[Translation]:
        """Translate one text or several.

        Text that is longer than the model's training sources, or has more sentences, is translated in parts. So are
        lines. Line breaks are kept, except those that wrap a sentence. A translation never depends on the other texts.

        A translation keeps the text's protected spans as they are: URLs, e-mail addresses, placeholders such as
        `{name}` and `%1$s`, tags, file names, version numbers, mentions, hashtags and emoji (see protection.py).

        Args:
            text: One text, or texts in a list or any other iterable. Each may be empty and may have several lines.
            beam: Beam size, from 1 (greedy search) to the size of the target vocabulary. Default: the file's own, or
                `2 * n_best` if that is more and `n_best` is above 1. A beam should be wider than `n_best`, because some
                of its hypotheses are the same text in other subwords.
            n_best: Number of different translations to return for each text, from 1 to `beam`.
            length_penalty: Exponent A in score = log-probability / length ** A, from 0 to 5. A higher value favours
                longer translations. Default: the file's own.
            max_length: Longest translation of a part in ids, from 1 to 1,000,000. Default: the file's own. The file
                also limits it to a multiple of the source's length.
            alignments: Also return word alignments and attention. The model must have attention.
            protected: Further strings that the translation must keep, wherever they stand as whole words: for one text
                these strings, and for several texts the strings of each.
            batch_size: Largest number of parts to translate at once, at least 1.
            batch_tokens: Largest number of source ids in a batch of more than one part, with padding.

        Returns:
            A Translation for one text, or a list of them for several, in the same order.

        Raises:
            UserError: A text is not a str, an argument is no number or out of range, or `n_best` is larger than
                `beam`. Alignments are requested from a model without attention. ONNX Runtime fails, for example out of
                memory.

        Example:
            >>> translator.translate(["two dogs run", "a man sleeps"], beam=1)
            >>> best, *others = translator.translate("two dogs run", n_best=3).hypotheses
        """
        batch_size = whole_number("the batch size", batch_size, 1)
        batch_tokens = whole_number("batch_tokens", batch_tokens, 1)
        prepared = self.prepare(
            text, beam=beam, n_best=n_best, length_penalty=length_penalty, max_length=max_length, alignments=alignments,
            protected=protected,
        )  # fmt: skip
        for batch in batches_of(sorted(prepared.pending, key=lambda p: len(p.ids)), batch_size, batch_tokens):
            self.translate_parts(batch, prepared.search)
        translations = prepared.translations()
        return translations[0] if isinstance(text, str) else translations

    def prepare(
        self,
        text: str | Iterable[str],
        *,
        beam: int | None = None,
        n_best: int = 1,
        length_penalty: float | None = None,
        max_length: int | None = None,
        alignments: bool = False,
        protected: Iterable[str] | Iterable[Iterable[str]] = (),
    ) -> PreparedTexts:
        """Split texts into parts and tokenise them, for `translate_parts`. The arguments are those of `translate`."""
        texts = list_of_texts(text)
        search = self._settings(beam, n_best, length_penalty, max_length, alignments)
        strings = _strings_of_texts(text, texts, protected)
        parts = [self._splitter.split(item, kept) for item, kept in zip(texts, strings or repeat(()), strict=False)]
        return PreparedTexts(parts, search)

    def translate_parts(self, batch: Sequence[Part], search: SearchSettings) -> None:
        """Search for translations of a batch of parts, and store hypotheses and attention in the parts."""
        n_best, settings = search.n_best, search.inputs()
        for part, found in zip(batch, self._search(batch, n_best, settings), strict=True):
            part.hypotheses = [candidate.hypothesis for candidate in found]
            part.attention = found[0].attention
        lost = [part for part in batch if part.protected and any(_lost_spans(part, h) for h in part.hypotheses)]
        if lost:
            self._keep_spans(lost, n_best, settings)
        for part in batch:
            if part.spellings:
                part.hypotheses = [replace(h, text=respell(h.text, part.spellings)) for h in part.hypotheses]
        self._batches_run += 1
        if self._batches_run % RETURN_EVERY == 0:
            return_memory()

    def _settings(
        self, beam: int | None, n_best: int, length_penalty: float | None, max_length: int | None, alignments: bool
    ) -> SearchSettings:
        """Return the settings of the search from the arguments of `translate`."""
        defaults = self.metadata.defaults
        n_best = whole_number("n-best", n_best, 1)
        n_searched = n_best if n_best == 1 else 2 * n_best  # some hypotheses are the same text in other subwords
        if beam is None:
            beam = min(max(int(defaults["beam_size"]), n_searched), max(n_best, self._largest_beam[0]))
        beam = self.check_beam(beam)
        if n_best > beam:
            raise UserError(f"n-best is {n_best} and the beam size is {beam}; n-best must be from 1 to the beam size")
        if alignments and not self.has_attention:
            raise UserError("the model has no attention, so it cannot align words")
        max_length = int(defaults["max_length"]) if max_length is None else max_length
        length_penalty = float(defaults["length_penalty"]) if length_penalty is None else length_penalty
        return SearchSettings(
            n_best,
            beam,
            min(n_searched, beam),
            whole_number("max_length", max_length, 1, MAX_LENGTH),
            number_between("the length penalty", length_penalty, 0, MAX_LENGTH_PENALTY),
            int(bool(alignments)),
        )

    @property
    def has_attention(self) -> bool:
        """True if the network has attention, which word alignments need."""
        return bool(self.metadata.config.get("model", {}).get("attention") != "none")

    def check_beam(self, beam: int) -> int:
        """Return a beam size as an int. Raise UserError unless the search can fill such a beam."""
        return whole_number("the beam size", beam, 1, *self._largest_beam)

    @property
    def _largest_beam(self) -> tuple[int, str]:
        """The largest beam size, and what it is."""
        if shared := self.metadata.selection.get("shared"):
            return int(shared), "the number of subwords that every translation may contain"
        return len(self.target_tokenizer), "the vocabulary size"

    def _keep_spans(self, batch: Sequence[Part], n_best: int, settings: dict[str, int | float]) -> None:
        """Translate parts again that have lost a protected span.

        Take those hypotheses of the beam that keep all spans. If they are too few, add others, with their spans where
        the model attended to them. A part without any such hypothesis stays in the source language.
        """
        from dragoman.runtime.restoration import restored  # rarely needed

        beam = int(settings["beam_size"])
        all_of_beam = {**settings, "n_best": beam, "n_aligned": beam if self.has_attention else 0}
        for part, found in zip(batch, self._search(batch, beam, all_of_beam), strict=True):
            kept = [candidate for candidate in found if not _lost_spans(part, candidate.hypothesis)]
            for hypothesis, attention in found:
                if attention and len(kept) < n_best:
                    text, attention = restored(part.text, part.protected, hypothesis.text, attention)
                    # It ranks behind those that keep the spans themselves.
                    score = min(hypothesis.score, kept[-1].hypothesis.score) if kept else hypothesis.score
                    repaired = _Candidate(replace(hypothesis, text=text, score=score), attention)
                    if not _lost_spans(part, repaired.hypothesis) and repaired.hypothesis not in [h for h, _ in kept]:
                        kept.append(repaired)
            part.is_translated = bool(kept)
            kept = kept[:n_best] or [_Candidate(replace(found[0].hypothesis, text=part.text), None)]
            part.hypotheses = [candidate.hypothesis for candidate in kept]
            part.attention = kept[0].attention if settings["n_aligned"] else None

    def _search(self, batch: Sequence[Part], n_best: int, settings: dict[str, int | float]) -> list[list[_Candidate]]:
        """Return the best different hypotheses for each part of a batch, the first ones with their attention."""
        source, length = pad([part.ids for part in batch])
        target, score, attention = self.engine.run(source, length, **settings)  # type: ignore[arg-type]  # by name
        return [
            self._candidates(part, n_best, int(settings["n_best"]), target[b], score[b], attention[b])
            for b, part in enumerate(batch)
        ]

    def _candidates(
        self, part: Part, n_best: int, n_searched: int, target: Ids, score: Floats, attention: Floats
    ) -> list[_Candidate]:
        """Return the best different hypotheses for a part, from its rows of the search's results."""
        candidates: dict[str, _Candidate] = {}
        for k in range(n_searched):
            if score[k] < -1e6 or len(candidates) == n_best:  # the search may find fewer hypotheses than n_best
                break
            ids = _without_padding(target[k])
            text = self.target_tokenizer.decode(ids)
            if part.hidden:
                text = self.target_tokenizer.normalise(show(text, part.hidden))
            if text not in candidates:
                hypothesis = Hypothesis(text, float(score[k]), ids[-1:] == [EOS])
                candidates[text] = _Candidate(hypothesis, self._attention_map(part, ids, attention, k))
        return list(candidates.values())

    def _attention_map(self, part: Part, ids: Sequence[int], attention: Floats, k: int) -> AttentionMap | None:
        """Return the attention of hypothesis `k` of a part, if the search returned it."""
        if k >= len(attention):
            return None
        subwords = self.source_tokenizer.subwords(part.ids), self.target_tokenizer.subwords(ids)
        source, target = (tuple(show(subword, part.hidden) for subword in side) for side in subwords)
        return AttentionMap(source, target, attention[k, : len(ids), : len(part.ids)])


class _Candidate(NamedTuple):
    """A hypothesis for a part, with its attention where it is known."""

    hypothesis: Hypothesis
    attention: AttentionMap | None


def _lost_spans(part: Part, hypothesis: Hypothesis) -> list[str]:
    return lost_spans(part.text, part.protected, hypothesis.text)


def _strings_of_texts(
    text: str | Iterable[str], texts: Sequence[str], protected: Iterable[str] | Iterable[Iterable[str]]
) -> list[list[str]]:
    """Return the strings to keep in each text, or nothing if there are none. Raise UserError for other values."""
    of_texts: list[Any]
    if isinstance(text, str):
        of_texts = [protected] if protected else []
    elif isinstance(protected, Iterable) and not isinstance(protected, str):
        of_texts = list(protected)
    else:
        kind = type(protected).__name__
        raise UserError(f"`protected` is of type {kind}; for several texts, give a list with the strings of each text")
    strings = [list_of_texts(each) for each in of_texts]
    if strings and len(strings) != len(texts):
        raise UserError(
            f"`protected` has strings for {counted(len(strings), 'text')} and should have them for "
            f"{counted(len(texts), 'text')}, in the same order"
        )
    return strings


def _without_padding(target: Ids) -> list[int]:
    return [i for i in target.tolist() if i != PAD]


def _shortened(ids: Sequence[int]) -> str:
    """Return the first of many ids, for a message."""
    shown = " ".join(map(str, ids[:SHOWN_IDS]))
    return f"{shown} ... ({len(ids)} in all)" if len(ids) > SHOWN_IDS else shown
