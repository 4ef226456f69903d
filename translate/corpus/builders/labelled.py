"""Corpora of labelled text: texts with a class each, or sentences whose words have a label each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any, Literal

import numpy as np

from dragoman.runtime.errors import UserError
from dragoman.translate.corpus.cleaning import count_drops, usable_pairs
from dragoman.translate.corpus.deduplication import Duplicates, hash64, near_duplicate_key
from dragoman.translate.corpus.folder import SPLITS, Pair, SplitsAndCard
from dragoman.translate.corpus.split import NEAR_HELD_OUT, drop_held_out_sources, hold_out

LABELS = "labels"  # in place of the target language

HEADERS = {"label", "labels", "class", "category", "sentiment", "target", "tag", "tags", "ner", "pos", "upos"}

MIN_TEXTS = 3  # one each to train, validate and test

LabelTask = Literal["classify", "tag"]


def build_labelled(
    task: LabelTask,
    inputs: Sequence[Iterable[Pair]],
    valid: int | None = None,
    test: int | None = None,
    seed: int = 1,
) -> SplitsAndCard:
    """Clean labelled texts and return the splits of a corpus and its card.

    `inputs` holds one sequence, some of which is held out, or three: train, valid and test. Given validation and test
    texts are kept, unless they cannot be used. `valid` and `test` are as in `hold_out`.

    Raises UserError if there are too few texts or labels, or if the first line looks like a header. A held-out label
    that the training set lacks is an error, too.
    """
    dropped: Counter[str] = Counter()
    texts = [[*pairs] for pairs in inputs]
    if len(texts) == 1 and len(texts[0]) < MIN_TEXTS:
        form = "label, tab, text" if task == "classify" else "a word a line, an empty line after each sentence"
        raise UserError(f"too few texts to train on and to hold some out: {len(texts[0])}; the format is {form}")
    _check_header(task, texts[0])
    usable = [[*usable_pairs(pairs, count_drops(dropped))] for pairs in texts]
    is_duplicate = Duplicates()
    unique = [pair for pair in usable[0] if not is_duplicate(pair)]
    dropped["duplicate text and labels"] += len(usable[0]) - len(unique)
    moved = 0
    if len(usable) == 1:
        splits, moved = _hold_out(task, unique, valid, test, seed, dropped)
    else:
        splits = drop_held_out_sources(dict(zip(SPLITS, [unique, *usable[1:]], strict=True)), dropped)
    counts = Counter(label for pair in splits["train"] for label in labels_of(task, pair))
    _check_labels(task, splits, counts)
    card: dict[str, Any] = {
        "task": task,
        "labels": sorted(counts),
        "counts": dict(sorted(counts.items())),
        "seed": seed,
        **({"moved": moved} if moved else {}),
        "read": sum(map(len, texts)),
        "dropped": {reason: count for reason, count in dropped.items() if count},
    }
    return splits, card


def _check_header(task: LabelTask, pairs: Sequence[Pair]) -> None:
    """Raise UserError if the first line has a label that is usual in headers, and no other line has it."""
    if pairs:
        label = labels_of(task, pairs[0])[0]
        if label.lower() in HEADERS and sum(labels_of(task, pair).count(label) for pair in pairs) == 1:
            raise UserError(
                f"the first line looks like a header, because its label is {label!r}; delete that line, or rename the "
                "label if the line is real"
            )


def _check_labels(task: LabelTask, splits: dict[str, list[Pair]], training_labels: Counter[str]) -> None:
    """Raise UserError for fewer than two labels, or a held-out label that the training set lacks."""
    if len(training_labels) < 2:
        raise UserError(f"the training texts have the labels {sorted(training_labels)}; at least two are needed")
    for split in ("valid", "test"):
        for pair in splits[split]:
            for label in labels_of(task, pair):
                if label not in training_labels:
                    raise UserError(
                        f"the label {label!r} of {pair.source[:60]!r} in {split} does not occur in training; correct "
                        "the label, or add training texts with it"
                    )


def _hold_out(
    task: LabelTask, pairs: list[Pair], valid: int | None, test: int | None, seed: int, dropped: Counter[str]
) -> tuple[dict[str, list[Pair]], int]:
    """Split texts at random, but keep every label in the training set.

    Returns the splits, and the number of texts that were moved to the training set for their labels. Raises UserError
    if no text can be held out.
    """
    source_keys = np.array([hash64(near_duplicate_key(pair.source)) for pair in pairs], np.uint64)
    rows = hold_out(source_keys, valid, test, seed)
    splits = {split: [pairs[i] for i in split_rows.tolist()] for split, split_rows in zip(SPLITS, rows, strict=True)}
    if left_out := len(pairs) - sum(map(len, rows)):
        dropped[NEAR_HELD_OUT] = left_out
    splits, moved = _move_rare_labels(task, splits)
    splits = _refill_held_out(task, splits)
    if not (splits["valid"] and splits["test"]):
        raise UserError("no text can be held out, because training needs every text for its labels; add texts")
    return splits, moved


def _move_rare_labels(task: LabelTask, splits: dict[str, list[Pair]]) -> tuple[dict[str, list[Pair]], int]:
    """Move held-out texts with a label that the training set lacks to the training set, and count them."""
    training_labels = {label for pair in splits["train"] for label in labels_of(task, pair)}
    result = {"train": [*splits["train"]]}
    for split in ("valid", "test"):
        is_rare = [not training_labels.issuperset(labels_of(task, pair)) for pair in splits[split]]
        result["train"] += [pair for pair, rare in zip(splits[split], is_rare, strict=True) if rare]
        result[split] = [pair for pair, rare in zip(splits[split], is_rare, strict=True) if not rare]
    return result, len(result["train"]) - len(splits["train"])


def _refill_held_out(task: LabelTask, splits: dict[str, list[Pair]]) -> dict[str, list[Pair]]:
    """Move a training text to each empty held-out set, if one can be spared.

    Other training texts must have its labels, and none may be a near duplicate of it.
    """
    splits = {split: [*pairs] for split, pairs in splits.items()}
    train = splits["train"]
    for split in ("valid", "test"):
        if not splits[split]:
            texts_with = Counter(label for pair in train for label in {*labels_of(task, pair)})
            copies = Counter(near_duplicate_key(pair.source) for pair in train)
            spare = next(
                (
                    pair
                    for pair in train
                    if copies[near_duplicate_key(pair.source)] == 1
                    and all(texts_with[label] > 1 for label in labels_of(task, pair))
                ),
                None,
            )
            if spare:
                train.remove(spare)
                splits[split].append(spare)
    return splits


def labels_of(task: str, pair: Pair) -> list[str]:
    """Return the class of a text (task "classify"), or the labels of its words (task "tag")."""
    return [pair.target] if task == "classify" else pair.target.split(" ")
