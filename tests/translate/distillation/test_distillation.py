"""Distillation and back-translation: what is written, refused, resumed and left out."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from dragoman.cli import main
from dragoman.runtime.errors import UserError
from dragoman.runtime.translation import Translation
from dragoman.translate.config import load
from dragoman.translate.corpus.folder import Corpus, Pair, write_corpus
from dragoman.translate.distillation import backtranslate, distil
from dragoman.translate.distillation import journal as journal_module
from dragoman.translate.encoding.subwords import default_vocabulary, train_tokenizer
from dragoman.translate.evaluation.metrics import sentence_chrf
from dragoman.translate.evaluation.reranking import assemble
from dragoman.translate.tasks import translation as translation_task
from dragoman.translate.training.run import Run
from dragoman.translate.training.trainer import Trainer
from tiny import number_pairs, tiny_toml


def test_distilled_corpus(
    tiny_run: Path, right_to_left_run: Path, tiny_corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.setattr(journal_module, "wants_bfloat16", lambda *_: False)  # so that near-ties end like below
    out = tmp_path / "distilled"
    words = ["distill", str(tiny_run), str(right_to_left_run), "--out", str(out), "--beam", "3", "--count", "2"]
    assert main([*words, "--choose", "near"]) == 0
    distilled, original = Corpus(out), Corpus(tiny_corpus)
    train, pairs = distilled.read("train"), original.read("train")
    assert train[: len(pairs)] == pairs
    assert len(pairs) * 1.5 < len(train) <= len(pairs) * 3  # translations that are cut off are left out
    assert {p.source for p in train} == {p.source for p in pairs}
    for part in ("valid", "test"):
        assert distilled.read(part) == original.read(part)
    assert distilled.card["distilled"]["teachers"] == ["tiny", "right-to-left"]
    assert distilled.card["pairs"]["train"] == len(train)
    assert not out.with_name("distilled.journal").exists()
    nearest = train[len(pairs)]
    both = assemble([Run(tiny_run), Run(right_to_left_run)])
    hypotheses = both.translate(nearest.source, beam=3, n_best=3).hypotheses
    best = max((h.text for h in hypotheses), key=lambda text: sentence_chrf(text, pairs[0].target))
    assert nearest.target == best
    output, facts = capsys.readouterr().out, distilled.card["distilled"]
    assert facts["added"] == len(train) - len(pairs)
    assert f"{facts['fewer']} sources have fewer than 2 complete translations" in output
    translations = [sum(p.source == source for p in train) - 1 for source, _ in pairs]
    assert facts["fewer"] == sum(count < 2 for count in translations) > 0

    alone = tmp_path / "alone"
    words = ["distill", str(tiny_run), str(right_to_left_run), "--out", str(alone), "--beam", "3"]
    assert main([*words, "--without-original"]) == 0
    for pair in Corpus(alone).read("train"):
        complete = [h.text for h in both.translate(pair.source, beam=3, n_best=3).hypotheses if h.complete]
        assert pair.target == complete[0]
    assert Corpus(alone).card["distilled"]["added"] == -Corpus(alone).card["distilled"]["fewer"]


def test_held_out_references_are_not_distilled(
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
    translations = [
        ["eins zwei", "Eins, zwei."],
        ["EINS ZWEI", "zwei eins"],
        ["Vier.", "drei drei"],
        ["Drei", "vier vier"],
    ]

    def translate_into(*arguments: Any, **_: Any) -> None:  # noqa: ANN401 (its arguments)
        journal = arguments[3]
        journal.bfloat16(torch.device("cpu"))
        for texts in translations:
            journal.append(texts)

    monkeypatch.setattr(distil, "translate_into", translate_into)
    words = ["distill", str(tiny_run), "--corpus", str(corpus), "--out", str(out), "--beam", "2", "--count", "2"]
    assert main(words) == 0
    assert Corpus(out).read("train")[len(train) :] == [
        Pair("one two", "eins zwei"),  # allowed: it is the reference of this very source
        Pair("two one", "zwei eins"),
        Pair("three", "drei drei"),
        Pair("four", "vier vier"),
    ]
    facts = Corpus(out).card["distilled"]
    assert (facts["held_out"], facts["added"], facts["fewer"]) == (4, 4, 0)
    assert "left out 4: translation almost equals a held-out target" in capsys.readouterr().out


def test_invalid_options_of_distill(
    tiny_run: Path,
    tiny_corpus: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    out = tmp_path / "distilled"
    reverse = tmp_path / "reverse"
    assert main(["corpus", "reversed", str(tiny_corpus), "--out", str(reverse)]) == 0
    for options, message in (
        (["--count", "9"], "--count 9 exceeds --beam 5"),
        (["--beam", "400"], "the beam size is 400; it must be from 1 to 300"),
        (["--corpus", str(reverse)], "needs a model for xx-en"),
        (["--corpus", str(out)], "distilled is not a corpus"),
    ):
        assert main(["distill", str(tiny_run), "--out", str(out), *options]) == 2
        assert message in capsys.readouterr().err
        assert not [*tmp_path.glob("distilled*")]
    assert main(["distill", str(tiny_run), "--out", str(tiny_corpus)]) == 2
    assert "is the corpus that this command reads" in capsys.readouterr().err
    empty = tmp_path / "empty"
    empty.mkdir()
    monkeypatch.chdir(empty)
    assert main(["distill", str(tiny_run), "--out", ".", "--beam", "1"]) == 0
    assert Corpus(empty).read("train")[:300] == Corpus(tiny_corpus).read("train")


def test_one_process_at_a_time_writes_a_distilled_corpus(
    tiny_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code = (
        "import sys\nfrom dragoman.runtime.files import real_path\nfrom dragoman.translate.files import acquire_lock\n"
        "lock = acquire_lock(real_path(sys.argv[1]), '', ''); print(); input()"
    )
    words = [sys.executable, "-uc", code, str(tmp_path / "distilled.lock")]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        other.stdout.readline()
        assert main(["distill", str(tiny_run), "--out", str(tmp_path / "distilled")]) == 2
        assert f"distilled is being written by process {other.pid}; wait for it" in capsys.readouterr().err
        other.kill()


def test_a_journal_is_read_up_to_the_first_wrong_row(tmp_path: Path) -> None:
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
                journal_module.Journal(journal, {"beam": 3})
            assert journal.read_text() == whole + cut
        resumed = journal_module.Journal(journal, facts)
        assert [*resumed] == expected
        assert resumed.count == len(expected)
        assert resumed.precision == precision
        assert whole.startswith(journal.read_text())
    journal_module.Journal(journal, {"beam": 3})  # nothing would be lost
    assert json.loads(journal.read_text()) == {"beam": 3}
    with pytest.raises(UserError, match=r"cannot continue .*: Is a directory"):
        journal_module.Journal(tmp_path, facts)


def test_a_journal_keeps_its_precision_on_one_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cpu = torch.device("cpu")
    for machine, wanted, expected in (("a", True, True), ("a", False, True), ("b", False, False), ("b", True, False)):
        monkeypatch.setattr(journal_module, "machine", lambda machine=machine: machine)
        monkeypatch.setattr(journal_module, "wants_bfloat16", lambda *_, wanted=wanted: wanted)
        journal = journal_module.Journal(tmp_path / "journal", {})
        assert journal.bfloat16(cpu) == expected
        journal.append(["x"])
    assert journal.count == 4
    assert journal_module.Journal(tmp_path / "journal", {}).precision == "float32, bfloat16"


def test_distillation_does_not_enlarge_the_vocabulary(tmp_path: Path) -> None:
    sizes = []
    for times, card in ((1, {}), (3, {"distilled": {"added": 2400}})):
        folder = tmp_path / f"corpus{times}"
        pairs = number_pairs(1200)
        splits = {"train": pairs * times, "valid": pairs[:5], "test": pairs[:5]}
        write_corpus(folder, ("en", "xx"), splits, {"corpus": "numbers", **card})
        (tmp_path / "t.toml").write_text(tiny_toml(folder, f"t{times}").replace("vocabulary = 300", ""))
        requested: list[int] = []
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(
                translation_task,
                "train_tokenizer",
                lambda *a, requested=requested: requested.append(a[2]) or train_tokenizer(*a),
            )
            Trainer(load(tmp_path / "t.toml"), tmp_path / f"t{times}")
        sizes.append(requested[0])
    assert sizes == [default_vocabulary(1200)] * 2
    assert default_vocabulary(3600) > sizes[0]


def test_distillation_in_bfloat16_is_almost_the_same(
    right_to_left_run: Path, tiny_corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, corpus = Run(right_to_left_run), Corpus(tiny_corpus)
    pairs = []
    for bfloat16 in (False, True):
        monkeypatch.setattr(journal_module, "wants_bfloat16", lambda *_, bfloat16=bfloat16: bfloat16)
        settings: dict[str, Any] = {"beam": 2, "count": 1, "choice": "likely", "with_original": False}
        splits, _ = distil.distilled_corpus(
            [run], assemble([run]), corpus, tmp_path / str(bfloat16), progress=lambda *_: None, **settings
        )
        pairs.append([*splits["train"]])
    common = set(pairs[0]) & set(pairs[1])
    assert len(common) > 0.5 * len(pairs[0])


def test_interrupted_distillation_resumes(
    tiny_run: Path, tiny_corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal_module, "CHUNK", 50)
    run, corpus = Run(tiny_run), Corpus(tiny_corpus)
    translator, journal = assemble([run]), tmp_path / "journal"
    calls: list[int] = []
    translate = translator.translate

    def interrupted(lines: list[str], **options: Any) -> list[Translation]:  # noqa: ANN401 (passed on)
        if len(calls) == 3:
            raise KeyboardInterrupt
        calls.append(len(lines))
        out: list[Translation] = translate(lines, **options)
        return out

    settings: dict[str, Any] = {"beam": 2, "count": 1, "choice": "likely", "with_original": True}
    monkeypatch.setattr(translator, "translate", interrupted)
    with pytest.raises(KeyboardInterrupt):
        distil.distilled_corpus([run], translator, corpus, journal, progress=lambda *_: None, **settings)
    with open(journal, "a") as file:
        file.write('["cut sho')  # as a power failure leaves it
    monkeypatch.setattr(translator, "translate", translate)
    seen: list[int] = []
    splits, _ = distil.distilled_corpus(
        [run], translator, corpus, journal, progress=lambda n, _: seen.append(n), **settings
    )
    assert seen[0] == 150
    again, _ = distil.distilled_corpus(
        [run], translator, corpus, tmp_path / "new", progress=lambda *_: None, **settings
    )
    assert [*map(list, splits.values())] == [*map(list, again.values())]
    with pytest.raises(UserError, match=r"holds 300 lines made with different settings \(beam\)"):
        distil.distilled_corpus([run], translator, corpus, journal, progress=lambda *_: None, **{**settings, "beam": 3})


def test_a_broken_corpus_is_refused_before_translation(
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
    output, held_out = (
        Corpus(out),
        {p.target for p in Corpus(tiny_corpus).read("test") + Corpus(tiny_corpus).read("valid")},
    )
    added = [p for p in output.read("train") if p.source.startswith(backtranslate.TAG)]
    assert {p.target for p in added} <= {line for line in more if line} - held_out
    assert len(added) > 10  # the others were cut off
    left_out = output.card["back_translated"]["left_out"]
    cut_off = left_out.pop("translation cut off", 0)
    assert left_out == {
        "empty": 1, "invalid UTF-8": 2, "control characters": 1, "duplicate": 1,
        "in a held-out part": len(held_out.intersection(more)),
    }  # fmt: skip
    assert len(added) + cut_off + sum(left_out.values()) == len(more) + len(garbled)
    assert "left out 2: invalid UTF-8" in capsys.readouterr().out
    facts = output.card["back_translated"]
    assert facts["lines"] == len(added)
    (tmp_path / "other.xx").write_text("".join(p.target + "\n" for p in pairs[340:]))
    twice = ["backtranslate", str(tmp_path / "run"), str(tmp_path / "other.xx"), "--out", str(tmp_path / "twice")]
    assert main([*twice, "--corpus", str(out)]) == 0
    assert Corpus(tmp_path / "twice").card["back_translated"]["before"] == facts
    with pytest.MonkeyPatch.context() as patch:
        append = journal_module.Journal.append
        patch.setattr(journal_module.Journal, "append", lambda self, _: append(self, []))
        assert main([*words, "--corpus", str(tiny_corpus)]) == 2
    assert re.search(
        r"all back-translations of the \d+ lines were cut off at the maximum length; train", capsys.readouterr().err
    )
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
    assert "holds back-translated text" in capsys.readouterr().err
    assert main([*words, "--corpus", str(reverse)]) == 2
    assert "needs a model for en-xx" in capsys.readouterr().err
