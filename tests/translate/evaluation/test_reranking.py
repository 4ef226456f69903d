"""Ensembles against brute force; committees against scores worked out apart; what they teach with."""

from __future__ import annotations

import itertools
import json
import math
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from dragoman.cli import main
from dragoman.runtime.contract import BOS, EOS, PAD
from dragoman.runtime.errors import UserError
from dragoman.runtime.translation import Translation
from dragoman.translate.config import load
from dragoman.translate.corpus.folder import Corpus, Pair, write_corpus
from dragoman.translate.distillation import backtranslate, distil
from dragoman.translate.distillation import journal as making
from dragoman.translate.encoding.batching import TranslationBatch, reversed_ids
from dragoman.translate.encoding.subwords import default_vocabulary, train_tokenizer
from dragoman.translate.evaluation.metrics import sentence_chrf
from dragoman.translate.evaluation.reranking import Proposer, Reranker, assemble
from dragoman.translate.files import read_rows
from dragoman.translate.network.ensemble import Ensemble
from dragoman.translate.network.search import BeamSearch
from dragoman.translate.network.seq2seq import Seq2Seq
from dragoman.translate.tasks import translation as translating
from dragoman.translate.training.run import Run
from dragoman.translate.training.trainer import Trainer
from tiny import CELLS, VOCABULARY, number_pairs, scaled, tiny_config, tiny_toml

SMALL = 7  # four special ids and three letters


def network(seed: int, cell: str = "sru", vocabulary: int = VOCABULARY) -> Seq2Seq:
    torch.manual_seed(seed)
    model = Seq2Seq(tiny_config(cell), vocabulary, vocabulary)
    for p in model.parameters():
        p.data.mul_(2.0)
    return model.requires_grad_(False).eval()


def expected(models: list[Seq2Seq], source: Tensor, length: Tensor, ids: tuple[int, ...]) -> float:
    """The log-probability of a target when each step averages probabilities, worked out in plain numbers."""
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
    every = [
        (*body, *end)
        for n in range(4)
        for body in itertools.product((4, 5, 6), repeat=n)
        for end in ([(EOS,)] if n < 3 else [()])
    ]
    scored = sorted(((expected(models, source, length, y) / len(y), y) for y in every), reverse=True)
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


def test_right_to_left_reads_forwards() -> None:
    model = network(2)
    source, length = torch.randint(4, VOCABULARY, (5, 6)), torch.tensor([6, 2, 3, 6, 5])
    written = BeamSearch(model, 2).eval().search(source, length, beam=3, n_best=3, max_length=9, n_aligned=2)
    read = BeamSearch(model, 2, right_to_left=True).eval().search(
        source, length, beam=3, n_best=3, max_length=9, n_aligned=2
    )  # fmt: skip
    assert torch.equal(written.score, read.score)
    for b, k in itertools.product(range(5), range(3)):
        ids = [i for i in written.target[b, k].tolist() if i != PAD]
        closed = ids[-1] == EOS
        order = [*reversed(range(len(ids) - closed)), *([len(ids) - 1] if closed else [])]
        assert read.target[b, k].tolist()[: len(ids)] == [ids[t] for t in order]
        if k < 2:
            assert torch.equal(read.attention[b, k, : len(ids)], written.attention[b, k, order])


