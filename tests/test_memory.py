"""What is remembered, against derivatives taken one by one; made-up tasks; cells made equal; pictures."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from dragoman.export.cli import main
from dragoman.runtime.errors import UserError
from dragoman.translate.comparison import SMALL, equal_hidden
from dragoman.translate.config import from_tree
from dragoman.translate.corpus.algorithms import ALGORITHMS, from_algorithm
from dragoman.translate.memory import reach, sensitivity
from dragoman.translate.model import Embedding, Encoder, Seq2Seq
from tiny import CELLS, VOCABULARY, tiny_config


@pytest.mark.parametrize("cell", CELLS)
def test_sensitivity_equals_derivatives_one_by_one(cell: str) -> None:
    torch.manual_seed(1)
    config = tiny_config(cell)
    embedding, encoder = Embedding(VOCABULARY, config.width, 0.0), Encoder(config)
    ids = [5, 9, 4, 11, 3]
    found = sensitivity(embedding, encoder, ids)
    assert found.shape == (config.encoder_layers, 2, 5, 5)

    def first_layer(words: Tensor) -> Tensor:  # (S, E) -> (S, D*H)
        seen: list[Tensor] = []
        output = encoder.layers[0].recurrent.output
        hook = output.register_forward_pre_hook(lambda module, given: seen.append(given[0]))
        encoder.eval()(words[:, None], torch.ones(5, 1, dtype=torch.bool))
        hook.remove()
        return seen[0][:, 0]

    words = embedding(torch.tensor(ids)).detach()
    jacobian = torch.autograd.functional.jacobian(first_layer, words)  # (S, D*H, S, E)
    assert isinstance(jacobian, Tensor)
    for d in (0, 1):
        own = jacobian[:, d * config.hidden : (d + 1) * config.hidden]
        np.testing.assert_allclose(found[0, d], own.square().sum((1, 3)).sqrt().numpy(), rtol=1e-4, atol=1e-6)
    assert np.all(np.triu(found[0, 0], 1) == 0)  # what comes later is not known yet
    assert np.all(np.tril(found[0, 1], -1) == 0)
    assert reach(found[0, 0])[0] == reach(found[0, 1], backwards=True)[0] == 1


def test_made_up_tasks_are_right_and_apart() -> None:
    for name in ALGORITHMS:
        splits, card = from_algorithm(name, 400, length=5, beyond=8, seed=3)
        assert (card["length"], card["beyond"]) == (5, 8)
        texts = [pair.source for pairs in splits.values() for pair in pairs]
        assert len(texts) == len({*texts})
        for pair in splits["train"] + splits["test"]:
            given, answer = pair.source.split(), pair.target.split()
            if name == "add":
                one, two = pair.source.replace(" ", "").split("+")
                assert int("".join(reversed(answer))) == int(one) + int(two)
            else:
                expected = {"copy": given, "reverse": given[::-1], "sort": sorted(given)}[name]
                assert answer == expected
        if name != "add":
            assert max(len(p.source.split()) for p in splits["train"]) == 5
            assert max(len(p.source.split()) for p in splits["test"]) == 8
    with pytest.raises(UserError, match="--beyond 4 is less than --length 5"):
        from_algorithm("copy", 100, length=5, beyond=4, seed=1)
    with pytest.raises(UserError, match="of length 1 there are only"):
        from_algorithm("copy", 100, length=1, beyond=1, seed=1)


def test_cells_are_made_equal() -> None:
    tree = {**SMALL, "name": "x", "data": {"corpus": "x"}}
    wanted = sum(p.numel() for p in Seq2Seq(from_tree(tree, "x").model, 40, 40).parameters())
    for cell in CELLS:
        config = from_tree({**tree, "model": {**SMALL["model"], "cell": cell}}, "x")
        hidden = equal_hidden(config, (40, 40), wanted)
        model = from_tree({**tree, "model": {**SMALL["model"], "cell": cell, "hidden": hidden}}, "x").model
        count = sum(p.numel() for p in Seq2Seq(model, 40, 40).parameters())
        assert 0.95 * wanted < count <= wanted


def test_pictures(tiny_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, start in (("a.png", b"\x89PNG"), ("a.svg", b"<?xml")):
        for kind in ("memory", "attention"):
            assert main(["plot", kind, str(tiny_run), "12 7 東", "-o", str(tmp_path / name)]) == 0
            assert (tmp_path / name).read_bytes().startswith(start)
    for words, message in (
        (["attention", str(tiny_run), "x", "-o", str(tmp_path / "a.gif")], "ends in .png or .svg"),
        (["memory", str(tiny_run), " ", "-o", str(tmp_path / "b.png")], "nothing in it to remember"),
        (["memory", str(tiny_run), "7 " * 99, "-o", str(tmp_path / "b.png")], "more than the 64 that can be drawn"),
    ):
        assert main(["plot", *words]) == 2
        assert message in capsys.readouterr().err
    assert not (tmp_path / "b.png").exists()
