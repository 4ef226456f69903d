"""Training on damaged corpora and full disks: one sentence, and no file that is half written."""

from __future__ import annotations

import json
import os
import resource
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dragoman.cli import main
from tiny import ROOT, tiny_toml

Change = Callable[[Path], object]

LABELLED = {"task": "classify", "source_language": "en", "target_language": "labels", "labels": ["bad", "good"]}
SERIES = {"task": "forecast", "source_language": "", "target_language": ""}


def write(name: str, data: bytes) -> Change:
    return lambda folder: (folder / name).write_bytes(data)


def write_all(**files: bytes) -> Change:
    """Return a change that writes both sides of splits."""
    return lambda folder: [(folder / name.replace("_", ".")).write_bytes(data) for name, data in files.items()]


def cut(name: str, lines: int) -> Change:
    def change(folder: Path) -> None:
        kept = (folder / name).read_bytes().splitlines(keepends=True)[:lines]
        (folder / name).write_bytes(b"".join(kept))

    return change


def edit_card(**entries: Any) -> Change:  # noqa: ANN401 (JSON values)
    """Return a change of entries of the corpus card; None removes one."""

    def change(folder: Path) -> None:
        card = {**json.loads((folder / "corpus.json").read_text()), **entries}
        (folder / "corpus.json").write_text(
            json.dumps({key: value for key, value in card.items() if value is not None})
        )

    return change


def remove(name: str) -> Change:
    return lambda folder: (folder / name).unlink()


def as_folder(name: str) -> Change:
    return lambda folder: [(folder / name).unlink(), (folder / name).mkdir()]  # type: ignore[func-returns-value]  # in turn


DAMAGED: dict[str, tuple[Change, str]] = {
    "a side is missing": (remove("train.xx"), "cannot read {corpus}/train.xx: No such file"),
    "a held-out side is missing": (remove("valid.en"), "cannot read {corpus}/valid.en: No such file"),
    "a side is a folder": (as_folder("train.en"), "cannot read {corpus}/train.en: Is a directory"),
    "no training pairs": (write_all(train_en=b"", train_xx=b""), "{corpus} has no training pairs"),
    "an empty side": (write("train.xx", b""), "{corpus}: train has 300 source and 0 target lines"),
    "no validation pairs": (write_all(valid_en=b"", valid_xx=b""), "{corpus} has no validation pairs"),
    "an empty held-out side": (write("valid.en", b""), "{corpus}: valid has 0 source and 50 target lines"),
    "a side that is cut short": (cut("train.xx", 100), "{corpus}: train has 300 source and 100 target lines"),
    "bytes that are not UTF-8": (write("train.xx", b"\xff\n" * 300), "{corpus}/train.xx, line 1 is not UTF-8"),
    "one long line": (
        write_all(train_en=b"a b " * 9999 + b"\n", train_xx=b"c d " * 9999 + b"\n"),
        "data.max_length = 100 is too small: all rows to train on are longer",
    ),
    "no card": (remove("corpus.json"), "{corpus} is not a corpus: it has no corpus.json"),
    "an empty card": (write("corpus.json", b""), "{corpus}/corpus.json is not a valid corpus card"),
    "half a card": (write("corpus.json", b'{"source_langu'), "{corpus}/corpus.json is not a valid corpus card"),
    "a card that is a list": (write("corpus.json", b"[]"), "Expected `object`, got `array`"),
    "a card without a language": (edit_card(source_language=None), "missing required field `source_language`"),
    "a language that is a number": (edit_card(target_language=3), "Expected `str`, got `int` - at `$.target_language`"),
    "counts that are text": (edit_card(pairs={"train": "x"}), "Expected `int`, got `str`"),
    "tags that are a number": (edit_card(tags=3), "Expected `array`, got `int` - at `$.tags`"),
    "an unknown task": (edit_card(task="sing"), "is a corpus to sing"),
}


def train(toml: Path, capsys: pytest.CaptureFixture[str]) -> str:
    """Train in vain, in the current folder, and return the message."""
    assert main(["train", str(toml)]) == 2
    told = capsys.readouterr().err.splitlines()[-1]
    assert told.startswith("dragoman: ")
    assert not [*Path("runs").rglob("*.part")]
    assert not [*Path("runs").rglob("*.safetensors")]
    return told


