"""The plan of batches: every row once, bounded by source and target ids, and determined by the seed."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dragoman.translate.config import TokenizerConfig, load
from dragoman.translate.encoding.batching import SOURCE_RATIO, plan
from dragoman.translate.encoding.subwords import encode, train_tokenizer
from dragoman.translate.training.trainer import Trainer
from tiny import MULTI30K, needs_multi30k

lengths = st.lists(st.tuples(st.integers(1, 300), st.integers(1, 300)), min_size=1, max_size=150)


@given(lengths, st.integers(16, 1500), st.integers(0, 5))
def test_batches_are_bounded_by_source_and_target_ids(rows: list[tuple[int, int]], bound: int, seed: int) -> None:
    source, target = ([row[side] for row in rows] for side in (0, 1))
    batches = plan(source, target, bound, seed)
    assert sorted(i for batch in batches for i in batch) == [*range(len(rows))]
    for batch in batches:
        padded = [len(batch) * max(side[i] for i in batch) for side in (source, target)]
        assert len(batch) == 1 or (padded[0] <= SOURCE_RATIO * bound and padded[1] <= bound)
    assert batches == plan(source, target, bound, seed)


def test_long_sources_of_short_targets_do_not_share_one_batch() -> None:
    """By target ids alone, these rows are one batch of 150,000 source ids."""
    batches = plan([500] * 300, [5] * 300, 1500, 1)
    assert {len(batch) for batch in batches} == {SOURCE_RATIO * 1500 // 500}


@given(lengths, st.integers(16, 1500))
def test_sources_up_to_the_ratio_change_no_batch(rows: list[tuple[int, int]], bound: int) -> None:
    """The number of target ids alone decides, as long as no source is longer than the targets allow."""
    target = [row[1] for row in rows]
    by_target = plan([1] * len(rows), target, bound, 1)
    by_both = plan([SOURCE_RATIO * length for length in target], target, bound, 1)
    assert [len(batch) for batch in by_both] == [len(batch) for batch in by_target]


def test_a_training_with_long_sources_has_bounded_batches_and_resumes(toml: Path, tmp_path: Path) -> None:
    config = load(toml, ["training.batch_tokens=60"])
    trainer = Trainer(config, tmp_path / "run")
    batches = [*trainer.batches(1)]
    assert any(batch.tensors()[0].numel() > 60 for batch in batches)
    for batch in batches:
        source, _, target, _ = batch.tensors()
        assert len(source) == 1 or (source.numel() <= SOURCE_RATIO * 60 and target.numel() <= 60)
    later = [*trainer.batches(1).batches(len(batches) // 2)]
    for found, expected in zip(later, batches[len(batches) // 2 :], strict=True):
        assert all(a.equal(b) for a, b in zip(found.tensors(), expected.tensors(), strict=True))


@needs_multi30k
@pytest.mark.slow  # trains subwords on 2 x 29,000 captions
@pytest.mark.parametrize("languages", [("en", "de"), ("de", "en"), ("en", "fr"), ("fr", "en")])
def test_an_ordinary_corpus_has_as_many_batches_as_by_target_ids(languages: tuple[str, str]) -> None:
    text = [
        gzip.decompress((MULTI30K / f"train.{language}.gz").read_bytes()).decode().removesuffix("\n").split("\n")
        for language in languages
    ]
    tokenizer = train_tokenizer([*text[0], *text[1]], TokenizerConfig(), 6000)
    source, target = ([len(ids) for ids in encode(tokenizer, side)] for side in text)
    both, by_target = plan(source, target, 1500, 1), plan([1] * len(target), target, 1500, 1)
    assert len(both) == pytest.approx(len(by_target), rel=0.002)
