"""Classes, labels of words and series: what is read and refused, scores by hand, learning, and the one file of each."""

from __future__ import annotations

import io
import json
import shutil
import signal
from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import date, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from seqeval.metrics import f1_score
from seqeval.metrics.sequence_labeling import get_entities

from dragoman.cli import main
from dragoman.export import forecasting as export_series
from dragoman.export import labelling as export_reader
from dragoman.export.forecasting import forecaster_to_onnx
from dragoman.export.labelling import compare_labels
from dragoman.export.parity import Level, require_parity
from dragoman.runtime.contract import EOS, Floats, Ids
from dragoman.runtime.errors import Interrupted, UserError
from dragoman.runtime.forecasting import Forecaster, OnnxSeriesEngine, seasonal_naive
from dragoman.runtime.labelling import Classifier, Tagger
from dragoman.runtime.loading import load as load_model
from dragoman.runtime.metadata import ModelFileError
from dragoman.runtime.series import Series, read_series, write_series
from dragoman.runtime.timestamps import TimeAxis
from dragoman.translate.config import SeriesConfig, load
from dragoman.translate.corpus.folder import Corpus, Pair
from dragoman.translate.corpus.readers.classes import read_classes
from dragoman.translate.corpus.readers.conll import read_tags
from dragoman.translate.encoding.batching import Batch
from dragoman.translate.evaluation.label_metrics import accuracy, entities, entity_f1, is_chunked, macro_f1
from dragoman.translate.files import read_rows
from dragoman.translate.network.heads import LabelNetwork, SeriesNetwork
from dragoman.translate.progress import format_score
from dragoman.translate.tasks.forecasting import Windows, forecaster_of, series_scores, windows_of
from dragoman.translate.tasks.labelling import label_model_of
from dragoman.translate.training.checkpoint import load_tensors
from dragoman.translate.training.display import Display
from dragoman.translate.training.run import Run
from dragoman.translate.training.trainer import Trainer
from tiny import CELLS, VOCABULARY, classes, scaled, tagged, temperatures, tiny_config, torchrun

Read = Callable[[Path], Iterable[Pair]]

SMALL = """
[model]
width = 24
hidden = 20
encoder_layers = 1
feed_forward = 0
heads = 1
dropout = 0.05
[training]
epochs = {epochs}
batch_tokens = {tokens}
lr = 1e-2
warmup = 5
average = 1
precision = "float32"
label_smoothing = 0.0
"""


def test_accuracy_and_macro_f1_by_hand() -> None:
    found, expected = "a a a b c".split(), "a a b b b".split()
    assert accuracy(found, expected) == pytest.approx(60)
    # a: 2 of 3 given and 2 of 2 wanted; b: 1 of 1 and 1 of 3; c: given once, never wanted.
    assert macro_f1(found, expected) == pytest.approx(100 * (0.8 + 0.5 + 0.0) / 3)
    assert macro_f1(expected, expected) == 100


LABELS = ["O", *(f"{prefix}-{kind}" for prefix in "BIES" for kind in ("PER", "LOC"))]


@given(st.data(), st.lists(st.integers(0, 8), min_size=1, max_size=5), st.sampled_from([3, 5, 9]))
def test_entities_are_seqevals(data: st.DataObject, lengths: list[int], kinds: int) -> None:
    """Of one kind, of two, and with IOBES's ends; however the labels follow one another."""
    some = [label for label in LABELS if kinds != 3 or not label.endswith("LOC")][:kinds]
    found, expected = (
        [data.draw(st.lists(st.sampled_from(some), min_size=n, max_size=n)) for n in lengths] for _ in range(2)
    )
    for rows in (found, expected):
        ours = {(n, kind, start, end - 1) for n, start, end, kind in entities(rows)}
        assert ours == {(n, *one) for n, row in enumerate(rows) for one in get_entities(row)}
    assert entity_f1(found, expected) == pytest.approx(100 * f1_score(expected, found, zero_division=0))


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


def test_columns_of_all_kinds(tmp_path: Path) -> None:
    conll = "-DOCSTART- -X- O\n\nAda NNP B-PER\nLovelace NNP I-PER\n\nran VBD O\n"
    (tmp_path / "a").write_text(conll)
    assert [*read_tags(tmp_path / "a")] == [Pair("Ada Lovelace", "B-PER I-PER"), Pair("ran", "O")]
    assert [*read_tags(tmp_path / "a", tag=2)] == [Pair("Ada Lovelace", "NNP NNP"), Pair("ran", "VBD")]
    rest = "\t_" * 6
    rows = ["# text = du 1 000", f"1-2\tdu\t_\t_{rest}", f"1\tde\tde\tADP{rest}", f"2\t1 000\t1000\tNUM{rest}", ""]
    (tmp_path / "b").write_text("\n".join(rows))
    assert [*read_tags(tmp_path / "b")] == [Pair("de 1\u00a0000", "ADP NUM")]


def test_classes_of_spreadsheets_are_unquoted_and_others_are_not(tmp_path: Path) -> None:
    (tmp_path / "a").write_text('good\t"He said ""fine"""\n"so\nso"\t"two\nlines"\n\t\n\nbad\tpo\ror\n')
    assert [*read_classes(tmp_path / "a")] == [
        Pair('He said "fine"', "good"),
        Pair("two\nlines", "so so"),
        Pair("po or", "bad"),
    ]
    unclosed = 'good\t"He said ""fine"""\nbad\t"poor\nbad\tworse\n'
    (tmp_path / "a").write_text(unclosed)
    assert [*read_classes(tmp_path / "a")] == [
        Pair(text, label) for label, text in (line.split("\t") for line in unclosed.splitlines())
    ]
    (tmp_path / "a").write_text('good\t"Fine", he said.\nbad\t"Poor"\n')
    assert [*read_classes(tmp_path / "a")] == [Pair('"Fine", he said.', "good"), Pair('"Poor"', "bad")]
    (tmp_path / "a").write_text('good\t"He said ""fine"""\t\n"so\nso"\ttwo\t3\n')
    with pytest.raises(UserError, match="line 3 has 3 columns"):  # where the row ends
        [*read_classes(tmp_path / "a")]


