"""Measure translation speed over the size of the vocabulary for `make bench`, with vocabulary selection and without.

The network has the shape of a configuration, random weights, and 8-bit products. Its tokenizer is trained on invented
sentences, and so is that of the peer Marian. Both read text: 14 words of one subword each, which are 15 ids with
`</s>`. Both are forced to write 15 ids. CTranslate2 reads and writes ids, and so does Dragoman in comparison with it.

The selection is random. Source ids have as many candidates as in dragoman.translate.training.candidates, and frequent
words have most of them, as in a selection that was learnt. Searches are greedy. The systems take turns on one core.

Run it in the folder of the repository: python -m bench.vocabulary. Without the environment of a peer, the rows of that
peer are left out. Prints one JSON object per line, with the keys of bench/speed.py and vocabulary, the number of
subwords. Comparisons have also selection, true or false, and peer. Values have also system. With --record the rows go
to a file, in place of this machine's older rows.
"""

from __future__ import annotations

import argparse
import itertools
import os
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from bench.invented import invent_words, sentences, training_size
from bench.speed import (
    LENGTH,
    TURN,
    Peer,
    Row,
    cold_start,
    compare,
    ctranslate2,
    peak_memory,
    run_measurement,
    timer,
    value_row,
    without_eos,
)
from dragoman.export.graph import serialize, to_onnx
from dragoman.export.quantize import calibrate, quantised
from dragoman.runtime.batching import pad
from dragoman.runtime.contract import EOS, PAD
from dragoman.runtime.files import write_atomically
from dragoman.runtime.metadata import Metadata
from dragoman.runtime.tokenizer import Tokenizer
from dragoman.runtime.translator import Translator
from dragoman.translate.config import ModelConfig, TokenizerConfig, load
from dragoman.translate.encoding.ragged import Ints
from dragoman.translate.encoding.subwords import train_tokenizer
from dragoman.translate.network.search import BeamSearch
from dragoman.translate.network.selection import VocabularySelection
from dragoman.translate.network.seq2seq import Seq2Seq
from dragoman.translate.training.candidates import OWN, OWN_ON_AVERAGE
from dragoman.translate.training.run_metadata import selection_facts

SIZES = (4_000, 8_000, 32_000)
SHARED = (1536, 1536, 1536)  # candidates that all sentences share; training chooses their number, see candidates.py
START_SIZES = (4_000, 32_000)  # whose start and memory are measured
FILE_SIZES = (32_000,)  # whose files are weighed
BATCHES = (1, 32)
STEPS = (16, 48)  # forced ids: the time of one step is the slope between them
NAMES = {True: "Dragoman, selection", False: "Dragoman, whole vocabulary"}
Starter = Callable[[int], Peer]
LIMIT_RATIO = 4  # of the longest translation to its source: allows 70 ids from 15


class Model(NamedTuple):
    """A file with selection or without, and the translator in it."""

    path: Path
    translator: Translator


class Subwords(NamedTuple):
    """A tokenizer, and the words that are one subword each, the most frequent first."""

    tokenizer: Tokenizer
    words: list[str]

    @classmethod
    def train(cls, vocabulary: int) -> Subwords:
        """Train a tokenizer of exactly `vocabulary` subwords on invented sentences."""
        n_words, n_sentences = training_size(vocabulary)
        words = invent_words(n_words)
        lines = [*itertools.islice(sentences(words), n_sentences)]
        tokenizer = train_tokenizer(lines, TokenizerConfig(vocabulary=vocabulary), vocabulary)
        assert len(tokenizer) == vocabulary
        return cls(tokenizer, [word for word in words if len(tokenizer.encode(word)) == 2])  # with </s>


