"""Test that the C++ example gives the same translations as Python."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import onnxruntime
import pytest

from dragoman.runtime.translator import Translator
from tiny import ROOT, number_pairs

SOURCES = ROOT / "runtime" / "cpp"
HEADERS = Path(os.environ.get("ONNXRUNTIME_HEADERS", "/usr/include/onnxruntime"))
OTHER_HEADERS = [Path("/usr/include/sentencepiece_processor.h"), Path("/usr/include/unicode/normalizer2.h")]
LIBRARY = Path(onnxruntime.__file__).parent / "capi"

missing = [str(p) for p in (HEADERS / "onnxruntime_cxx_api.h", *OTHER_HEADERS) if not p.exists()]
pytestmark = [
    pytest.mark.slow,  # it compiles C++
    pytest.mark.skipif(bool(missing), reason=f"not installed: {', '.join(missing)} (see runtime/cpp/Makefile)"),
    pytest.mark.skipif(shutil.which("g++") is None, reason="g++ is not installed"),
    pytest.mark.skipif(
        not [*LIBRARY.glob("libonnxruntime.so.*")], reason="the onnxruntime wheel has no shared library on this system"
    ),
]


def test_cpp_host_gives_the_same_text(tmp_path: Path, tiny_file: Path) -> None:
    command = ["make", "-s", "-C", str(SOURCES), f"HEADERS={HEADERS}", f"ONNXRUNTIME={LIBRARY}", f"OUT={tmp_path}"]
    subprocess.run(command, check=True)
    lines = [p.source for p in number_pairs(1000)[::13]]
    lines += ["", "  12 \t 13 ", "\u0041\u030a\u00a0x", "\ufeff5", "1" * 3000, "\U0001f600"]
    host = [str(tmp_path / "dragoman"), str(tiny_file)]
    result = subprocess.run(
        host, input="".join(line + "\n" for line in lines), capture_output=True, text=True, check=True
    )
    expected = [t.text if t.parts == 1 else "" for t in Translator.load(tiny_file).translate(lines)]
    assert result.stdout.splitlines() == expected
    assert f"line {lines.index('1' * 3000) + 1}: the text is longer than the model takes" in result.stderr
    (tmp_path / "broken.onnx").write_bytes(tiny_file.read_bytes()[:5000])
    broken = subprocess.run([host[0], str(tmp_path / "broken.onnx")], capture_output=True, text=True, check=False)
    assert broken.returncode == 2
    assert broken.stderr.startswith("dragoman: ")
