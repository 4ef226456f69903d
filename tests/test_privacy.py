"""Nothing leaves the machine: no command writes into the home folder or opens a network connection."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tiny import ROOT

# A socket of the internet, or of a local service that looks up names.
NETWORK = re.compile(r"AF_INET|AF_NETLINK|nscd|resolve")


def can_trace() -> bool:
    """Return True if strace is installed and may trace a program here."""
    return shutil.which("strace") is not None and subprocess.run(["strace", "-qq", "true"], check=False).returncode == 0


TRACES = can_trace()


def run(folder: Path, *arguments: str) -> None:
    """Run Python with a fresh home and without CI; check that the home stays empty and that no socket is opened."""
    home, log = folder / "home", folder / "strace.log"
    home.mkdir(exist_ok=True)
    removed = ("CI", "ORT_DISABLE_TELEMETRY", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "MPLCONFIGDIR")
    environment = {name: value for name, value in os.environ.items() if name not in removed}
    # PyTorch asks for the user's name, which the C library would look up through a local service.
    environment.update(HOME=str(home), USER="u", LOGNAME="u", PYTHONPATH=str(ROOT), PYTHONDONTWRITEBYTECODE="1")
    trace = ["strace", "-f", "-qq", "-e", "trace=network", "-o", str(log)] if TRACES else []
    command = [*trace, sys.executable, *arguments]
    result = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    # matplotlib keeps a list of the fonts, which is slow to make; see docs/troubleshooting.md.
    assert [path for path in home.rglob("*") if path.is_file() and "matplotlib" not in path.parts] == []
    if TRACES:
        assert [line for line in log.read_text("utf-8", "replace").splitlines() if NETWORK.search(line)] == []


@pytest.mark.skipif(not TRACES, reason="strace is not installed or may not trace; files are checked nevertheless")
def test_a_socket_would_be_noticed(tmp_path: Path) -> None:
    code = "import socket; socket.socket(socket.AF_INET, socket.SOCK_DGRAM).connect(('127.0.0.1', 9))"
    with pytest.raises(AssertionError, match="AF_INET"):
        run(tmp_path, "-c", code)


@pytest.mark.parametrize(
    "arguments",
    [
        ["-m", "dragoman", "translate", "FILE", "12"],
        ["-m", "dragoman.runtime", "translate", "FILE", "12"],
        ["-m", "dragoman", "info", "FILE", "--self-test"],
        ["-c", "import dragoman; dragoman.load('FILE').translate('12')"],
        ["-c", "from dragoman import Translator; Translator.load('FILE', threads=2).translate(['1', '2'])"],
        ["-c", "import dragoman.runtime.session"],
    ],
)
def test_the_runtime_is_silent(arguments: list[str], tiny_file: Path, tmp_path: Path) -> None:
    run(tmp_path, *(word.replace("FILE", str(tiny_file)) for word in arguments))


@pytest.mark.slow
def test_training_export_and_evaluation_are_silent(toml: Path, tiny_corpus: Path, tmp_path: Path) -> None:
    run(tmp_path, "-m", "dragoman", "train", str(toml), "--set", "training.epochs=1")
    run(tmp_path, "-m", "dragoman", "export", "runs/tiny", "--output", "tiny.onnx")
    run(tmp_path, "-m", "dragoman", "verify", "tiny.onnx", "--against", "runs/tiny")
    run(tmp_path, "-m", "dragoman", "evaluate", "tiny.onnx", "--corpus", str(tiny_corpus))


def test_a_wish_of_the_user_is_respected(tmp_path: Path) -> None:
    code = "import dragoman, os; print(os.environ['ORT_DISABLE_TELEMETRY'])"
    for given, expected in ((None, "1"), ("0", "0")):
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        environment.pop("ORT_DISABLE_TELEMETRY", None)
        if given:
            environment["ORT_DISABLE_TELEMETRY"] = given
        result = subprocess.run(
            [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
        )
        assert result.stdout.strip() == expected