def random_selection(subwords: Subwords, size: int, width: int) -> VocabularySelection:
    """Return a random selection in which frequent words have most candidates.

    size: candidates that all share. width: that of the network.
    """
    vocabulary, rng = len(subwords.tokenizer), np.random.default_rng(1)
    shared = np.sort([EOS, *rng.choice(np.arange(EOS + 1, vocabulary), size - 1, replace=False)])
    frequent = [subwords.tokenizer.encode(word)[0] for word in subwords.words]
    others = np.setdiff1d(np.arange(EOS + 1, vocabulary), frequent)
    lengths = np.zeros(vocabulary, np.int64)
    lengths[[*frequent, *others]] = zipf_lengths(vocabulary)[: len(frequent) + len(others)]
    copies = np.arange(vocabulary)
    copies[: EOS + 1] = PAD
    copies[shared] = PAD
    table = rng.choice(np.setdiff1d(np.arange(EOS + 1, vocabulary), shared), lengths.sum())
    return VocabularySelection.compact(shared, copies, lengths, table, width)


def zipf_lengths(count: int) -> Ints:
    """Return numbers of candidates that fall as 1 / rank, at most OWN, and OWN_ON_AVERAGE on average (nearly)."""
    rank = np.arange(1, count + 1)
    scales = np.geomspace(1, OWN * count, 1000)
    totals = [np.minimum(OWN, scale / rank).round().sum() for scale in scales]
    scale = scales[np.searchsorted(totals, OWN_ON_AVERAGE * count)]
    lengths: Ints = np.minimum(OWN, scale / rank).round().astype(np.int64)
    return lengths


def build_files(
    config: ModelConfig, target: str, subwords: Subwords, selection: VocabularySelection, folder: Path
) -> dict[bool, Model]:
    """Write a random network in 8 bits into two files, with selection and without. `</s>` cannot win."""
    torch.manual_seed(0)
    vocabulary = len(subwords.tokenizer)
    model = Seq2Seq(config, vocabulary, vocabulary).requires_grad_(False)
    plain = without_eos(BeamSearch(model, LIMIT_RATIO).eval(), LIMIT_RATIO)
    source = torch.randint(EOS + 1, vocabulary, (8, LENGTH))

    def translate() -> None:
        plain.search(source, torch.full((8,), LENGTH), beam=1, max_length=LENGTH)

    calibration = calibrate(plain, translate)
    models = {}
    for chosen in (selection, None):
        search = quantised(BeamSearch(model, LIMIT_RATIO, selection=chosen).eval(), calibration, target)
        path = folder / f"{vocabulary}-{'selection' if chosen else 'whole'}.onnx"
        write_atomically(path, serialize(to_onnx(search), metadata_of(subwords, chosen)))
        models[chosen is not None] = Model(path, Translator.load(path))
    return models


def metadata_of(subwords: Subwords, selection: VocabularySelection | None) -> Metadata:
    """Return the metadata of a network that was never trained."""
    return Metadata(
        "en", "de", subwords.tokenizer.model, subwords.tokenizer.model, max_source=100,
        defaults={"beam_size": 1, "length_penalty": 1.0, "max_length": LENGTH}, config={}, card={},
        self_test={"cases": []}, precision="int8", selection=selection_facts(selection),
    )  # fmt: skip


def text_timer(translator: Translator, words: Sequence[str], batch: int) -> Callable[[int], float]:
    """Return a function that translates the next batch of sentences to a number of ids, and returns the milliseconds.

    It reads text and writes text.
    """
    pool = sentences(words)

    def run(length: int) -> float:
        lines = [*itertools.islice(pool, batch)]
        start = time.perf_counter()
        translator.translate(lines, beam=1, max_length=length)
        return (time.perf_counter() - start) * 1e3

    return run


def id_timer(translator: Translator, words: Sequence[str], batch: int) -> Callable[[], float]:
    """Return a function that translates one batch of sentences from ids to ids and returns the milliseconds."""
    rows = [translator.source_tokenizer.encode(line) for line in itertools.islice(sentences(words), batch)]
    return timer(translator.engine, pad(rows), 1)


