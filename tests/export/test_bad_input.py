"""Every mistake in the input of `export` is one sentence at the start, and leaves nothing half-written."""

from __future__ import annotations

import errno
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from dragoman.cli import main
from dragoman.export import commands
from dragoman.export.parity import Level
from tiny import ROOT

Change = Callable[[Path], object]
MODEL = "model.safetensors"


def cut(name: str, size: int) -> Change:
    """Return a function that keeps the first bytes of a file of a run."""
    return lambda run: (run / name).write_bytes((run / name).read_bytes()[:size])


def without_values(name: str) -> Change:
    return lambda run: (run / name).write_text('{"name": "x"}')


def unfinished(run: Path) -> None:
    (run / MODEL).unlink()
    facts = json.loads((run / "run.json").read_text())
    (run / "run.json").write_text(json.dumps({k: v for k, v in facts.items() if k not in ("scores", "training")}))


@pytest.fixture
def run(tiny_run: Path, tmp_path: Path) -> Path:
    return shutil.copytree(tiny_run, tmp_path / "run", ignore=shutil.ignore_patterns("shards", "step-*"))


@pytest.fixture
def nothing_is_built(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fail the test when `export` starts its long work."""

    def build(*_: object) -> None:
        raise AssertionError("the mistake was found too late")

    monkeypatch.setattr(commands, "_build", build)


def error(capsys: pytest.CaptureFixture[str], *words: str | Path) -> str:
    """Return the last line of standard error of a command that must fail and print nothing else."""
    assert main([*map(str, words)]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert "Traceback" not in printed.err
    *progress, line = printed.err.splitlines()
    assert len(progress) <= 1
    assert line.startswith("dragoman: ")
    return line


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda run: (run / MODEL).unlink(), "run has no model.safetensors, because its training has not ended"),
        (unfinished, "run has no model.safetensors, because its training has not ended"),
        (lambda run: [path.unlink() for path in run.iterdir()], "run is not a training run: it has no config.json"),
        (cut(MODEL, 20_000), f"{MODEL} is not a complete safetensors file, in which training saves weights: it is"),
        (cut(MODEL, 100), f"{MODEL} is not a complete safetensors file"),
        (cut(MODEL, 0), f"{MODEL} is not a complete safetensors file"),
        (lambda run: (run / MODEL).write_bytes(os.urandom(50_000)), f"{MODEL} is not a complete safetensors file"),
        (lambda run: shutil.copy(run / "last.safetensors", run / MODEL), "names or shapes differ"),
        (cut("source.model", 100), "source.model is damaged"),
        (lambda run: (run / "target.model").unlink(), "run has no tokenizer: No such file or directory"),
        (cut("config.json", 9), "config.json: it is not valid JSON, so it is damaged or cut short; restore it from a"),
        (cut("run.json", 9), "run.json: it is not valid JSON, so it is damaged or cut short; restore it from a copy"),
        (without_values("run.json"), "run.json has no "),
        (lambda run: (run / "run.json").unlink(), "it has no run.json"),
    ],
)
def test_a_run_that_cannot_be_exported(
    change: Change, expected: str, run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "m.onnx"
    out.write_text("an earlier file")
    change(run)
    for options in ([], ["--int8"]):
        assert expected in error(capsys, "export", run, "-o", out, *options)
    assert out.read_text() == "an earlier file"
    assert {path.name for path in tmp_path.iterdir()} == {"run", "m.onnx"}


@pytest.mark.usefixtures("nothing_is_built")
@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (ROOT / "tests/files/35c52c7/float32.onnx", "is exported already, in float32; name the folder of the run"),
        (ROOT / "tests/files/35c52c7/classify.onnx", "is exported already, in float32; name the folder of the run"),
        (ROOT / "tests/files/35c52c7/int8.onnx", "is exported already, in int8; name the folder of the run"),
        (ROOT / "README.md", "is a file; name the folder of a training run"),
        ("none", "none is not a training run: it has no config.json"),
        (ROOT / "tests", "tests is not a training run: it has no config.json"),
    ],
)
def test_something_else_in_place_of_a_run(
    given: str | Path,
    expected: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert expected in error(capsys, "export", given, "-o", "m.onnx")
    assert [*tmp_path.iterdir()] == []


@pytest.mark.usefixtures("nothing_is_built")
@pytest.mark.parametrize(
    ("output", "expected"),
    [
        (".", "-o .: name a file in a folder that exists"),
        ("", "-o : name a file in a folder that exists"),
        ("none/m.onnx", "-o none/m.onnx: name a file in a folder that exists"),
        ("new/", "-o new/: name a file in a folder that exists"),
        ("run/config.json/m.onnx", "name a file in a folder that exists"),
        ("run", "-o run: name a file in a folder that exists"),
        (f"run/{MODEL}", f"-o run/{MODEL} is a file of the run itself; name another"),
        ("run/config.json", "-o run/config.json is a file of the run itself; name another"),
        ("x" * 300, "File name too long"),
        ("x" * 252, "File name too long"),  # the temporary file beside it has a longer name
        ("/proc/m.onnx", "cannot write /proc/m.onnx"),
    ],
)
def test_an_output_that_cannot_be_written_is_found_at_the_start(
    output: str, expected: str, run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    if output.startswith("/proc") and not Path("/proc/self").exists():
        pytest.skip("this system has no /proc, in which no file can be made")
    monkeypatch.chdir(run.parent)
    before = {path: path.stat().st_size for path in run.iterdir()}
    assert expected in error(capsys, "export", "run", "-o", output)
    assert {path: path.stat().st_size for path in run.iterdir()} == before
    assert [path.name for path in run.parent.iterdir()] == ["run"]


@pytest.mark.usefixtures("nothing_is_built")
@pytest.mark.parametrize("name", ["train.en", "notes"])
@pytest.mark.parametrize("data", [b"A house.\n", "A house.\n".encode("utf-16"), b"PK\x03\x04", b"\x89PNG\r\n"])
def test_a_file_that_is_no_model_is_not_replaced(
    name: str, data: bytes, run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(run.parent)
    Path(name).write_bytes(data)
    assert f"-o {name} exists and is no model file" in error(capsys, "export", "run", "-o", name)
    assert Path(name).read_bytes() == data


@pytest.mark.usefixtures("nothing_is_built")
@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="the superuser may write everywhere")
def test_a_folder_without_permission_is_found_at_the_start(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = run.parent / "locked"
    folder.mkdir(mode=0o500)
    assert "Permission denied" in error(capsys, "export", run, "-o", folder / "m.onnx")


@pytest.fixture
def quick_build(monkeypatch: pytest.MonkeyPatch) -> None:
    """Replace the export by one that takes no time."""
    level = Level("search", compared=1, equal=1, worst=0.0, passed=True)
    monkeypatch.setattr(commands, "_build", lambda *_: (b"a new file", [level.describe()]))


@pytest.mark.usefixtures("quick_build")
@pytest.mark.parametrize("earlier", [True, False])
def test_a_full_disk_keeps_the_earlier_file(
    earlier: bool, run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    out = run.parent / "m.onnx"
    if earlier:
        out.write_text("an earlier file")
    monkeypatch.setattr(os, "fsync", full)
    assert f"cannot write {out}: No space left on device" in error(capsys, "export", run, "-o", out)
    assert {path.name for path in run.parent.iterdir()} == {"run", *(["m.onnx"] if earlier else [])}
    monkeypatch.undo()
    assert not earlier or out.read_text() == "an earlier file"


@pytest.mark.usefixtures("quick_build")
def test_a_file_appears_only_when_it_is_complete(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("m.onnx", "run/m.onnx", "run/m.onnx"):  # the last replaces the one before
        assert main(["export", str(run), "-o", str(run.parent / name)]) == 0
        assert (run.parent / name).read_bytes() == b"a new file"
    assert "1 of 1 equal" in capsys.readouterr().out
    assert not [*run.parent.rglob("*.part")]
