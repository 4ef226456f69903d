"""The README's commands and its Python, run as they stand, on a small corpus in place of the reader's."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from dragoman import cli
from dragoman.translate.config import from_tree
from tiny import ROOT, classes, number_pairs, tagged, temperatures, tiny_toml

CONFIGS = ROOT / "configs"
README = (ROOT / "README.md").read_text("utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


def commands() -> list[str]:
    """The lines that call dragoman with files of the reader's own."""
    return [line for line in lines() if line.startswith("dragoman ")]


def lines() -> list[str]:
    """All lines for a shell."""
    return [line for block in blocks("sh") for line in block.splitlines()]


def test_commands_are_there_and_parse() -> None:
    words = [shlex.split(re.split(r" [<>|] ", line)[0])[1:] for line in commands()]
    asked = {
        "corpus",
        "train",
        "evaluate",
        "export",
        "verify",
        "info",
        "bench",
        "translate",
        "distill",
        "backtranslate",
        "compare",
        "run",
        "plot",
        "cells",
    }
    assert asked == {w[0] for w in words}
    assert all(callable(cli.parse(w).run) for w in words)


def test_the_configuration_shown_loads() -> None:
    (toml,) = blocks("toml")
    assert from_tree(msgspec.toml.decode(toml), "README").name == "my"


@pytest.mark.slow
def test_commands_and_python_run(tmp_path: Path) -> None:
    pairs = number_pairs(300)
    for side, language in enumerate(("en", "de")):
        (tmp_path / f"my.{language}").write_text("".join(p[side] + "\n" for p in pairs))
    (tmp_path / "more.de").write_text("".join(p.target + "\n" for p in number_pairs(340)[300:]))
    toml = tiny_toml(Path("data/my"), "my").replace("vocabulary = 300", "")  # each corpus fills another
    (tmp_path / "my.toml").write_text(toml)  # as in the README, but trained in seconds
    (tmp_path / "configs").mkdir()
    for path in CONFIGS.glob("*.toml"):  # as they are, but trained in seconds
        text = re.sub(r"epochs = \d+", "epochs = 1", path.read_text("utf-8"))
        (tmp_path / "configs" / path.name).write_text(text)
    (tmp_path / "sentiment.tsv").write_text(classes())
    (tmp_path / "names.conll").write_text(tagged())
    (tmp_path / "temperature.csv").write_text(temperatures(2000))
    python = f"{shlex.quote(sys.executable)} -m"
    for line in lines():
        if not line.startswith(("dragoman ", "torchrun ")):  # they set up, or make anew what tests are run with
            continue
        command = line.replace("dragoman ", f"{python} dragoman.export ", 1)
        command = re.sub("^torchrun", f"{python} torch.distributed.run --standalone", command)
        if line.startswith("dragoman cells"):
            command += " --epochs 1 --size 300"
        if "name=reverse" in line:  # so that some of its translations come to an end
            command += " --set training.epochs=30 --set training.validate_every=30 --set training.lr=1e-2"
        done = subprocess.run(command, shell=True, cwd=tmp_path, capture_output=True, text=True)
        assert done.returncode == 0, f"{line}: {done.stderr}"
    assert len((tmp_path / "my.translated").read_text("utf-8").splitlines()) == 300
    (code,) = blocks("python")
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == 2