def candidates_row(selection: VocabularySelection, subwords: Subwords) -> Row:
    """Return the row of the number of candidates of a sentence."""
    counts = []
    for line in itertools.islice(sentences(subwords.words), 100):
        source = torch.tensor([subwords.tokenizer.encode(line)])
        candidates = selection(source, torch.tensor([source.shape[1]]))
        counts.append(len(candidates.shared) + int((candidates.own != PAD).sum()))
    return {**value_row("candidates of a sentence", counts, digits=None), "system": NAMES[True]}


def comparisons(
    models: Mapping[bool, Model], words: Sequence[str], marian: Peer | None, ctranslate2: Peer | None, repeat: int
) -> Iterator[Row]:
    """Yield the comparisons of one vocabulary: with the peers, and of the selection with the whole vocabulary."""
    for batch in BATCHES:
        row = partial(compare, repeat=repeat, batch=batch, beam=1)
        for selection, model in models.items():
            ours = partial(text_timer(model.translator, words, batch), LENGTH)
            if marian:
                compared = row(ours, partial(marian.ms, batch), figure="text to text")
                yield {**compared, "selection": selection, "peer": marian.name}
            if ctranslate2:
                ids = id_timer(model.translator, words, batch)
                compared = row(ids, partial(ctranslate2.ms, batch), figure="ids to ids")
                yield {**compared, "selection": selection, "peer": ctranslate2.name}
        ours, whole = (
            partial(text_timer(models[selection].translator, words, batch), LENGTH) for selection in (True, False)
        )
        yield {**row(ours, whole, figure="text to text"), "selection": True, "peer": NAMES[False]}


def step_rows(systems: Mapping[str, Callable[[int], float]], repeat: int) -> Iterator[Row]:
    """Yield the microseconds of one decoding step, and of a call without its steps.

    A system takes a number of forced ids and returns milliseconds.
    """
    short, long = STEPS
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in systems}
    for _ in range(repeat + 1):
        for name, run in systems.items():
            times = {steps: statistics.median(run(steps) for _ in range(TURN)) * 1e3 for steps in STEPS}
            step = (times[long] - times[short]) / (long - short)
            found[name].append((step, times[short] - short * step))
    for name, values in found.items():
        steps, calls = zip(*values[1:], strict=True)  # the first turn warms up
        yield {**value_row("one decoding step, microseconds", steps, digits=1), "system": name}
        yield {**value_row("a call without its steps, microseconds", calls, digits=0), "system": name}


def step_systems(
    models: Mapping[bool, Model], words: Sequence[str], peers: Sequence[Peer | None]
) -> dict[str, Callable[[int], float]]:
    """Return what `step_rows` measures: the translation of one sentence to a number of ids."""
    ours = {NAMES[selection]: text_timer(model.translator, words, 1) for selection, model in models.items()}
    return ours | {peer.name: partial(peer.ms, 1, 1) for peer in peers if peer}


def start_rows(starts: Mapping[str, Callable[[], tuple[float, float]]], repeat: int) -> Iterator[Row]:
    """Yield the cold start and the peak memory of systems, each a function that returns them in seconds and MiB."""
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in starts}
    for _ in range(repeat + 1):
        for name, start in starts.items():
            found[name].append(start())
    for name, values in found.items():
        seconds, memory = zip(*values[1:], strict=True)  # the first start reads the files from disk
        yield {**value_row("new process until its first translation, s", seconds), "system": name}
        yield {**value_row("peak resident memory of that process, MiB", memory, digits=1), "system": name}


def peer_start(start: Callable[[], Peer]) -> tuple[float, float]:
    """Return the seconds until a new process of a peer has translated a sentence, and its peak memory in MiB."""
    begin = time.perf_counter()
    peer = start()
    peer.ms(1)
    seconds, memory = time.perf_counter() - begin, peak_memory(peer.process.pid)
    peer.stop()
    return seconds, memory


