"""Parity of exported translators with PyTorch: encoder, one step, 30 chained steps, whole search, text."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import pytest
import torch
from torch import Tensor

from dragoman.cli import main
from dragoman.export import exporter, parity
from dragoman.export.commands import validation_pairs
from dragoman.export.exporter import build, compare_searches
from dragoman.export.graph import to_onnx
from dragoman.export.parity import Level, batch_invariance, compare_search, compare_steps, parity_batches
from dragoman.runtime.contract import EOS, INPUTS, OUTPUTS, PAD
from dragoman.runtime.engine import Engine, OnnxEngine
from dragoman.runtime.errors import UserError
from dragoman.runtime.files import write_atomically
from dragoman.runtime.translator import Translator
from dragoman.translate.config import load
from dragoman.translate.evaluation.engine import TorchEngine, translator_of
from dragoman.translate.network.search import BeamSearch
from dragoman.translate.network.seq2seq import Seq2Seq
from dragoman.translate.training.run import Run
from dragoman.translate.training.trainer import Trainer
from tiny import CELLS, VOCABULARY, number_pairs, scaled, tiny_metadata, tiny_search, tiny_selection, tiny_toml

Source = Callable[[int, int], tuple[Tensor, Tensor]]
Array = npt.NDArray[Any]
METADATA = tiny_metadata()

# An export takes about ten seconds, so one cell is a fast test and the others are slow ones.
every_cell = pytest.mark.parametrize(
    ("cell", "attention", "heads", "selected"),
    [("sru", "dot", 1, True), *(pytest.param(c, "dot", 3, False, marks=pytest.mark.slow) for c in CELLS),
     pytest.param("lstm", "additive", 3, True, marks=pytest.mark.slow),
     pytest.param("gru", "none", 3, False, marks=pytest.mark.slow)],
)  # fmt: skip


SCALE = 1.5  # of the weights: small enough that float32 errors stay far below the tolerance of a step


def rows_of(source: Tensor, length: Tensor) -> list[list[int]]:
    return [[*row[: int(n) - 1].tolist(), EOS] for row, n in zip(source, length, strict=True)]


@every_cell
def test_parity_of_each_level(cell: str, attention: str, heads: int, selected: bool, random_source: Source) -> None:
    selection = tiny_selection() if selected else None
    search = tiny_search(cell, attention, scale=SCALE, heads=heads, selection=selection)
    model = to_onnx(search)
    check_whole_search(search, model, random_source)
    check_encoder_and_steps(search, model.SerializeToString(), random_source)


def check_encoder_and_steps(search: BeamSearch, file: bytes, random_source: Source) -> None:
    rows = rows_of(*random_source(9, 12)) + [[4, 5, 6, 7, 8, 9, 10, 11, 12, EOS]] * 2
    levels = compare_steps(search, file, rows, METADATA)
    for level in levels:
        print(level.describe())
    assert [level.name for level in levels][:2] == ["encoder", "one step"]
    assert "chained steps" in levels[2].name
    assert all(level.passed for level in levels)
    assert levels[0].worst < 2e-5
    search.model.bias.data[7] += 0.01
    assert not all(level.passed for level in compare_steps(search, file, rows, METADATA))


def check_whole_search(search: BeamSearch, model: onnx.ModelProto, random_source: Source) -> None:
    assert [i.name for i in model.graph.input] == [*INPUTS]
    assert [o.name for o in model.graph.output] == [*OUTPUTS]
    engine, reference = OnnxEngine(model.SerializeToString()), TorchEngine(search)
    worst = 0.0
    for B, S, K, N, longest, n_aligned, penalty in (
        (1, 1, 1, 1, 20, 0, 1.0), (1, 5, 1, 1, 20, 1, 0.0), (3, 7, 4, 2, 30, 2, 1.0), (5, 9, 5, 5, 256, 0, 0.6),
        (2, 12, 6, 1, 9, 6, 1.0), (1, 4, 3, 3, 1, 0, 2.0), (7, 3, 2, 1, 33, 1, 1.0),
    ):  # fmt: skip
        source, length = random_source(B, S)
        noise = torch.where(torch.arange(S) < length[:, None], source, torch.randint(0, VOCABULARY, (B, S)))
        settings = {
            "beam_size": K,
            "n_best": N,
            "max_length": longest,
            "length_penalty": penalty,
            "n_aligned": n_aligned,
        }
        expected = reference.run(source.numpy(), length.numpy(), **settings)  # type: ignore[arg-type]  # mixed types
        result = engine.run(noise.numpy(), length.numpy(), **settings)  # type: ignore[arg-type]  # mixed types
        assert np.array_equal(expected[0], result[0])
        assert expected[2].shape == result[2].shape
        worst = max(worst, float(np.abs(expected[1] - result[1]).max()))
        if n_aligned:
            mask = (expected[0][:, :n_aligned] != PAD)[..., None]
            worst = max(worst, float((np.abs(expected[2] - result[2]) * mask).max()))
    print(f"search differs by at most {worst:.1e}")
    assert worst < 1e-4


def test_run_and_file_give_the_same_text(tiny_run: Path, tiny_file: Path) -> None:
    lines = [p.source for p in number_pairs(1000)[::17]] + ["", "12, 13; 14. " * 200, "\U0001f600"]
    lines += [" ".join(str(n * step) for step in (1, 7, 31, 2)) for n in range(30)]
    from_run, from_file = translator_of(Run(tiny_run)), Translator.load(tiny_file, self_test=True)
    for beam in (1, 3):
        a, b = (t.translate(lines, beam=beam, n_best=beam, alignments=True) for t in (from_run, from_file))
        assert [(r.text, r.alignment, r.parts) for r in a] == [(r.text, r.alignment, r.parts) for r in b]
        assert [r.score for r in a] == pytest.approx([r.score for r in b], abs=1e-4)
    alone, *batched = ([(r.text, r.alignment) for r in from_file.translate(lines, alignments=True, batch_size=n)]
                       for n in (1, 5, 64))  # fmt: skip
    assert [alone] * 2 == batched
    assert len({alignment for _, alignment in alone}) > 5


def test_file_holds_metadata_and_each_table_once(tiny_file: Path, tiny_run: Path) -> None:
    model = onnx.load(tiny_file)
    onnx.checker.check_model(model)
    metadata = Translator.load(tiny_file).metadata
    assert metadata.card["corpus"]["corpus"] == "numbers"
    assert metadata.card["scores"]["validation"]["beam"] == 3
    assert metadata.config["model"]["cell"] == "sru"
    assert metadata.defaults == {"beam_size": 3, "length_penalty": 0.8, "max_length": 200}
    assert len(metadata.self_test["cases"]) == 4
    names = [t.name for t in model.graph.initializer if t.dims == [300, 24]]
    assert len(names) <= 2  # the tied embedding, and its transpose for the output product
    assert str(tiny_run.parent) not in str(model)


def test_build_rejects_a_model_that_differs(tiny_run: Path, tiny_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def different(*_: object) -> Level:
        return Level("whole search", compared=9, equal=8, worst=0.0, passed=False, example="sentence 3")

    monkeypatch.setattr(exporter, "to_onnx", lambda search: onnx.load(tiny_file))
    monkeypatch.setattr(exporter, "compare_search", different)
    with pytest.raises(UserError, match=r"differs from PyTorch, so it was not written: .*8 of 9"):
        build(Run(tiny_run), ["1 2 3"])


def test_compare_search_detects_another_model(tiny_run: Path, tiny_file: Path) -> None:
    search = Run(tiny_run).search()
    search.model.bias.data[10] += 50
    translator = Translator.load(tiny_file)
    rows = [translator.source_tokenizer.encode(p.source) for p in number_pairs(20)]
    level = compare_search(TorchEngine(search), translator.engine, parity_batches(rows, 4), 1, translator.metadata)
    assert not level.passed
    assert "first difference" in level.describe()


class SecondChanged:
    """An engine whose second-best hypothesis of each sentence is another, or has another score."""

    def __init__(self, engine: Engine, token: int, score: float) -> None:
        self.engine, self.token, self.score = engine, token, score

    def run(self, *arrays: Array, **settings: object) -> tuple[Array, ...]:
        target, score, attention = self.engine.run(*arrays, **settings)  # type: ignore[arg-type]  # mixed types
        target[:, 1, 0] += self.token
        score[:, 1] += self.score
        return target, score, attention


@pytest.mark.parametrize(("token", "score"), [(1, 0.0), (0, 1e-3), (0, np.nan)])
def test_compare_search_sees_the_second_best(token: int, score: float) -> None:
    engine, rows = TorchEngine(tiny_search(scale=SCALE)), [[5, 9, EOS], [7, EOS], [8, 8, 8, EOS]]
    other: Any = SecondChanged(engine, token, score)

    def passes(engine: Engine, n_best: int) -> bool:
        batches = parity_batches(rows, 3)
        return compare_search(TorchEngine(tiny_search(scale=SCALE)), engine, batches, 4, METADATA, None, n_best).passed

    assert passes(engine, 2)
    assert passes(other, 1)
    assert not passes(other, 2)


def test_places_without_a_hypothesis_are_not_compared() -> None:
    class Sparse:
        """An engine that finds one hypothesis, and marks the second place with some number far below zero."""

        def __init__(self, empty: float) -> None:
            self.empty = empty

        def run(self, source: Array, *_: Array, **settings: object) -> Any:  # noqa: ANN401 (mixed types)
            target = np.stack([source, np.zeros_like(source)], 1)
            return target, np.tile(np.array([-1, self.empty], np.float32), (len(source), 1)), None

    def compare(a: float, b: float) -> Level:
        one, other = Sparse(a), Sparse(b)
        return compare_search(one, other, parity_batches([[5, EOS]] * 3, 3), 2, METADATA, None, 2)

    assert compare(-1e9, -1.00001e9).passed
    assert not compare(-1e9, -2.0).passed
    assert not compare(-1e9, np.nan).passed


@pytest.mark.parametrize(
    ("compared", "unequal", "share", "passes"),
    [(64, 0, 1.0, True), (64, 1, 1.0, False), (64, 1, 0.98, True), (64, 2, 0.98, False), (512, 10, 0.98, True),
     (512, 11, 0.98, False), (1, 1, 0.98, False), (20, 1, 0.98, False)],
)  # fmt: skip
def test_a_level_needs_its_share_of_equal_sentences(compared: int, unequal: int, share: float, passes: bool) -> None:
    level = Level.of("x", compared, compared - unequal, 0.0, share=share, tolerance=0.1)
    assert level.passed == passes


@pytest.mark.parametrize(
    ("precision", "differing", "compared", "passes"),
    [("int8", 0, 64, True), ("int8", 2, 512, True), ("int8", 60, 512, False), ("float32", 1, 64, False)],
)
def test_int8_is_compared_on_more_sentences_before_it_is_refused(
    precision: str, differing: int, compared: int, passes: bool
) -> None:
    class Echo:
        """An engine whose translation is the source, but for the last word of some sources."""

        def __init__(self, differing: int) -> None:
            self.differing = differing

        def run(self, source: Array, *_: Array, **settings: object) -> Any:  # noqa: ANN401 (mixed types)
            target = np.array(source)
            target[target[:, 0] < 10 + self.differing, 1] = 7
            return target[:, None], np.zeros((len(source), 1), np.float32), None

    rows = [[10 + i, 8, EOS] for i in range(600)]
    metadata = tiny_metadata(precision)
    levels = compare_searches(Echo(0), Echo(differing), rows, metadata)
    assert {level.compared for level in levels} == {compared}
    assert all(level.passed for level in levels) == passes


def test_compare_search_rejects_a_score_of_nan(tiny_run: Path, tiny_file: Path) -> None:
    translator = Translator.load(tiny_file)
    reference = TorchEngine(Run(tiny_run).search())

    class NanEngine:
        def run(self, *arrays: Array, **settings: object) -> tuple[Array, ...]:
            target, score, attention = reference.run(*arrays, **settings)  # type: ignore[arg-type]  # mixed types
            return target, score * np.nan, attention

    rows = [translator.source_tokenizer.encode("12")]
    broken: Any = NanEngine()
    level = compare_search(reference, broken, parity_batches(rows, 1), 1, translator.metadata)
    assert level.equal == 1
    assert not level.passed


def test_verify_fails_for_another_model(
    tiny_run: Path, tiny_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = scaled(tiny_run, tmp_path / "run", 1.2)
    assert main(["verify", str(tiny_file), "--against", str(other)]) == 1
    assert capsys.readouterr().out.endswith("NOT equal: do not use this file\n")


@pytest.mark.parametrize("cause", ["neighbours", "padding", "threads"])
@pytest.mark.parametrize("effect", ["score", "tokens"])
def test_batch_invariance_detects_dependence(cause: str, effect: str, monkeypatch: pytest.MonkeyPatch) -> None:
    class DependentEngine:
        def __init__(self, model: bytes, threads: int = 1) -> None:
            self.threads = threads

        def run(self, source: Array, length: Array, **settings: object) -> Any:  # noqa: ANN401
            changed = {"neighbours": len(source) > 7, "padding": source.shape[1] > length.max(),
                       "threads": self.threads > 1}[cause]  # fmt: skip
            target = np.where(source == 5, 6, source) if changed and effect == "tokens" else source
            score = -1 + 1e-7 * (changed and effect == "score")
            return target[:, None], np.full((len(source), 1), score), None

    monkeypatch.setattr(parity, "OnnxEngine", DependentEngine)
    rows = [[4 + n % 5] * (1 + n % 9) + [EOS] for n in range(40)]
    assert not batch_invariance(b"", rows, 3, tiny_metadata("int8")).passed
    without_5 = [[4] * (1 + n % 9) + [EOS] for n in range(40)]  # the engine changes no token of these
    assert batch_invariance(b"", without_5, 3, tiny_metadata("int8")).passed == (effect == "tokens")


def test_separate_vocabularies_and_embeddings(tiny_corpus: Path, tmp_path: Path) -> None:
    (tmp_path / "two.toml").write_text(tiny_toml(tiny_corpus, "two").replace("vocabulary = 300", ""))
    changes = ["tokenizer.joint=false", "model.shared_embedding=false", "model.tied_output=false", "training.epochs=1"]
    trainer = Trainer(load(tmp_path / "two.toml", changes), tmp_path / "two")
    model = trainer.model
    assert isinstance(model, Seq2Seq)
    matrices = [model.source_embedding.weight, model.target_embedding.weight, model.output.weight]
    before = [matrix.detach().clone() for matrix in matrices]
    trainer.fit()
    assert not [a for a, b in zip(before, matrices, strict=True) if torch.equal(a, b)]
    run = Run(tmp_path / "two")
    source, target = run.tokenizers()
    assert len(source) != len(target)
    data, levels = build(run, [p.source for p in number_pairs(40)])
    assert [level.name for level in levels] == [
        f"whole search, beam {beam}, batches of {batch}" for beam in (1, 3) for batch in (1, 16)
    ]
    (tmp_path / "two.onnx").write_bytes(data)
    file, search = Translator.load(tmp_path / "two.onnx", self_test=True), run.search()
    for line in ("12", "345", "9"):
        ids = source.encode(line)
        result = search.search(
            torch.tensor([ids]), torch.tensor([len(ids)]), beam=3, length_penalty=0.8, max_length=200
        )
        assert file.translate(line).text == target.decode(result.target[0, 0].tolist()) != ""


def test_failed_write_leaves_no_file(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(UserError, match="cannot write"):
        write_atomically(tmp_path / "folder", b"model")
    with pytest.raises(UserError, match="cannot write"):
        write_atomically(tmp_path / "none" / "m.onnx", b"model")
    assert [p.name for p in tmp_path.rglob("*")] == ["folder"]


def test_an_older_run_is_compared_on_text_as_it_was_trained_on(
    tiny_run: Path, tiny_corpus: Path, tmp_path: Path
) -> None:
    """Rules of version 1 keep thin spaces, and those of version 2 do not."""
    corpus, run = shutil.copytree(tiny_corpus, tmp_path / "corpus"), shutil.copytree(tiny_run, tmp_path / "run")
    (corpus / "valid.en").write_text("1\u20092\n", "utf-8")
    (corpus / "valid.xx").write_text("one\u00a0two\n", "utf-8")
    config = json.loads((run / "config.json").read_text())
    (run / "config.json").write_text(json.dumps({**config, "data": {**config["data"], "corpus": str(corpus)}}))
    facts = {k: v for k, v in json.loads((run / "run.json").read_text()).items() if k != "normalisation"}
    for version, pair in (
        (None, ("1\u20092", "one\u00a0two")),
        (1, ("1\u20092", "one\u00a0two")),
        (2, ("1 2", "one two")),
    ):
        (run / "run.json").write_text(json.dumps({**facts, **({"normalisation": version} if version else {})}))
        assert validation_pairs(Run(run)) == [pair]
