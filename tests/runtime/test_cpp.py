"""Tests of the C++ host: the fixtures of all hosts, and its program against Python."""

from __future__ import annotations

import base64
import os
import re
import shutil
import subprocess
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import onnxruntime
import pytest

from dragoman.runtime.contract import PRECISIONS
from dragoman.runtime.normalisation import VERSION, normalise
from dragoman.runtime.protection import emoji_spellings, protected_spans
from dragoman.runtime.translator import Translator
from tiny import ROOT, number_pairs
from write_fixtures import FIXTURES, fixture

SOURCES = ROOT / "runtime" / "cpp"
PROGRAMS = ROOT / "tests" / "runtime"
HEADERS = Path(os.environ.get("ONNXRUNTIME_HEADERS", "/usr/include/onnxruntime"))
ICU, SENTENCEPIECE = Path("/usr/include/unicode/normalizer2.h"), Path("/usr/include/sentencepiece_processor.h")
LIBRARY = Path(onnxruntime.__file__).parent / "capi"


def needs(*headers: Path) -> pytest.MarkDecorator:
    """Skip a test where a header is missing, or the compiler."""
    missing = [str(path) for path in headers if not path.exists()]
    if not shutil.which("g++"):
        missing.append("g++")
    return pytest.mark.skipif(bool(missing), reason=f"not installed: {', '.join(missing)} (see runtime/cpp/Makefile)")


needs_runtime = needs(HEADERS / "onnxruntime_cxx_api.h", SENTENCEPIECE, ICU)
needs_library = pytest.mark.skipif(
    not [*LIBRARY.glob("libonnxruntime.so.*")], reason="the onnxruntime wheel has no shared library on this system"
)
pytestmark = pytest.mark.slow  # it compiles C++


def is_line(text: str) -> bool:
    """Return whether a text can stand as a line of standard input."""
    return not re.search("[\n\ud800-\udfff]", text)


def lines_of(program: Sequence[str | Path], lines: Iterable[str]) -> list[str]:
    """Return the lines that a program prints for lines of input."""
    text = "".join(line + "\n" for line in lines).encode()
    return subprocess.run(program, input=text, capture_output=True, check=True).stdout.decode().split("\n")[:-1]


def compiled(source: Path, to: Path, *libraries: str) -> Path:
    """Compile a program that needs no ONNX Runtime."""
    subprocess.run(["g++", "-std=c++17", "-Wall", "-Wextra", "-Werror", source, "-o", to, *libraries], check=True)
    return to


def built(name: str, folder: Path) -> Path:
    """Build a program that needs ONNX Runtime."""
    settings = [f"HEADERS={HEADERS}", f"ONNXRUNTIME={LIBRARY}", f"OUT={folder}", f"VPATH={PROGRAMS}"]
    subprocess.run(["make", "-s", "-C", SOURCES, *settings, folder / name], check=True)
    return folder / name


@needs(ICU)
def test_texts_are_normalised_like_the_fixture(tmp_path: Path) -> None:
    program = compiled(PROGRAMS / "normalise.cpp", tmp_path / "normalise", "-licuuc")
    cases = [case for case in fixture("normalisation") if is_line(case["text"])]
    for version in range(1, VERSION + 1):
        found = lines_of([program, str(version)], (case["text"] for case in cases))
        assert found == [case[str(version)] for case in cases]


@needs(SENTENCEPIECE, ICU)
def test_texts_have_the_ids_of_the_fixture(tmp_path: Path) -> None:
    program = compiled(PROGRAMS / "tokenise.cpp", tmp_path / "tokenise", "-lsentencepiece", "-licuuc")
    for tokenizer in fixture("tokenisation"):
        (tmp_path / "model").write_bytes(base64.b64decode(tokenizer["model"]))
        command: list[str | Path] = [program, tmp_path / "model", str(tokenizer["normalisation"])]
        texts = [row for row in tokenizer["texts"] if is_line(row["text"])]
        found = lines_of(command, (row["text"] for row in texts))
        assert [[int(id_) for id_ in line.split()] for line in found] == [row["ids"] for row in texts]
        rows = texts + tokenizer["decodings"]
        decoded = lines_of([*command, "ids"], (" ".join(map(str, row["ids"])) for row in rows))
        assert decoded == [row["decoded"] for row in rows]


@needs_runtime
@needs_library
@pytest.mark.parametrize("precision", PRECISIONS)
def test_texts_have_the_translations_of_the_fixture(precision: str, tmp_path: Path) -> None:
    """The host does not split texts, and protects no spans."""
    program = built("translate", tmp_path)
    n_compared = 0
    for group in fixture("translations"):
        metadata = Translator.load(FIXTURES / group["model"]).metadata
        if metadata.precision != precision or group["options"].get("n_best", 1) > 1:
            continue
        values = {**metadata.defaults, **group["options"]}
        values["beam_size"] = group["options"].get("beam", values["beam_size"])
        settings = [str(values[name]) for name in ("beam_size", "length_penalty", "max_length")]
        cases = [case for case in group["cases"] if is_plain(case, group["options"])]
        found = lines_of([program, FIXTURES / group["model"], *settings], (case["text"] for case in cases))
        for line, case in zip(found, cases, strict=True):
            score, text = line.split("\t")
            assert text == case["translation"]["text"]
            assert float(score) == pytest.approx(case["translation"]["score"], abs=PRECISIONS[precision])
            n_compared += 1
    assert n_compared > 30


def is_plain(case: dict[str, Any], options: dict[str, Any]) -> bool:
    """Return whether a text is one line, translated in one part, without anything to protect."""
    text = normalise(case["text"])
    is_protected = protected_spans(text, options.get("protected", ())) or emoji_spellings(case["text"])
    return is_line(case["text"]) and case["translation"]["parts"] < 2 and not is_protected


@needs_runtime
@needs_library
def test_cpp_host_gives_the_same_text(tmp_path: Path, tiny_file: Path) -> None:
    lines = [p.source for p in number_pairs(1000)[::13]]
    lines += ["", "  12 \t 13 ", "\u0041\u030a\u00a0x", "\ufeff5", "1" * 3000, "\U00010400"]
    host = [built("dragoman", tmp_path), tiny_file]
    result = subprocess.run(
        host, input="".join(line + "\n" for line in lines), capture_output=True, text=True, check=True
    )
    expected = [t.text if t.parts == 1 else "" for t in Translator.load(tiny_file).translate(lines)]
    assert result.stdout.splitlines() == expected
    assert f"line {lines.index('1' * 3000) + 1}: the text is longer than the model takes" in result.stderr
    (tmp_path / "broken.onnx").write_bytes(tiny_file.read_bytes()[:5000])
    broken = subprocess.run([host[0], tmp_path / "broken.onnx"], capture_output=True, text=True, check=False)
    assert broken.returncode == 2
    assert broken.stderr.startswith("dragoman: ")
