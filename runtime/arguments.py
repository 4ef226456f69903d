"""Checks of the arguments of the Python API."""

from __future__ import annotations

import operator
import os
from collections.abc import Iterable, Mapping, Set
from typing import Any

from dragoman.runtime.errors import UserError


def list_of_texts(text: str | Iterable[str]) -> list[str]:
    """Return one text, or several from any iterable that has an order, as a list. Raise UserError for anything else."""
    if isinstance(text, str):
        return [text]
    kind = type(text).__name__
    if isinstance(text, bytes | bytearray | memoryview):
        raise UserError(f"the text is of type {kind}; decode it to a str, for example with .decode('utf-8')")
    if not isinstance(text, Iterable):
        raise UserError(f"the text is of type {kind}; give a str or a list of them")
    if isinstance(text, Mapping | Set) or getattr(text, "ndim", 1) != 1:  # ndim: of an array or a table of pandas
        raise UserError(f"the texts are of type {kind}, which is no list; give a list of str")
    texts = list(text)
    for number, item in enumerate(texts, 1):
        if not isinstance(item, str):
            raise UserError(f"text {number} of {len(texts)} is of type {type(item).__name__}; it must be a str")
    return texts


def whole_number(
    name: str, value: Any, low: int, high: int | None = None, meaning: str = ""  # noqa: ANN401 (what a user gives)
) -> int:  # fmt: skip
    """Return an argument as an int. Raise UserError unless it is a whole number, of Python or numpy, in the range.

    meaning: the meaning of the largest number, for the message.
    """
    span = f"from {low:,} to {high:,}" if high is not None else f"at least {low:,}"
    span += meaning and f", {meaning}"
    try:
        number = None if isinstance(value, bool) else operator.index(value)
    except TypeError:
        number = None
    if number is None:
        raise UserError(f"{name} is {_shown(value)}; it must be a whole number, {span}")
    if number < low or (high is not None and number > high):
        raise UserError(f"{name} is {number:,}; it must be {span}")
    return number


def number_between(name: str, value: Any, low: float, high: float) -> float:  # noqa: ANN401 (what a user gives)
    """Return an argument as a float. Raise UserError unless it is a number in the range."""
    try:
        number = None if isinstance(value, bool | str | bytes) else float(value)
    except (TypeError, ValueError, OverflowError):
        number = None
    if number is None:
        raise UserError(f"{name} is {_shown(value)}; it must be a number from {low} to {high}")
    if not low <= number <= high:
        raise UserError(f"{name} is {number}; it must be from {low} to {high}")
    return number


def _shown(value: object) -> str:
    """Return a value as it is written in Python, or its type if that is long."""
    text = repr(value)
    return text if len(text) <= 40 and "\n" not in text else f"of type {type(value).__name__}"


def check_is_path(path: Any) -> None:  # noqa: ANN401 (what a user gives)
    """Raise UserError unless a model file is given by its path."""
    if not isinstance(path, str | os.PathLike):
        raise UserError(f"the model file is {_shown(path)}; give its path, a str or a Path")
    if not os.fspath(path):
        raise UserError(f"the model file is {path!r}, which is no path; give its path, such as en-de.onnx")
