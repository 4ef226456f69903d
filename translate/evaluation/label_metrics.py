"""Metrics of classification and sequence labelling: accuracy, macro-F1, entity F1."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

Entity = tuple[int, int, int, str]  # the sentence, its first word, the word behind its last, what it is


ENDS, SINGLE = ("E", "L"), ("S", "U")  # prefixes of an entity's last word, and of one of a single word


def accuracy(found: Sequence[str], expected: Sequence[str]) -> float:
    """The share of equal labels, of 100."""
    return 100 * sum(a == b for a, b in zip(found, expected, strict=True)) / max(1, len(expected))


def macro_f1(found: Sequence[str], expected: Sequence[str]) -> float:
    """The mean of F1 over all labels that occur on either side, of 100: rare labels count as much as frequent ones."""
    right = Counter(a for a, b in zip(found, expected, strict=True) if a == b)
    given, wanted = Counter(found), Counter(expected)
    labels = given.keys() | wanted.keys()
    return 100 * sum(2 * right[label] / (given[label] + wanted[label]) for label in labels) / max(1, len(labels))


def is_chunked(labels: Sequence[str]) -> bool:
    """Whether labels say where entities begin and go on: `B-...`, `I-...` and `O` (Ramshaw and Marcus 1995).

    Some schemes begin with `I-`, too, some mark the end (`E-`, `L-`) and what is a single word (`S-`, `U-`); and where
    entities are of one kind it may not be named.
    """
    prefixes = {label.partition("-")[0] for label in labels if label != "O"}
    return bool(prefixes & {"B", "I"}) and prefixes <= {"B", "I", *ENDS, *SINGLE}


def entities(sentences: Sequence[Sequence[str]]) -> set[Entity]:
    """The entities of labelled sentences, as the CoNLL-2000 evaluation reads them (Tjong Kim Sang and Buchholz 2000).

    An `I-` that does not go on what stands before it begins an entity, too.
    """
    out: set[Entity] = set()
    for number, labels in enumerate(sentences):
        start, kind = 0, None
        for place, label in enumerate([*labels, "O"]):
            prefix, _, this = label.partition("-")
            going = prefix in ("I", *ENDS) and this == kind
            if kind is not None and not going:
                out.add((number, start, place, kind))
                kind = None
            if not going and prefix in ("B", "I", *ENDS, *SINGLE):
                start, kind = place, this
            if kind is not None and prefix in (*ENDS, *SINGLE):
                out.add((number, start, place + 1, kind))
                kind = None
    return out


def entity_f1(found: Sequence[Sequence[str]], expected: Sequence[Sequence[str]]) -> float:
    """F1 of whole entities, their limits and kinds both right, of 100."""
    given, wanted = entities(found), entities(expected)
    return 100 * 2 * len(given & wanted) / max(1, len(given) + len(wanted))
