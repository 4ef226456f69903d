"""The JavaScript package against the fixtures of all hosts, and its ids against Python's on many more texts."""

from __future__ import annotations

import base64
import json
import random
import subprocess
from collections.abc import Sequence
from pathlib import Path
from shutil import which
from typing import Any, Literal

import pytest

from dragoman.runtime.protection import PLACEHOLDERS
from dragoman.runtime.tokenizer import Tokenizer
from dragoman.translate.config import TokenizerConfig
from dragoman.translate.encoding.subwords import train_tokenizer
from nasty import nasty_lines, nasty_strings
from tiny import ROOT

PACKAGE = ROOT / "runtime/web"
ONNXRUNTIME = ROOT / "tests/web/node_modules/onnxruntime-web"

pytestmark = pytest.mark.skipif(which("node") is None, reason="Node is not installed")

N_STRINGS = 2500  # for each tokenizer


def agree(tmp_path: Path, *cases: dict[str, Any]) -> None:
    """Assert that the package gives the answers of some cases."""
    path = tmp_path / "cases.json"
    path.write_text(json.dumps(cases), "ascii")  # JSON's escapes keep lone surrogates
    command = ["node", str(Path(__file__).with_name("compare.mjs")), str(path), str(PACKAGE)]
    ran = subprocess.run(command, capture_output=True, encoding="utf-8", check=False)
    assert ran.returncode == 0, ran.stderr
    for result in json.loads(ran.stdout):
        assert result["agree"] > 0
        assert result["differ"] == 0, result["first"]


LINES = nasty_lines()


def ids_case(tokenizer: Tokenizer, texts: Sequence[str]) -> dict[str, Any]:
    rows = []
    for text in texts:
        ids = tokenizer.encode(text)
        rows.append({"text": text, "ids": ids, "decoded": tokenizer.decode(ids)})
    model = base64.b64encode(tokenizer.model).decode()
    return {"kind": "ids", "tokenizer": model, "normalisation": tokenizer.normalisation, "rows": rows}


@pytest.mark.skipif(
    not ONNXRUNTIME.exists(), reason="onnxruntime-web is not installed; run make tests/web/node_modules/.installed"
)
def test_the_fixtures_hold() -> None:
    ran = subprocess.run(["node", "--test"], cwd=PACKAGE, capture_output=True, encoding="utf-8", check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr


@pytest.mark.parametrize("kind", ["bpe", "unigram"])
@pytest.mark.parametrize("symbols", [(), PLACEHOLDERS, ("<2de>", "<2fr>", *PLACEHOLDERS)])
def test_ids_are_those_of_sentencepiece(
    kind: Literal["bpe", "unigram"], symbols: Sequence[str], tmp_path: Path
) -> None:
    config = TokenizerConfig(kind=kind)
    tokenizer = train_tokenizer(LINES, config, 1200, symbols, len(LINES))
    draw = random.Random(4)
    texts = [*nasty_strings(5, N_STRINGS), *LINES[:300]]
    texts += ["".join(draw.choices([*symbols, " ", "a", "word", "\ud800"], k=9)) for _ in range(200)]
    agree(tmp_path, ids_case(tokenizer, texts))


def test_decodings_of_any_ids(tmp_path: Path) -> None:
    tokenizer = train_tokenizer(LINES, TokenizerConfig(vocabulary=1200), 1200, PLACEHOLDERS, len(LINES))
    draw = random.Random(6)
    model = base64.b64encode(tokenizer.model).decode()
    rows = []
    for _ in range(2000):
        ids = [draw.choice((draw.randrange(len(tokenizer)), draw.randrange(4, 300))) for _ in range(draw.randrange(12))]
        rows.append({"ids": ids, "decoded": tokenizer.decode(ids)})
    agree(tmp_path, {"kind": "decodings", "tokenizer": model, "normalisation": 2, "rows": rows})
