"""The check that decides whether an int8 file is written: the loss of the references, never BLEU or speed."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import torch
import torch.nn.functional as F

from dragoman.cli import main
from dragoman.export import exporter, int8_check
from dragoman.export.exporter import build_int8, encode_pairs
from dragoman.export.int8_check import (
    MAX_RISE,
    MIN_SENTENCES,
    Comparison,
    LossComparison,
    compare_files,
    compare_losses,
)
from dragoman.export.parity import parity_batches
from dragoman.export.quantize import MAX_WEIGHT, Calibration, Int8Linear, calibrate, quantised
from dragoman.runtime import session
from dragoman.runtime.contract import BOS, Floats, Ids
from dragoman.runtime.errors import UserError
from dragoman.runtime.metadata import Metadata
from dragoman.translate.corpus.folder import Pair
from dragoman.translate.encoding.batching import make_batch, reversed_ids
from dragoman.translate.network.search import BeamSearch
from dragoman.translate.network.seq2seq import Seq2Seq
from dragoman.translate.tasks.translation import TranslationObjective
from dragoman.translate.training.checkpoint import load_tensors, load_weights, save_tensors, weights_of
from dragoman.translate.training.run import Run
from dragoman.translate.training.run_metadata import metadata_of
from tiny import made_once, number_pairs, tiny_search

Values = np.ndarray[Any, np.dtype[np.float64]]
Encoded = tuple[list[list[int]], list[list[int]]]

GOOD = LossComparison(sentences=1000, float32=1.53, int8=1.532, standard_error=0.0004)
# Worse in BLEU by chance, and slower on the machine that exports.
UNLUCKY = Comparison(GOOD, 1000, 40.0, 39.0, "s", 5, {"1": {"float32": 1.0, "int8": 2.0}}, {"1": 0.5}, "m")


@pytest.fixture(scope="module")
def encoded(tiny_run: Path) -> Encoded:
    return encode_pairs(Run(tiny_run), number_pairs(400))


@pytest.fixture(scope="module")
def search(tiny_run: Path, encoded: Encoded, tmp_path_factory: pytest.TempPathFactory) -> BeamSearch:
    """Return the search of a network that has learnt something, unlike the tiny run."""
    search = Run(tiny_run).search()
    assert isinstance(search.model, Seq2Seq)
    model = search.model

    def make(folder: Path) -> None:
        torch.manual_seed(0)
        objective, batch = TranslationObjective(model.requires_grad_(), 0.0), make_batch(*encoded)
        optimizer = torch.optim.Adam(model.parameters(), 2e-2)
        for _ in range(60):
            optimizer.zero_grad()
            loss, _ = objective(*batch.tensors())
            (loss / batch.tokens).backward()
            optimizer.step()
        save_tensors(folder / "weights", weights_of(model))

    path = made_once(tmp_path_factory, "learnt", make) / "weights"
    load_weights(model, load_tensors(path)[0], path)
    model.requires_grad_(False)
    return search


@pytest.fixture(scope="module")
def calibration(search: BeamSearch, encoded: Encoded) -> Calibration:
    def translate() -> None:
        for source, length in parity_batches(encoded[0][:64], 32):
            search.search(torch.from_numpy(source), torch.from_numpy(length), beam=3)

    return calibrate(search, translate)


def test_loss_is_the_cross_entropy_of_the_references() -> None:
    search = tiny_search(scale=1.0)
    assert isinstance(search.model, Seq2Seq)
    rng = np.random.default_rng(0)
    source, target = ([[*rng.integers(4, 37, n % 5).tolist(), 3] for n in range(k, k + 12)] for k in (0, 3))
    total = 0.0
    for s, t in zip(source, target, strict=True):
        x = search.model(torch.tensor([s]), torch.tensor([len(s)]), torch.tensor([[BOS, *t[:-1]]]))
        logits = search.model.logits(x)[0]
        logits[:, :3] = -math.inf  # the search suppresses these ids
        total += float(F.cross_entropy(logits, torch.tensor(t), reduction="sum"))
    loss = compare_losses(search, search, source, target)
    assert loss.float32 == loss.int8 == pytest.approx(total / sum(map(len, target)), rel=1e-5)
    assert (loss.sentences, loss.standard_error, loss.perplexity_rise) == (12, 0, 0)


@pytest.mark.parametrize("target", MAX_WEIGHT)
def test_good_files_pass(target: str, search: BeamSearch, calibration: Calibration, encoded: Encoded) -> None:
    loss = compare_losses(search, quantised(search, calibration, target), *encoded)
    print(loss.describe())
    assert loss.complaint() == ""
    assert abs(loss.perplexity_rise) < MAX_RISE


def times(factor: float, name: str, search: BeamSearch, calibration: Calibration) -> BeamSearch:
    """Return an int8 search with the scale of one matrix times a factor."""
    broken = quantised(search, calibration, "portable")
    product = broken.model.get_submodule(name)
    assert isinstance(product, Int8Linear)
    product.scale *= factor
    return broken


def scale_of_one_matrix(search: BeamSearch, calibration: Calibration) -> BeamSearch:
    return times(2, "encoder.layers.0.recurrent.output", search, calibration)


def two_bits(search: BeamSearch, calibration: Calibration) -> BeamSearch:
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(MAX_WEIGHT, "portable", 1)
        return quantised(search, calibration, "portable")


def rotated_scales(search: BeamSearch, calibration: Calibration) -> BeamSearch:
    values = [*calibration.values()]
    return quantised(search, dict(zip(calibration, [*values[1:], values[0]], strict=True)), "portable")


def not_a_number(search: BeamSearch, calibration: Calibration) -> BeamSearch:
    return times(math.nan, "decoder.layers.0.recurrent.output", search, calibration)


Break = Callable[[BeamSearch, Calibration], BeamSearch]
BROKEN: tuple[Break, ...] = (scale_of_one_matrix, two_bits, rotated_scales, not_a_number)


@pytest.mark.parametrize("break_it", BROKEN)
def test_broken_files_are_refused(
    break_it: Break, search: BeamSearch, calibration: Calibration, encoded: Encoded
) -> None:
    loss = compare_losses(search, break_it(search, calibration), *encoded)
    print(loss.describe())
    expected = "is not a number" if break_it is not_a_number else "8 bits raise the perplexity of 400 references"
    assert expected in loss.complaint()


def losses(rise: float, sentences: int, rng: np.random.Generator) -> tuple[Values, Values, Values]:
    """Return losses in float32 and int8, and lengths: the spread of Multi30k's, and a rise in nats per subword."""
    subwords = rng.integers(6, 40, sentences).astype(np.float64)
    before = subwords * rng.gamma(4, 0.4, sentences)
    return before, before + subwords * rise + rng.normal(0, 0.02, sentences) * subwords, subwords


