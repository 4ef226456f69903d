"""Arguments of the Python API: every value that cannot be used is one UserError that says what is right."""

from __future__ import annotations

from collections import UserDict, deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import dragoman
from copying import file_of
from dragoman.runtime.errors import UserError
from dragoman.runtime.labelling import Classifier, Tagger
from dragoman.runtime.metadata import ModelFileError
from dragoman.runtime.translator import Translator
from tiny import ROOT

FILES = ROOT / "tests" / "files" / "35c52c7"


@pytest.fixture(scope="module")
def copier(tmp_path_factory: pytest.TempPathFactory) -> Translator:
    return Translator.load(file_of(tmp_path_factory.mktemp("copy") / "copy.onnx"))


class Column:
    """A column as pandas has it: values that can be iterated over, with one dimension."""

    ndim = 1

    def __init__(self, *values: object) -> None:
        self.values = values

    def __iter__(self) -> Iterator[object]:
        return iter(self.values)


class Table(Column):
    """A table as pandas has it: iteration yields the names of its columns."""

    ndim = 2


@pytest.mark.parametrize(
    "texts",
    [
        ["a", "b"], ("a", "b"), deque(["a", "b"]), {"a": 1, "b": 2}.keys().__iter__(), np.array(["a", "b"]),
        np.array(["a", "b"], object), Column("a", "b"), (letter for letter in "ab"), map(str.lower, "AB"),
    ],
    ids=lambda texts: type(texts).__name__,
)  # fmt: skip
def test_any_ordered_iterable_of_str_is_a_list_of_texts(copier: Translator, texts: Any) -> None:  # noqa: ANN401 (what a user may give)
    assert [t.text for t in copier.translate(texts)] == ["a", "b"]


def test_a_numpy_str_is_one_text(copier: Translator) -> None:
    assert copier.translate(np.str_("copy")).text == "copy"


NOT_TEXTS = [
    (None, "the text is of type NoneType; give a str or a list of them"),
    (3, "the text is of type int; give a str or a list of them"),
    (Path("a"), "the text is of type PosixPath; give a str or a list of them"),
    (b"a", r"the text is of type bytes; decode it to a str, for example with \.decode"),
    (bytearray(b"a"), "the text is of type bytearray; decode it"),
    (memoryview(b"a"), "the text is of type memoryview; decode it"),
    ({"a": "b"}, "the texts are of type dict, which is no list"),
    (UserDict(a="b"), "the texts are of type UserDict, which is no list"),
    ({"a"}, "the texts are of type set, which is no list"),
    (np.array([["a"], ["b"]]), "the texts are of type ndarray, which is no list"),
    (np.array("a"), "the texts are of type ndarray, which is no list"),
    (Table("a"), "the texts are of type Table, which is no list"),
    ([["a"], "b"], "text 1 of 2 is of type list; it must be a str"),
    (["a", None], "text 2 of 2 is of type NoneType; it must be a str"),
    ([b"a"], "text 1 of 1 is of type bytes; it must be a str"),
    (Column("a", float("nan")), "text 2 of 2 is of type float; it must be a str"),
]


