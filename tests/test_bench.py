"""The benchmark scripts: JoeyNMT's log and data, the parts of a step, peers, vocabularies, and recorded rows."""

from __future__ import annotations

import os
import re
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import torch

from dragoman.export.graph import to_onnx
from dragoman.export.quantize import Int8Linear, calibrate, quantised
from dragoman.runtime.contract import EOS
from dragoman.translate.corpus.folder import Corpus
from dragoman.translate.evaluation.engine import TorchEngine
from dragoman.translate.files import read_rows, write_rows
from dragoman.translate.network.selection import VocabularySelection
from dragoman.translate.training.run import Run
from tiny import ROOT, VOCABULARY, script, tiny_config, tiny_search, tiny_selection

MARIAN, CTRANSLATE2 = (ROOT / name / "bin" / "python" for name in (".venv-marian", ".venv-peer"))

LINE = "2026-01-01 - INFO - joeynmt.training - Epoch 1, Step: {:8}, Batch Loss: 5.0, Tokens per Sec: {:8}, Lr: 0.001"


def test_joeynmt_rate_skips_the_warm_up() -> None:
    bench = script("bench/training.py")
    rates = [1, 1, 400, 400, 1200, 1200]
    log = "\n".join(LINE.format(10 * n, rate) for n, rate in enumerate(rates, 1))
    assert 10 * len(rates) == bench.STEPS
    assert bench.rate_in_log(log) == pytest.approx(600)  # the harmonic mean of 400 and 1,200
    with pytest.raises(SystemExit, match=r"JoeyNMT did not train: .*Step: +50"):
        bench.rate_in_log(log[: log.rindex("\n")])
    with pytest.raises(SystemExit, match="it printed nothing"):
        bench.rate_in_log("\n")


def test_joeynmt_gets_the_same_pairs_and_subwords(tiny_run: Path, tiny_corpus: Path, tmp_path: Path) -> None:
    corpus, tokenizer = Corpus(tiny_corpus), Run(tiny_run).tokenizers()[0]
    script("bench/training.py").prepare_joeynmt(tmp_path, corpus, tokenizer)
    for part in ("train", "valid"):
        for side, language in enumerate(corpus.languages):
            lines = (tmp_path / f"{part}.{language}").read_text("utf-8").splitlines()
            assert lines == [pair[side] for pair in corpus.read(part)]
    subwords = (tmp_path / "vocab.txt").read_text("utf-8").splitlines()
    assert [tokenizer.processor.PieceToId(subword) for subword in subwords] == list(range(4, len(tokenizer)))
    assert (tmp_path / "subwords.model").read_bytes() == tokenizer.model
    config = (tmp_path / "bench.yaml").read_text("utf-8")
    assert f'train: "{tmp_path}/train"' in config
    assert "{lang: en," in config
    assert "{lang: xx," in config
    assert "{{" not in config


def test_a_busy_core_is_busy_only_inside_the_block() -> None:
    bench = script("bench/training.py")
    with bench.busy_core() as process:
        assert process.poll() is None
    assert process.poll() is not None


