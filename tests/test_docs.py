"""The documentation: links, the generated pages, and the file format as the code writes it."""

from __future__ import annotations

import importlib.util
import json
import re
import subprocess
import sys
import unicodedata
from pathlib import Path
from typing import Any

import msgspec
import onnx
import pytest

from dragoman.runtime.contract import BOS, CONTRACTS, EOS, METADATA_PREFIX, PAD, PRECISIONS, UNK
from dragoman.runtime.metadata import Metadata, read_model_file
from dragoman.runtime.translator import Translator
from tiny import ROOT, script
from write_fixtures import fixture

DOCS = ROOT / "docs"
FORMAT = (DOCS / "file-format.md").read_text("utf-8")
FOLDERS = "docs examples configs bench runtime translate export tests".split()
PAGES = sorted(
    page
    for page in (*ROOT.glob("*.md"), *(page for folder in FOLDERS for page in (ROOT / folder).rglob("*.md")))
    if DOCS / "_build" not in page.parents and "node_modules" not in page.parts
)
EXAMPLE = ROOT / "tests" / "files" / "35c52c7" / "float32.onnx"

needs_sphinx = pytest.mark.skipif(not importlib.util.find_spec("sphinx"), reason="`make docs` installs Sphinx")


def prose(page: Path) -> str:
    """Return a page without its code, fenced, indented or inline."""
    text = re.sub(r"^```.*?^```", "", page.read_text("utf-8"), flags=re.DOTALL | re.MULTILINE)
    return re.sub(r"`[^`\n]*`", lambda code: code[0].replace("[", " ").replace("(", " "), text)


