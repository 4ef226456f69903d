"""Ensembles against brute force, and reranking against separately computed scores."""

from __future__ import annotations

import itertools
import json
import math
import shutil
from pathlib import Path

import pytest
import torch
from torch import Tensor

from dragoman.cli import main
from dragoman.runtime.contract import BOS, EOS, PAD
from dragoman.runtime.errors import UserError
from dragoman.translate.config import load
from dragoman.translate.encoding.batching import TranslationBatch, reversed_ids
from dragoman.translate.evaluation.reranking import Proposer, Reranker, assemble
from dragoman.translate.files import read_rows
from dragoman.translate.network.ensemble import Ensemble
from dragoman.translate.network.search import BeamSearch
from dragoman.translate.network.seq2seq import Seq2Seq
from dragoman.translate.training.run import Run
from dragoman.translate.training.trainer import Trainer
from tiny import CELLS, VOCABULARY, number_pairs, scaled, tiny_config

SMALL = 7  # four special ids and three letters


def network(seed: int, cell: str = "sru", vocabulary: int = VOCABULARY) -> Seq2Seq:
    torch.manual_seed(seed)
    model = Seq2Seq(tiny_config(cell), vocabulary, vocabulary)
    for p in model.parameters():
        p.data.mul_(2.0)
    return model.requires_grad_(False).eval()


def log_probability(models: list[Seq2Seq], source: Tensor, length: Tensor, ids: tuple[int, ...]) -> float:
    """Return the log-probability of a target under the mean of the models' probabilities, one step at a time."""
    total = 0.0
    rows = [
        torch.softmax(m.logits(m(source, length, torch.tensor([[BOS, *ids[:-1]]]))) + m.suppression, -1)[0]
        for m in models
    ]
    for t, i in enumerate(ids):
        total += math.log(sum(float(row[t, i]) for row in rows) / len(rows))
    return total


def test_ensemble_equals_brute_force() -> None:
    models = [network(seed, cell, SMALL) for seed, cell in enumerate(CELLS[1:])]
    search = BeamSearch(Ensemble(models), 2).eval()
    source, length = torch.tensor([[4, 6, 5, EOS]]), torch.tensor([4])
    targets = [
        (*body, *end)
        for n in range(4)
        for body in itertools.product((4, 5, 6), repeat=n)
        for end in ([(EOS,)] if n < 3 else [()])
    ]
    scored = sorted(((log_probability(models, source, length, y) / len(y), y) for y in targets), reverse=True)
    out = search.search(source, length, beam=64, n_best=64, max_length=3)
    for k, (score, ids) in enumerate(scored[:8]):
        assert tuple(i for i in out.target[0, k].tolist() if i != PAD) == ids
        assert float(out.score[0, k]) == pytest.approx(score, abs=1e-5)


def test_ensemble_of_a_network_with_itself_changes_nothing() -> None:
    model = network(1)
    source, length = torch.randint(4, VOCABULARY, (5, 6)), torch.tensor([6, 2, 3, 6, 5])
    alone = BeamSearch(model, 2).eval().search(source, length, beam=3, n_aligned=1)
    twice = BeamSearch(Ensemble([model, model]), 2).eval().search(source, length, beam=3, n_aligned=1)
    assert torch.equal(alone.target, twice.target)
    torch.testing.assert_close(alone.score, twice.score)
    torch.testing.assert_close(alone.attention, twice.attention)


def test_right_to_left_search_returns_left_to_right_order() -> None:
    model = network(2)
    source, length = torch.randint(4, VOCABULARY, (5, 6)), torch.tensor([6, 2, 3, 6, 5])
    generated = BeamSearch(model, 2).eval().search(source, length, beam=3, n_best=3, max_length=9, n_aligned=2)
    returned = BeamSearch(model, 2, right_to_left=True).eval().search(
        source, length, beam=3, n_best=3, max_length=9, n_aligned=2
    )  # fmt: skip
    assert torch.equal(generated.score, returned.score)
    for b, k in itertools.product(range(5), range(3)):
        ids = [i for i in generated.target[b, k].tolist() if i != PAD]
        closed = ids[-1] == EOS
        order = [*reversed(range(len(ids) - closed)), *([len(ids) - 1] if closed else [])]
        assert returned.target[b, k].tolist()[: len(ids)] == [ids[t] for t in order]
        if k < 2:
            assert torch.equal(returned.attention[b, k, : len(ids)], generated.attention[b, k, order])