@pytest.mark.parametrize(("texts", "message"), NOT_TEXTS, ids=lambda value: type(value).__name__)
def test_anything_else_is_refused(copier: Translator, texts: Any, message: str) -> None:  # noqa: ANN401 (what a user may give)
    classifier, tagger = Classifier.load(FILES / "classify.onnx"), Tagger.load(FILES / "tag.onnx")
    for method in (copier.translate, classifier.classify, tagger.tag):
        with pytest.raises(UserError, match=message):
            method(texts)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        *(
            (name, value, rf"{words} is {shown}; it must be a whole number, {span}")
            for name, words, span in (
                ("beam", "the beam size", "from 1 to 330, the vocabulary size"),
                ("n_best", "n-best", "at least 1"),
                ("max_length", "max_length", "from 1 to 1,000,000"),
                ("batch_size", "the batch size", "at least 1"),
                ("batch_tokens", "batch_tokens", "at least 1"),
            )
            for value, shown in (
                (2.5, "2.5"), (2.0, "2.0"), ("2", "'2'"), (True, "True"), (np.float64(2), ".*2.0.*"), ([2], r"\[2\]"),
                (np.zeros((9, 9)), "of type ndarray"),
            )
        ),
        ("beam", 0, "the beam size is 0; it must be from 1 to 330"),
        ("beam", -1, "the beam size is -1; it must be from 1 to 330"),
        ("beam", 10_000, "the beam size is 10,000; it must be from 1 to 330"),
        ("n_best", None, "n-best is None; it must be a whole number"),
        ("n_best", 0, "n-best is 0; it must be at least 1"),
        ("batch_size", None, "the batch size is None; it must be a whole number"),
        ("batch_size", 0, "the batch size is 0; it must be at least 1"),
        ("batch_tokens", 0, "batch_tokens is 0; it must be at least 1"),
        ("max_length", 0, "max_length is 0; it must be from 1 to 1,000,000"),
        ("max_length", 10**7, "max_length is 10,000,000; it must be from 1 to 1,000,000"),
        *(
            ("length_penalty", value, "the length penalty is .*; it must be (a number )?from 0 to 5")
            for value in (-1, 5.1, float("nan"), float("inf"), "1", True, [1, 2], 1j, 10**400)
        ),
    ],
)  # fmt: skip
def test_arguments_that_are_refused(copier: Translator, name: str, value: Any, message: str) -> None:  # noqa: ANN401 (what a user may give)
    with pytest.raises(UserError, match=message) as caught:
        copier.translate("a", **{name: value})
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("kind", [np.int8, np.int64, np.uint16, np.array])
def test_whole_numbers_of_numpy_are_accepted(copier: Translator, kind: Callable[[int], Any]) -> None:
    found = copier.translate(
        "copy", beam=kind(4), n_best=kind(2), max_length=kind(9), batch_size=kind(1), batch_tokens=kind(99)
    )
    assert found == copier.translate("copy", beam=4, n_best=2, max_length=9)
    penalty: Any = np.float32(1)
    assert copier.translate("copy", length_penalty=penalty, beam=None, max_length=None).text == "copy"


@pytest.mark.parametrize("load", [dragoman.load, Translator.load])
def test_arguments_of_load(load: Callable[..., Any]) -> None:
    model = FILES / "float32.onnx"
    for threads in (-1, 1025, 2.5, "2", None, True):
        with pytest.raises(
            UserError, match=r"^threads is .*; it must be (a whole number, )?from 0 to 1,024, where 0 is"
        ):
            load(model, threads=threads)
    for path in (None, 3, b"model.onnx", [model]):
        with pytest.raises(UserError, match=r"the model file is .*; give its path, a str or a Path"):
            load(path)
    with pytest.raises(ModelFileError, match="null"):
        load("x\0y")
    with pytest.raises(UserError, match=r"^the model file is '', which is no path; give its path, such as en-de.onnx$"):
        load("")


def test_the_batch_size_of_labelling() -> None:
    classifier, tagger = Classifier.load(FILES / "classify.onnx"), Tagger.load(FILES / "tag.onnx")
    methods: list[Any] = [classifier.classify, tagger.tag]  # of any type of arguments, as from JSON
    for method in methods:
        for size in (0, 1.5, "2", None, True):
            with pytest.raises(UserError, match=r"the batch size is .*; it must be (a whole number, )?at least 1"):
                method("a", batch_size=size)
        assert method(text for text in ("a", "b")) == method(["a", "b"], batch_size=np.int32(1))


@pytest.mark.parametrize("values", [None, "abc", [["a", "b"]], {"a": 1}, 3.0, [[[1.0, 2.0]]], [1j], [], [[]]])
def test_values_of_a_forecast(values: Any) -> None:  # noqa: ANN401 (what a user may give)
    forecaster = dragoman.Forecaster.load(FILES / "forecast.onnx")
    with pytest.raises(UserError):
        forecaster.forecast(values)
