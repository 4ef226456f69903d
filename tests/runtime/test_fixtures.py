"""Tests of the fixtures that hosts in every language test against: they are what Python computes."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import pytest

from dragoman.runtime.contract import PRECISIONS
from dragoman.runtime.labelling import Classifier, Tagger
from dragoman.runtime.tokenizer import Tokenizer
from dragoman.runtime.translator import Translator
from write_fixtures import FIXTURES, fixture, main, values_of


def near(expected: Any, tolerance: float) -> Any:  # noqa: ANN401 (JSON)
    """Return a value that equals those whose numbers differ by the tolerance at most."""
    if isinstance(expected, float):
        return pytest.approx(expected, abs=tolerance)
    if isinstance(expected, list):
        return [near(item, tolerance) for item in expected]
    return {key: near(item, tolerance) for key, item in expected.items()} if isinstance(expected, dict) else expected


def test_make_fixtures_writes_them(tmp_path: Path) -> None:
    main(tmp_path)
    for path in tmp_path.iterdir():
        if path.stem not in ("translations", "labels"):  # their numbers depend on the processor
            assert path.read_bytes() == (FIXTURES / path.name).read_bytes(), f"run `make fixtures`: {path.name}"


@pytest.mark.parametrize("case", fixture("tokenisation"), ids=lambda case: case["name"])
def test_ids(case: dict[str, Any]) -> None:
    tokenizer = Tokenizer(base64.b64decode(case["model"]), case["normalisation"])
    for row in case["texts"]:
        assert tokenizer.encode(row["text"]) == row["ids"], ascii(row["text"])
    for row in case["texts"] + case["decodings"]:
        assert tokenizer.decode(row["ids"]) == row["decoded"]


@pytest.mark.parametrize("group", fixture("translations"), ids=lambda group: f"{group['model']} {group['options']}")
def test_translations(group: dict[str, Any]) -> None:
    translator = Translator.load(FIXTURES / group["model"])
    options, cases = group["options"], group["cases"]
    strings = [options["protected"] for _ in cases] if "protected" in options else ()
    together = translator.translate([case["text"] for case in cases], **{**options, "protected": strings})
    for case, result in zip(cases, together, strict=True):
        expected = near(case["translation"], PRECISIONS[translator.metadata.precision])
        assert values_of(translator.translate(case["text"], **options)) == expected, ascii(case["text"])
        assert values_of(result) == expected, ascii(case["text"])


def test_labels() -> None:
    groups = fixture("labels")
    classifier = Classifier.load(FIXTURES / groups["classify"]["model"])
    tagger = Tagger.load(FIXTURES / groups["tag"]["model"])
    for case in groups["classify"]["cases"]:
        assert values_of(classifier.classify(case["text"])) == near(case["result"], 1e-3)
    for case in groups["tag"]["cases"]:
        assert values_of(tagger.tag(case["text"])) == near(case["result"], 1e-3)
