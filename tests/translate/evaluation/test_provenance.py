"""The provenance of scores: the command that was run, the precision, and the corpus of the test set."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from dragoman.cli import main
from dragoman.runtime.loading import load as load_file
from dragoman.translate.evaluation import engine
from dragoman.translate.evaluation.engine import precision_of, torch_precision, translator_of
from dragoman.translate.evaluation.provenance import command
from dragoman.translate.evaluation.reranking import assemble
from dragoman.translate.files import read_rows
from dragoman.translate.training.run import Run

# Arguments that a shell would change if they were not quoted.
AWKWARD = ["a b", "it's", "$HOME", "*", "", "ä;&|<>", '"', "-u", "x\\y", "new\nline"]
PROBE = """
import json, os, sys
from dragoman.translate.evaluation.provenance import command
if os.environ.get("RANK", "0") == "0":
    print(json.dumps([command(), sys.argv[1:], os.environ.get("WORLD_SIZE", "1")]), flush=True)
"""


def run(words: list[str], folder: Path) -> list[object]:
    """Run a command that prints JSON, with the programs of this installation, and return what it prints."""
    programs = os.pathsep.join((str(folder / "bin"), str(Path(sys.executable).parent), os.environ["PATH"]))
    environment = {**os.environ, "PATH": programs, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(folder)}
    done = subprocess.run(words, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    printed: list[object] = json.loads(done.stdout)
    return printed


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["bin/dragoman"], "dragoman"),
        (["python", "probe.py"], "python probe.py"),
        (["python", "-m", "package.probe"], "python -m package.probe"),
        pytest.param(
            ["torchrun", "--standalone", "--nproc-per-node", "2", "-m", "package.probe"],
            "torchrun --nproc-per-node=2 -m package.probe",
            marks=pytest.mark.slow,  # starts four processes that import PyTorch, twice
        ),
        pytest.param(
            ["torchrun", "--standalone", "--nproc-per-node=1", "--no-python", "dragoman"],
            "torchrun --nproc-per-node=1 --no-python dragoman",
            marks=pytest.mark.slow,
        ),
    ],
)
def test_the_recorded_command_runs_the_same_again(words: list[str], expected: str, tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "package").mkdir()
    for name in ("probe.py", "package/probe.py", "bin/dragoman"):
        (tmp_path / name).write_text(f"#!{sys.executable}\n{PROBE}")
    (tmp_path / "bin/dragoman").chmod(0o755)
    printed = run([*words, *AWKWARD], tmp_path)
    recorded, arguments, _ = printed
    assert arguments == AWKWARD
    assert recorded == f"{expected} {shlex.join(AWKWARD)}"
    assert run(["sh", "-c", str(recorded)], tmp_path) == printed


def test_the_command_of_several_machines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        sys, "orig_argv", ["/usr/bin/python3", "-u", "-m", "dragoman.translate", "train", "my file.toml"]
    )
    monkeypatch.setattr(sys, "argv", ["/x/dragoman/translate/__main__.py", "train", "my file.toml"])
    assert command() == "python -u -m dragoman.translate train 'my file.toml'"
    for name, value in {
        "TORCHELASTIC_RUN_ID": "none", "LOCAL_WORLD_SIZE": "8", "WORLD_SIZE": "16", "GROUP_WORLD_SIZE": "2",
        "GROUP_RANK": "0", "MASTER_ADDR": "10.0.0.1", "MASTER_PORT": "29500",
    }.items():  # fmt: skip
        monkeypatch.setenv(name, value)
    assert command() == (
        "torchrun --nproc-per-node=8 --nnodes=2 --node-rank=0 --master-addr=10.0.0.1 --master-port=29500 "
        "-m dragoman.translate train 'my file.toml'"
    )


def test_precision_is_that_of_the_computation(tiny_run: Path, right_to_left_run: Path, tiny_file: Path) -> None:
    run, reranked = translator_of(Run(tiny_run)), assemble([Run(tiny_run), Run(right_to_left_run)])
    file = load_file(tiny_file)
    assert [precision_of(model) for model in (run, reranked, file)] == ["float32"] * 3
    with torch.autocast("cpu", torch.bfloat16):
        assert [precision_of(model) for model in (run, reranked)] == ["bfloat16"] * 2
        assert precision_of(file) == "float32"  # ONNX Runtime computed it
    object.__setattr__(file.metadata, "precision", "int8")
    assert precision_of(file) == "int8"


def test_tf32_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    assert torch_precision(torch.device("cuda")) == "float32"
    monkeypatch.setattr(torch.backends.cuda, "matmul", SimpleNamespace(allow_tf32=True))
    assert torch_precision(torch.device("cuda")) == "tf32"
    assert torch_precision(torch.device("cpu")) == "float32"


def test_every_record_has_the_precision(
    tiny_run: Path,
    tiny_corpus: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert Run(tiny_run).read_json("run.json")["scores"]["validation"]["precision"] == "float32"
    monkeypatch.setattr(engine, "torch_precision", lambda device: f"of {device}")
    record, page = tmp_path / "scores.jsonl", tmp_path / "page.html"
    words = ["--corpus", str(tiny_corpus), "--json", "--record", str(record), "--report", str(page)]
    assert main(["evaluate", str(tiny_run), *words]) == 0
    assert json.loads(capsys.readouterr().out)["precision"] == "of cpu"
    assert [row["precision"] for row in read_rows(record)] == ["of cpu"]
    assert "<td>of cpu</td>" in page.read_text("utf-8")


def test_scores_on_another_corpus_say_so(
    tiny_run: Path, tiny_file: Path, tiny_corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy, other, bare = (tmp_path / name for name in ("copy", "other", "bare"))
    for folder in (copy, other, bare):
        shutil.copytree(tiny_corpus, folder)
    lines = (other / "train.en").read_text().splitlines()
    (other / "train.en").write_text("\n".join(reversed(lines)) + "\n")
    (bare / "train.en").unlink()  # nothing is left to compare
    record, page = tmp_path / "scores.jsonl", tmp_path / "page.html"
    for model in (tiny_run, tiny_file):
        for folder, differs in ((tiny_corpus, False), (copy, False), (other, True), (bare, False)):
            words = ["evaluate", str(model), "--corpus", str(folder), "--json", "--record", str(record)]
            assert main([*words, "--report", str(page)]) == 0
            out, err = capsys.readouterr()
            note = (
                f"dragoman: {folder} is not the corpus that {model} learnt from, so its test set may hold training "
                "text\n"
            )
            assert (note in err, json.loads(out).get("other_corpus")) == (differs, differs or None)
            assert read_rows(record)[-1].get("other_corpus") == (differs or None)
            assert ("of another corpus than the training text" in page.read_text("utf-8")) == differs
    assert main(["evaluate", str(tiny_run), str(tiny_run), "--corpus", str(other)]) == 0
    assert f"is not the corpus that {tiny_run} and {tiny_run} learnt from" in capsys.readouterr().err
    before = json.loads((tiny_run / "run.json").read_text())
    old = tmp_path / "old"
    shutil.copytree(tiny_run, old)
    del before["corpus_sha256"]
    (old / "run.json").write_text(json.dumps(before))
    assert main(["evaluate", str(old), "--corpus", str(other)]) == 0
    assert "learnt from" not in capsys.readouterr().err  # it does not say


def test_a_student_knows_the_corpus_of_its_teachers(
    tiny_run: Path, tiny_corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its test set is the same, and no line of it can have come from the teachers."""
    distilled, student = tmp_path / "distilled", tmp_path / "student"
    assert main(["distill", str(tiny_run), "--out", str(distilled)]) == 0
    card = json.loads((distilled / "corpus.json").read_text())
    shutil.copytree(tiny_run, student)
    facts = json.loads((student / "run.json").read_text())
    assert card["distilled"]["corpus_sha256"] == facts["corpus_sha256"]
    facts |= {"corpus": {**card, "distilled": {"corpus_sha256": "other", "before": card["distilled"]}}}
    (student / "run.json").write_text(json.dumps({**facts, "corpus_sha256": "of the distilled corpus"}))
    capsys.readouterr()
    assert main(["evaluate", str(student), "--corpus", str(tiny_corpus)]) == 0
    assert "learnt from" not in capsys.readouterr().err
