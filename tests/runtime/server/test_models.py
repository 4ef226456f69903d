"""The models of a server: one a pair, found by any spelling, and loaded again when their files change."""

from __future__ import annotations

import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from copying import METADATA, file_of
from dragoman.runtime.errors import UserError
from dragoman.runtime.languages import bcp47, best_match, language_name, parse_language
from dragoman.runtime.server.errors import RequestError
from dragoman.runtime.server.models import Models


def model(folder: Path, source: str, target: str, name: str = "") -> str:
    """Write a file of some languages, and return its path."""
    path = folder / (name or f"{source}-{target}.onnx")
    return str(file_of(path, replace(METADATA, source_language=source, target_language=target)))


def test_two_models_of_one_pair_are_refused(tmp_path: Path) -> None:
    first, second = model(tmp_path, "en", "pt_BR", "a.onnx"), model(tmp_path, "en", "pt-br", "b.onnx")
    with pytest.raises(UserError, match=r"a\.onnx and .*b\.onnx both translate en-pt-BR; leave one of them out"):
        Models([first, second])


def test_a_region_is_preferred_and_a_script_is_required(tmp_path: Path) -> None:
    models = Models([model(tmp_path, "en", tag) for tag in ("pt", "pt_PT", "zh", "zh_TW", "sr")])
    found = {
        "pt": "pt", "pt-BR": "pt", "pb": "pt", "pt-PT": "pt-PT", "pt-AO": "pt", "zh": "zh", "zh-CN": "zh",
        "zh-Hans": "zh", "zt": "zh-TW", "zh-Hant": "zh-TW", "zh-HK": "zh-TW", "cmn": "zh", "sr-Cyrl": "sr",
    }  # fmt: skip
    for tag, expected in found.items():
        served = models.find("en", tag)
        assert served
        assert served.target == expected, tag
    with pytest.raises(RequestError, match="target is 'sr-Latn', which no model has"):
        models.find("en", "sr-Latn")


def test_languages_that_nobody_knows_have_their_tag_as_name(tmp_path: Path) -> None:
    models = Models([model(tmp_path, "qaa", "xx")])
    assert [row["name"] for row in models.languages()] == ["qaa", "xx"]
    assert models.find("QAA", "XX")


@pytest.mark.parametrize(
    ("tag", "language"),
    [("DE", "de"), ("deu", "de"), ("ger", "de"), ("iw", "he"), ("no", "nb"), ("nor", "nb"), ("nn", "nn"), ("in", "id")],
)
def test_codes_have_aliases(tag: str, language: str) -> None:
    assert parse_language(tag).language == language


@pytest.mark.parametrize("tag", ["", "-", "a", "x" * 10_000, "en-" * 1000, "\x00", "ä", "en-Latn-US-x-y", "1"])
def test_any_text_may_stand_for_a_language(tag: str) -> None:
    assert best_match(tag, ["de", "fr"]) is None
    assert isinstance(language_name(tag), str)
    assert isinstance(bcp47(tag), str)


def test_a_changed_file_is_loaded_when_it_rests(tmp_path: Path) -> None:
    path = model(tmp_path, "en", "de")
    models = Models([path])
    (before,) = models
    assert models.reload() == []
    file_of(Path(path), replace(METADATA, source_language="en", target_language="de", config={"name": "new"}))
    os.utime(path, ns=(1, 1))
    assert models.reload() == []  # it may still be written
    assert models.reload() == [f"loaded {path} again"]
    (after,) = models
    assert after is not before
    assert models.find("en", "de") is after
    assert models.reload() == models.reload() == []


def test_all_files_may_be_loaded_at_once(tmp_path: Path) -> None:
    paths = [model(tmp_path, "en", tag) for tag in ("de", "fr")]
    models = Models(paths)
    assert models.reload(all_files=True) == [f"loaded {path} again" for path in paths]


def test_a_damaged_or_missing_file_does_not_replace_a_model(tmp_path: Path) -> None:
    path = model(tmp_path, "en", "de")
    models = Models([path])
    (before,) = models
    good = Path(path).read_bytes()
    Path(path).write_bytes(good[:-100])
    assert models.reload() == []
    (message,) = models.reload()
    assert path in message
    assert message.endswith("; the model that was loaded before stays in use")
    assert models.reload() == []
    os.remove(path)
    assert models.reload() == []
    assert [*models] == [before]
    shutil.copy(model(tmp_path, "en", "fr"), path)
    models.reload()
    (message,) = models.reload()
    assert f"{path} now translates en-fr; restart the server for another pair" in message
    assert [*models] == [before]
    Path(path).write_bytes(good)
    models.reload()
    assert models.reload() == [f"loaded {path} again"]
