"""The JavaScript package against Python: ids, translations with their scores, and labels."""

from __future__ import annotations

import base64
import json
import random
import subprocess
import unicodedata
from collections.abc import Sequence
from pathlib import Path
from shutil import which
from typing import Any, Literal

import pytest

import dragoman
from dragoman.runtime.protection import PLACEHOLDERS
from dragoman.runtime.tokenizer import Tokenizer
from dragoman.translate.config import TokenizerConfig
from dragoman.translate.encoding.subwords import train_tokenizer
from tiny import ROOT

PACKAGE = ROOT / "runtime/web"
ONNXRUNTIME = ROOT / "tests/web/node_modules/onnxruntime-web/dist/ort.node.min.mjs"
FILES = ROOT / "tests/files/35c52c7"

pytestmark = [
    pytest.mark.skipif(which("node") is None, reason="Node is not installed"),
    pytest.mark.skipif(
        not ONNXRUNTIME.exists(),
        reason="onnxruntime-web is not installed; run make tests/web/node_modules/.installed",
    ),
]

N_STRINGS = 2500  # for each tokenizer
POOLS = [
    "abcdefghij klmno pqrst uvwxyz   ABC DEF",
    "0123456789.,:;!?%$€-–—'\"„“()[]{}<>/\\|@#&*+=~^_`",
    "äöüßéèêçñåøæœıİğşžčřđłαβγδжзиклмנושאبتثجحकखगघนมยกขคหাখগঘ",
    "中文字漢日本語ひらがなカタカナ한국어조선말。，、！？「」",
    "😀👍🏽👨‍👩‍👧🇩🇪🏴󠁧󠁢󠁥󠁮󠁧󠁿❤️🔥1️⃣",
    "\u0301\u0308\u200b\u200c\u200d\u200e\u00a0\u2003\u3000\t\n\r\x00\x1f\x7f\x85\ufeff\u2581\ufffd",
    "".join(PLACEHOLDERS) + "\U00010348\U0001d11e\U00020000\U0010ffff",
]


# Those that this Python knows; another version of Unicode may put others in another order.
ASSIGNED = [c for c in map(chr, range(0x110000)) if unicodedata.category(c) not in ("Cn", "Cs", "Co")]


def strings(seed: int, count: int) -> list[str]:
    """Return random strings over nasty alphabets: single ones, mixed ones, and long runs of one character."""
    draw = random.Random(seed)
    found = ["", " ", "a", "▁", "\ud800"]
    while len(found) < count:
        pools = draw.choices(POOLS, k=draw.choice((1, 1, 2, 4)))
        characters = [character for pool in pools for character in pool]
        text = "".join(draw.choices(characters, k=draw.choice((3, 8, 20, 40))))
        if draw.random() < 0.1:
            text = draw.choice(characters) * draw.choice((17, 100, 400)) + text
        if draw.random() < 0.3:
            text = "".join(draw.choice(ASSIGNED) for _ in text)
        found.append(text)
    return found


def agree(tmp_path: Path, *cases: dict[str, Any]) -> None:
    """Assert that the package gives the answers of some cases."""
    path = tmp_path / "cases.json"
    path.write_text(json.dumps(cases), "ascii")  # JSON's escapes keep lone surrogates
    command = ["node", str(Path(__file__).with_name("compare.mjs")), str(path), str(PACKAGE), str(ONNXRUNTIME)]
    ran = subprocess.run(command, capture_output=True, encoding="utf-8", check=False)
    assert ran.returncode == 0, ran.stderr
    for result in json.loads(ran.stdout):
        assert result["agree"] > 0
        assert result["differ"] == 0, result["first"]


@pytest.fixture(scope="module")
def lines() -> list[str]:
    """Return invented lines in which every kind of character stands."""
    draw = random.Random(3)
    words = ["".join(draw.choices(draw.choice(POOLS[:4]).replace(" ", ""), k=draw.randint(2, 7))) for _ in range(300)]
    return [" ".join(draw.choices(words, k=9)) for _ in range(2000)]


def ids_case(tokenizer: Tokenizer, texts: Sequence[str]) -> dict[str, Any]:
    rows = []
    for text in texts:
        ids = tokenizer.encode(text)
        rows.append({"text": text, "ids": ids, "decoded": tokenizer.decode(ids)})
    model = base64.b64encode(tokenizer.model).decode()
    return {"kind": "ids", "tokenizer": model, "normalisation": tokenizer.normalisation, "rows": rows}