@pytest.fixture(scope="module")
def backwards_run(tiny_corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that writes from right to left, with other tokenizers than the tiny run's."""
    folder = tmp_path_factory.mktemp("backwards")
    (folder / "tiny.toml").write_text(tiny_toml(tiny_corpus, "backwards"))
    changes = ["data.right_to_left=true", "tokenizer.vocabulary=310", "model.cell=gru", "training.seed=2"]
    Trainer(load(folder / "tiny.toml", changes), folder / "backwards").fit()
    return folder / "backwards"


def test_committee_ranks_by_the_mean_of_all_members(tiny_run: Path, backwards_run: Path, tmp_path: Path) -> None:
    other = scaled(tiny_run, tmp_path / "other", 1.3)  # searches together with the tiny run: they are two of three
    translator = assemble([Run(tiny_run), Run(other), Run(backwards_run)])
    assert isinstance(translator.engine, Reranker)
    lines = [p.source for p in number_pairs(400)[3:60:8]]
    results = translator.translate(lines, beam=4, n_best=4)
    for line, result in zip(lines, results, strict=True):
        judged = []
        for hypothesis in result.hypotheses:
            total = 0.0
            for proposer in ([tiny_run, other], [backwards_run]):
                source, target = Run(proposer[0]).tokenizers()
                models = [Run(folder).search().model.eval() for folder in proposer]
                ids = source.encode(line)
                written = target.encode(hypothesis.text)
                written = reversed_ids(written) if proposer == [backwards_run] else written
                told = expected(models, torch.tensor([ids]), torch.tensor([len(ids)]), tuple(written))  # type: ignore[arg-type]  # each a Seq2Seq
                total += len(proposer) * told
            length = len(translator.target_tokenizer.encode(hypothesis.text))
            judged.append(total / 3 / length**0.8)
        assert [h.score for h in result.hypotheses] == pytest.approx(judged, abs=1e-4)
        assert judged == sorted(judged, reverse=True)


def test_right_to_left_is_what_is_learnt(toml: Path, tmp_path: Path) -> None:
    def pairs_of(*, turned: bool) -> set[tuple[tuple[int, ...], tuple[int, ...]]]:
        changes = ["tokenizer.sampling=0", f"data.right_to_left={str(turned).lower()}"]
        trainer = Trainer(load(toml, changes), tmp_path / str(turned))
        pairs = set()
        for batch in trainer.batches(0).batches(0):
            assert isinstance(batch, TranslationBatch)
            for source, target in zip(batch.source.tolist(), batch.target_out.tolist(), strict=True):
                written = [i for i in target if i != PAD]
                pairs.add((tuple(source), (*(reversed_ids(written) if turned else written),)))
        return pairs

    to_left_to_right = pairs_of(turned=False)
    assert to_left_to_right == pairs_of(turned=True)
    assert len(to_left_to_right) > 200


def test_members_with_equal_tokenizers_search_together(tiny_run: Path) -> None:
    translator = assemble([Run(tiny_run), Run(tiny_run)])
    assert not isinstance(translator.engine, Reranker)
    alone = assemble([Run(tiny_run)])
    assert translator.translate("217").text == alone.translate("217").text
    assert translator.metadata.config["name"] == "tiny+tiny"


def test_judging_takes_any_number_of_lines(backwards_run: Path) -> None:
    proposer = Proposer([Run(backwards_run)])
    source = [proposer.tokenizers[0].encode(str(n)) for n in range(100)]
    target = [proposer.in_decoding_order(proposer.tokenizers[1].encode("one two")) for _ in source]
    together, apart = (
        proposer.score_targets(source, target),
        torch.cat([proposer.score_targets([s], [t]) for s, t in zip(source, target, strict=True)]),
    )
    torch.testing.assert_close(together, apart)


def test_evaluate_takes_several_runs(
    tiny_run: Path, backwards_run: Path, tiny_file: Path, tiny_corpus: Path, tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    files = ["--source", str(tiny_corpus / "test.en"), "--reference", str(tiny_corpus / "test.xx"), "--json"]
    assert main(["evaluate", str(tiny_run), str(backwards_run), *files]) == 0
    assert json.loads(capsys.readouterr().out)["model"] == [str(tiny_run), str(backwards_run)]
    assert (
        main(["evaluate", str(tiny_run), str(backwards_run), *files, "--record", str(tmp_path / "scores.jsonl")]) == 0
    )
    capsys.readouterr()
    (row,) = read_rows(tmp_path / "scores.jsonl")
    assert (row["run"], row["set"], row["seed"]) == ("tiny+backwards", "test", "1+2")
    assert [m["seed"] for m in row["members"]] == [1, 2]
    own = Run(tiny_run).read_json("run.json")
    assert row["members"][0]["train_command"] == own["command"]
    assert row["commit"] == f"{own['commit']}+{Run(backwards_run).read_json('run.json')['commit']}"
    assert main(["evaluate", str(tiny_run), str(tiny_file), *files]) == 2
    assert "is not a run's folder" in capsys.readouterr().err
    assert main(["evaluate", str(tiny_run), str(backwards_run), *files, "--show", "1", "--report", "page.html"]) == 2
    assert "cannot tell where a translation looked" in capsys.readouterr().err
    committee = assemble([Run(tiny_run), Run(backwards_run)])
    with pytest.raises(UserError, match="has no attention"):
        committee.translate("one two", alignments=True)


def test_runs_of_other_languages_are_refused(tiny_run: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    shutil.copytree(tiny_run, other)
    facts = json.loads((other / "run.json").read_text())
    (other / "run.json").write_text(json.dumps({**facts, "target_language": "yy"}))
    with pytest.raises(UserError, match=r"translates en-yy and .* en-xx; give runs of one pair"):
        assemble([Run(tiny_run), Run(other)])


def test_distilled_corpus(
    tiny_run: Path, backwards_run: Path, tiny_corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.setattr(making, "wants_bfloat16", lambda *_: False)  # near-ties are judged as below
    out = tmp_path / "made"
    words = ["distill", str(tiny_run), str(backwards_run), "--out", str(out), "--beam", "3", "--count", "2"]
    assert main([*words, "--choose", "near"]) == 0
    made, original = Corpus(out), Corpus(tiny_corpus)
    train, pairs = made.read("train"), original.read("train")
    assert train[: len(pairs)] == pairs
    assert len(pairs) * 1.5 < len(train) <= len(pairs) * 3  # what so small a model does not finish is left out
    assert {p.source for p in train} == {p.source for p in pairs}
    for part in ("valid", "test"):
        assert made.read(part) == original.read(part)
    assert made.card["distilled"]["teachers"] == ["tiny", "backwards"]
    assert made.card["pairs"]["train"] == len(train)
    assert not out.with_name("made.journal").exists()
    near = train[len(pairs)]
    both = assemble([Run(tiny_run), Run(backwards_run)])
    others = both.translate(near.source, beam=3, n_best=3).hypotheses
    best = max((h.text for h in others), key=lambda text: sentence_chrf(text, pairs[0].target))
    assert near.target == best
    said, told = capsys.readouterr().out, made.card["distilled"]
    assert told["added"] == len(train) - len(pairs)
    assert f"{told['fewer']} sources have fewer than 2 complete translations" in said
    taught = [sum(p.source == source for p in train) - 1 for source, _ in pairs]
    assert told["fewer"] == sum(count < 2 for count in taught) > 0

    alone = tmp_path / "alone"
    words = ["distill", str(tiny_run), str(backwards_run), "--out", str(alone), "--beam", "3"]
    assert main([*words, "--without-original"]) == 0
    for pair in Corpus(alone).read("train"):
        ended = [h.text for h in both.translate(pair.source, beam=3, n_best=3).hypotheses if h.complete]
        assert pair.target == ended[0]
    assert Corpus(alone).card["distilled"]["added"] == -Corpus(alone).card["distilled"]["fewer"]


def test_no_teacher_brings_in_a_held_out_reference(
    tiny_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    train = [
        Pair("one two", "eins zwei"),
        Pair("two one", "zwei, eins"),
        Pair("three", "drei"),
        Pair("four", "vier, ja"),
    ]
    held_out = {"valid": [Pair("a", "Drei!")], "test": [Pair("b", "Eins, zwei."), Pair("c", "vier")]}
    corpus, out = tmp_path / "corpus", tmp_path / "out"
    write_corpus(corpus, ("en", "xx"), {"train": train, **held_out}, {"corpus": "made"})
    taught = [["eins zwei", "Eins, zwei."], ["EINS ZWEI", "zwei eins"], ["Vier.", "drei drei"], ["Drei", "vier vier"]]

    def translated(*given: Any, **_: Any) -> None:  # noqa: ANN401 (what `translate_into` is given)
        journal = given[3]
        journal.bfloat16(torch.device("cpu"))
        for texts in taught:
            journal.append(texts)

    monkeypatch.setattr(distil, "translate_into", translated)
    words = ["distill", str(tiny_run), "--corpus", str(corpus), "--out", str(out), "--beam", "2", "--count", "2"]
    assert main(words) == 0
    assert Corpus(out).read("train")[len(train) :] == [
        Pair("one two", "eins zwei"),  # its own pair says so
        Pair("two one", "zwei eins"),
        Pair("three", "drei drei"),
        Pair("four", "vier vier"),
    ]
    told = Corpus(out).card["distilled"]
    assert (told["held_out"], told["added"], told["fewer"]) == (4, 4, 0)
    assert "left out 4: translation almost equals a held-out target" in capsys.readouterr().out


def test_what_distilling_refuses(
    tiny_run: Path,
    tiny_corpus: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    out = tmp_path / "made"
    reverse = tmp_path / "reverse"
    assert main(["corpus", "reversed", str(tiny_corpus), "--out", str(reverse)]) == 0
    for options, problem in (
        (["--count", "9"], "--count 9 exceeds --beam 5"),
        (["--beam", "400"], "the beam size is 400; it must be from 1 to 300"),
        (["--corpus", str(reverse)], "needs a model for xx-en"),
        (["--corpus", str(out)], "made is not a corpus"),
    ):
        assert main(["distill", str(tiny_run), "--out", str(out), *options]) == 2
        assert problem in capsys.readouterr().err
        assert not [*tmp_path.glob("made*")]
    assert main(["distill", str(tiny_run), "--out", str(tiny_corpus)]) == 2
    assert "is the corpus that this command reads" in capsys.readouterr().err
    empty = tmp_path / "empty"
    empty.mkdir()
    monkeypatch.chdir(empty)
    assert main(["distill", str(tiny_run), "--out", ".", "--beam", "1"]) == 0
    assert Corpus(empty).read("train")[:300] == Corpus(tiny_corpus).read("train")


def test_one_process_makes_a_taught_corpus(tiny_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code = (
        "import sys; from dragoman.translate.files import *\n"
        "lock = acquire_lock(real_path(sys.argv[1]), '', ''); print(); input()"
    )
    words = [sys.executable, "-uc", code, str(tmp_path / "made.lock")]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        other.stdout.readline()
        assert main(["distill", str(tiny_run), "--out", str(tmp_path / "made")]) == 2
        assert f"made is being written by process {other.pid}; wait for it" in capsys.readouterr().err
        other.kill()


def test_a_journal_out_of_order_counts_up_to_there(tmp_path: Path) -> None:
    journal, facts = tmp_path / "journal", {"beam": 2}
    for rows, cut, expected, precision in (
        ([[0, "a"], [1, "b", "c"], [2]], "", [["a"], ["b", "c"], []], "float32"),
        ([[0, "a"], {"bfloat16": True, "machine": "m"}, [1, "b"]], "[2]", [["a"], ["b"]], "float32, bfloat16"),
        ([[0, "a"], [0, "a"], [1, "b"]], "", [["a"]], "float32"),
        ([[0, "a"]], '[1, "b', [["a"]], "float32"),
        ([["a"], ["b"]], "", [], ""),
        ([], "", [], ""),
    ):
        whole = "".join(json.dumps(row) + "\n" for row in [facts, *rows])
        journal.write_text(whole + cut)
        if rows:
            with pytest.raises(UserError, match=r"journal holds \d lines made with different settings \(beam\)"):
                making.Journal(journal, {"beam": 3})
            assert journal.read_text() == whole + cut
        found = making.Journal(journal, facts)
        assert [*found] == expected
        assert found.count == len(expected)
        assert found.precision == precision
        assert whole.startswith(journal.read_text())
    making.Journal(journal, {"beam": 3})  # nothing would be lost
    assert json.loads(journal.read_text()) == {"beam": 3}
    with pytest.raises(UserError, match=r"cannot continue .*: Is a directory"):
        making.Journal(tmp_path, facts)


def test_work_keeps_its_precision_on_one_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cpu = torch.device("cpu")
    for machine, wanted, expected in (("a", True, True), ("a", False, True), ("b", False, False), ("b", True, False)):
        monkeypatch.setattr(making, "machine", lambda machine=machine: machine)
        monkeypatch.setattr(making, "wants_bfloat16", lambda *_, wanted=wanted: wanted)
        journal = making.Journal(tmp_path / "journal", {})
        assert journal.bfloat16(cpu) == expected
        journal.append(["x"])
    assert journal.count == 4
    assert making.Journal(tmp_path / "journal", {}).precision == "float32, bfloat16"


def test_a_student_has_no_more_pieces_than_its_teachers(tmp_path: Path) -> None:
    sizes = []
    for times, card in ((1, {}), (3, {"distilled": {"added": 2400}})):
        folder = tmp_path / f"corpus{times}"
        pairs = number_pairs(1200)
        splits = {"train": pairs * times, "valid": pairs[:5], "test": pairs[:5]}
        write_corpus(folder, ("en", "xx"), splits, {"corpus": "numbers", **card})
        (tmp_path / "t.toml").write_text(tiny_toml(folder, f"t{times}").replace("vocabulary = 300", ""))
        asked: list[int] = []
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(
                translating, "train_tokenizer", lambda *a, asked=asked: asked.append(a[2]) or train_tokenizer(*a)
            )
            Trainer(load(tmp_path / "t.toml"), tmp_path / f"t{times}")
        sizes.append(asked[0])
    assert sizes == [default_vocabulary(1200)] * 2
    assert default_vocabulary(3600) > sizes[0]


def test_products_in_bfloat16_teach_much_the_same(
    backwards_run: Path, tiny_corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, corpus = Run(backwards_run), Corpus(tiny_corpus)
    found = []
    for wanted in (False, True):
        monkeypatch.setattr(making, "wants_bfloat16", lambda *_, wanted=wanted: wanted)
        settings: dict[str, Any] = {"beam": 2, "count": 1, "choice": "likely", "with_original": False}
        splits, _ = distil.distill(
            [run], assemble([run]), corpus, tmp_path / str(wanted), progress=lambda *_: None, **settings
        )
        found.append([*splits["train"]])
    same = set(found[0]) & set(found[1])
    assert len(same) > 0.5 * len(found[0])


def test_interrupted_work_goes_on(
    tiny_run: Path, tiny_corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(making, "CHUNK", 50)
    run, corpus = Run(tiny_run), Corpus(tiny_corpus)
    translator, journal = assemble([run]), tmp_path / "journal"
    asked: list[int] = []
    translate = translator.translate

    def counted(lines: list[str], **options: Any) -> list[Translation]:  # noqa: ANN401 (passed on)
        if len(asked) == 3:
            raise KeyboardInterrupt
        asked.append(len(lines))
        out: list[Translation] = translate(lines, **options)
        return out

    settings: dict[str, Any] = {"beam": 2, "count": 1, "choice": "likely", "with_original": True}
    monkeypatch.setattr(translator, "translate", counted)
    with pytest.raises(KeyboardInterrupt):
        distil.distill([run], translator, corpus, journal, progress=lambda *_: None, **settings)
    with open(journal, "a") as file:
        file.write('["cut sho')  # as a power cut leaves it
    monkeypatch.setattr(translator, "translate", translate)
    seen: list[int] = []
    splits, _ = distil.distill([run], translator, corpus, journal, progress=lambda n, _: seen.append(n), **settings)
    assert seen[0] == 150
    again, _ = distil.distill([run], translator, corpus, tmp_path / "new", progress=lambda *_: None, **settings)
    assert [*map(list, splits.values())] == [*map(list, again.values())]
    with pytest.raises(UserError, match=r"holds 300 lines made with different settings \(beam\)"):
        distil.distill([run], translator, corpus, journal, progress=lambda *_: None, **{**settings, "beam": 3})


def test_a_broken_corpus_is_refused_before_it_is_translated(
    tiny_run: Path,
    tiny_corpus: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    broken = tmp_path / "broken"
    shutil.copytree(tiny_corpus, broken)
    with open(broken / "valid.en", "a") as file:
        file.write("one more\n")
    monkeypatch.setattr(distil, "translate_into", None)
    assert main(["distill", str(tiny_run), "--corpus", str(broken), "--out", str(tmp_path / "out")]) == 2
    assert re.search(r"broken: valid has \d+ source and \d+ target lines", capsys.readouterr().err)


def test_back_translation_is_tagged(tiny_corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pairs = number_pairs(400)
    reverse = tmp_path / "reverse"
    assert main(["corpus", "reversed", str(tiny_corpus), "--out", str(reverse)]) == 0
    assert Corpus(reverse).read("test")[3] == Corpus(tiny_corpus).read("test")[3][::-1]
    assert main(["corpus", "reversed", str(reverse), "--out", str(reverse)]) == 2
    assert "is the corpus that this command reads" in capsys.readouterr().err
    (tmp_path / "r.toml").write_text(tiny_toml(reverse, "reverse"))
    Trainer(
        load(tmp_path / "r.toml", ["training.epochs=30", "training.validate_every=30", "training.lr=1e-2"]),
        tmp_path / "run",
    ).fit()
    more = [*(p.target for p in pairs[300:340]), "", pairs[301].target]
    garbled = [b"stra\xdfe", b"a\x07b", b"two \xff"]
    (tmp_path / "more.xx").write_bytes(b"".join(line + b"\n" for line in [*map(str.encode, more), *garbled]))
    out = tmp_path / "out"
    words = ["backtranslate", str(tmp_path / "run"), str(tmp_path / "more.xx"), "--out", str(out)]
    assert main([*words, "--corpus", str(tiny_corpus)]) == 0
    made, held_out = (
        Corpus(out),
        {p.target for p in Corpus(tiny_corpus).read("test") + Corpus(tiny_corpus).read("valid")},
    )
    added = [p for p in made.read("train") if p.source.startswith(backtranslate.TAG)]
    assert {p.target for p in added} <= {line for line in more if line} - held_out
    assert len(added) > 10  # but for those whose translation never ended
    left_out = made.card["back_translated"]["left_out"]
    cut_off = left_out.pop("translation cut off", 0)
    assert left_out == {
        "empty": 1, "invalid UTF-8": 2, "control characters": 1, "duplicate": 1,
        "in a held-out part": len(held_out.intersection(more)),
    }  # fmt: skip
    assert len(added) + cut_off + sum(left_out.values()) == len(more) + len(garbled)
    assert "left out 2: invalid UTF-8" in capsys.readouterr().out
    told = made.card["back_translated"]
    assert told["lines"] == len(added)
    (tmp_path / "other.xx").write_text("".join(p.target + "\n" for p in pairs[340:]))
    twice = ["backtranslate", str(tmp_path / "run"), str(tmp_path / "other.xx"), "--out", str(tmp_path / "twice")]
    assert main([*twice, "--corpus", str(out)]) == 0
    assert Corpus(tmp_path / "twice").card["back_translated"]["before"] == told
    with pytest.MonkeyPatch.context() as patch:
        note = making.Journal.append
        patch.setattr(making.Journal, "append", lambda self, _: note(self, []))
        assert main([*words, "--corpus", str(tiny_corpus)]) == 2
    assert re.search(r"all back-translations of the \d+ lines were cut off", capsys.readouterr().err)
    out.with_name("out.journal").unlink()
    (tmp_path / "none.xx").write_text(f"\n{sorted(held_out)[0]}\n")
    none = ["backtranslate", str(tmp_path / "run"), str(tmp_path / "none.xx"), "--out", str(tmp_path / "none")]
    assert main([*none, "--corpus", str(tiny_corpus)]) == 2
    assert "no line to back-translate; 1 empty; 1 in a held-out part" in capsys.readouterr().err
    assert not [*tmp_path.glob("none/*")]
    (tmp_path / "b.toml").write_text(tiny_toml(out, "with-tags").replace("vocabulary = 300", ""))
    Trainer(load(tmp_path / "b.toml", ["training.epochs=1"]), tmp_path / "tagged").fit()
    tokenizer = Run(tmp_path / "tagged").tokenizers()[0]
    assert tokenizer.processor.PieceToId(backtranslate.TAG) in tokenizer.encode(added[0].source)
    assert main(["corpus", "reversed", str(out), "--out", str(tmp_path / "back")]) == 2
    assert "holds text that a model translated back" in capsys.readouterr().err
    assert main([*words, "--corpus", str(reverse)]) == 2
    assert "needs a model for en-xx" in capsys.readouterr().err