@pytest.mark.parametrize(("beside", "status"), [(60.0, 0), (30.0, 1)])
def test_training_beside_a_busy_core_is_compared_with_itself_alone(
    beside: float, status: int, toml: Path, tiny_corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    bench = script("bench/training.py")
    turns: list[tuple[bool, bool]] = []
    busy = [False]

    @contextmanager
    def busy_core() -> Iterator[None]:
        busy[0] = True
        yield
        busy[0] = False

    def rate(options: object, corpus: Path, changes: list[str]) -> tuple[float, int]:
        assert corpus == tiny_corpus
        turns.append((busy[0], bool(changes)))
        return 50.0 if changes else beside + len(turns) if busy[0] else 100.0, 1_000_000

    monkeypatch.setattr(bench, "busy_core", busy_core)
    monkeypatch.setattr(bench, "dragoman_rate", rate)
    file = tmp_path / "rows.jsonl"
    words = ["training.py", "--config", str(toml), "--corpus", str(tiny_corpus), "--peer", "", "--record", str(file)]
    monkeypatch.setattr("sys.argv", words)
    assert bench.main() == status
    assert ("less than 0.45" in capsys.readouterr().err) == bool(status)
    assert turns == [(False, False), (True, False), (False, True)] * 3
    rows = read_rows(file)
    assert [row["against"] for row in rows] == ["lstm of as many parameters", "the same training alone"]
    ratios = [(beside + turn) / 100 for turn in (2, 5, 8)]
    assert rows[1]["ratio"] == ratios[1]
    assert rows[1]["spread"] == [ratios[0], ratios[2]]
    assert rows[1]["figure"] == "training, flagship beside a process that keeps one core busy, 1.0M parameters"
    assert rows[1]["peer"] == 100
    assert bench.MIN_BUSY_RATIO == 0.45


@pytest.mark.parametrize(
    ("names", "part"),
    [
        (["aten::addmm", "aten::linear"], "network, matrix products"),
        (["aten::mm", "Optimizer.step#Muon.step"], "Muon, matrix products"),
        (["aten::lerp_", "Optimizer.step#Muon.step"], "Muon, other"),
        (["aten::_fused_adamw_", "Optimizer.step#AdamW.step"], "AdamW, other"),
        (["aten::sub", "_Function"], "loss, without matrix products"),
        (["aten::mm", "_Function"], "network, matrix products"),
        (["aten::addcmul", "_LinearRecurrenceBackward", "autograd::engine"], "recurrence, forward and backward"),
        (["aten::native_layer_norm", "aten::layer_norm"], "normalisation"),
        (["aten::embedding"], "embedding"),
        (["aten::relu"], None),
    ],
)
def test_part_of_an_operator(names: list[str], part: str | None) -> None:
    event: Any = None
    for name in reversed(names):
        event = SimpleNamespace(name=name, cpu_parent=event)
    bench = script("bench/step.py")
    assert bench.part_of(event) == (part or bench.OTHER)


@pytest.mark.parametrize("path", ["bench/speed.py", "bench/training.py"])
def test_record_replaces_only_rows_of_the_same_machine(path: str, tmp_path: Path) -> None:
    bench, file = script(path), tmp_path / "rows.jsonl"
    old, other, new = ({"machine": machine, "ratio": ratio} for machine, ratio in (("a", 1), ("b", 2), ("a", 3)))
    bench.record(file, [old])
    assert read_rows(file) == [old]
    write_rows(file, [old, other, old])
    bench.record(file, [new, new])
    assert read_rows(file) == [other, new, new]


@pytest.mark.slow  # exports a network
@pytest.mark.parametrize("selection", [None, tiny_selection()], ids=["whole vocabulary", "selection"])
def test_step_cost_counts_the_columns_of_the_loop(selection: VocabularySelection | None) -> None:
    speed, config = script("bench/speed.py"), tiny_config()
    sources = speed.random_sources(VOCABULARY, 3)
    source, length = (torch.from_numpy(ids) for ids in sources)
    search = tiny_search(selection=selection)

    def translate() -> None:
        search.search(source, length, max_length=5)

    int8 = quantised(search, calibrate(search, translate), "portable")
    recurrent = [
        module.columns.numel()
        for name, module in int8.model.named_modules()
        if isinstance(module, Int8Linear) and re.match(r"decoder\.layers\.\d+\.recurrent\.", name)
    ]
    columns = 1 + selection(source, length).ids.shape[1] if selection else VOCABULARY  # the first is the rest
    feed_forward = 2 * config.width * config.feed_forward
    expected = sum(recurrent) + config.decoder_layers * feed_forward + columns * config.width
    assert speed.step_cost(to_onnx(int8).SerializeToString(), sources) == expected


def test_a_forced_search_keeps_its_selection_and_never_ends() -> None:
    speed = script("bench/speed.py")
    search = speed.without_eos(tiny_search(selection=tiny_selection()), 40)
    assert search.selection is not None
    sources = speed.random_sources(VOCABULARY, 2)
    assert speed.timer(TorchEngine(search), sources, 1, 20)() > 0  # it asserts 20 ids


def test_invented_sentences_are_the_same_every_time() -> None:
    invented = script("bench/invented.py")
    words = invented.invent_words(500)
    assert words == invented.invent_words(500)
    assert len(set(words)) == 500
    lines = [*islice(invented.sentences(words), 2000)]
    assert lines == [*islice(invented.sentences(words), 2000)]
    assert {len(line.split()) for line in lines} == {invented.WORDS}
    counts = Counter(" ".join(lines).split())
    assert counts[words[0]] > 2 * counts[words[100]] > 2 * counts[words[499]]


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """Return bench/vocabulary.py with small sizes, no pinning, and no turns to repeat."""
    bench: ModuleType = script("bench/vocabulary.py")
    values = {"SIZES": (600,), "START_SIZES": (600,), "FILE_SIZES": (600,), "SHARED": (40,), "STEPS": (3, 5)}
    for name, value in values.items():
        monkeypatch.setattr(bench, name, value)
    monkeypatch.setattr("os.sched_setaffinity", lambda process, cores: None)
    return bench


def test_every_word_of_the_vocabulary_benchmark_is_one_subword(small: ModuleType) -> None:
    subwords = small.Subwords.train(600)
    assert len(subwords.tokenizer) == 600
    line = next(small.sentences(subwords.words))
    assert len(subwords.tokenizer.encode(line)) == small.LENGTH


def test_a_random_selection_has_the_usual_sizes(small: ModuleType) -> None:
    subwords = small.Subwords.train(600)
    selection = small.random_selection(subwords, 40, 24)
    assert len(selection.shared) == 40
    assert EOS in selection.shared
    assert selection.longest <= small.OWN
    lengths = selection.lengths.float()
    assert lengths.mean() == pytest.approx(small.OWN_ON_AVERAGE, rel=0.05)
    frequent, rare = (subwords.tokenizer.encode(subwords.words[place])[0] for place in (0, -1))
    assert lengths[frequent] == small.OWN > lengths[rare]
    assert len(selection.table) == lengths.sum()
    assert not set(selection.table.tolist()) & set(selection.shared.tolist())
    candidates = selection(torch.tensor([[frequent, EOS]]), torch.tensor([2]))
    assert frequent in candidates.ids


def test_rows_of_the_vocabulary_benchmark_without_peers(
    small: ModuleType, toml: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "model").write_bytes(b"123")
    model = SimpleNamespace(path=tmp_path / "model", translator=SimpleNamespace(translate=lambda *a, **k: None))
    monkeypatch.setattr(small, "build_files", lambda *arguments: dict.fromkeys((True, False), model))
    monkeypatch.setattr(small, "cold_start", lambda model, sentence, core: (0.5, 100.0))
    monkeypatch.setattr(small, "compare", lambda ours, peer, repeat, **keys: {**keys, "ratio": ours() / peer()})
    monkeypatch.setattr("os.sched_getaffinity", lambda process: {0})
    file, none = tmp_path / "rows.jsonl", str(tmp_path / "none")
    words = ["--config", str(toml), "--peer", none, "--marian", none, "--repeat", "15", "--record", str(file)]
    monkeypatch.setattr("sys.argv", ["vocabulary.py", *words])
    assert small.main() == 0
    reasons = capsys.readouterr().err.splitlines()
    assert [line.split(":")[0] for line in reasons] == ["no rows of Marian", "no rows of CTranslate2"]
    assert "`make .venv-peer/installed` installs it" in reasons[1]
    rows = read_rows(file)
    assert {row["vocabulary"] for row in rows} == {600}
    assert all(row["machine"] and row["command"] and row["commit"] for row in rows)
    systems = [*small.NAMES.values()]
    assert [(row["figure"], row["batch"], row["peer"]) for row in rows if "ratio" in row] == [
        ("text to text", batch, systems[1]) for batch in small.BATCHES
    ]
    measured = [(row["figure"], row["system"]) for row in rows if "system" in row]
    assert measured == [
        ("candidates of a sentence", systems[0]),
        *(
            (figure, system)
            for system in systems
            for figure in ("one decoding step, microseconds", "a call without its steps, microseconds")
        ),
        *(
            (figure, system)
            for system in systems
            for figure in ("new process until its first translation, s", "peak resident memory of that process, MiB")
        ),
        *(("files, tokenizer included, MB", system) for system in systems),
    ]


@pytest.mark.slow  # exports two networks
def test_files_of_the_vocabulary_benchmark_translate_to_a_forced_length(
    small: ModuleType, toml: Path, tmp_path: Path
) -> None:
    subwords = small.Subwords.train(600)
    selection = small.random_selection(subwords, 40, 24)
    models = small.build_files(small.load(str(toml)).model, "portable", subwords, selection, tmp_path)
    assert [model.translator.metadata.selection.get("shared") for model in models.values()] == [40, None]
    for model in models.values():
        assert small.text_timer(model.translator, subwords.words, 2)(20) > 0
        assert small.id_timer(model.translator, subwords.words, 3)() > 0  # it asserts the number of ids
        small.cold_start(model.path, "ba be", min(os.sched_getaffinity(0)))


def test_peers_and_selection_are_compared_batch_by_batch(small: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(small, "compare", lambda ours, peer, repeat, **keys: keys)
    monkeypatch.setattr(small, "id_timer", lambda *arguments: None)
    models = dict.fromkeys((True, False), SimpleNamespace(translator=None))
    marian, ctranslate2 = (SimpleNamespace(ms=print, name=name) for name in ("Marian", "CTranslate2"))
    rows = [*small.comparisons(models, ["a"], marian, ctranslate2, 15)]
    found = [(row["batch"], row["figure"], row["selection"], row["peer"]) for row in rows]
    assert found == [
        (batch, *rest)
        for batch in (1, 32)
        for rest in (
            ("text to text", True, "Marian"),
            ("ids to ids", True, "CTranslate2"),
            ("text to text", False, "Marian"),
            ("ids to ids", False, "CTranslate2"),
            ("text to text", True, "Dragoman, whole vocabulary"),
        )
    ]


def test_times_of_a_step_and_of_a_call_are_slope_and_intercept(small: ModuleType) -> None:
    rows = [*small.step_rows({"a": lambda steps: 2.0 + 0.25 * steps, "b": lambda steps: 1.0 + 0.5 * steps}, 3)]
    assert [(row["system"], row["value"]) for row in rows] == [("a", 250), ("a", 2000), ("b", 500), ("b", 1000)]


def test_a_number_of_turns_below_the_minimum_is_rejected(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["speed.py", "--repeat", "14"])
    with pytest.raises(SystemExit):
        script("bench/speed.py").main()
    assert "14 is given; give 15 or more" in capsys.readouterr().err


def test_a_peer_that_ends_at_once_is_reported() -> None:
    with pytest.raises(RuntimeError, match="ended with status 3"):
        script("bench/speed.py").Peer.start(sys.executable, "-c", "raise SystemExit(3)")


def test_peak_memory_is_that_of_the_process() -> None:
    assert 1 < script("bench/speed.py").peak_memory(os.getpid()) < 100_000


@pytest.mark.skipif(not MARIAN.exists(), reason="`make .venv-marian/installed` installs Marian")
def test_marian_translates_to_the_length_that_is_asked_for(tmp_path: Path) -> None:
    bench = script("bench/vocabulary.py")
    peer = bench.marian(str(MARIAN), str(tmp_path), 800)  # builds the model
    assert peer.name.startswith("bergamot 0.4.5")
    for batch, length in ((1, bench.LENGTH), (3, 20)):
        assert peer.ms(batch, length=length) > 0  # it asserts the number of ids
    peer.stop()
    assert peer.process.returncode == 0
    (row,) = [row for row in bench.size_rows({}, peer.name, tmp_path, 800)]
    assert row["value"] > 1


@pytest.mark.skipif(not CTRANSLATE2.exists(), reason="`make .venv-peer/installed` installs CTranslate2")
def test_ctranslate2_translates_to_the_length_that_is_asked_for() -> None:
    speed = script("bench/speed.py")
    peer = speed.ctranslate2(str(CTRANSLATE2), 100)
    assert "int8 tiny" in peer.name
    for batch, beam, length in ((1, 1, speed.LENGTH), (3, 2, 20)):
        assert peer.ms(batch, beam, length) > 0  # it asserts the number of ids
    peer.stop()
    assert peer.process.returncode == 0


def vocabulary_rows() -> list[dict[str, Any]]:
    """Return invented rows of docs/results/vocabulary.jsonl."""
    start = {"machine": "some processor", "commit": "0123456789", "command": "python -m bench.vocabulary", "batch": 1}
    rows: list[dict[str, Any]] = []
    for size in (4000, 32000):
        start["vocabulary"] = size
        times = {"ours_ms": 1.5, "peer_ms": 3, "ratio": 0.5, "spread": [0.4, 0.6]}
        rows.append({**start, "figure": "text to text", **times, "selection": True, "peer": "Marian"})
        for system, value in (("Dragoman, selection", 50), ("Marian", size // 100)):
            spread = [value - 1, value + 1]
            rows.append(
                {
                    **start,
                    "figure": "one decoding step, microseconds",
                    "system": system,
                    "value": value,
                    "spread": spread,
                }
            )
    return rows


def test_tables_and_picture_of_the_vocabulary_benchmark(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tables = script("docs/tables.py")
    text = tables.vocabulary(vocabulary_rows())
    assert "| 32,000 | selection | Marian | text to text | 1 | 1.5 | 3 | **0.5** | 0.4 to 0.6 |" in text
    assert "| figure | system | 4,000 | 32,000 |\n|---|---|---|---|\n" in text
    assert "| one decoding step, microseconds | Marian | **40** 39 to 41 | **320** 319 to 321 |" in text
    assert tables.draw_steps(vocabulary_rows()).startswith(b"\x89PNG")
    read_lines = tables.read_lines
    for rows in ([], vocabulary_rows()):
        monkeypatch.setattr(tables, "read_lines", lambda name, rows=rows: rows if "voc" in name else read_lines(name))
        page = tables.pages()[tables.HERE / "speed.md"]
        assert ("## Vocabulary size, by machine" in page) == ("](images/vocabulary.png)" in page) == bool(rows)


def test_the_figure_in_the_picture_is_the_one_that_is_measured(small: ModuleType) -> None:
    row, _ = small.step_rows({"a": float}, 1)
    assert row["figure"] == script("docs/tables.py").STEP
