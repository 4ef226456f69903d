"""Metrics of classification and sequence labelling: accuracy, macro-F1, entity F1."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

Entity = tuple[int, int, int, str]  # index of the sentence, first word, one past the last word, kind

# Prefixes of an entity's last word, and of an entity of one word, in the schemes IOBES and BILOU.
ENDS, SINGLE = ("E", "L"), ("S", "U")


def accuracy(predicted: Sequence[str], reference: Sequence[str]) -> float:
    """Return the percentage of labels that equal the reference."""
    return 100 * sum(a == b for a, b in zip(predicted, reference, strict=True)) / max(1, len(reference))


def macro_f1(predicted: Sequence[str], reference: Sequence[str]) -> float:
    """Return the mean F1, a percentage, over all labels that occur on either side.

    Rare labels weigh as much as frequent ones.
    """
    correct = Counter(a for a, b in zip(predicted, reference, strict=True) if a == b)
    predictions, references = Counter(predicted), Counter(reference)
    labels = predictions.keys() | references.keys()
    return 100 * sum(2 * correct[x] / (predictions[x] + references[x]) for x in labels) / max(1, len(labels))


def is_chunked(labels: Sequence[str]) -> bool:
    """Return whether labels mark entities by `B-...`, `I-...` and `O` (Ramshaw and Marcus 1995).

    Variants are included: entities may begin with `I-`, `E-` or `L-` may mark the last word, and `S-` or `U-` an entity
    of one word. The kind may be absent when there is only one.
    """
    prefixes = {label.partition("-")[0] for label in labels if label != "O"}
    return bool(prefixes & {"B", "I"}) and prefixes <= {"B", "I", *ENDS, *SINGLE}


def entities(sentences: Sequence[Sequence[str]]) -> set[Entity]:
    """Return the entities of labelled sentences as the CoNLL-2000 evaluation does (Tjong Kim Sang and Buchholz 2000).

    An `I-` that does not continue the entity before it begins a new one.
    """
    out: set[Entity] = set()
    for sentence, labels in enumerate(sentences):
        start, open_kind = 0, None
        for index, label in enumerate([*labels, "O"]):
            prefix, _, kind = label.partition("-")
            continues = prefix in ("I", *ENDS) and kind == open_kind
            if open_kind is not None and not continues:
                out.add((sentence, start, index, open_kind))
                open_kind = None
            if not continues and prefix in ("B", "I", *ENDS, *SINGLE):
                start, open_kind = index, kind
            if open_kind is not None and prefix in (*ENDS, *SINGLE):
                out.add((sentence, start, index + 1, open_kind))
                open_kind = None
    return out


def entity_f1(predicted: Sequence[Sequence[str]], reference: Sequence[Sequence[str]]) -> float:
    """Return F1 of entities, a percentage. An entity counts as correct if its words and its kind are."""
    predictions, references = entities(predicted), entities(reference)
    return 100 * 2 * len(predictions & references) / max(1, len(predictions) + len(references))