def anchors(page: Path) -> set[str]:
    """Return the link targets that a code host gives a page's headings."""
    headings = re.findall(r"^#+ (.+)$", re.sub(r"^```.*?^```", "", page.read_text("utf-8"), flags=re.S | re.M), re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def section(text: str, heading: str) -> str:
    """Return the part of a page under a heading of the second level."""
    (part,) = [part for part in re.split(r"^## ", text, flags=re.MULTILINE) if part.startswith(f"{heading}\n")]
    return part


def rows(text: str) -> list[list[str]]:
    """Return the cells of all rows of tables in a text."""
    return [[cell.strip() for cell in line.strip().strip("|").split("|")] for line in re.findall(r"^\|.*", text, re.M)]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_to_files_and_headings(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(page)):
        if re.match(r"\w+:", target):
            continue
        path, _, anchor = target.partition("#")
        linked = (page.parent / path).resolve() if path else page
        assert linked.exists(), f"{target} does not exist"
        assert linked.is_relative_to(ROOT), f"{target} is outside the repository"
        if anchor:
            assert anchor in anchors(linked), f"{target}: {linked.name} has no such heading"


def test_every_page_is_on_an_index() -> None:
    listed = {
        (index.parent / target).resolve()
        for index in (DOCS / "index.md", DOCS / "experiments.md")
        for target in re.findall(r"^- \[.*?\]\(([\w./-]+\.md)\)", index.read_text("utf-8"), re.MULTILINE)
    }
    pages = {page for page in PAGES if page.parent in (DOCS, DOCS / "experiments", ROOT)}
    assert pages - listed == {DOCS / "index.md"}


def test_the_command_reference_is_current() -> None:
    commands = script("docs/commands.py")
    assert commands.PAGE.read_text("utf-8") == commands.page(), "run `make docs` or docs/commands.py"


def test_every_recorded_run_has_a_title_and_no_other() -> None:
    lines = (DOCS / "results" / "scores.jsonl").read_text("utf-8").splitlines()
    titles = msgspec.toml.decode((DOCS / "results" / "runs.toml").read_bytes())
    assert {json.loads(line)["run"] for line in lines} == {*titles}
    assert all({*entry} == {"title", "meaning"} for entry in titles.values())


@pytest.mark.parametrize("task", CONTRACTS)
def test_the_tables_of_tensors_are_the_contract(task: str) -> None:
    text = section(FORMAT, task.capitalize())
    found: tuple[dict[str, object], dict[str, object]] = ({}, {})
    side = -1
    for cells in rows(text):
        if cells[0] in ("input", "output"):
            side = ("input", "output").index(cells[0])
        elif cells[0] == "member":
            break
        elif name := re.fullmatch("`(.*)`", cells[0]):
            found[side][name[1]] = (cells[1], tuple(re.findall(r"\w", cells[2])))
    assert found == CONTRACTS[task]
    assert [[*tensors] for tensors in found] == [[*tensors] for tensors in CONTRACTS[task]]  # in the same order


def test_the_table_of_metadata_is_what_a_file_holds() -> None:
    metadata = Metadata("en", "de", b"source", b"target", 100, {}, {}, {}, {})
    table = {cells[0].strip("`"): cells[1] for cells in rows(section(FORMAT, "Metadata")) if cells[0].startswith("`")}
    properties = metadata.to_props()
    assert {*table} == {*properties}
    encodings = {"object": dict, "array": list, "integer": int}
    for key, encoding in table.items():
        if encoding in encodings:
            assert type(json.loads(properties[key])) is encodings[encoding], key
        else:
            assert encoding == ("base64" if key.endswith("tokenizer") else "text"), key
    required = {cells[0].strip("`") for cells in rows(section(FORMAT, "Metadata")) if cells[2:3] == ["reject"]}
    for key in properties:
        if key in required:
            with pytest.raises(ValueError, match=key):
                Metadata.from_props({k: v for k, v in complete().items() if k != key})
        else:
            Metadata.from_props({k: v for k, v in complete().items() if k != key})


def complete() -> dict[str, str]:
    """Return metadata that a host accepts."""
    defaults = {"beam_size": 5, "length_penalty": 1.0, "max_length": 200}
    return Metadata("en", "de", b"source", b"target", 100, defaults, {}, {}, {"cases": []}).to_props()


def test_special_ids_and_tolerances_are_those_of_the_code() -> None:
    ids = {cells[1].strip("`"): int(cells[0]) for cells in rows(section(FORMAT, "Tokenizer")) if cells[0].isdecimal()}
    assert ids == {"<pad>": PAD, "<unk>": UNK, "<s>": BOS, "</s>": EOS}
    assert "within 1e-3 (float32) or 0.05 (int8)" in section(FORMAT, "Self-test")
    assert PRECISIONS == {"float32": 1e-3, "int8": 0.05}
    assert METADATA_PREFIX == "dragoman."


def test_the_checksum_entry_has_the_bytes_of_the_table() -> None:
    data = read_model_file(EXAMPLE)
    assert data[-85:-64] == bytes.fromhex("7253 0A0F") + b"dragoman.sha256" + bytes.fromhex("1240")
    model = onnx.load_from_string(data)
    assert f"IR version {model.ir_version}, opset {model.opset_import[0].version})" in section(FORMAT, "Container")


def test_the_minimal_host_translates_as_the_runtime_does(tiny_file: Path) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", FORMAT, re.DOTALL)
    lines = ["12", "345", "", "6 7 8", "\u2581 a\u0308\x07 \xa0 9", "3\u200b4\u2003\u200d5", "\ufeff", "no number"]
    host = [sys.executable, "-c", code]
    text = "".join(line + "\n" for line in lines)
    done = subprocess.run([*host, str(tiny_file)], input=text, capture_output=True, encoding="utf-8", check=True)
    assert done.stdout.splitlines() == [result.text for result in Translator.load(tiny_file).translate(lines)]
    old = subprocess.run([*host, str(EXAMPLE)], input=text, capture_output=True, encoding="utf-8", check=False)
    assert old.returncode == 1
    assert "a file with the older normalisation" in old.stderr


def test_the_minimal_host_normalises_as_the_runtime_does() -> None:
    (code,) = re.findall(r"```python\n(.*?)```", FORMAT, re.DOTALL)
    names: dict[str, Any] = {"re": re, "unicodedata": unicodedata}
    exec(code[code.index("SPACES =") : code.index("def translate")], names)
    for case in fixture("normalisation"):
        assert names["normalise"](case["text"]) == case["2"], ascii(case["text"])


@needs_sphinx
@pytest.mark.slow  # it reads every page and imports the runtime
def test_the_site_builds_without_a_warning(tmp_path: Path) -> None:
    words = [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", "-c", str(DOCS), str(ROOT), str(tmp_path)]
    done = subprocess.run(words, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert 'href="docs/results.html"' in (tmp_path / "README.html").read_text("utf-8")
    assert "translate" in (tmp_path / "docs" / "reference.html").read_text("utf-8")