@pytest.mark.parametrize("case", DAMAGED)
def test_a_damaged_corpus_is_one_sentence(
    case: str, tiny_corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    corpus = Path(shutil.copytree(tiny_corpus, tmp_path / "corpus"))
    change, expected = DAMAGED[case]
    change(corpus)
    toml = tmp_path / "tiny.toml"
    toml.write_text(tiny_toml(corpus).replace("vocabulary = 300", ""))
    assert expected.format(corpus=corpus) in train(toml, capsys)


def test_one_pair_is_enough(tiny_corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    corpus = Path(shutil.copytree(tiny_corpus, tmp_path / "corpus"))
    for split in ("train", "valid"):
        for side in ("en", "xx"):
            cut(f"{split}.{side}", 1)(corpus)
    (tmp_path / "tiny.toml").write_text(tiny_toml(corpus).replace("vocabulary = 300", ""))
    assert main(["train", "tiny.toml"]) == 0
    assert Path("runs/tiny/model.safetensors").exists()


@pytest.mark.parametrize(
    ("card", "files", "expected"),
    [
        (LABELLED, {"train": (b"", b""), "valid": (b"a\n", b"bad\n")}, "has no training texts"),
        (LABELLED, {"train": (b"a\nb\n", b"bad\ngood\n"), "valid": (b"", b"")}, "has no validation texts"),
        (LABELLED, {"train": (b"a\nb\n", b"bad\n"), "valid": (b"a\n", b"bad\n")}, "train has 2 source and 1 target"),
        (
            {**LABELLED, "labels": []}, {"train": (b"a\n", b"bad\n"), "valid": (b"a\n", b"bad\n")},
            "line 1 of train has the label 'bad', which is not in the corpus card",
        ),
        (
            {**LABELLED, "labels": "bad"}, {"train": (b"a\n", b"bad\n"), "valid": (b"a\n", b"bad\n")},
            "Expected `array`, got `str` - at `$.labels`",
        ),
    ],
)  # fmt: skip
def test_damaged_labelled_text(
    card: dict[str, Any], files: dict[str, tuple[bytes, bytes]], expected: str, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    (tmp_path / "corpus").mkdir()
    (tmp_path / "corpus" / "corpus.json").write_text(json.dumps(card))
    for split, sides in files.items():
        for name, data in zip(("en", "labels"), sides, strict=True):
            (tmp_path / "corpus" / f"{split}.{name}").write_bytes(data)
    toml = tmp_path / "labels.toml"
    toml.write_text('name = "labels"\ntask = "classify"\n[data]\ncorpus = "corpus"\n')
    assert expected in train(toml, capsys)


@pytest.mark.parametrize("split", ["train", "valid", "test"])
@pytest.mark.parametrize("data", [b"", b"time,a\n", b"time,a\n2024-01-01 00:00,1\n", b"\x00\xff", None])
def test_damaged_series(
    split: str, data: bytes | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    rows = "".join(f"2024-01-{day:02} {hour:02}:00,{hour + day}\n" for day in range(1, 29) for hour in range(24))
    (tmp_path / "corpus").mkdir()
    (tmp_path / "corpus" / "corpus.json").write_text(json.dumps(SERIES))
    for name in ("train", "valid", "test"):
        (tmp_path / "corpus" / f"{name}.csv").write_text("time,a\n" + rows)
    if data is None:
        (tmp_path / "corpus" / f"{split}.csv").unlink()
    else:
        (tmp_path / "corpus" / f"{split}.csv").write_bytes(data)
    toml = tmp_path / "series.toml"
    toml.write_text(
        'name = "series"\ntask = "forecast"\n[data]\ncorpus = "corpus"\n'
        "[series]\nwindow = 24\nhorizon = 12\nperiod = 24\n"
    )
    if split == "test" and data and data.startswith(b"time,a\n2024"):
        return  # training does not look at the test set
    assert "corpus" in (told := train(toml, capsys)) or "part" in told


FULL = """
import resource, signal, sys
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv.pop(1)), resource.RLIM_INFINITY))
from dragoman.cli import main
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.skipif(not hasattr(resource, "RLIMIT_FSIZE"), reason="needs a limit for the size of files")
@pytest.mark.parametrize("size", [0, 10, 1000, 3000, 20_000, 100_000])
def test_files_that_cannot_grow_are_one_sentence(size: int, toml: Path, tmp_path: Path) -> None:
    """A write fails at one file after the other: lock, tokenizer, shards, checkpoint, log."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "MPLCONFIGDIR": str(tmp_path), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(
        [sys.executable, "-c", FULL, str(size), "train", str(toml)],
        cwd=tmp_path, capture_output=True, text=True, env=environment,
    )  # fmt: skip
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    told = done.stderr.splitlines()[-1]
    assert told.startswith("dragoman: ")
    assert "File too large" in told
    assert "runs/tiny" in told
    assert not [*(tmp_path / "runs").rglob("*.part")]