@pytest.mark.parametrize("sentences", [1, 2, 5, 10, 30, 100, 1000])
def test_chance_refuses_no_good_file(sentences: int) -> None:
    """A rise of 0.002 nats is the largest that a good file has shown."""
    rng = np.random.default_rng(sentences)
    refused = [LossComparison.of(*losses(0.002, sentences, rng)).complaint() for _ in range(1000)]
    assert sum(map(bool, refused)) <= 8  # few sentences have heavier tails than a normal distribution
    if sentences >= 100:
        assert not any(refused)
        assert all(LossComparison.of(*losses(0.02, sentences, rng)).complaint() for _ in range(200))


def test_standard_error_is_that_of_the_bootstrap() -> None:
    rng = np.random.default_rng(0)
    before, after, subwords = losses(0.002, 200, rng)
    resampled = []
    for _ in range(2000):
        rows = rng.integers(0, 200, 200)
        resampled.append(float((after - before)[rows].sum() / subwords[rows].sum()))
    loss = LossComparison.of(before, after, subwords)
    assert loss.standard_error == pytest.approx(np.std(resampled), rel=0.1)
    assert loss.int8 - loss.float32 == pytest.approx(np.mean(resampled), abs=loss.standard_error)


def test_few_sentences_are_reported_as_not_judged() -> None:
    few = LossComparison(MIN_SENTENCES - 1, 1.0, 9.0, 0.0)
    assert few.complaint() == ""
    assert f"(9 sentences, not judged, because that takes {MIN_SENTENCES})" in few.describe()
    assert LossComparison(MIN_SENTENCES, 1.0, 9.0, 0.0).complaint() != ""
    assert LossComparison.of(*(np.zeros(0),) * 3).complaint() == ""


