"""Idle threads of PyTorch sleep: the environment says so before PyTorch is imported, unless the user set it."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from dragoman.translate import WAIT_SETTINGS
from tiny import ROOT

# Print the settings and end when PyTorch is about to be imported.
SPY = """
import json, os, sys
class Spy:
    def find_spec(self, name, path=None, target=None):
        if name == "torch":
            print(json.dumps({k: v for k, v in os.environ.items() if k in SETTINGS}), flush=True)
            os._exit(0)
sys.meta_path.insert(0, Spy())
SETTINGS = json.loads(sys.argv.pop(1))
"""
PASSIVE = {"OMP_WAIT_POLICY": "PASSIVE"}


def run(code: str, *words: str, cwd: Path = ROOT, **settings: str) -> subprocess.CompletedProcess[str]:
    """Run code in a fresh interpreter in which only the given settings are in the environment."""
    environment = {key: value for key, value in os.environ.items() if key not in WAIT_SETTINGS}
    environment |= {"PYTHONPATH": str(ROOT), **settings}
    return subprocess.run(
        [sys.executable, "-c", code, *words], cwd=cwd, env=environment, capture_output=True, text=True, check=True
    )


def settings_seen(code: str, *words: str, cwd: Path = ROOT, **settings: str) -> dict[str, str]:
    """Return the settings at the moment when code first imports PyTorch."""
    stdout = run(SPY + code, json.dumps(WAIT_SETTINGS), *words, cwd=cwd, **settings).stdout
    found: dict[str, str] = json.loads(stdout)
    return found


MAIN = "import runpy; runpy.run_module('dragoman', run_name='__main__', alter_sys=True)"
COMMANDS = {
    "train": "train {toml}",
    "evaluate a run": "evaluate {run} --corpus {corpus}",
    "compare": "compare {run} {run} --source {corpus}/test.en --reference {corpus}/test.xx",
    "distill": "distill {run} --corpus {corpus} --out new",
    "backtranslate": "backtranslate {run} {corpus}/test.en --corpus {corpus} --out new",
    "export": "export {run} -o new.onnx",
    "verify": "verify {file} --against {run}",
    "plot": "plot attention {run} 12 -o new.png",
    "cells": "cells --out new",
    "quickstart": "quickstart --out new",
}


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_that_uses_pytorch(
    command: str, tiny_run: Path, tiny_file: Path, tiny_corpus: Path, toml: Path, tmp_path: Path
) -> None:
    words = [
        word.format(toml=toml, run=tiny_run, corpus=tiny_corpus, file=tiny_file) for word in COMMANDS[command].split()
    ]
    assert settings_seen(MAIN, *words, cwd=tmp_path) == PASSIVE


def test_a_worker_of_torchrun(toml: Path, tmp_path: Path) -> None:
    worker = MAIN.replace("'dragoman'", "'dragoman.translate'")
    assert settings_seen(worker, "train", str(toml), cwd=tmp_path, RANK="0", WORLD_SIZE="2") == PASSIVE


@pytest.mark.parametrize("name", WAIT_SETTINGS)
@pytest.mark.parametrize("value", ["1000", ""])
def test_what_the_user_has_set_stays(name: str, value: str, toml: Path, tmp_path: Path) -> None:
    assert settings_seen(MAIN, "train", str(toml), cwd=tmp_path, **{name: value}) == {name: value}


def modules_with_pytorch() -> list[str]:
    """Return the modules of translate/ and export/ that import PyTorch themselves."""
    found = []
    for package in ("translate", "export"):
        for path in sorted((ROOT / package).rglob("*.py")):
            tree = ast.parse(path.read_text("utf-8"))
            names = [alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names]
            names += [node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
            if any(name.split(".")[0] == "torch" for name in names):
                found.append(".".join(["dragoman", *path.relative_to(ROOT).with_suffix("").parts]))
    return found


def test_libraries_that_import_any_module() -> None:
    modules = modules_with_pytorch()
    assert len(modules) > 20
    fork = """
import importlib
for module in sys.argv[1:]:
    if not os.fork():
        importlib.import_module(module)
        os._exit(0)
    os.wait()
"""
    lines = run(SPY + fork, json.dumps(WAIT_SETTINGS), *modules).stdout.splitlines()
    assert len(lines) == len(modules)
    assert all(json.loads(line) == PASSIVE for line in lines)


def test_a_process_that_has_imported_pytorch_keeps_its_environment() -> None:
    code = "import os, sys, types; sys.modules['torch'] = types.ModuleType('torch'); import dragoman.translate"
    assert run(f"{code}; print(os.environ.get('OMP_WAIT_POLICY'))").stdout == "None\n"


def test_the_runtime_alone_leaves_the_environment_as_it_is(tiny_file: Path) -> None:
    code = "import dragoman, os, sys; dragoman.load(sys.argv[1]); print(os.environ.get('OMP_WAIT_POLICY'))"
    assert run(code, str(tiny_file)).stdout == "None\n"


@pytest.mark.parametrize(("chosen", "expected"), [({}, "PASSIVE"), ({"OMP_WAIT_POLICY": "ACTIVE"}, "ACTIVE")])
def test_openmp_reads_the_setting(chosen: dict[str, str], expected: str) -> None:
    shown = run("import dragoman.translate.threads", cwd=ROOT, **{"OMP_DISPLAY_ENV": "TRUE", **chosen}).stderr
    if "OMP_WAIT_POLICY" not in shown:
        pytest.skip("this OpenMP library does not show its settings")
    assert f"OMP_WAIT_POLICY = '{expected}'" in shown
