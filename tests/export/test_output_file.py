"""Tests of `export -o`: a file that cannot be written is refused before the work."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from dragoman.cli import main
from dragoman.export import commands


def test_files_that_cannot_be_written_are_refused_at_once(
    tiny_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(commands, "_build", lambda *_: pytest.fail("the file was built"))
    (tmp_path / "taken.onnx.part").mkdir()  # where the file waits until it is complete
    outputs = [(tmp_path / "taken.onnx", "Is a directory"), (tmp_path / ("x" * 253), "File name too long")]
    if os.name != "nt" and os.geteuid() != 0:  # root may write anywhere
        (tmp_path / "closed").mkdir(0o555)
        outputs.append((tmp_path / "closed" / "a.onnx", "Permission denied"))
    for output, reason in outputs:
        assert main(["export", str(tiny_run), "-o", str(output)]) == 2
        assert capsys.readouterr().err.splitlines()[-1] == f"dragoman: cannot write {output}: {reason}"


def test_a_failure_keeps_the_earlier_file(tiny_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        assert (tmp_path / "a.onnx").read_bytes() == b"earlier"
        raise KeyboardInterrupt

    monkeypatch.setattr(commands, "_build", fail)
    (tmp_path / "a.onnx").write_bytes(b"earlier")
    assert main(["export", str(tiny_run), "-o", str(tmp_path / "a.onnx")]) == 130
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("a.onnx", b"earlier")]
