"""The commands and the Python of the README and of the guides in docs/, run on small files; the examples."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from dragoman import cli
from dragoman.translate.config import from_tree
from dragoman.translate.evaluation import cell_comparison
from tiny import ROOT, classes, number_pairs, script, tagged, temperatures, tiny_toml

README = ROOT / "README.md"
# In the order in which a reader follows them: later pages use what earlier ones made.
GUIDE = [
    ROOT / "docs" / f"{name}.md"
    for name in "getting-started your-data training distillation export python-api troubleshooting".split()
]
OTHERS = sorted({*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("docs/[a-z]*/*.md")} - {README, *GUIDE})
PAGES = [README, *GUIDE, *OTHERS]
# Commands that are only parsed, by a part of them.
PARSED_ONLY = {
    "dragoman quickstart": "trains for minutes by the clock",
    "runs/quickstart-": "needs the file of the quickstart",
    "corpus libreoffice": "needs the network",
    "corpus multi30k": "needs captions that are not part of this repository",
    "--target vnni": "needs a processor with VNNI",
}
SET_UP = ("make ", "pip ", "python3 -m venv ")  # lines that install or test Dragoman itself
# What makes a command fit for a small corpus.
SMALLER = {
    "--size 20000": "--size 300",
    "dragoman cells": "dragoman cells --epochs 1 --size 300",
    # Enough for some translations of the reverse model to come to an end.
    "name=reverse": "name=reverse --set training.epochs=30 --set training.validate_every=30 --set training.lr=1e-2",
}


def blocks(page: Path, language: str) -> list[str]:
    """Return the code blocks of a page in one language."""
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text("utf-8"), re.DOTALL | re.MULTILINE)


def lines(page: Path) -> Iterator[str]:
    """Yield the shell commands of a page: lines of `sh` blocks, and lines after a prompt in `console` blocks."""
    text = page.read_text("utf-8")
    for language, block in re.findall(r"^```(sh|console)\n(.*?)^```", text, re.DOTALL | re.MULTILINE):
        for line in block.replace("\\\n", " ").splitlines():
            if language == "console":
                if line.startswith("$ "):
                    yield line[2:]
            elif line.strip() and not line.startswith("#"):
                yield line


def recorded(page: Path) -> list[str]:
    """Return the indented commands of a page, which say how something was measured."""
    text = re.sub(r"^```.*?^```", "", page.read_text("utf-8"), flags=re.DOTALL | re.MULTILINE).replace("\\\n", " ")
    return re.findall(r"^    (dragoman .*)", text, re.MULTILINE)


def commands(line: str) -> list[list[str]]:
    """Return the words of each call of dragoman in a line, without the program, redirections and comments."""
    calls = []
    for part in re.split(r" (?:\||&&) ", line):
        words = shlex.split(re.split(r" [<>] ", part)[0], comments=True)
        while words and re.match(r"\w+=", words[0]):  # a variable of the environment
            words.pop(0)
        if words[:1] == ["dragoman"]:
            calls.append(words[1:])
    return calls


def test_every_command_is_shown_and_parses(capsys: pytest.CaptureFixture[str]) -> None:
    shown = set()
    for page in PAGES:
        for words in (words for line in [*lines(page), *recorded(page)] for words in commands(line)):
            if words == ["--version"]:
                continue
            shown.add(words[0])
            try:
                assert callable(cli.parse(words).run)
            except SystemExit:
                pytest.fail(f"{page.name}: {shlex.join(words)}: {capsys.readouterr().err}")
    assert shown == {
        "corpus", "train", "evaluate", "compare", "distill", "backtranslate", "plot", "cells",
        "export", "verify", "quickstart", "translate", "run", "serve", "web", "info", "bench",
    }  # fmt: skip


def test_the_configurations_shown_load() -> None:
    required = {"name": "my", "data": {"corpus": "data/my"}}
    for page in PAGES:
        for toml in blocks(page, "toml"):
            from_tree({**required, **msgspec.toml.decode(toml)}, page.name)


def test_the_readme_is_short() -> None:
    assert len(README.read_text("utf-8").splitlines()) <= 150


def files_of_the_reader(folder: Path) -> None:
    """Write every file that the pages expect a reader to have."""
    pairs = number_pairs(300)
    for side, language in enumerate(("en", "de")):
        (folder / f"my.{language}").write_text("".join(pair[side] + "\n" for pair in pairs))
    for name, own in (("dev", number_pairs(320)[300:]), ("test", number_pairs(340)[320:])):
        for side, language in enumerate(("en", "de")):
            (folder / f"{name}.{language}").write_text("".join(pair[side] + "\n" for pair in own))
    (folder / "more.de").write_text("".join(pair.target + "\n" for pair in number_pairs(340)[300:]))
    (folder / "table.tsv").write_text("".join(f"x\t{pair.source}\t{pair.target}\n" for pair in pairs))
    rows = (json.dumps({"en": pair.source, "de": pair.target}) for pair in pairs)
    (folder / "lines.jsonl").write_text("".join(row + "\n" for row in rows))
    units = (
        f'<tu><tuv xml:lang="en"><seg>{pair.source}</seg></tuv><tuv xml:lang="de"><seg>{pair.target}</seg></tuv></tu>'
        for pair in pairs
    )
    with zipfile.ZipFile(folder / "de-en.txt.zip", "w") as archive:
        for side, language in enumerate(("en", "de")):
            archive.writestr(f"Books.de-en.{language}", "".join(pair[side] + "\n" for pair in pairs))
    (folder / "memory.tmx").write_text(f'<tmx version="1.4"><header/><body>{"".join(units)}</body></tmx>')
    for name in ("my", "phrases"):  # as on the pages, but trained in seconds
        toml = tiny_toml(Path("data") / name, name).replace("vocabulary = 300", "")  # each corpus fills another
        (folder / f"{name}.toml").write_text(toml)
    (folder / "configs").mkdir()
    for path in (ROOT / "configs").glob("*.toml"):  # as they are, but trained in seconds
        (folder / "configs" / path.name).write_text(re.sub(r"epochs = \d+", "epochs = 1", path.read_text("utf-8")))
    (folder / "sentiment.tsv").write_text(classes())
    (folder / "names.conll").write_text(tagged())
    (folder / "temperature.csv").write_text(temperatures(2000))
    (folder / "examples").symlink_to(ROOT / "examples")


def programs(folder: Path) -> dict[str, str]:
    """Write `dragoman`, `torchrun` and `python` of this interpreter, and return an environment that finds them."""
    folder.mkdir()
    python = shlex.quote(sys.executable)
    calls = {"dragoman": "-m dragoman", "torchrun": "-m torch.distributed.run --standalone", "python": ""}
    for name, arguments in calls.items():
        path = folder / name
        path.write_text(f'#!/bin/sh\nexec {python} {arguments} "$@"\n')
        path.chmod(0o755)
    return {**os.environ, "PATH": f"{folder}{os.pathsep}{os.environ['PATH']}"}


@pytest.mark.slow
def test_commands_and_python_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    files_of_the_reader(tmp_path)
    environment = programs(tmp_path / "bin")
    monkeypatch.chdir(tmp_path)
    few = {name: cell_comparison.SYNTHETIC_TASKS[name] for name in ("reverse", "add with attention")}
    monkeypatch.setattr(cell_comparison, "SYNTHETIC_TASKS", few)
    monkeypatch.setattr(cell_comparison, "ROUND_SECONDS", 0.01)
    run: set[str] = set()
    for page in [README, *GUIDE]:
        for line in lines(page):
            skipped = line.startswith(SET_UP) or any(part in line for part in PARSED_ONLY)
            if skipped or line in run:  # several pages show some commands
                continue
            run.add(line)
            for part, smaller in SMALLER.items():
                line = line.replace(part, smaller)
            if re.match(r"dragoman [^|<>&]*$", line) and "--version" not in line:  # in this process: PyTorch is loaded
                code = cli.main(shlex.split(line, comments=True)[1:])
                error = capsys.readouterr().err
            else:
                done = subprocess.run(line, shell=True, env=environment, capture_output=True, text=True)
                code, error = done.returncode, done.stderr
            assert code == 0, f"{page.name}: {line}: {error}"
    assert len(Path("phrases.translated").read_text("utf-8").splitlines()) == 30  # the test set
    for page in [
        README,
        *GUIDE,
    ]:  # last, since Python uses files of several pages; the blocks of a page build on one another
        if code_of_page := "\n".join(blocks(page, "python")):
            done = subprocess.run([sys.executable, "-c", code_of_page], capture_output=True, text=True)
            assert done.returncode == 0, f"{page.name}: {done.stderr}"
            assert done.stdout


def test_example_translate(tiny_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    example = script("examples/translate.py")
    assert example.main(str(tiny_file), ["12", "345"]) == 0
    out = capsys.readouterr().out
    assert [line.split(" -> ")[0] for line in out.splitlines() if " -> " in line] == ["12", "345"]
    assert out.count("  score -") == 2
    assert example.main(str(tiny_file.with_name("none.onnx")), ["12"]) == 2
    assert "none.onnx" in capsys.readouterr().err


def test_example_batch_job(tiny_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    example = script("examples/batch_job.py")
    example.LINES_AT_ONCE = 2
    source, output = tmp_path / "source", tmp_path / "output"
    source.write_text("12\n\n345\n")
    assert example.main(str(tiny_file), str(source), str(output), 2) == 0
    assert capsys.readouterr().err.splitlines() == ["2 lines", "3 lines"]
    rows = [line.split("\t") for line in output.read_text("utf-8").splitlines()]
    assert [row[0] for row in rows] == ["1", "1", "3", "3"]
    assert float(rows[0][1]) >= float(rows[1][1])
    assert example.main(str(tiny_file), str(tmp_path / "none"), str(output), 2) == 2


def test_example_read_metadata(tiny_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    example = script("examples/read_metadata.py")
    assert example.main(str(tiny_file)) == 0
    facts = json.loads(capsys.readouterr().out)
    assert (facts["task"], facts["languages"], facts["precision"]) == ("translate", ["en", "xx"], "float32")
