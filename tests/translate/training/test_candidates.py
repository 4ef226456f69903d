"""Learning a vocabulary selection: what the network predicts where its attention rests, and its way to a file."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from dragoman.cli import main
from dragoman.runtime.contract import EOS, PAD
from dragoman.runtime.errors import UserError
from dragoman.runtime.translator import Translator
from dragoman.translate.config import load
from dragoman.translate.encoding.batching import make_batch
from dragoman.translate.evaluation.engine import translator_of
from dragoman.translate.network.seq2seq import Seq2Seq
from dragoman.translate.training import candidates
from dragoman.translate.training.candidates import PairCounts, load_selection, most_frequent, must_share
from dragoman.translate.training.run import Run
from dragoman.translate.training.trainer import Trainer
from tiny import made_once, number_pairs, tiny_toml


def test_counts_of_pairs_are_those_of_a_dictionary() -> None:
    rng = np.random.default_rng(0)
    counts, expected = PairCounts(50), dict[tuple[int, int], float]()
    for _ in range(5):
        source, target = torch.from_numpy(rng.integers(0, 9, (7, 3))), torch.from_numpy(rng.integers(0, 50, (7, 3)))
        weight = torch.from_numpy(rng.random((7, 3)))
        counts.add(source, target, weight)
        for s, t, w in zip(
            source.flatten().tolist(), target.flatten().tolist(), weight.flatten().tolist(), strict=True
        ):
            expected[s, t] = expected.get((s, t), 0) + w
        if rng.random() < 0.5:
            counts.merge()
    excluded = np.array([3, 4, 5])
    rows = [(-w, s, t) for (s, t), w in expected.items() if t not in excluded]
    for size, longest in itertools.product((5, 40, 10_000), (1, 4, 99)):
        best_of_source = [row for row in sorted(rows) if sum(r[1] == row[1] and r < row for r in rows) < longest]
        chosen = sorted((s, w, t) for w, s, t in best_of_source[:size])
        sources, targets = most_frequent(counts.by_source(), size, longest, excluded)
        assert list(zip(sources.tolist(), targets.tolist(), strict=True)) == [(s, t) for s, _, t in chosen]


@pytest.fixture(scope="session")
def selected_run(tiny_corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a run with a vocabulary selection, which a vocabulary of 300 has only with far fewer candidates."""

    def make(folder: Path) -> None:
        (folder / "tiny.toml").write_text(tiny_toml(tiny_corpus))
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(candidates, "SHARED", (20,))
            patch.setattr(candidates, "SAME", 0.0)
            patch.setattr(candidates, "must_share", lambda tokenizer: [EOS])
            patch.setattr(candidates, "OWN", 5)
            Trainer(load(folder / "tiny.toml"), folder / "run").fit()

    return made_once(tmp_path_factory, "selected", make) / "run"


def test_training_ends_with_a_selection(selected_run: Path) -> None:
    selection = Run(selected_run).selection()
    assert selection is not None
    assert len(selection.shared) == 20
    assert selection.longest <= 5
    assert len(selection.table) == int(selection.lengths.sum())
    assert not set(selection.table.tolist()) & {PAD, *selection.shared.tolist()}


def test_the_rest_has_about_the_probability_of_all_that_is_no_candidate(selected_run: Path) -> None:
    run = Run(selected_run)
    search = run.search()
    model, selection = search.model, search.selection
    assert isinstance(model, Seq2Seq)
    assert selection is not None
    source_tokenizer, target_tokenizer = run.tokenizers()
    pairs = number_pairs(1000)[1::7]  # some that the fit has seen, and some that it has not
    batch = make_batch(
        *([t.encode(p[side]) for p in pairs] for side, t in enumerate((source_tokenizer, target_tokenizer)))
    )
    x = model(batch.source, batch.source_length, batch.target_in)  # (B, T, E)
    of_all = (model.logits(x) + model.suppression).logsumexp(-1)  # (B, T)
    projection = model.projection(selection(batch.source, batch.source_length))
    logits = model.output.project(x, *projection)  # the rest and the candidates
    mask = batch.target_out != PAD
    with_rest, without = (abs(z.logsumexp(-1) - of_all)[mask].mean() for z in (logits, logits[..., 1:]))
    assert with_rest < without / 3


def test_every_way_to_translate_uses_the_selection(
    selected_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    selected, full = tmp_path / "selected.onnx", tmp_path / "full.onnx"
    assert main(["export", str(selected_run), "-o", str(selected)]) == 0
    assert main(["export", str(selected_run), "-o", str(full), "--full-vocabulary"]) == 0
    lines = [pair.source for pair in number_pairs(1000)[::37]]
    from_run = translator_of(Run(selected_run)).translate(lines, n_best=3)
    from_file = Translator.load(selected).translate(lines, n_best=3)
    assert [[h.text for h in t.hypotheses] for t in from_run] == [[h.text for h in t.hypotheses] for t in from_file]
    for file, facts in ((selected, {"shared": 20, "own": 5}), (full, None)):
        capsys.readouterr()
        assert main(["info", str(file), "--json"]) == 0
        assert json.loads(capsys.readouterr().out).get("selection") == facts
        assert main(["verify", str(file), "--against", str(selected_run)]) == 0
        names = {t.name for t in onnx.load(file).graph.initializer}
        assert any(name.startswith("selection.") for name in names) == (facts is not None)
    with pytest.raises(UserError, match=r"beam size is 21; .* from 1 to 20, the number of subwords that every"):
        Translator.load(selected).translate("12", beam=21)
    Translator.load(full).translate("12", beam=21)


def test_a_small_vocabulary_and_a_network_without_attention_have_no_selection(tiny_run: Path, tmp_path: Path) -> None:
    assert Run(tiny_run).selection() is None
    assert load_selection(tmp_path / "selection.safetensors") is None


def test_bytes_digits_and_punctuation_are_always_candidates(tiny_run: Path) -> None:
    tokenizer = Run(tiny_run).source_tokenizer()
    shared = must_share(tokenizer)
    assert shared == sorted(shared)
    assert EOS in shared
    pieces = tokenizer.subwords(shared)
    assert {f"<0x{i:02X}>" for i in range(256)} <= set(pieces)
    assert set("0123456789") <= {piece.replace("▁", "") for piece in pieces}