@pytest.fixture
def without_graphs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let build_int8 export nothing and compare no files, both of which take long."""
    monkeypatch.setattr(exporter, "_export_search", lambda search, metadata, rows: (None, metadata, []))
    monkeypatch.setattr(exporter, "serialize", lambda model, metadata: metadata)
    monkeypatch.setattr(exporter, "compare_files", lambda *_: UNLUCKY)


@pytest.mark.usefixtures("without_graphs")
def test_neither_speed_nor_bleu_refuses_a_file(tiny_run: Path) -> None:
    data, _, comparison = build_int8(Run(tiny_run), number_pairs(100), "portable")
    metadata: Any = data
    assert isinstance(metadata, Metadata)
    assert comparison == UNLUCKY
    written = metadata.quantisation["against_float32"]
    assert (written["float32_bleu"], written["int8_bleu"], written["times_as_fast"]) == (40.0, 39.0, {"1": 0.5})
    assert written["loss"] == {"sentences": 1000, "float32": 1.53, "int8": 1.532, "standard_error": 0.0004}
    assert comparison.describe() == [
        "validation loss: int8 1.5320, float32 1.5300; perplexity +0.20% ± 0.04% (1,000 sentences, at most +0.5%)",
        "validation BLEU: int8 39.00, float32 40.00 (beam 5, 1,000 sentences, s)",
        "int8 and float32 on this machine: 2.00 and 1.00 ms a sentence in batches of 1, 0.50 times as fast",
    ]


@pytest.mark.usefixtures("without_graphs")
@pytest.mark.parametrize("break_it", BROKEN[:1])
def test_the_loss_refuses_a_file_unless_overridden(
    break_it: Break, tiny_run: Path, search: BeamSearch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Run, "search", lambda _, **options: search)
    monkeypatch.setattr(exporter, "quantised", lambda search, calibration, target: break_it(search, calibration))
    with pytest.raises(UserError, match=r"int8 was not written: 8 bits raise .* override this check with --force loss"):
        build_int8(Run(tiny_run), number_pairs(100), "portable")
    assert build_int8(Run(tiny_run), number_pairs(100), "portable", check_loss=False)[2] == UNLUCKY


@pytest.mark.usefixtures("without_graphs")
def test_a_processor_that_caps_sums_exports_no_vnni_file(tiny_run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "run_session", lambda *_: [np.full((3, 4), 65534.0)])
    with pytest.raises(
        UserError, match=r"export the run with `--int8` alone.* gives 65534 for 4 \* 255 \* 127, which is"
    ):
        build_int8(Run(tiny_run), number_pairs(100), "vnni")
    build_int8(Run(tiny_run), number_pairs(100), "portable")


def test_right_to_left_references_are_reversed(tiny_run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run, pairs = Run(tiny_run), number_pairs(50)
    source, target = encode_pairs(run, [*pairs, Pair("1", "two " * 500), Pair("1 " * 500, "two")])
    assert len(source) == len(target) == 50  # the longest are left out
    config = run.config()
    config = msgspec.structs.replace(config, data=msgspec.structs.replace(config.data, right_to_left=True))
    monkeypatch.setattr(Run, "config", lambda _: config)
    assert encode_pairs(run, pairs) == (source, [reversed_ids(ids) for ids in target])


def test_compare_files_attributes_bleu_and_time_to_the_right_file(
    tiny_run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    metadata, (source_tokenizer, target_tokenizer) = metadata_of(Run(tiny_run)), Run(tiny_run).tokenizers()

    clock = 0.0

    class ConstantEngine:
        """Translates every source to the text that its file consists of, in seconds by the number of its words."""

        def __init__(self, data: bytes) -> None:
            self.seconds = len(data.split())
            self.ids = target_tokenizer.encode(data.decode())

        def run(self, source: Ids, source_length: Ids, *, beam_size: int, **settings: object) -> Any:  # noqa: ANN401
            nonlocal clock
            clock += self.seconds
            target = np.broadcast_to(self.ids, (len(source), beam_size, len(self.ids)))
            score: Floats = np.full(target.shape[:2], -1.0, np.float32)
            return target, score, np.zeros((len(source), 0, 1, 1))

    monkeypatch.setattr(int8_check, "OnnxEngine", ConstantEngine)
    monkeypatch.setattr(time, "perf_counter", lambda: clock)
    pairs = [Pair(str(n), "one two three four five") for n in range(40)]
    rows = [source_tokenizer.encode(pair.source) for pair in pairs]
    comparison = compare_files(b"one two three four five", b"five six", metadata, pairs, rows, GOOD)
    assert comparison.float32_bleu == pytest.approx(100)
    assert comparison.int8_bleu < 10
    assert comparison.times_as_fast == {"1": 2.5, "32": 2.5}
    assert comparison.milliseconds["1"] == {"float32": 5000, "int8": 2000}


def test_force_names_one_check(tiny_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def error(*words: str) -> str:
        assert main(["export", str(tiny_run), "-o", str(tmp_path / "m.onnx"), *words]) == 2
        (line,) = capsys.readouterr().err.splitlines()
        return line

    takes = "--force takes the name of the check to override, loss, and was given"
    assert f"{takes} nothing" in error("--int8", "--force")
    assert f"{takes} `parity`" in error("--int8", "--force", "parity")
    assert "give --int8 with them" in error("--force", "loss")
    assert [*tmp_path.iterdir()] == []