def size_rows(models: Mapping[bool, Model], marian: str, folder: Path, vocabulary: int) -> Iterator[Row]:
    """Yield the sizes of the files that a translator needs, tokenizer included.

    marian: the name of this peer, or nothing. folder: of its models.
    """
    files = {NAMES[selection]: [model.path] for selection, model in models.items()}
    if marian:
        names = ("tiny{}.bin", "vocab{}.spm", "lex{}.bin")
        files[marian] = [folder / name.format(vocabulary) for name in names]
    for name, paths in files.items():
        megabytes = sum(path.stat().st_size for path in paths) / 1e6
        yield {**value_row("files, tokenizer included, MB", [megabytes]), "system": name}


def marian(python: str, folder: str, vocabulary: int) -> Peer:
    """Start Marian's int8 Transformer "tiny" with the Python of its environment. folder: of its models."""
    words = os.path.abspath(python), "-m", "bench.marian", os.path.abspath(folder), str(vocabulary)
    return Peer.start(*words)


def usable(start: Starter, name: str, target: str) -> Starter | None:
    """Return a function that starts a peer for a vocabulary size, or None if the peer does not run here.

    Says why it does not. If it does, its models are built. target: `make` installs the peer by this name.
    """
    try:
        for vocabulary in SIZES:
            start(vocabulary).stop()
    except (OSError, RuntimeError) as error:
        print(f"no rows of {name}: {error}; `make {target}` installs it", file=sys.stderr)
        return None
    return start


def figures(
    subwords: Subwords, models: Mapping[bool, Model], starters: Sequence[Starter | None], options: argparse.Namespace
) -> Iterator[Row]:
    """Yield the figures of one vocabulary size. starters: of Marian and CTranslate2."""
    vocabulary, repeat = len(subwords.tokenizer), options.repeat
    peers = [start(vocabulary) if start else None for start in starters]
    yield from comparisons(models, subwords.words, peers[0], peers[1], repeat)
    yield from step_rows(step_systems(models, subwords.words, peers), repeat)
    for peer in filter(None, peers):
        peer.stop()
    marian_name = peers[0].name if peers[0] else ""
    if vocabulary in START_SIZES:
        (core,), sentence = os.sched_getaffinity(0), next(sentences(subwords.words))
        starts = {NAMES[key]: partial(cold_start, model.path, sentence, core) for key, model in models.items()}
        if starters[0]:
            starts[marian_name] = partial(peer_start, partial(starters[0], vocabulary))
        yield from start_rows(starts, repeat)
    if vocabulary in FILE_SIZES:
        yield from size_rows(models, marian_name, Path(options.marian_models), vocabulary)


def measure(options: argparse.Namespace, folder: Path) -> Iterator[Row]:
    """Yield all figures."""
    start_marian = partial(marian, options.marian, options.marian_models)
    starters = (
        usable(start_marian, "Marian", ".venv-marian/installed"),
        usable(partial(ctranslate2, options.peer), "CTranslate2", ".venv-peer/installed"),
    )
    config = load(options.config).model
    trained = [Subwords.train(vocabulary) for vocabulary in SIZES]
    selections = [
        random_selection(subwords, size, config.width) for subwords, size in zip(trained, options.shared, strict=True)
    ]
    built = [
        build_files(config, options.target, subwords, selection, folder)
        for subwords, selection in zip(trained, selections, strict=True)
    ]
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})  # the peers that start from here on inherit it
    for vocabulary, subwords, selection, models in zip(SIZES, trained, selections, built, strict=True):
        candidates = candidates_row(selection, subwords)
        for row in itertools.chain([candidates], figures(subwords, models, starters, options)):
            yield {**row, "vocabulary": vocabulary}


def main() -> int:
    """Measure, print the rows, and record them if asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--marian", default=".venv-marian/bin/python", help="Python with bergamot installed")
    parser.add_argument("--marian-models", default="runs/marian", help="folder of Marian's models, built if need be")
    parser.add_argument(
        "--shared", type=int, nargs=len(SIZES), default=SHARED, metavar="N",
        help="candidates that all sentences share, for each size of the vocabulary (default: 1536 each)",
    )  # fmt: skip
    run_measurement(parser, measure)
    return 0


if __name__ == "__main__":
    sys.exit(main())