def test_rules_of_text_are_those_of_the_fixtures() -> None:
    ran = subprocess.run(["node", "--test"], cwd=PACKAGE, capture_output=True, encoding="utf-8", check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr


@pytest.mark.parametrize("kind", ["bpe", "unigram"])
@pytest.mark.parametrize("symbols", [(), PLACEHOLDERS, ("<2de>", "<2fr>", *PLACEHOLDERS)])
def test_ids_are_those_of_sentencepiece(
    kind: Literal["bpe", "unigram"], symbols: Sequence[str], lines: list[str], tmp_path: Path
) -> None:
    config = TokenizerConfig(kind=kind)
    tokenizer = train_tokenizer(lines, config, 1200, symbols, len(lines))
    draw = random.Random(4)
    texts = [*strings(5, N_STRINGS), *lines[:300]]
    texts += ["".join(draw.choices([*symbols, " ", "a", "word", "\ud800"], k=9)) for _ in range(200)]
    agree(tmp_path, ids_case(tokenizer, texts))


def test_decodings_of_any_ids(lines: list[str], tmp_path: Path) -> None:
    tokenizer = train_tokenizer(lines, TokenizerConfig(vocabulary=1200), 1200, PLACEHOLDERS, len(lines))
    draw = random.Random(6)
    model = base64.b64encode(tokenizer.model).decode()
    rows = []
    for _ in range(2000):
        ids = [draw.choice((draw.randrange(len(tokenizer)), draw.randrange(4, 300))) for _ in range(draw.randrange(12))]
        rows.append({"ids": ids, "decoded": tokenizer.decode(ids)})
    agree(tmp_path, {"kind": "decodings", "tokenizer": model, "normalisation": 2, "rows": rows})


TEXTS = [
    "", " ", "a", "one two three", "A b c. D e f! G h?", "one\ntwo\r\n\n three", "x" * 500, "one " * 400,
    "See https://example.org/a?b=c and {name}, 12 %s of $HOME.", "\U0001f600 \u2764\ufe0f ok \ud800",
    "Dr. Smith came. He left at 5 p.m. on the 3. of May", "中文。日本語、テスト！", "e\u0301\u200b\u00a0f",
    "A long line of words that goes on and on, as letters do,\nuntil it wraps, and Then. ends", "word " * 30 + "end.",
]  # fmt: skip


def as_values(translation: dragoman.Translation) -> dict[str, Any]:
    return {
        "text": translation.text, "score": translation.score, "complete": translation.complete,
        "alignment": translation.alignment, "parts": translation.parts, "untranslated": translation.untranslated,
        "hypotheses": [{"text": h.text, "score": h.score, "complete": h.complete} for h in translation.hypotheses],
        "attention": [
            {"sourceSubwords": part.source_subwords, "targetSubwords": part.target_subwords,
             "weights": part.weights.tolist()}
            for part in translation.attention
        ],
    }  # fmt: skip


OPTIONS = [
    {}, {"beam": 1}, {"beam": 5, "n_best": 3, "alignments": True}, {"beam": 4, "length_penalty": 0.0, "max_length": 7},
    {"alignments": True, "protected": ["two", "Smith"]},
]  # fmt: skip
NAMES = {"n_best": "nBest", "length_penalty": "lengthPenalty", "max_length": "maxLength"}


@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize("name", ["float32", "int8"])
def test_translations_are_those_of_python(name: str, options: dict[str, Any], tmp_path: Path) -> None:
    model = FILES / f"{name}.onnx"
    translator = dragoman.Translator.load(model)
    texts = [text.encode("utf-8", "replace").decode() for text in TEXTS]
    protected = options.get("protected", ())
    expected = [as_values(translator.translate(text, **{**options, "protected": protected})) for text in texts]
    theirs = {NAMES.get(key, key): value for key, value in options.items()}
    together = {**theirs, "together": True, "protected": [protected] * len(texts)}
    values = {"kind": "translations", "model": str(model), "texts": texts, "expected": expected}
    agree(tmp_path, {**values, "options": theirs}, {**values, "options": together})


def test_labels_are_those_of_python(tmp_path: Path) -> None:
    classifier = dragoman.Classifier.load(FILES / "classify.onnx")
    tagger = dragoman.Tagger.load(FILES / "tag.onnx")
    texts = [text.encode("utf-8", "replace").decode() for text in TEXTS]
    classes = [
        {"label": c.label, "probability": c.probability, "probabilities": c.probabilities, "parts": c.parts}
        for c in classifier.classify(texts)
    ]
    tags = [
        {"words": t.words, "labels": t.labels, "probabilities": t.probabilities, "complete": t.complete}
        for t in tagger.tag(texts)
    ]
    values = {"kind": "labels", "texts": texts}
    agree(
        tmp_path,
        {**values, "method": "classify", "model": str(FILES / "classify.onnx"), "expected": classes},
        {**values, "method": "tag", "model": str(FILES / "tag.onnx"), "expected": tags},
    )
