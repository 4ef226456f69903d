"""The two ways in which a command ends early: a mistake of the user, or an interruption by the user."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


class UserError(ValueError):
    """A mistake in the user's input: a file, a text, an option or an argument.

    The message is one line. It names the input, says what is wrong, and says what would be right. Commands print it
    to standard error and exit with status 2. `ModelFileError`, for unusable model files, is a subclass.

    Example:
        >>> try:
        ...     translator = dragoman.Translator.load("en-de.onnx")
        ... except dragoman.UserError as error:
        ...     print(error)
        cannot read en-de.onnx: No such file or directory
    """


class Interrupted(Exception):
    """An interruption by Ctrl-C after which everything was saved. Commands print its message and exit with 130."""


@contextmanager
def about(name: object) -> Iterator[None]:
    """Put the name of an input before the message of a UserError."""
    try:
        yield
    except UserError as error:
        raise UserError(f"{name}: {error}") from None
