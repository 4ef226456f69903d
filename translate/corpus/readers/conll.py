"""Sentences whose words have a label each, in columns: CoNLL-2003, CoNLL-U and similar formats."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

from dragoman.runtime.errors import UserError
from dragoman.runtime.normalisation import normalise
from dragoman.runtime.wording import counted
from dragoman.translate.corpus.folder import Pair
from dragoman.translate.corpus.readers.lines import read_strict

CONLL_U_COLUMNS = 10
CONLL_U_WORD, CONLL_U_TAG = 2, 4  # FORM and UPOS

# The first column of CoNLL-U. A range (`1-2`) is a token of several words, and a decimal (`1.1`) is an empty node;
# neither is a word of its own.
CONLL_U_ID = re.compile(r"\d+(?P<no_word>[-.]\d+)?")

SPACE_IN_WORD = "_"  # replaces a space inside a word, which some treebanks have; words are separated by spaces


class _Layout(NamedTuple):
    """The columns of a file, as its first line of words has them."""

    columns: int
    tabbed: bool
    is_conll_u: bool


def read_tags(path: str | Path, word: int | None = None, tag: int | None = None) -> Iterator[Pair]:
    """Yield sentences, as words paired with labels, both joined by spaces. An empty line ends a sentence.

    `word` and `tag` are columns, counted from 1. The default is the first and the last, or the second and the fourth of
    CoNLL-U. Raises UserError with the line if a column is missing, or if the number of columns changes.
    """
    words: list[str] = []
    tags: list[str] = []
    layout: _Layout | None = None
    texts = read_strict(path)
    certain_labels = cache(lambda: _certain_labels(texts, tag))
    for number, text in enumerate(texts, 1):
        if not text.strip():
            if words:
                yield Pair(" ".join(words), " ".join(tags))
            words, tags = [], []
            continue
        fields = _fields(text)
        is_comment = not words and _is_comment(text, fields, layout, tag, certain_labels)
        if is_comment or text.startswith("-DOCSTART-"):
            continue
        if layout is None:
            is_conll_u = len(fields) == CONLL_U_COLUMNS and CONLL_U_ID.fullmatch(fields[0]) is not None
            layout = _Layout(len(fields), "\t" in text, is_conll_u)
        if layout.is_conll_u and (match := CONLL_U_ID.fullmatch(fields[0])) and match["no_word"]:
            continue
        if len(fields) != layout.columns:
            raise UserError(
                f"{path}, line {number:,} has {counted(len(fields), 'column')}, but the lines before have "
                f"{layout.columns}"
            )
        word_column = word or (CONLL_U_WORD if layout.is_conll_u else 1)
        tag_column = tag or (CONLL_U_TAG if layout.is_conll_u else layout.columns)
        last_column = max(2, word_column, tag_column)
        if last_column > layout.columns:
            raise UserError(f"{path}, line {number:,}: no column {last_column}; each line needs a word and a label")
        values = [normalise(fields[column - 1]).replace(" ", SPACE_IN_WORD) for column in (word_column, tag_column)]
        if not all(values):
            raise UserError(f"{path}, line {number:,}: the word or its label is empty")
        words.append(values[0])
        tags.append(values[1])
    if words:
        yield Pair(" ".join(words), " ".join(tags))


def _is_comment(
    text: str, fields: list[str], layout: _Layout | None, tag: int | None, certain_labels: Callable[[], set[str]]
) -> bool:
    """Return True if a line before the first word of a sentence is a comment.

    Such a line starts with `#` and a space or tab. It is no comment if `#` is a word: alone in its column, in a line of
    the file's layout that has a label.
    """
    if not text.startswith("#") or not (fields[0] == "#" or text.startswith("# ")):
        return False
    if fields[0] != "#":
        return True
    tabbed = "\t" in text
    if tabbed or layout:
        if layout is None or (len(fields), tabbed) != (layout.columns, layout.tabbed):
            return True
        if tabbed:
            return False
    return not (len(fields) >= (tag or 2) and fields[(tag or 0) - 1] in certain_labels())


def _fields(line: str) -> list[str]:
    """Split a line at tabs, or else at plain spaces; other kinds of space may be part of a word."""
    return line.split("\t") if "\t" in line else re.findall("[^ ]+", line)


def _certain_labels(texts: Iterable[str], tag: int | None) -> set[str]:
    """Return the labels in lines that cannot be comments: from a sentence's first line without #."""
    labels, in_sentence = set(), False
    for text in texts:
        fields = _fields(text)
        in_sentence = bool(fields) and (in_sentence or not text.startswith("#"))
        if in_sentence and len(fields) >= (tag or 1):
            labels.add(fields[(tag or len(fields)) - 1])
    return labels
