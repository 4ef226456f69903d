"""Sensitivity against Jacobians, synthetic tasks, cells of equal size, and plots."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch import Tensor

from dragoman.cli import main
from dragoman.runtime.errors import UserError
from dragoman.translate.config import from_tree
from dragoman.translate.corpus.builders.algorithms import ALGORITHMS, LANGUAGES, build_algorithm, length_of
from dragoman.translate.corpus.folder import write_corpus
from dragoman.translate.evaluation import cell_comparison as comparison
from dragoman.translate.evaluation.cell_comparison import WITH_ATTENTION, WITHOUT_ATTENTION, equal_hidden
from dragoman.translate.evaluation.engine import translator_of
from dragoman.translate.evaluation.sensitivity import sensitivity, sensitivity_by_distance
from dragoman.translate.network.layers import Embedding
from dragoman.translate.network.seq2seq import Encoder, Seq2Seq
from dragoman.translate.tasks.labelling import encoder_of
from dragoman.translate.training.run import Run
from dragoman.translate.training.trainer import Trainer
from tiny import CELLS, VOCABULARY, tiny_config


@pytest.mark.parametrize("cell", CELLS)
def test_sensitivity_equals_norms_of_the_jacobian(cell: str) -> None:
    torch.manual_seed(1)
    config = tiny_config(cell)
    embedding, encoder = Embedding(VOCABULARY, config.width, 0.0), Encoder(config)
    ids = [5, 9, 4, 11, 3]
    norms = sensitivity(embedding, encoder, ids)
    assert norms.shape == (config.encoder_layers, 2, 5, 5)

    def first_layer(words: Tensor) -> Tensor:  # (S, E) -> (S, D*H)
        outputs: list[Tensor] = []
        output = encoder.layers[0].recurrent.output
        hook = output.register_forward_pre_hook(lambda module, inputs: outputs.append(inputs[0]))
        encoder.eval()(words[:, None], torch.ones(5, 1, dtype=torch.bool))
        hook.remove()
        return outputs[0][:, 0]

    words = embedding(torch.tensor(ids)).detach()
    jacobian = torch.autograd.functional.jacobian(first_layer, words)  # (S, D*H, S, E)
    assert isinstance(jacobian, Tensor)
    for d in (0, 1):
        part = jacobian[:, d * config.hidden : (d + 1) * config.hidden]
        np.testing.assert_allclose(norms[0, d], part.square().sum((1, 3)).sqrt().numpy(), rtol=1e-4, atol=1e-6)
    assert np.all(np.triu(norms[0, 0], 1) == 0)  # no state depends on later input
    assert np.all(np.tril(norms[0, 1], -1) == 0)
    assert sensitivity_by_distance(norms[0, 0])[0] == sensitivity_by_distance(norms[0, 1], right_to_left=True)[0] == 1


def test_synthetic_tasks_are_correct_and_disjoint() -> None:
    for name in ALGORITHMS:
        splits, card = build_algorithm(name, 400, length=5, beyond=8, seed=3)
        assert (card["length"], card["beyond"]) == (5, 8)
        texts = [pair.source for pairs in splits.values() for pair in pairs]
        assert len(texts) == len({*texts})
        for pair in splits["train"] + splits["test"]:
            source, target = pair.source.split(), pair.target.split()
            if name == "add":
                first, second = pair.source.replace(" ", "").split("+")
                assert int("".join(reversed(target))) == int(first) + int(second)
            else:
                assert target == {"copy": source, "reverse": source[::-1], "sort": sorted(source)}[name]
        if name != "add":
            assert max(len(p.source.split()) for p in splits["train"]) == 5
            assert max(len(p.source.split()) for p in splits["test"]) == 8
    assert [length_of(task) for task in ("a b c", "1 2 + 3 4 5", "7 0 + 9", "a b + c d")] == [3, 3, 2, 5]
    with pytest.raises(UserError, match="--beyond 4 is less than --length 5"):
        build_algorithm("copy", 100, length=5, beyond=4, seed=1)
    with pytest.raises(UserError, match="different tasks up to length 1"):
        build_algorithm("copy", 100, length=1, beyond=1, seed=1)


def test_cells_get_equal_numbers_of_parameters() -> None:
    tree = {**WITH_ATTENTION, "name": "x", "data": {"corpus": "x"}}
    parameters = sum(p.numel() for p in Seq2Seq(from_tree(tree, "x").model, 40, 40).parameters())
    for cell in CELLS:
        config = from_tree({**tree, "model": {**WITH_ATTENTION["model"], "cell": cell}}, "x")
        hidden = equal_hidden(config, (40, 40), parameters)
        model = from_tree({**tree, "model": {**WITH_ATTENTION["model"], "cell": cell, "hidden": hidden}}, "x").model
        count = sum(p.numel() for p in Seq2Seq(model, 40, 40).parameters())
        assert 0.95 * parameters < count <= parameters


def test_plots(tiny_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, start in (("a.png", b"\x89PNG"), ("a.svg", b"<?xml")):
        for kind in ("sensitivity", "memory", "attention"):
            assert main(["plot", kind, str(tiny_run), "12 7 東", "-o", str(tmp_path / name)]) == 0
            assert (tmp_path / name).read_bytes().startswith(start)
    for words, message in (
        (["attention", str(tiny_run), "x", "-o", str(tmp_path / "a.gif")], "ends in .png or .svg"),
        (
            ["sensitivity", __file__, "x", "-o", str(tmp_path / "b.png")],
            "is a file; give the folder of a training run",
        ),
        (
            ["sensitivity", str(tiny_run), " ", "-o", str(tmp_path / "b.png")],
            "has no visible characters",
        ),
        *(
            ([kind, str(tiny_run), __file__, "-o", str(tmp_path / "b.png")], f"{__file__} is a file; give a sentence")
            for kind in ("attention", "sensitivity")
        ),
        (["sensitivity", str(tiny_run), "7 " * 99, "-o", str(tmp_path / "b.png")], "give a text of at most 64"),
    ):
        assert main(["plot", *words]) == 2
        assert message in capsys.readouterr().err
    assert not (tmp_path / "b.png").exists()
    private_use = "\U000f0000"  # no font has this character
    assert main(["plot", "sensitivity", str(tiny_run), f"7 {private_use}", "-o", str(tmp_path / "c.png")]) == 0
    assert f"no font on this machine has {private_use}; the plot shows boxes instead" in capsys.readouterr().err
    assert main(["plot", "sensitivity", str(tiny_run), f"7 {private_use}", "-o", str(tmp_path / "c.svg")]) == 0
    assert "no font" not in capsys.readouterr().err


@pytest.mark.slow  # three trainings of half a minute
def test_sensitivity_fades_faster_in_an_elman_network(tmp_path: Path) -> None:
    """The task, reversing letters without attention, cannot be solved without memory."""
    splits, card = build_algorithm("reverse", 10_000, length=6, beyond=6, seed=1)
    write_corpus(tmp_path / "reverse", LANGUAGES, splits, card)
    relative: dict[str, npt.NDArray[np.float64]] = {}
    for cell in ("elman", "lstm", "sru"):
        tree = {**WITHOUT_ATTENTION, "name": cell, "data": {"corpus": str(tmp_path / "reverse")}}
        tree["model"] = {**WITHOUT_ATTENTION["model"], "cell": cell}
        tree["training"] = {**WITHOUT_ATTENTION["training"], "epochs": 15, "validate_every": 15}
        Trainer(from_tree(tree, cell), tmp_path / cell).fit()
        run = Run(tmp_path / cell)
        ids = run.source_tokenizer().encode("m t c a s b r q d k f g h")
        left_to_right, right_to_left = sensitivity(*encoder_of(run), ids)[0]
        relative[cell] = np.maximum(
            sensitivity_by_distance(left_to_right), sensitivity_by_distance(right_to_left, right_to_left=True)
        )
    assert relative["elman"][5] < 0.1
    assert relative["elman"][8] < 0.02
    for cell in ("lstm", "sru"):
        assert relative[cell][8] > 0.05, cell


@pytest.mark.slow  # 20 trainings, though of one epoch each
def test_cells_compared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    few = "copy", "reverse", "add with attention"  # the others differ in their corpus alone
    smaller = {name: comparison.SYNTHETIC_TASKS[name]._replace(epochs=1, length=2, beyond=4) for name in few}
    monkeypatch.setattr(comparison, "SYNTHETIC_TASKS", smaller)
    monkeypatch.setattr(comparison, "ROUND_SECONDS", 0.01)
    words = ["cells", "--out", str(tmp_path / "cells"), "--epochs", "1", "--size", "100"]
    assert main(words) == 0
    assert "| add with attention | 1 | elman |" in capsys.readouterr().out
    names = {path.name for path in (tmp_path / "cells").iterdir() if path.is_file()}
    assert names == {"results.json", "report.md", "gradients.png", "lengths.png", "sensitivity.png", "reach.png"}
    rows = json.loads((tmp_path / "cells" / "results.json").read_text())["rows"]
    assert [row["clipped"] for row in rows if row["task"] == "reverse"] == [True, False] * 4
    for task in comparison.SYNTHETIC_TASKS:
        sizes = [row["parameters"] for row in rows if row["task"] == task]
        assert max(sizes) < 1.05 * min(sizes)
    before = (tmp_path / "cells" / "reverse-sru" / "model.safetensors").stat().st_mtime_ns
    assert main(words) == 0  # a finished run is not trained again
    assert (tmp_path / "cells" / "reverse-sru" / "model.safetensors").stat().st_mtime_ns == before
    for option, value, key in (("--size", "99", "size"), ("--epochs", "2", "training.epochs")):
        changed = [*words]
        changed[words.index(option) + 1] = value
        assert main(changed) == 2
        assert f"a different {key};" in capsys.readouterr().err
    assert main([*words, "--corpus", str(tmp_path / "none")]) == 2
    assert "is not a corpus" in capsys.readouterr().err
    run = Run(tmp_path / "cells" / "reverse-sru")
    with pytest.raises(UserError, match="has no attention, so it cannot align words"):
        translator_of(run).translate("a b", alignments=True)
    assert main(["plot", "attention", str(run.folder), "a b", "-o", str(tmp_path / "a.png")]) == 2
    assert "has no attention to draw" in capsys.readouterr().err
    assert main(["cells", "--out", str(tmp_path)]) == 2
    assert "holds other files; name a new folder" in capsys.readouterr().err