def test_reranking_uses_the_mean_of_all_members(tiny_run: Path, right_to_left_run: Path, tmp_path: Path) -> None:
    other = scaled(tiny_run, tmp_path / "other", 1.3)  # forms an ensemble with the tiny run: two of three members
    translator = assemble([Run(tiny_run), Run(other), Run(right_to_left_run)])
    assert isinstance(translator.engine, Reranker)
    lines = [p.source for p in number_pairs(400)[3:60:8]]
    results = translator.translate(lines, beam=4, n_best=4)
    for line, result in zip(lines, results, strict=True):
        scores = []
        for hypothesis in result.hypotheses:
            total = 0.0
            for folders in ([tiny_run, other], [right_to_left_run]):
                source, target = Run(folders[0]).tokenizers()
                models = [Run(folder).search().model.eval() for folder in folders]
                ids = source.encode(line)
                target_ids = target.encode(hypothesis.text)
                target_ids = reversed_ids(target_ids) if folders == [right_to_left_run] else target_ids
                value = log_probability(models, torch.tensor([ids]), torch.tensor([len(ids)]), tuple(target_ids))  # type: ignore[arg-type]  # each a Seq2Seq
                total += len(folders) * value
            length = len(translator.target_tokenizer.encode(hypothesis.text))
            scores.append(total / 3 / length**0.8)
        assert [h.score for h in result.hypotheses] == pytest.approx(scores, abs=1e-4)
        assert scores == sorted(scores, reverse=True)


def test_right_to_left_training_reverses_targets(toml: Path, tmp_path: Path) -> None:
    def pairs_of(*, right_to_left: bool) -> set[tuple[tuple[int, ...], tuple[int, ...]]]:
        changes = ["tokenizer.sampling=0", f"data.right_to_left={str(right_to_left).lower()}"]
        trainer = Trainer(load(toml, changes), tmp_path / str(right_to_left))
        pairs = set()
        for batch in trainer.batches(0).batches(0):
            assert isinstance(batch, TranslationBatch)
            for source, target in zip(batch.source.tolist(), batch.target_out.tolist(), strict=True):
                ids = [i for i in target if i != PAD]
                pairs.add((tuple(source), (*(reversed_ids(ids) if right_to_left else ids),)))
        return pairs

    left_to_right = pairs_of(right_to_left=False)
    assert left_to_right == pairs_of(right_to_left=True)
    assert len(left_to_right) > 200


def test_members_with_equal_tokenizers_search_together(tiny_run: Path) -> None:
    translator = assemble([Run(tiny_run), Run(tiny_run)])
    assert not isinstance(translator.engine, Reranker)
    alone = assemble([Run(tiny_run)])
    assert translator.translate("217").text == alone.translate("217").text
    assert translator.metadata.config["name"] == "tiny+tiny"


def test_scores_do_not_depend_on_the_batch(right_to_left_run: Path) -> None:
    proposer = Proposer([Run(right_to_left_run)])
    source = [proposer.tokenizers[0].encode(str(n)) for n in range(100)]
    target = [proposer.in_decoding_order(proposer.tokenizers[1].encode("one two")) for _ in source]
    one_by_one = [proposer.score_targets([s], [t]) for s, t in zip(source, target, strict=True)]
    torch.testing.assert_close(proposer.score_targets(source, target), torch.cat(one_by_one))


def test_evaluate_several_runs(
    tiny_run: Path, right_to_left_run: Path, tiny_file: Path, tiny_corpus: Path, tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    files = ["--source", str(tiny_corpus / "test.en"), "--reference", str(tiny_corpus / "test.xx"), "--json"]
    evaluate = ["evaluate", str(tiny_run), str(right_to_left_run), *files]
    assert main(evaluate) == 0
    assert json.loads(capsys.readouterr().out)["model"] == [str(tiny_run), str(right_to_left_run)]
    assert main([*evaluate, "--record", str(tmp_path / "scores.jsonl")]) == 0
    capsys.readouterr()
    (row,) = read_rows(tmp_path / "scores.jsonl")
    assert (row["run"], row["set"], row["seed"]) == ("tiny+right-to-left", "test", "1+2")
    assert [m["seed"] for m in row["members"]] == [1, 2]
    facts = Run(tiny_run).read_json("run.json")
    assert row["members"][0]["train_command"] == facts["command"]
    assert row["commit"] == f"{facts['commit']}+{Run(right_to_left_run).read_json('run.json')['commit']}"
    assert main(["evaluate", str(tiny_run), str(tiny_file), *files]) == 2
    assert "is not a run's folder" in capsys.readouterr().err
    assert main([*evaluate, "--show", "1", "--report", "page.html"]) == 2
    assert "gives no attention weights; leave --show out" in capsys.readouterr().err
    reranking = assemble([Run(tiny_run), Run(right_to_left_run)])
    with pytest.raises(UserError, match="has no attention"):
        reranking.translate("one two", alignments=True)


def test_runs_of_different_languages_are_refused(tiny_run: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    shutil.copytree(tiny_run, other)
    facts = json.loads((other / "run.json").read_text())
    (other / "run.json").write_text(json.dumps({**facts, "target_language": "yy"}))
    with pytest.raises(UserError, match=r"translates en-yy and .* translates en-xx; give runs of one pair"):
        assemble([Run(tiny_run), Run(other)])