@pytest.mark.parametrize(
    ("read", "text", "message"),
    [
        (read_classes, "good\tfine\nno tab\n", "line 2: each line needs label, tab, text"),
        (read_classes, "\tfine\n", "line 1: each line needs label, tab, text"),
        (read_classes, "good\tfine\t\nbad\tpoor\t2\n", "line 2 has 3 columns; keep two: label, tab, text"),
        (read_tags, "a O\nb\n", "line 2 has 1 columns, but the lines before have 2"),
        (read_tags, "a\nb\n", "line 1: no column 2; each line needs a word and a label"),
        (read_tags, "a\t\tO\n", None),
        (read_tags, "\tO\n", "line 1: the word or its label is empty"),
    ],
)
def test_bad_labelled_text(
    tmp_path: Path, read: Callable[[Path], Iterable[Pair]], text: str, message: str | None
) -> None:
    (tmp_path / "f").write_text(text)
    if message is None:
        assert [*read(tmp_path / "f")]
        return
    with pytest.raises(UserError, match=message):
        [*read(tmp_path / "f")]
    (tmp_path / "f").write_bytes(b"\xff\tx\n")
    with pytest.raises(UserError, match="line 1 is not UTF-8"):
        [*read(tmp_path / "f")]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A trained run of each task, beside its corpus."""
    top = tmp_path_factory.mktemp("tasks")
    out = {}
    for task, kind, text, epochs, tokens in (
        ("classify", "classes", classes(), 8, 300), ("tag", "tags", tagged(), 8, 300),
        ("forecast", "series", temperatures(), 3, 2000),
    ):  # fmt: skip
        file = top / f"{kind}.csv"
        file.write_text(text)
        more = ["--language", "en"] if kind != "series" else []
        assert main(["corpus", kind, str(file), "--out", str(top / kind), *more]) == 0
        series = "[series]\nwindow = 48\nhorizon = 12\nperiod = 24\n" if kind == "series" else ""
        (top / f"{task}.toml").write_text(
            f'name = "{task}"\ntask = "{task}"\n[data]\ncorpus = "{top / kind}"\n[tokenizer]\nvocabulary = 320\n'
            + SMALL.format(epochs=epochs, tokens=tokens) + series
        )  # fmt: skip
        Trainer(load(top / f"{task}.toml"), top / "run" / task).fit()
        out[task] = top / "run" / task
    return out


def test_they_learn(runs: dict[str, Path]) -> None:
    scores = {task: Run(folder).read_json("run.json")["scores"]["validation"] for task, folder in runs.items()}
    assert scores["classify"]["macro-F1"] > 95
    assert scores["tag"]["entity F1"] > 95
    assert scores["forecast"]["skill"] > 10
    assert scores["forecast"]["MAE temp"] < scores["forecast"]["seasonal-naive MAE temp"]


def test_resumption_is_exact(runs: dict[str, Path], tmp_path: Path) -> None:
    for task, folder in runs.items():
        config = load(folder.parents[1] / f"{task}.toml", ["training.epochs=2"])
        Trainer(config, tmp_path / task / "whole").fit()
        trainer = Trainer(config, tmp_path / task / "cut")
        step = trainer.train_step

        def stopped(
            batch: Batch, rate: float, trainer: Trainer = trainer,
            step: Callable[[Batch, float], tuple[float, float]] = step,
        ) -> tuple[float, float]:  # fmt: skip
            if trainer.position.step == 3:
                signal.raise_signal(signal.SIGINT)
            return step(batch, rate)

        trainer.train_step = stopped  # type: ignore[method-assign]  # a spy
        with pytest.raises(Interrupted):
            trainer.fit()
        Trainer(config, tmp_path / task / "cut", resume=True).fit()
        one, two = (load_tensors(tmp_path / task / name / "model.safetensors")[0] for name in ("whole", "cut"))
        assert all(torch.equal(one[key], two[key]) for key in one)


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("each", [False, True])
def test_a_text_does_not_depend_on_its_neighbours(
    cell: str, each: bool, random_source: Callable[[int, int], tuple[torch.Tensor, torch.Tensor]]
) -> None:
    torch.manual_seed(1)
    reader = LabelNetwork(tiny_config(cell), VOCABULARY, 5, per_token=each).eval()
    source, length = random_source(6, 9)
    together = reader(source, length)
    for b in range(len(length)):
        alone = reader(source[b : b + 1, : length[b]], length[b : b + 1])[0]
        torch.testing.assert_close(alone, together[b, : length[b]] if each else together[b])


@pytest.mark.parametrize(("variables", "window", "horizon", "period"), [(1, 30, 5, 5), (1, 48, 6, 12), (3, 28, 7, 7)])
def test_a_forecast_does_not_depend_on_its_neighbours(variables: int, window: int, horizon: int, period: int) -> None:
    """To the last bit: ONNX Runtime's sums over an axis add up in an order that depends on the batch."""
    torch.manual_seed(1)
    series = SeriesConfig(window=window, horizon=horizon, period=period)
    network = SeriesNetwork(tiny_config(), series, torch.full((variables,), 8.0), torch.full((variables,), 3.0))
    torch.nn.init.normal_(network.head.weight, std=0.1)
    engine = OnnxSeriesEngine(forecaster_to_onnx(network, window).SerializeToString())
    values = 8 + 3 * np.random.default_rng(1).normal(size=(17, window, variables)).astype(np.float32)
    values[3, ::4] = np.nan
    together = engine.run(values)
    for batch in (1, 2, 3, 16):
        apart = [engine.run(values[start : start + batch]) for start in range(0, len(values), batch)]
        np.testing.assert_array_equal(np.concatenate(apart), together)


def test_what_is_no_number_is_not_equal() -> None:
    class Says:
        def __init__(self, value: float) -> None:
            self.value = value

        def run(self, source: Ids, source_length: Ids) -> Floats:
            return np.full((len(source), 3), self.value, np.float32)

    with pytest.raises(UserError, match="differs from PyTorch"):
        require_parity([compare_labels(Says(0.3), Says(float("nan")), [[4, EOS]] * 2, 1)])


