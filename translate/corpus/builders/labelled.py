"""Corpora of labelled text: texts with a class each, and words with a label each."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np

from dragoman.runtime.errors import UserError
from dragoman.runtime.normalisation import normalise
from dragoman.translate.corpus.cleaning import Duplicates, clean, counting
from dragoman.translate.corpus.folder import SPLITS, Pair, Parts
from dragoman.translate.corpus.readers.raw import decoded, read_raw
from dragoman.translate.corpus.readers.table import table_rows
from dragoman.translate.corpus.split import hold_out, nearly, short_hash, without_held_out

LABELS = "labels"  # what stands for the target language


CONLL_U = 10  # columns; of these the second is the word and the fourth its universal part of speech


NUMBER = re.compile(r"\d+(?P<other>[-.]\d+)?")  # the first of these; other: words written as one, words not written


HEADERS = {"label", "labels", "class", "category", "sentiment", "target", "tag", "tags", "ner", "pos", "upos"}


INSIDE = "\u00a0"  # for a space inside a word, which some treebanks have


LEAST = 3  # texts: one to train on, one to validate, one to test


Labelled = Literal["classify", "tag"]


def read_classes(path: str | Path) -> Iterator[Pair]:
    """Label, tab, text; quoted or not. Raises UserError with the line for anything else, and for further columns."""
    for number, row in table_rows(Path(path)):
        label, *texts = (decoded(field, path, number) for field in row)
        if not label.strip() and not any(text.strip() for text in texts):
            continue
        if not texts or not label.strip():
            raise UserError(f"{path}, line {number:,}: each line needs label, tab, text")
        while len(texts) > 1 and not texts[-1].strip():
            texts.pop()
        if len(texts) > 1:
            raise UserError(
                f"{path}, line {number:,} has {1 + len(texts)} columns; leave label and text, with a tab between"
            )
        yield Pair(texts[0], " ".join(label.split()))


def read_tags(path: str | Path, word: int | None = None, tag: int | None = None) -> Iterator[Pair]:
    """Sentences in columns, a word a line, with an empty line after each: CoNLL-2003, CoNLL-U and their like.

    word, tag: columns, counted from 1; by default the first and the last, and of CoNLL-U the second and the fourth.
    Raises UserError with the line when a column is missing, or lines have different numbers of columns.
    """
    words: list[str] = []
    tags: list[str] = []
    columns, tabbed, universal = 0, False, False
    known: set[str] | None = None  # labels, found once they are asked for
    for number, line in enumerate(read_raw(path), 1):
        text = decoded(line, path, number)
        if not text.strip():
            if words:
                yield Pair(" ".join(words), " ".join(tags))
            words, tags = [], []
            continue
        fields, tabs = _fields(text), "\t" in text
        # In front of a sentence # begins a comment, unless it stands there as words do, with a label.
        if not words and text.startswith("#") and (fields[0] == "#" or text.startswith("# ")):
            known = _sure_labels(path, tag) if known is None and not tabs else known
            like_others = (len(fields), tabs) == (columns, tabbed) or not (columns or tabs)
            labelled = tabs or (known and len(fields) >= (tag or 2) and fields[(tag or 0) - 1] in known)
            if fields[0] != "#" or not like_others or not labelled:
                continue
        if text.startswith("-DOCSTART-"):
            continue
        if not columns:
            columns, tabbed = len(fields), tabs
            universal = columns == CONLL_U and NUMBER.fullmatch(fields[0]) is not None
        if universal and (found := NUMBER.fullmatch(fields[0])) and found["other"]:
            continue
        if len(fields) != columns:
            raise UserError(f"{path}, line {number:,}: {len(fields)} columns, where the lines before have {columns}")
        places = (word or (2 if universal else 1), tag or (4 if universal else columns))
        if max(places) > columns or columns < 2:
            raise UserError(f"{path}, line {number:,}: no column {max(2, *places)}; each line needs a word and a label")
        values = [normalise(fields[place - 1]).replace(" ", INSIDE) for place in places]
        if not all(values):
            raise UserError(f"{path}, line {number:,}: the word or its label is empty")
        words.append(values[0])
        tags.append(values[1])
    if words:
        yield Pair(" ".join(words), " ".join(tags))


def _fields(line: str) -> list[str]:
    """What stands between tabs, or else between spaces; other kinds of spaces may be within a word."""
    return line.split("\t") if "\t" in line else re.findall("[^ ]+", line)


def _sure_labels(path: str | Path, tag: int | None) -> set[str]:
    """What stands in the column of labels, in lines that cannot be comments."""
    found, inside = set(), False
    for number, line in enumerate(read_raw(path), 1):
        text = decoded(line, path, number)
        fields = _fields(text)
        inside = bool(fields) and (inside or not text.startswith("#"))
        if inside and len(fields) >= (tag or 1):
            found.add(fields[(tag or len(fields)) - 1])
    return found


def labelled(
    task: Labelled, parts: Sequence[Iterable[Pair]], valid: int | None = None, test: int | None = None, seed: int = 1
) -> tuple[Parts, dict[str, Any]]:
    """A corpus of labelled text: of one part, some of which is held out, or of three: train, valid and test.

    Of three, valid and test stay as they are but for what cannot be used. Raises UserError when one of these has a
    label that training does not have, or there is only one label.
    """
    dropped: Counter[str] = Counter()
    read = [[*part] for part in parts]
    if len(read) == 1 and len(read[0]) < LEAST:
        form = "label, tab, text" if task == "classify" else "a word a line, an empty line after each sentence"
        raise UserError(f"too few texts to learn from and hold some out, {len(read[0])}; the form is {form}")
    if read[0]:
        first = labels_of(task, read[0][0])[0]
        if first.lower() in HEADERS and sum(labels_of(task, pair).count(first) for pair in read[0]) == 1:
            raise UserError(
                f"the first line has the label {first!r}, as a header has: take it out, or name it otherwise"
            )
    kept = [[*clean(part, counting(dropped))] for part in read]
    usable, seen = kept[0], Duplicates(near=False)
    kept[0] = [pair for pair in usable if not seen(pair)]
    dropped["the same text and labels once more"] += len(usable) - len(kept[0])
    moved = 0
    if len(kept) == 1:
        rows = kept[0]
        sources = np.array([short_hash(nearly(pair.source)) for pair in rows], np.uint64)
        found = hold_out(sources, valid, test, seed)
        splits = {name: [rows[i] for i in part.tolist()] for name, part in zip(SPLITS, found, strict=True)}
        if len(rows) > sum(map(len, found)):
            dropped["another text that is all but the same is held out"] = len(rows) - sum(map(len, found))
        splits, moved = _with_rare_labels(task, splits)
        splits = _none_empty(task, splits)
        if not (splits["valid"] and splits["test"]):
            raise UserError("no text is left to hold out: their labels are too rare to be learnt from the others")
    else:
        splits = without_held_out(dict(zip(SPLITS, kept, strict=True)), dropped)
    labels = sorted({label for pair in splits["train"] for label in labels_of(task, pair)})
    if len(labels) < 2:
        raise UserError(f"training has the labels {labels}, and there must be two at least")
    for name in ("valid", "test"):
        for pair in splits[name]:
            for label in labels_of(task, pair):
                if label not in labels:
                    raise UserError(f"the label {label!r} of {pair.source[:60]!r} in {name} does not occur in training")
    counts = Counter(label for pair in splits["train"] for label in labels_of(task, pair))
    facts = {"task": task, "labels": labels, "counts": dict(sorted(counts.items())), "seed": seed}
    if moved:
        facts["moved"] = moved  # to training, since its labels were nowhere else
    return splits, {**facts, "read": sum(map(len, read)), "dropped": {k: n for k, n in dropped.items() if n}}


def _with_rare_labels(task: Labelled, splits: dict[str, list[Pair]]) -> tuple[dict[str, list[Pair]], int]:
    """Texts that chance held out, with a label that training would not have, go to training. How many they were."""
    known = {label for pair in splits["train"] for label in labels_of(task, pair)}
    rare = {part: [not known.issuperset(labels_of(task, p)) for p in splits[part]] for part in ("valid", "test")}
    moved = [pair for part, flags in rare.items() for pair, flag in zip(splits[part], flags, strict=True) if flag]
    stay = {part: [p for p, flag in zip(splits[part], flags, strict=True) if not flag] for part, flags in rare.items()}
    return {"train": [*splits["train"], *moved], **stay}, len(moved)


def _none_empty(task: str, splits: dict[str, list[Pair]]) -> dict[str, list[Pair]]:
    """For a held-out part that has lost all to training, of few texts, another that training can spare."""
    splits = {part: [*pairs] for part, pairs in splits.items()}
    train = splits["train"]
    for part in ("valid", "test"):
        if not splits[part]:
            texts = Counter(label for pair in train for label in {*labels_of(task, pair)})
            copies = Counter(nearly(pair.source) for pair in train)
            spare = [
                pair
                for pair in train
                if copies[nearly(pair.source)] == 1 and all(texts[label] > 1 for label in labels_of(task, pair))
            ]
            for pair in spare[:1]:
                train.remove(pair)
                splits[part].append(pair)
    return splits


def labels_of(task: str, pair: Pair) -> list[str]:
    """The class of a text, or the labels of its words."""
    return [pair.target] if task == "classify" else pair.target.split(" ")
