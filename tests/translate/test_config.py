"""The configuration is closed: every mistake gives one sentence that names key and value."""

from __future__ import annotations

from pathlib import Path

import pytest

from dragoman.runtime.errors import UserError
from dragoman.translate.config import from_tree, load, to_tree
from tiny import ROOT, tiny_toml


@pytest.mark.parametrize("path", sorted((ROOT / "configs").glob("*.toml")), ids=lambda p: p.name)
def test_shipped_configurations_load(path: Path) -> None:
    config = load(path)
    assert config.name == path.stem
    assert from_tree(to_tree(config), "copy") == config


@pytest.fixture
def toml(tmp_path: Path) -> Path:
    path = tmp_path / "c.toml"
    path.write_text(tiny_toml(Path("data/x")))
    return path


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("training.learning_rate=1", "unknown key training.learning_rate; the keys here are minutes, epochs"),
        ("training.epochs=0", "training.epochs = 0: give a whole number, at least 1"),
        ('training.epochs="many"', "training.epochs = 'many'"),
        ("training.epochs=many", "training.epochs = 'many'"),
        ("model.width=1000001", "model.width = 1000001: give a whole number, at least 1, at most 65536"),
        ("data.max_length=600", "search.max_length = 200 is below data.max_length = 600"),
        ("training.minutes=lots", "training.minutes = 'lots': give a number, above 0"),
        ("training.seed=-1", "training.seed = -1: give a whole number, at least 0, below 2147483648"),
        ("tokenizer.joint=maybe", "tokenizer.joint = 'maybe': give true or false"),
        ("model=sru", "model = 'sru': give a section [model]"),
        ("model.cell=rnn", "model.cell = 'rnn': give one of elman, gru, lstm, sru"),
        ("model.dropout=1.0", "model.dropout = 1.0: give a number, at least 0, below 1"),
        ("model.heads=5", "model.heads = 5 does not divide model.width = 24"),
        ("tokenizer.joint=false", "model.shared_embedding = true needs tokenizer.joint = true"),
        ("name=a/b", "name = 'a/b'"),
        ("modell.cell=sru", "unknown key modell"),
        ("name.x=1", "name is a value, not a section"),
        ("training.epochs", "give section.key=value"),
    ],
)
def test_errors_name_key_and_value(toml: Path, override: str, expected: str) -> None:
    with pytest.raises(UserError) as caught:
        load(toml, [override])
    assert expected in str(caught.value)
    assert str(caught.value).startswith(f"--set {override}: ")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("width", "overrides", "named"),
    [
        (24, ["training.seed=2", "model.heads=5", "name=x"], "--set model.heads=5: "),
        (24, ["model.width=30", "model.heads=4"], "--set model.width=30 --set model.heads=4: "),  # each alone is right
        (24, ["model.heads=7", "model.heads=5"], "--set model.heads=7 --set model.heads=5: "),
        (24, ["training.seed=-1", "training.epochs=0"], "--set training.epochs=0: "),  # one mistake at a time
        (25, ["training.seed=2"], "{path}: "),
        (25, [], "{path}: "),
    ],
)
def test_the_override_or_the_file_is_named(tmp_path: Path, width: int, overrides: list[str], named: str) -> None:
    path = tmp_path / "c.toml"
    path.write_text(tiny_toml(Path("data/x")).replace("width = 24", f"width = {width}"))
    with pytest.raises(UserError) as caught:
        load(path, overrides)
    assert str(caught.value).startswith(named.format(path=path))


def test_the_default_optimizer_depends_on_the_task(tmp_path: Path) -> None:
    """Learning rate and weight decay default to those of the optimizer."""
    path = tmp_path / "c.toml"
    path.write_text('name = "c"\n[data]\ncorpus = "data/x"\n')

    def optimizer(*overrides: str) -> tuple[str, float, float]:
        training = load(path, [*overrides]).training
        return training.optimizer, training.lr, training.weight_decay

    assert optimizer() == ("muon", 4e-3, 0.1)
    assert optimizer("training.optimizer=adamw") == ("adamw", 2e-3, 0.01)
    assert optimizer("training.lr=0.01", "training.weight_decay=0.02") == ("muon", 0.01, 0.02)
    assert optimizer("task=classify") == ("adamw", 2e-3, 0.01)
    with pytest.raises(UserError, match=r"training\.optimizer = 3"):
        load(path, ["training.optimizer=3"])
    with pytest.raises(UserError, match="training = 3: "):
        from_tree({"name": "c", "data": {"corpus": "x"}, "training": 3}, "here")
    with pytest.raises(UserError, match="here: "):
        from_tree([], "here")  # type: ignore[arg-type]  # a damaged config.json may hold a list


def test_overrides_take_effect(toml: Path) -> None:
    config = load(toml, ["training.lr=1e-3", "model.cell=lstm", 'data.corpus="elsewhere"', "training.minutes=3"])
    assert (config.training.lr, config.model.cell, config.data.corpus) == (1e-3, "lstm", "elsewhere")
    assert config.training.minutes == 3


def test_a_missing_key_and_invalid_toml(tmp_path: Path) -> None:
    path = tmp_path / "c.toml"
    with pytest.raises(UserError, match="cannot read the configuration"):
        load(path)
    with pytest.raises(UserError, match=r"is a folder; give a configuration, CONFIG.toml, and to continue a run the"):
        load(tmp_path)
    path.write_text("[data]\ncorpus='x'\n")
    with pytest.raises(UserError, match="the key name is missing"):
        load(path)
    path.write_text("name = [")
    with pytest.raises(UserError, match="is not valid TOML"):
        load(path)
    path.write_bytes(b"name = '\xff'")
    with pytest.raises(UserError, match="is not valid TOML"):
        load(path)