def test_a_forecast_starts_from_the_seasons() -> None:
    network = SeriesNetwork(tiny_config(), SeriesConfig(window=12, horizon=5, period=4), torch.zeros(2), torch.ones(2))
    network.eval().recency.data[:] = torch.tensor([0.0, 15.0, 30.0])  # the last season that is there, nearly alone
    series = torch.randn(3, 12, 2)
    series[1, 9, 0] = torch.nan  # then the one before it
    found = network(series).detach().numpy()
    for b in range(3):
        np.testing.assert_allclose(found[b], seasonal_naive(series[b].numpy(), 5, 4), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a\n", "needs a header and rows"),
        ("a,b\n1,2\n3\n", "row 3: the row has 1 columns, and the header has 2"),
        ("a,b\n1,2\n3,x\n", "row 3: 'x' in the column b is not a number"),
        ("a\n1\ninf\n", "row 3: 'inf' in the column a is not a number"),
        ("time,a\n2024-01-01,1\n2024-01-02,2\n2024-01-02,3\n", "row 4: the time 2024-01-02 does not come after"),
        ("time,a\n2024-01-01,1\n2024-01-02,2\n2024-01-03,2\n2024-01-03 05:00,3\n", "row 5: .* does not fit a series"),
        ("time,a\n2024-01-01,1\n5,2\n6,2\n", "row 3: the time '5' is not in the format of the first"),
        ("time,a\nnoon,1\n5,2\n6,2\n", "row 2: 'noon' is not a time"),
        ("time,a\n5,2\n6,2\n", "has 2 times; at least 3"),
        ("time\n5\n6\n7\n", "no column of numbers"),
        (",y\n0,5\n1,6\n2,7\n", "s.csv: column 1 has no name"),
        ("a\n1\n1_000\n", "row 3: '1_000' in the column a is not a number"),
        ("a,b,a\n1,2,3\n4,5,6\n", "has 2 columns named 'a'"),
        (
            "time,a\n2024-01-01,1\n2024-01-02,2\n2042-01-03,2\n",
            "row 4: .* is 6,577 rows of 1 day, 0:00:00 after the first, and 6,575 of them would be empty",
        ),
        (
            "time,a\n2024-01-01T00:00Z,1\n2024-01-01T01:00Z,2\n2024-01-01T02:00,2\n",
            "row 4: .* not in the format of the first",
        ),
        (
            "time,a\n0001-01-01T00:00+01:00,1\n0001-01-01T01:00+01:00,2\n0001-01-01T02:00+01:00,2\n",
            "outside the years 1 to 9999",
        ),
        (
            "time,a\n0001-01-01T00:00Z,1\n0001-01-01T01:00Z,2\n0001-01-01T02:00-05:00,2\n",
            "row 2: .* outside the years 1 to 9999",
        ),
        ("time,a\n0e-9999,1\n1,2\n2,2\n", "'0e-9999' is not a time"),
        (f"time,a\n0.{'0' * 5000}1,1\n1,2\n2,2\n", "is not a time"),
        ("time,a\n2024-01-31,1\n2024-02-28,2\n2024-03-31,2\n", "row 4: the time 2024-03-31 does not fit"),
    ],
)
def test_bad_series(text: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        read_series(text.encode(), "s.csv")


def timed(stamps: Iterable[str]) -> Series:
    """A series of ones at these times."""
    return read_series(("time,y\n" + "".join(f"{stamp},1\n" for stamp in stamps)).encode(), "x")


def test_times_go_on() -> None:
    for stamps, expected in (
        (["2024-11", "2024-12", "2025-01"], "2025-02"),
        (["2024-11-30", "2024-12-01", "2024-12-02"], "2024-12-03"),
        (["7", "8", "9"], "10"),
        (["2024-12-31 23:00", "2025-01-01 00:00", "2025-01-01 01:00"], "2025-01-01 02:00"),
        (["2024-12-31T23:30", "2025-01-01T00:30", "2025-01-01T01:30"], "2025-01-01T02:30"),
        (["2024-02-28T23:00Z", "2024-02-29T00:00Z", "2024-02-29T01:00Z"], "2024-02-29T02:00Z"),
        (
            ["2024-02-28 23:00:00+05:30", "2024-02-29 00:00:00+05:30", "2024-02-29 01:00:00+05:30"],
            "2024-02-29 02:00:00+05:30",
        ),
        (["2024-12-31 23:59:59.5", "2025-01-01 00:00:00.0", "2025-01-01 00:00:00.5"], "2025-01-01 00:00:01.0"),
        (["20241230", "20241231", "20250101"], "20250102"),
        (["2023-12-31", "2024-01-31", "2024-02-29"], "2024-03-31"),
        (["2024-12-30", "2025-01-30", "2025-02-28"], "2025-03-30"),
        (["2024-06-30", "2024-09-30", "2024-12-31"], "2025-03-31"),
        (["2020-02-29", "2021-02-28", "2022-02-28"], "2023-02-28"),
        (["2024-01-01", "2024-01-29", "2024-02-26"], "2024-03-25"),
        (["0.333", "0.667", "1.000"], "1.334"),
        (["1700000000123456", "1700000000123461", "1700000000123466"], "1700000000123471"),
        (["-1.5", "-0.5", "0.5"], "1.5"),
    ):
        series = timed(stamps)
        assert series.time_axis is not None
        assert [series.time_axis.at(n) for n in range(4)] == [*stamps, expected]


@given(st.lists(st.lists(st.one_of(st.none(), st.floats(-1e6, 1e6, width=32)), min_size=2, max_size=2), min_size=3))
def test_series_are_read_as_they_were_written(rows: list[list[float | None]]) -> None:
    rows[0] = rows[-1] = [1.0, 2.0]
    values = np.array(rows, np.float32)
    axis = TimeAxis(first=3, span=8, n_intervals=4, interval="2", template="0")
    back = read_series(write_series(Series(("a", "b"), values, axis)).encode(), "s.csv")
    assert back.names == ("a", "b")
    np.testing.assert_array_equal(back.values.astype(np.float32), values)
    plain = read_series(write_series(Series(("a", "b"), values)).encode(), "s.csv")
    np.testing.assert_array_equal(plain.values.astype(np.float32), values)


def test_corpora_refuse_what_cannot_be_learnt(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, text in (("a", "x\tone\nx\ttwo\n" * 20), ("b", "y\tthree\n"), ("c", "z\tfour\n")):
        (tmp_path / name).write_text(text)
    words = ["--language", "en", "--out", str(tmp_path / "out")]
    a, b, c = (str(tmp_path / name) for name in "abc")
    for files, message in (
        ([a], "too few to hold out"),
        ([a, b], "2 files: give one"),
        ([a, b, c], "the training texts have the labels ['x']"),
        ([a, b, c, "--valid", "1"], "three files are split already"),
    ):
        assert main(["corpus", "classes", *files, *words]) == 2
        assert message in capsys.readouterr().err
    assert main(["corpus", "tags", a, *words]) == 2
    message = "too few texts to train on and to hold some out: 1; the format is a word a line, an empty line after each"
    assert message in capsys.readouterr().err
    (tmp_path / "a").write_text("Label\ttext\n" + "x\tone\ny\ttwo\n" * 20)
    assert main(["corpus", "classes", a, *words]) == 2
    assert "the first line looks like a header, with the label 'Label'" in capsys.readouterr().err
    (tmp_path / "a").write_text("x\tone\ny\ttwo\n")
    assert main(["corpus", "classes", a, b, c, *words]) == 2
    assert "the label 'z' of 'four' in test does not occur in training" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_held_out_labels(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A label that chance held out goes to training; what somebody else held out stays as it is, copies too."""
    text = "".join(f"x\tone {chr(97 + i)}\ny\ttwo {chr(97 + i)}\n" for i in range(20))
    text += "".join(f"{c}\tnone but {c}\n" for c in "abcde")
    (tmp_path / "a").write_text(text)
    (tmp_path / "b").write_text("x\tthree\nx\tthree\ny\tone a\n")
    words = ["--language", "pt-BR", "--out", str(tmp_path / "out")]
    for seed in range(4):
        assert main(["corpus", "classes", str(tmp_path / "a"), *words, "--seed", str(seed), "--test", "20"]) == 0
        corpus = Corpus(tmp_path / "out")
        assert corpus.languages == ("pt-BR", "labels")
        assert {p.target for p in corpus.read("train")} == set("xyabcde")
        assert len(corpus.read("test")) + len(corpus.read("valid")) == 24 - corpus.card["moved"]
        assert "held-out texts to training" in capsys.readouterr().out
    few = "".join(f"x\tone {c}\ny\ttwo {c}\n" for c in "abcde") + "z\tthree\n"
    (tmp_path / "few").write_text(few)
    for seed in range(12):
        assert main(["corpus", "classes", str(tmp_path / "few"), *words, "--seed", str(seed)]) == 0
        read = [Corpus(tmp_path / "out").read(part) for part in ("train", "valid", "test")]
        assert [len(part) for part in read] == [9, 1, 1]
        assert len({pair for part in read for pair in part}) == 11
        assert "z" in {pair.target for pair in read[0]}
    capsys.readouterr()
    three = [str(tmp_path / name) for name in "abb"]
    assert main(["corpus", "classes", *three, *words]) == 0
    assert [p.source for p in Corpus(tmp_path / "out").read("test")] == ["three", "three", "one a"]
    assert "one a" not in {p.source for p in Corpus(tmp_path / "out").read("train")}
    assert main(["corpus", "classes", *three, *words, "--language", "e/n"]) == 2
    assert "--language e/n: give a code such as en or pt-BR" in capsys.readouterr().err


def test_a_corpus_of_another_task(runs: dict[str, Path], tmp_path: Path) -> None:
    toml = runs["tag"].parents[1] / "tag.toml"
    with pytest.raises(UserError, match=r'is a corpus to tag, and the configuration has task = "classify"'):
        Trainer(load(toml, ["task=classify"]), tmp_path / "run")
    with pytest.raises(UserError, match=r"50 is not a multiple of series\.period"):
        load(toml, ["task=forecast", "series.window=50"])
    with pytest.raises(UserError, match=r'need task = "translate"; remove them'):
        load(toml, ["augment.upper=0.1"])


@pytest.mark.slow  # four processes a task
@pytest.mark.parametrize("task", ["classify", "tag", "forecast"])
def test_two_workers_train_as_one_with_twice_the_batch(runs: dict[str, Path], tmp_path: Path, task: str) -> None:
    curves = []
    toml = runs[task].parents[1] / f"{task}.toml"
    for world in (1, 2):
        # At a high rate an absolute error's kink makes of a rounding another way after some hundred steps.
        changes = ["model.dropout=0", "training.epochs=2", "training.lr=1e-3"]
        changes += [f"training.batch_tokens={400 // world}", f"name=of{world}"]
        done = torchrun(tmp_path, toml, world, changes)
        _, said = done.communicate(timeout=200)
        assert done.returncode == 0, said
        curves.append([(r["step"], r["loss"]) for r in read_rows(tmp_path / "runs" / f"of{world}" / "metrics.jsonl")])
    assert [step for step, _ in curves[0]] == [step for step, _ in curves[1]]
    assert [loss for _, loss in curves[0]] == pytest.approx([loss for _, loss in curves[1]], rel=1e-3)


@pytest.fixture(scope="module")
def files(runs: dict[str, Path]) -> dict[str, Path]:
    """The one file of each."""
    out = {}
    for task, folder in runs.items():
        out[task] = folder.parents[1] / f"{task}.onnx"
        assert main(["export", str(folder), "-o", str(out[task])]) == 0
    return out


@pytest.mark.slow  # three exports
def test_the_one_file_of_each(
    runs: dict[str, Path], files: dict[str, Path], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    for task, path in files.items():
        assert main(["verify", str(path), "--against", str(runs[task])]) == 0
        assert "equal" in capsys.readouterr().out
        load_model(path, self_test=True)
        assert main(["info", str(path), "--json"]) == 0
        assert json.loads(capsys.readouterr().out)["task"] == task
        corpus = Run(runs[task]).config().data.corpus
        found = []
        for model in (runs[task], path):
            words = ["evaluate", str(model), "--corpus", corpus, "--json", "--record", str(tmp_path / "scores.jsonl")]
            assert main(words) == 0
            found.append({k: v for k, v in json.loads(capsys.readouterr().out).items() if k != "model"})
        assert found[0] == found[1]
        assert main(["export", str(runs[task]), "-o", str(tmp_path / "x.onnx"), "--int8"]) == 2
        assert "--int8 is for translators" in capsys.readouterr().err
        assert main(["translate", str(path), "x"]) == 2
        assert f"the model was made to {task}, not to translate" in capsys.readouterr().err
    rows = read_rows(tmp_path / "scores.jsonl")  # the file replaces the row of its run
    assert [(row["protocol"], len(row["metrics"])) for row in rows] == [("classify", 2), ("tag", 2), ("forecast", 5)]
    with pytest.raises(ModelFileError, match="made to tag, not to classify"):
        Classifier.load(files["tag"])
    assert main(["verify", str(files["tag"]), "--against", str(runs["classify"])]) == 2
    data = bytearray(files["forecast"].read_bytes())
    data[len(data) // 2] ^= 1
    (tmp_path / "broken.onnx").write_bytes(data)
    with pytest.raises(ModelFileError, match="is damaged"):
        load_model(tmp_path / "broken.onnx")


@pytest.mark.slow
def test_what_differs_is_seen(
    runs: dict[str, Path], files: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for task, path in files.items():
        other = scaled(runs[task], tmp_path / task, 1.2)
        assert main(["verify", str(path), "--against", str(other)]) == 1
        assert "NOT equal" in capsys.readouterr().out
        model = load_model(path)
        case = dict(model.metadata.self_test["cases"][0])
        key = "forecast" if task == "forecast" else "probability"
        said = np.array(case[key])
        case[key] = (said + 0.02 * np.abs(said).max()).tolist()
        model.metadata = replace(model.metadata, self_test={"cases": [case]})
        with pytest.raises(ModelFileError, match="self-test failed"):
            model.self_test()


def test_a_file_that_differs_is_not_made(runs: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    wrong = Level("labels", compared=9, equal=8, worst=0.0, passed=False)
    for module, compare in ((export_reader, "compare_labelling"), (export_series, "compare_forecaster")):
        monkeypatch.setattr(module, compare, lambda *_: [wrong])
        monkeypatch.setattr(module, "serialize", lambda *_: b"")
    monkeypatch.setattr(export_reader, "labelling_to_onnx", lambda *_: None)
    monkeypatch.setattr(export_series, "forecaster_to_onnx", lambda *_: None)
    for task in ("classify", "tag"):
        with pytest.raises(UserError, match="differs from PyTorch"):
            export_reader.build_labelling(Run(runs[task]), ["Ada Byron walks"])
    with pytest.raises(UserError, match="differs from PyTorch"):
        export_series.build_forecaster(Run(runs["forecast"]))


def test_windows_of_a_part_look_at_what_comes_before_it() -> None:
    rows = np.arange(19, dtype=np.float32)[:, None]
    places = {"train": slice(10), "valid": slice(10, 14), "test": slice(14, 19)}
    parts = {part: Series(("a",), rows[place]) for part, place in places.items()}
    for part, first in (("valid", 10), ("test", 14)):
        last = first + len(parts[part].values)
        found = [one for batch in windows_of(parts, part, 3, 2) for one in zip(batch.series, batch.ahead, strict=True)]
        assert [past.flatten().tolist() for past, _ in found] == [[t - 3, t - 2, t - 1] for t in range(first, last - 1)]
        assert [ahead.flatten().tolist() for _, ahead in found] == [[t, t + 1] for t in range(first, last - 1)]


@pytest.mark.slow
def test_running_them(
    files: dict[str, Path], capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert main(["run", str(files["classify"]), "a lovely table", "sad water", ""]) == 0
    assert capsys.readouterr().out == "positive\nnegative\n\n"
    assert main(["run", str(files["classify"]), "a lovely table", "--json"]) == 0
    value = json.loads(capsys.readouterr().out)
    assert value["label"] == "positive"
    assert sum(p for _, p in value["probabilities"]) == pytest.approx(1)
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"Ada Byron walks\n\nin London\n")))
    assert main(["run", str(files["tag"])]) == 0
    assert capsys.readouterr().out == "Ada\tB-PER\nByron\tI-PER\nwalks\tO\n\n\nin\tO\nLondon\tB-LOC\n\n"
    (tmp_path / "s.csv").write_text(temperatures())
    assert main(["run", str(files["forecast"]), str(tmp_path / "s.csv")]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "time,temp,wind"
    assert len(lines) == 13
    assert lines[1].startswith("2024-02-07 12:00,")
    (tmp_path / "short.csv").write_text("\n".join(temperatures().splitlines()[:20]))
    assert main(["run", str(files["forecast"]), str(tmp_path / "short.csv")]) == 0
    assert "short.csv has 20 rows, and the model looks back 48" in capsys.readouterr().err
    assert main(["run", str(files["forecast"]), str(tmp_path / "s.csv"), "--scores"]) == 2
    assert "is a forecaster, and forecasts have no scores" in capsys.readouterr().err
    assert main(["run", str(files["forecast"]), str(tmp_path / "none.csv")]) == 2
    assert "a forecaster reads CSV files" in capsys.readouterr().err


@pytest.mark.slow
def test_what_a_forecaster_is_given(files: dict[str, Path]) -> None:
    forecaster = Forecaster.load(files["forecast"], self_test=True)
    values = read_series(temperatures().encode(), "s.csv").values
    assert forecaster.forecast(values).shape == (12, 2)
    np.testing.assert_array_equal(forecaster.forecast(values), forecaster.forecast(values[-48:]))
    short = np.vstack([np.full((41, 2), np.nan, np.float32), values[-7:]])  # what is missing before it counts as a gap
    assert np.isfinite(forecaster.forecast(short)).all()
    np.testing.assert_array_equal(forecaster.forecast(values[-7:]), forecaster.forecast(short))
    for wrong, message in (
        (values[:, :1], "the model needs one column for each of temp, wind"),
        (np.full((9, 2), np.nan), "temp has no value among the last 48 rows"),
        (np.full((9, 2), np.inf), "a value is infinite"),
    ):
        with pytest.raises(UserError, match=message):
            forecaster.forecast(wrong)


def test_long_texts_are_read_in_parts(runs: dict[str, Path]) -> None:
    classifier, tagger = label_model_of(Run(runs["classify"])), label_model_of(Run(runs["tag"]))
    assert isinstance(classifier, Classifier)
    assert isinstance(tagger, Tagger)
    result = classifier.classify("what a lovely street. " * 100)
    assert result.label == "positive"
    assert result.parts > 1
    mixed = "what a lovely street. " * 20 + "sad, sad, sad street. " * 80
    rows: list[Floats] = []
    lengths: list[int] = []

    class Noting:
        def run(self, source: Ids, source_length: Ids) -> Floats:
            found = classifier.engine.run(source, source_length)
            rows.extend(found)
            lengths.extend(source_length.tolist())
            return found

    result = Classifier(Noting(), classifier.metadata).classify(mixed)
    assert result.parts == len(rows) > 1
    mean = np.average(rows, axis=0, weights=lengths).tolist()
    assert dict(result.probabilities) == pytest.approx(
        dict(zip(classifier.metadata.labels, mean, strict=True)), abs=1e-6
    )
    words = "Ada Byron walks in London".split() * 60
    found = tagger.tag(" ".join(words))
    assert found.words == (*words,)
    assert found.labels[:5] == tuple("B-PER I-PER O O B-LOC".split())
    parts = len(tagger._split(0, " ".join(words)))
    assert parts > 1
    right = sum(a == b for a, b in zip(found.labels, "B-PER I-PER O O B-LOC".split() * 60, strict=True))
    assert right >= 300 - 3 * parts  # but for words cut from those before them
    assert found.complete
    cut = tagger.tag(["in " + "x" * 5000, "in London"])
    assert cut[0].words == ("in", "x" * 5000)
    assert [found.complete for found in cut] == [False, True]


@given(text=st.text())
def test_every_word_gets_a_label(runs: dict[str, Path], text: str) -> None:
    tagger = label_model_of(Run(runs["tag"]))
    assert isinstance(tagger, Tagger)
    found = tagger.tag(text)
    assert len(found.words) == len(found.labels) == len(found.probabilities)


def test_a_translator_is_no_reader(tiny_run: Path, runs: dict[str, Path], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", str(tiny_run), str(runs["tag"]), "--corpus", "x"]) == 2
    assert "only runs that translate can be combined" in capsys.readouterr().err
    assert main(["evaluate", str(runs["tag"]), "--corpus", "x", "--beam", "3"]) == 2
    assert "--beam applies to translators only" in capsys.readouterr().err
    assert main(["evaluate", str(runs["tag"]), "--corpus", "x", "--protocol", "lc.tok"]) == 2
    assert "--protocol applies to translators only" in capsys.readouterr().err


def test_hand_edited_labels(runs: dict[str, Path], tmp_path: Path) -> None:
    corpus = tmp_path / "tags"
    shutil.copytree(Run(runs["tag"]).config().data.corpus, corpus)
    lines = (corpus / "train.labels").read_text().splitlines()
    (corpus / "train.labels").write_text("\n".join(["O", *lines[1:]]) + "\n")
    assert Corpus(corpus).task == "tag"
    toml = runs["tag"].parents[1] / "tag.toml"
    with pytest.raises(UserError, match=r"line 1 of train has \d words and 1 labels"):
        Trainer(load(toml, [f"data.corpus={corpus}"]), tmp_path / "run")
    other = lines[0].replace("O", "B-DOG")
    assert other != lines[0]
    (corpus / "train.labels").write_text("\n".join([other, *lines[1:]]) + "\n")
    with pytest.raises(UserError, match="line 1 of train has the label 'B-DOG', which is not in the corpus card"):
        Trainer(load(toml, [f"data.corpus={corpus}"]), tmp_path / "run")


def test_what_is_too_long_is_said(runs: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    toml = runs["tag"].parents[1] / "tag.toml"
    trainer = Trainer(load(toml, ["data.max_length=8"]), tmp_path / "run", display=Display())
    left_out = trainer.task.facts()["too_long"]
    assert left_out
    assert f"{left_out:,} of " in capsys.readouterr().err


def test_columns_that_are_not_those_of_a_treebank(tmp_path: Path) -> None:
    path = tmp_path / "a"
    ten = "Ada a b c d e f g h B-PER\n7 a b c d e f g h O\n".replace(" ", "\t")
    path.write_text(ten)
    assert [*read_tags(path)] == [Pair("Ada 7", "B-PER O")]
    path.write_text("# id 52\tdomain=en\n" + ten)
    assert [*read_tags(path)] == [Pair("Ada 7", "B-PER O")]
    path.write_text("a X\n\n# one\nb Y\n\n# two\nc X\n\n# X\nd Y\n")
    assert [*read_tags(path)] == [Pair("a", "X"), Pair("b", "Y"), Pair("c", "X"), Pair("# d", "X Y")]


def test_references_of_labels(runs: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    corpus = Run(runs["classify"]).config().data.corpus
    source = ["--source", str(Path(corpus) / "test.en"), "--reference", str(tmp_path / "labels")]
    labels = (Path(corpus) / "test.labels").read_text()
    (tmp_path / "labels").write_text(labels.replace("\n", " \n"))
    assert main(["evaluate", str(runs["classify"]), *source, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["accuracy"] > 95
    (tmp_path / "labels").write_text(labels.replace("positive", "gut"))
    assert main(["evaluate", str(runs["classify"]), *source]) == 2
    assert "the model does not know the label 'gut'" in capsys.readouterr().err


def test_another_sampling(runs: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    forecaster = forecaster_of(Run(runs["forecast"]))
    assert len(forecaster.forecast_series(read_series(temperatures().encode(), "x")).values) == 12
    days = [f"2024-{month:02}-{day + 1:02}" for month, length in ((1, 31), (2, 29)) for day in range(length)]
    daily = "time,temp,wind\n" + "".join(f"{day},{i},{i}\n" for i, day in enumerate(days))
    with pytest.raises(UserError, match="every 1 day, 0:00:00, and the model was trained on one sampled every 1:00:00"):
        forecaster.forecast_series(read_series(daily.encode(), "x"))
    (tmp_path / "a.csv").write_text(daily)
    assert main(["corpus", "series", str(tmp_path / "a.csv"), "--out", str(tmp_path / "daily")]) == 0
    assert main(["evaluate", str(runs["forecast"]), "--corpus", str(tmp_path / "daily")]) == 2
    assert "the series is sampled every 1 day" in capsys.readouterr().err


def test_long_held_out_texts_are_left_out(
    runs: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    corpus = tmp_path / "classes"
    shutil.copytree(Run(runs["classify"]).config().data.corpus, corpus)
    lines = (corpus / "valid.en").read_text().splitlines()
    (corpus / "valid.en").write_text("\n".join(["very " * 5000 + "sad", *lines[1:]]) + "\n")
    toml = runs["classify"].parents[1] / "classify.toml"
    trainer = Trainer(load(toml, [f"data.corpus={corpus}"]), tmp_path / "run", display=Display())
    assert f"1 of {len(lines):,} rows to validate on are longer" in capsys.readouterr().err.replace("\n", " ")
    assert max(batch.tensors()[0].shape[1] for batch in trainer.task.validation()) <= 100


def test_a_number_sign_is_a_word(tmp_path: Path) -> None:
    path = tmp_path / "a.conll"
    path.write_text("# of a treebank\ncost O\n# B-M\n5 I-M\n\n# B-M\n7 I-M\n")
    assert [*read_tags(path)] == [Pair("cost # 5", "O B-M I-M"), Pair("# 7", "B-M I-M")]
    path.write_text("# text\n5\tO\n\n# comment\n#\tB-M\n7\tI-M\n\n#tag\tO\n")
    assert [*read_tags(path)] == [Pair("5", "O"), Pair("# 7", "B-M I-M"), Pair("#tag", "O")]


def held_out(values: list[list[float]]) -> Windows:
    return Windows(np.array(values, np.float32), np.array([2, 3]), window=2, horizon=1, batch_size=2)


def test_series_scores_by_hand() -> None:
    """Errors 1 and 3 of a, against 10 and 10; b does not change, and c has no value."""
    windows = held_out([[0, 5, np.nan], [0, 5, np.nan], [10, 5, np.nan], [20, 5, np.nan]])
    found = [np.array([[[11.0, 5.0, 0.0]], [[17.0, 5.0, 0.0]]], np.float32)]
    scores = series_scores(windows, found, ("a", "b", "c"), 1, np.array([2, 1, 1], np.float32))
    assert scores == {"MAE a": 2, "seasonal-naive MAE a": 10, "MAE b": 0, "seasonal-naive MAE b": 0, "skill": 80}
    ones = np.ones(1, np.float32)
    scores = series_scores(held_out([[5], [5], [5], [5]]), [np.full((2, 1, 1), 5.01, np.float32)], ("b",), 1, ones)
    assert scores["MAE"] == pytest.approx(0.01, rel=1e-3)
    assert scores["skill"] == pytest.approx(-1000, rel=1e-3)  # worse than what is perfect, but not beyond all numbers
    for error, skill in ((0, 0), (1e-4, -10)):  # no better than what is perfect
        forecast = [np.full((2, 1, 1), 5 + error, np.float32)]
        scores = series_scores(held_out([[5], [5], [5], [5]]), forecast, ("b",), 1, ones)
        assert scores["skill"] == pytest.approx(skill, abs=0.1)
    with pytest.raises(UserError, match="c: no held-out value has another value one season before it"):
        series_scores(held_out([[np.nan]] * 4), [np.zeros((2, 1, 1), np.float32)], ("c",), 1, ones)
    assert [format_score(v) for v in (0.0, 12.345, 0.00123456, -0.5)] == ["0.00", "12.35", "0.001235", "-0.5"]


def test_some_windows_are_short(runs: dict[str, Path], tmp_path: Path) -> None:
    """As a forecast of a young series will be; the others are whole."""
    config = load(runs["forecast"].parents[1] / "forecast.toml")
    trainer = Trainer(config, tmp_path / "run")
    series = torch.cat([batch.tensors()[0] for batch in trainer.task.epoch(0)])
    missing = torch.isnan(series).all(2).int().cumprod(1).sum(1)
    assert 0.4 < (missing < 3).float().mean() < 0.7
    assert missing.max() > 40


def test_the_column_of_times_is_known_again(tmp_path: Path) -> None:
    """By its name, wherever it stands: a gap stays a gap."""
    table = b"y;when\n1,5;7\n".replace(b",", b".") + b"2;8\n4;10\n"
    series = read_series(table, "x", time="when")
    np.testing.assert_array_equal(series.values[:, 0], np.array([1.5, 2, np.nan, 4], np.float32))
    assert write_series(series) == "when,y\n7,1.5\n8,2\n9,\n10,4\n"
    again = read_series(table, "x", ("y",), preferred_time="when")
    np.testing.assert_array_equal(again.values, series.values)
    assert read_series(table, "x", preferred_time="hour").names == ("y", "when")


def test_an_empty_line_of_one_column_is_a_gap() -> None:
    np.testing.assert_array_equal(read_series(b"y\n1\n\n3\n\n", "x").values[:, 0], np.array([1, np.nan, 3], np.float32))
    assert len(read_series(b"y\tz\n1\t2\n\n3\t4\n", "x").values) == 2


def test_long_series_of_fine_times_stay_even() -> None:
    """Ten times a second for an hour: no time is off by what floating point loses."""
    start = datetime(2024, 1, 1)
    seconds = [(start + timedelta(milliseconds=100 * i)).isoformat(timespec="milliseconds") for i in range(36_000)]
    numbers = [f"{17_000_000_000 + i}" for i in range(36_000)]
    for stamps, after in (
        (seconds, "2024-01-01T01:00:00.000"),
        ([f"{n[:-1]}.{n[-1]}" for n in numbers], "1700003600.0"),
    ):
        series = timed(stamps)
        assert len(series.values) == 36_000
        assert series.time_axis
        assert series.time_axis.at(36_000) == after


def test_the_form_of_times_is_the_longest_of_them() -> None:
    for stamps, expected in (
        (["2024-01-01", "2024-01-01 12:00", "2024-01-02"], "2024-01-02 12:00"),
        (["2024-01-01T00:00:00", "2024-01-01T00:00:00.500000", "2024-01-01T00:00:01"], "2024-01-01T00:00:01.500000"),
    ):
        series = timed(stamps)
        again = read_series(write_series(series).encode(), "y")
        assert again.time_axis
        assert again.time_axis.at(3) == expected


def test_daylight_saving() -> None:
    with pytest.raises(UserError, match=r"row 4: .* does not fit .* give all times in UTC"):
        read_series(b"time,y\n2024-03-29T00:00+01:00,1\n2024-03-30T00:00+01:00,2\n2024-04-01T00:00+02:00,3\n", "x")
    rows = b"time,y\n2024-03-31T00:00+01:00,1\n2024-03-31T01:00+01:00,2\n2024-03-31T03:00+02:00,3\n"
    axis = read_series(rows + b"2024-03-31T04:00+02:00,4\n", "x").time_axis
    assert axis
    assert axis.at(4) == "2024-03-31T04:00+01:00"


def test_summer_time_that_ends_in_utc() -> None:
    """As Java writes the times of London."""
    hours = ["30T23:00:00Z", "31T00:00:00Z", "31T02:00:00+01:00", "31T03:00:00+01:00"]
    axis = timed(f"2024-03-{hour}" for hour in hours).time_axis
    assert axis
    assert [axis.at(row) for row in (0, 3, 4)] == [f"2024-03-31T0{hour}:00:00+01:00" for hour in (0, 3, 4)]


def test_too_much_that_is_missing() -> None:
    times = [190_000 * (i // 3) + i % 3 for i in range(3000)]
    with pytest.raises(UserError, match="of them would be empty; check the time for a typing error"):
        timed(map(str, times))


@given(st.lists(st.floats(width=32, max_value=2**90, min_value=-(2**90)), min_size=3))
def test_values_are_written_whole(values: list[float]) -> None:
    for given_ in (np.array(values, np.float32), np.array(values) / 3):
        back = read_series(write_series(Series(("a",), given_[:, None])).encode(), "x").values
        np.testing.assert_array_equal(back[:, 0].astype(given_.dtype), given_)


def test_separators() -> None:
    for text, names in (
        ('Zeit;"Temp, C";"Wind, m/s"\n1;2;3\n2;4;5\n3;6;7\n', ("Temp, C", "Wind, m/s")),
        ('time,"a;b;c"\n1,2\n2,3\n3,4\n', ("a;b;c",)),
        ("time;Temp, C\n1;2\n2;3\n3;4\n", ("Temp, C",)),
    ):
        assert read_series(text.encode(), "x", time=text[:4]).names == names
    text = 'Zeit;"Temp, C"\n1;2\n2;4\n3;6\n'
    for data in (text.encode("utf-16"), text.replace("\n", "\r").encode(), text.replace("\n", "\r\n").encode()):
        assert read_series(data, "x", time="Zeit").values[:, 0].tolist() == [2, 4, 6]
    with pytest.raises(UserError, match="its first row must name the columns"):
        read_series(b"2024-01-01,0\n2024-01-02,1\n2024-01-03,1\n", "x")
    with pytest.raises(UserError, match="'a' is requested twice"):
        read_series(b"a,b\n1,2\n3,4\n", "x", ["a", "a"])


def test_series_that_cannot_be_kept(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a.csv").write_text("y\n" + "".join(f"{1_234_567_890 + i % 3}\n" for i in range(100)))
    words = ["corpus", "series", str(tmp_path / "a.csv"), "--out", str(tmp_path / "out")]
    assert main(words) == 2
    assert "y has values such as 1234567890 that differ too little" in capsys.readouterr().err
    (tmp_path / "a.csv").write_text("Year,y\n" + "".join(f"{1900 + i},{i % 7}\n" for i in range(100)))
    assert main(words) == 2
    assert "the column 'Year' rises evenly, as times do; if it holds times, give --time Year" in capsys.readouterr().err
    for more, names in ((["--time", "Year"], "y;"), (["--columns", "Year,y"], "Year, y;")):
        assert main([*words, *more]) == 0
        assert f"out: {names}" in capsys.readouterr().out
    (tmp_path / "a.csv").write_text("x,y\n" + "".join(f"{i % 3},{'' if i % 5 else 7.5}\n" for i in range(100)))
    assert main(words) == 0
    assert capsys.readouterr().err.startswith("dragoman: y is always 7.5 in training, so nothing can be learnt")
    days = [date(2024, 1, 1) + timedelta(days=i) for i in range(140)]
    (tmp_path / "a.csv").write_text("day,y\n" + "".join(f"{d},{d.day}\n" for d in days if d.weekday() < 5))
    assert main([*words, "--time", "day"]) == 0
    assert "38 of 138 rows hold no value" in capsys.readouterr().err
    months = [f"{2000 + i // 12}{i % 12 + 1:02},{i % 7}" for i in range(60)]
    for header, said in (
        ("date", "the times 200001, 200002 look like years and months"),
        ("month", "'month' rises"),
    ):
        (tmp_path / "a.csv").write_text(f"{header},y\n" + "\n".join(months))
        assert main(words) == 2
        assert said in capsys.readouterr().err
    (tmp_path / "a.csv").write_text(
        "x;y\n" + "".join(f"{n % 3};{y}\n" for n, y in enumerate((*range(900, 980), "1.000", "1.020", "1.040")))
    )
    assert main(words) == 2
    assert (
        "rows 81 and 82: 979 and 1.000 in the column y; if the point is a thousands separator, remove it"
        in capsys.readouterr().err
    )
    assert read_series(b"y,z\n250,0.125\n1.125,1\n1.250,0.5\n2.375,7\n", "x").values[:, 0].tolist() == [
        250,
        1.125,
        1.25,
        2.375,
    ]
    (tmp_path / "a.csv").write_text('"Temp, C";y\n' + "".join(f"{i % 5};{i % 7}\n" for i in range(100)))
    assert main([*words, "--columns", 'y, "Temp, C"']) == 0
    assert "out: y, Temp, C;" in capsys.readouterr().out
    (tmp_path / "a.csv").write_text("y,z\n" + "".join(f"{i % 5},{i if i > 90 else ''}\n" for i in range(100)))
    assert main(words) == 2
    assert "z has no value in the first 80 rows, the training set" in capsys.readouterr().err
    (tmp_path / "a.csv").write_text("y\n" + "".join(f"{10_000_000 + i}\n" for i in range(100)))
    assert main([*words, "--valid", "2"]) == 2
    assert "--valid 2: hold out at least 3 rows" in capsys.readouterr().err
    assert main(words) == 0
    assert (tmp_path / "out" / "train.csv").read_text().splitlines()[:3] == ["y", "10000000", "10000001"]


def test_a_clock_ends_with_the_calendar() -> None:
    series = read_series(b"time,y\n7990-01-01,1\n8990-01-01,2\n9990-01-01,3\n", "x")
    with pytest.raises(UserError, match="beyond the year 9999"):
        write_series(Series(("y",), np.zeros((4, 1), np.float32), series.time_axis))


def test_times_that_fall_or_are_large() -> None:
    falling = "time,y\n" + "".join(f"2024-01-{31 - i:02},{i}\n" for i in range(20))
    with pytest.raises(UserError, match="sort the rows, oldest first"):
        read_series(falling.encode(), "x")
    with pytest.raises(UserError, match="'inf' is not a time"):
        read_series(b"time,y\n1,2\n2,3\n3,4\ninf,5\n", "x")
    seconds = ("time,y\n" + "".join(f"{1_700_000_000 + 3600 * i},{i}\n" for i in range(20))).encode()
    again = read_series(write_series(read_series(seconds, "x")).encode(), "y")
    np.testing.assert_array_equal(again.values, read_series(seconds, "x").values)


def test_scored_on_its_own_kind_of_corpus(runs: dict[str, Path], capsys: pytest.CaptureFixture[str]) -> None:
    other = Run(runs["tag"]).config().data.corpus
    assert main(["evaluate", str(runs["classify"]), "--corpus", str(other)]) == 2
    assert "is a corpus for the task tag, but" in capsys.readouterr().err
