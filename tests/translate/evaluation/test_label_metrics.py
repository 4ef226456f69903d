"""Accuracy, F1 and entities by hand and against seqeval."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from seqeval.metrics import f1_score
from seqeval.metrics.sequence_labeling import get_entities

from dragoman.translate.evaluation.label_metrics import accuracy, entities, entity_f1, is_chunked, macro_f1

LABELS = ["O", *(f"{prefix}-{kind}" for prefix in "BIES" for kind in ("PER", "LOC"))]


def test_accuracy_and_macro_f1_by_hand() -> None:
    predicted, expected = "a a a b c".split(), "a a b b b".split()
    assert accuracy(predicted, expected) == pytest.approx(60)
    # Precision and recall are 2/3 and 2/2 for a, and 1/1 and 1/3 for b. c is predicted once and never expected.
    assert macro_f1(predicted, expected) == pytest.approx(100 * (0.8 + 0.5 + 0.0) / 3)
    assert macro_f1(expected, expected) == 100


@given(st.data(), st.lists(st.integers(0, 8), min_size=1, max_size=5), st.sampled_from([3, 5, 9]))
def test_entities_equal_seqevals(data: st.DataObject, lengths: list[int], kinds: int) -> None:
    """Labels of one kind, of two, and in the IOBES scheme, in any order."""
    some = [label for label in LABELS if kinds != 3 or not label.endswith("LOC")][:kinds]
    predicted, expected = (
        [data.draw(st.lists(st.sampled_from(some), min_size=n, max_size=n)) for n in lengths] for _ in range(2)
    )
    for rows in (predicted, expected):
        ours = {(n, kind, start, end - 1) for n, start, end, kind in entities(rows)}
        assert ours == {(n, *one) for n, row in enumerate(rows) for one in get_entities(row)}
    assert entity_f1(predicted, expected) == pytest.approx(100 * f1_score(expected, predicted, zero_division=0))


def test_entities_by_hand() -> None:
    rows = ["B-PER I-PER O B-LOC B-LOC I-PER".split(), "I-ORG I-ORG O".split(), "S-PER B-LOC E-LOC E-LOC".split()]
    assert entities(rows) == {
        (0, 0, 2, "PER"), (0, 3, 4, "LOC"), (0, 4, 5, "LOC"), (0, 5, 6, "PER"),
        (1, 0, 2, "ORG"),
        (2, 0, 1, "PER"), (2, 1, 3, "LOC"), (2, 3, 4, "LOC"),
    }  # fmt: skip
    assert entity_f1([["B-PER", "I-PER", "O"]], [["B-PER", "O", "B-LOC"]]) == 0
    assert entity_f1([["B-PER", "O", "O"]], [["B-PER", "O", "B-LOC"]]) == pytest.approx(100 * 2 / 3)
    assert entities(["B-PER L-PER U-LOC I-LOC".split(), "B I O I".split()]) == {
        (0, 0, 2, "PER"), (0, 2, 3, "LOC"), (0, 3, 4, "LOC"), (1, 0, 2, ""), (1, 3, 4, ""),
    }  # fmt: skip
    for scheme in ("B-PER I-PER O", "I-PER I-LOC O", "B-PER I-PER L-PER U-LOC O", "B I O"):
        assert is_chunked(scheme.split())
    for scheme in ("NOUN VERB O", "S-PER O", "B-PER NOUN", "O"):
        assert not is_chunked(scheme.split())
