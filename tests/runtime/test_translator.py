"""Tests of the runtime with a model made by hand: an ONNX graph that copies its source, built without PyTorch."""

from __future__ import annotations

import io
import itertools
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper

from copying import METADATA, TOKENIZER, copying_model, file_of
from dragoman.runtime.alignment import AttentionMap, word_alignment
from dragoman.runtime.commands import main
from dragoman.runtime.contract import CHECKSUM_KEY, EOS, Ids
from dragoman.runtime.errors import UserError
from dragoman.runtime.metadata import Metadata, ModelFileError, append_checksum, read_model_file
from dragoman.runtime.normalisation import normalise
from dragoman.runtime.session import MINIMUM_ONNXRUNTIME, _explain_load_error, session_for_task
from dragoman.runtime.translator import Translator
from tiny import ROOT


@pytest.fixture(scope="module")
def copier(tmp_path_factory: pytest.TempPathFactory) -> Translator:
    return Translator.load(file_of(tmp_path_factory.mktemp("copy") / "copy.onnx"), self_test=True)


def test_metadata_survive_a_round_trip(copier: Translator) -> None:
    assert copier.metadata == METADATA
    other = replace(METADATA, target_tokenizer=b"another")
    assert Metadata.from_props(other.to_props()) == other


def test_onnx_tools_see_the_checksum_as_a_property(tmp_path: Path) -> None:
    model = onnx.load(file_of(tmp_path / "m.onnx"))
    assert len({p.key: p.value for p in model.metadata_props}[CHECKSUM_KEY]) == 64


def test_results_are_in_order_of_the_texts(copier: Translator) -> None:
    lines = ["copy this line.", "", "number 3", "x", "   ", "and that one! copy this line, number 7."]
    for batch_size in (1, 2, 32):
        results = copier.translate(lines, batch_size=batch_size)
        assert [r.text for r in results] == [line.strip() for line in lines]
    assert copier.translate("copy").text == "copy"
    assert copier.translate([]) == []


def test_long_text_is_translated_in_parts_without_loss(copier: Translator) -> None:
    text = " ".join(f"copy this line, number {i}." for i in range(300))
    result = copier.translate(text)
    assert result.text == text
    assert result.parts > 100
    words = " ".join(["word"] * 100_000)
    assert copier.translate(words).text == words


@pytest.mark.parametrize(
    "text",
    [
        "\U0001f600 \U0001f468\u200d\U0001f469\u200d\U0001f467",
        "a\x00b\x07c",
        "\ud83d",
        "\ufeffx",
        "x" * 50_000,
        "." * 300_000,
        "漢字" * 999,
    ],
)
def test_no_input_ends_the_process(copier: Translator, text: str) -> None:
    assert copier.translate(text).text == normalise(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("ﬁ½①ｆ²", "ﬁ½①ｆ²"),  # NFC, not NFKC: existing files have subwords for these characters
        ("a\u00a0b\u3000c\u200bd\u00ade", "a\u00a0b\u3000c\u200bd\u00ade"),
        ("a\u0308", "\u00e4"),
        ("  a \t b\u2028c ", "a b c"),
        ("a\x07b\ufeffc", "abc"),
        ("\u2581x \ud83d", "_x \ufffd"),
    ],
)
def test_normalisation_of_version_1_is_unchanged(text: str, expected: str) -> None:
    """Files without the key keep what they were trained with."""
    assert normalise(text, 1) == expected


def test_n_best_and_ranges_of_arguments(copier: Translator) -> None:
    result = copier.translate("copy", beam=3, n_best=3)
    assert [h.score for h in result.hypotheses] == [-0.5]  # the other hypotheses are the same text
    for wrong in (
        {"beam": 2, "n_best": 3},
        {"n_best": 0},
        {"beam": 10_000},
        {"batch_size": 0},
        {"max_length": 0},
        {"length_penalty": float("nan")},
    ):
        with pytest.raises(UserError):
            copier.translate("copy", **wrong)


def test_translation_without_eos_is_incomplete(copier: Translator) -> None:
    class Endless:
        def run(self, source: object, source_length: object, **settings: object) -> tuple[object, ...]:
            return np.array([[[10, 11]]]), np.array([[-1.0]]), np.zeros((1, 0, 2, 1))

    result = Translator(Endless(), METADATA).translate("copy", beam=1)  # type: ignore[arg-type]  # a test double
    assert not result.complete


class WithoutEos:
    """An engine that copies its source, without `</s>` in rows that contain a certain id."""

    def __init__(self, id: int) -> None:
        self.id = id

    def run(self, source: Ids, source_length: Ids, *, n_best: int, beam_size: int, **settings: object) -> object:
        target = np.where((source == self.id).any(1)[:, None] & (source == EOS), 0, source)
        target = np.repeat(target[:, None], beam_size, 1)
        return target, np.full(target.shape[:2], -1.0), np.zeros((len(source), 0, 1, 1))


@pytest.mark.parametrize("text", ["Copy 7. That one.", "Copy. That one 7.", "Copy.\n\nCopy 7.\n\nThat one."])
def test_incomplete_part_makes_the_translation_incomplete(text: str) -> None:
    translator = Translator(WithoutEos(TOKENIZER.processor.PieceToId("7")), METADATA)  # type: ignore[arg-type]  # a test double
    assert not translator.translate(text).complete
    assert translator.translate(text.replace("7", "6")).complete


def test_warning_names_the_incomplete_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    translator = Translator(WithoutEos(TOKENIZER.processor.PieceToId("7")), METADATA)  # type: ignore[arg-type]  # a test double
    monkeypatch.setattr(Translator, "load", lambda *_, **__: translator)
    lines = "".join(f"line {7 if n in (3, 38) else 5}\n" for n in range(1, 41))
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(lines.encode())))
    assert main(["translate", "m.onnx", "--batch-size", "1"]) == 0  # the input takes several batches
    output = capsys.readouterr()
    assert output.out == lines
    assert re.findall(r"line (\d+): the translation reached the largest allowed length", output.err) == ["3", "38"]


def test_settings_reach_the_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    received: list[dict[str, object]] = []

    class Recording(Fixed):
        def run(self, source: Ids, source_length: Ids, **settings: Any) -> Any:  # noqa: ANN401 (arguments are passed on)
            received.append(settings)
            found: Any = super().run(source, source_length, **settings)
            target, score, _ = found
            return target, score, np.zeros((len(source), 1, target.shape[2], source.shape[1]))

    engine = Recording(*((letter, -0.1) for letter in "abcdef"))
    metadata = replace(METADATA, defaults={"beam_size": 2, "length_penalty": 0.7, "max_length": 33})
    translator = Translator(engine, metadata)
    translator.translate("x", beam=3, n_best=2, length_penalty=0.6, max_length=17, alignments=True)
    translator.translate("x")
    monkeypatch.setattr(Translator, "load", lambda *_, **__: translator)
    assert main(["translate", "m.onnx", "x", "--length-penalty", "1.4", "--beam", "4"]) == 0
    names = ("beam_size", "n_best", "max_length", "length_penalty", "n_aligned")
    assert [tuple(settings[name] for name in names) for settings in received] == [
        (3, 3, 17, 0.6, 1), (2, 1, 33, 0.7, 0), (4, 1, 33, 1.4, 0)
    ]  # fmt: skip


def test_batches_keep_both_limits() -> None:
    sizes: list[tuple[int, int]] = []

    class Counting:
        def run(self, source: Ids, source_length: Ids, **settings: object) -> tuple[object, ...]:
            sizes.append(source.shape)
            return np.full((len(source), 1, 1), EOS), np.full((len(source), 1), -1.0), np.zeros((len(source), 0, 1, 1))

    translator = Translator(Counting(), METADATA)  # type: ignore[arg-type]  # a test double
    lines = ["copy copy copy copy copy copy"] * 100
    for sentences, ids in ((32, 512), (100, 512), (100, 16384), (100, 1)):
        sizes.clear()
        translator.translate(lines, beam=1, batch_size=sentences, batch_tokens=ids)
        assert sum(rows for rows, _ in sizes) == len(lines)
        length = sizes[0][1]
        assert sizes[0][0] == max(1, min(sentences, ids // length))


def test_word_alignment_counts_words_over_parts() -> None:
    weights = np.array([[0.1, 0.1, 0.7, 0.1], [0.8, 0.1, 0.05, 0.05], [0, 0, 0, 1]], np.float32)
    one = AttentionMap(("▁the", "▁do", "g", "</s>"), ("▁Hund", "▁der", "</s>"), weights)
    assert word_alignment([one], [(False, False)]) == ((1, 0), (0, 1))
    assert word_alignment([one, one], [(False, False), (True, True)]) == ((1, 0), (0, 1), (2, 1), (1, 2))
    assert word_alignment([one, one], [(False, False)] * 2) == ((1, 0), (0, 1), (3, 2), (2, 3))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda d: d[:-1], "damaged or cut short"),
        (lambda d: d[: len(d) // 2], "damaged or cut short|not a Dragoman model"),
        (lambda d: b"", "not a Dragoman model"),
        (lambda d: b"PK\x03\x04" + bytes(500), "not a Dragoman model"),
        (lambda d: copying_model().SerializeToString(), "not a Dragoman model"),
        (lambda d: append_checksum(copying_model().SerializeToString()), "has no dragoman.schema"),
        (lambda d: append_checksum(b"not a protobuf"), "cannot run this model"),
    ],
)
def test_damaged_and_foreign_files_are_rejected(tmp_path: Path, damage: object, message: str) -> None:
    path = file_of(tmp_path / "m.onnx")
    path.write_bytes(damage(path.read_bytes()))  # type: ignore[operator]  # a function of bytes
    with pytest.raises(ModelFileError, match=message) as caught:
        Translator.load(path)
    assert "\n" not in str(caught.value)


def test_flipped_bits_are_detected(tmp_path: Path) -> None:
    path = file_of(tmp_path / "m.onnx")
    data = path.read_bytes()
    rng = np.random.default_rng(0)
    for place in [0, 1, len(data) - 1, len(data) - 70, *rng.integers(0, len(data), 60).tolist()]:
        broken = bytearray(data)
        broken[place] ^= 1 << int(rng.integers(8))
        path.write_bytes(bytes(broken))
        with pytest.raises(ModelFileError):
            read_model_file(path)


def test_other_schema_and_other_graph_are_rejected(tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match="has schema 99"):
        Translator.load(file_of(tmp_path / "m.onnx", replace(METADATA, schema=99)))
    model = copying_model()
    model.graph.output[0].name = model.graph.node[15].output[0] = "tokens"
    helper.set_model_props(model, METADATA.to_props())
    (tmp_path / "m.onnx").write_bytes(append_checksum(model.SerializeToString()))
    with pytest.raises(ModelFileError, match="missing output `target`, unexpected output `tokens`"):
        Translator.load(tmp_path / "m.onnx")


def test_missing_operator_is_named(tmp_path: Path) -> None:
    model = copying_model()
    model.graph.node[0].op_type, model.graph.node[0].domain = "MatMulIntegerToDream", "com.microsoft"
    model.opset_import.append(helper.make_opsetid("com.microsoft", 1))
    helper.set_model_props(model, METADATA.to_props())
    (tmp_path / "m.onnx").write_bytes(append_checksum(model.SerializeToString()))
    with pytest.raises(ModelFileError, match=rf"MatMulIntegerToDream.*onnxruntime {MINIMUM_ONNXRUNTIME} or newer"):
        Translator.load(tmp_path / "m.onnx")
    pyproject = (ROOT / "pyproject.toml").read_text()
    assert f'"onnxruntime>={MINIMUM_ONNXRUNTIME}"' in pyproject


@pytest.mark.parametrize(
    "reason",
    [
        "[ONNXRuntimeError] : 9 : NOT_IMPLEMENTED : Could not find an implementation for Dream(1) node with name 'd'",
        "[ONNXRuntimeError] : 1 : FAIL : Fatal error: com.microsoft:Dream(-1) is not a registered function/op",
    ],
)
def test_messages_about_missing_operators_are_recognised(reason: str) -> None:
    assert re.search(r"lacks the operator [\w.:]*Dream, which", _explain_load_error(reason))


def test_text_is_split_by_the_number_of_training_sentences(tmp_path: Path) -> None:
    text = "copy this. And that one! And"
    one = Translator.load(file_of(tmp_path / "1.onnx")).translate(text)
    assert (one.text, one.parts) == (text, 3)
    translator = Translator.load(file_of(tmp_path / "2.onnx", replace(METADATA, max_sentences=2)))
    assert translator.metadata.max_sentences == 2
    two = translator.translate(text)
    assert (two.text, two.parts) == (text, 2)


def test_line_breaks_are_kept(tmp_path: Path) -> None:
    translator = Translator.load(file_of(tmp_path / "m.onnx"))
    text = "\n copy this\r\n\nline.  And that\rone\n"
    found = translator.translate(text, alignments=True)
    assert found.text == "\ncopy this\r\n\nline. And that\rone\n"
    assert found.parts == 4
    assert max(s for s, _ in found.alignment) == max(t for _, t in found.alignment) == 5  # counted over all lines
    assert translator.translate("\n\n").text == ""
    wrapped = "copy this line, number 1, and that line\nnumber two, and number 3"
    assert translator.translate(wrapped).text == wrapped  # without capitals it may be a list
    assert translator.translate("C" + wrapped[1:]).text == "C" + wrapped[1:].replace("\n", " ")
    assert translator.translate("Copy\nthis").text == "Copy\nthis"


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("max_source", "many", "max_source is 'many' and should be a whole number from 1"),
        ("max_source", "0", "should be a whole number from 1"),
        ("max_source", "7", "should be 8 or more"),
        ("max_sentences", "-1", "should be a whole number from 1"),
        ("defaults", "{", "defaults is '{' and should be an object"),
        ("defaults", "{}", "no number for beam_size"),
        ("defaults", "null", "should be an object"),
        ("card", "[", "should be an object"),
        ("labels", "{}", "should be a list"),
        ("self_test", "{}", "no list of cases"),
        ("precision", "int4", "precision is 'int4'"),
        ("source_tokenizer", "*", "not in base64"),
        ("task", "sing", "task is 'sing'"),
    ],
)
def test_invalid_metadata_are_rejected(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], key: str, value: str, expected: str
) -> None:
    model = copying_model()
    helper.set_model_props(model, {**METADATA.to_props(), f"dragoman.{key}": value})
    (tmp_path / "m.onnx").write_bytes(append_checksum(model.SerializeToString()))
    assert main(["info", str(tmp_path / "m.onnx")]) == 2
    error = capsys.readouterr().err
    assert expected in error
    assert error.count("\n") == 1


def test_max_sentences_defaults_to_one() -> None:
    props = METADATA.to_props()
    del props["dragoman.max_sentences"]
    assert Metadata.from_props(props) == METADATA


def test_empty_batch(tmp_path: Path) -> None:
    translator = Translator.load(file_of(tmp_path / "m.onnx"))
    assert translator.translate([]) == []
    target, score, attention = translator.engine.run(
        np.zeros((0, 5), np.int64), np.zeros(0, np.int64), beam_size=3, n_best=1, max_length=9, length_penalty=1.0,
        n_aligned=2,
    )  # fmt: skip
    assert (target.shape[:2], score.shape, attention.shape[:2]) == ((0, 3), (0, 3), (0, 2))


def test_file_of_version_0_1_translates_as_before() -> None:
    """The file translates tiny.number_pairs; the scores are those that version 0.1.0 printed."""
    translator = Translator.load(ROOT / "tests" / "files" / "0.1.0.onnx", self_test=True)
    found = translator.translate(["12", "345", "907", "8"], alignments=True)
    assert [t.text for t in found] == ["two one", "five four three", "seven zero nine", "eight"]
    assert [t.score for t in found] == pytest.approx([-0.4756, -0.2207, -0.1286, -0.2301], abs=1e-3)
    assert found[1].alignment == ((0, 0), (0, 1), (0, 2))


def test_self_test_detects_other_tokens_and_scores(tmp_path: Path) -> None:
    cases = [{"source": [10, 11, EOS], "target": [10, 12, EOS], "score": -0.5}]
    path = file_of(tmp_path / "m.onnx", replace(METADATA, self_test={**METADATA.self_test, "cases": cases}))
    Translator.load(path)
    with pytest.raises(ModelFileError, match="self-test failed"):
        Translator.load(path, self_test=True)
    cases = [{"source": [10, 11, EOS], "target": [10, 11, EOS], "score": -0.51}]
    path = file_of(tmp_path / "m.onnx", replace(METADATA, self_test={**METADATA.self_test, "cases": cases}))
    with pytest.raises(ModelFileError, match="self-test failed"):
        Translator.load(path, self_test=True)


def test_files_of_another_tensor_contract_are_rejected() -> None:
    differences = (
        "unexpected input `beam_size`, unexpected input `n_best`, unexpected input `max_length`, "
        "unexpected input `length_penalty`, unexpected input `attended`, missing output `probability`, "
        "unexpected output `target`, unexpected output `score`, unexpected output `attention`"
    )
    message = f"the file does not match the tensor contract for the task `tag`: {differences}"
    with pytest.raises(ModelFileError, match=re.escape(message)):
        session_for_task(copying_model().SerializeToString(), "tag")
    reordered = copying_model()
    reordered.graph.input.insert(0, reordered.graph.input.pop())
    with pytest.raises(ModelFileError, match="inputs or outputs in another order"):
        session_for_task(reordered.SerializeToString(), "translate")


class Fixed:
    """An engine that returns the same hypotheses for every row."""

    def __init__(self, *hypotheses: tuple[str, float]) -> None:
        self.hypotheses = hypotheses

    def run(self, source: Ids, source_length: Ids, *, n_best: int, beam_size: int, **settings: object) -> object:
        rows = [TOKENIZER.encode(text) for text, _ in self.hypotheses[:beam_size]]
        target = np.zeros((len(source), beam_size, max(map(len, rows))), np.int64)
        scores = np.full((len(source), beam_size), -2e9)
        for k, row in enumerate(rows):
            target[:, k, : len(row)] = row
            scores[:, k] = self.hypotheses[k][1]
        return target, scores, np.zeros((len(source), 0, 1, 1))


def test_n_best_of_joined_parts() -> None:
    engine = Fixed(("a", -0.1), ("a", -0.2), ("b", -0.3), ("c", -0.9), ("c", -1.0), ("d", -1.1))
    translator = Translator(engine, replace(METADATA, max_source=8))  # type: ignore[arg-type]  # a test double
    found = translator.translate("x", n_best=3)
    assert [(h.text, round(h.score, 6)) for h in found.hypotheses] == [("a", -0.1), ("b", -0.3), ("c", -0.9)]
    found = translator.translate("x y z x y z. x y z x y z.", n_best=4)
    n = found.parts
    assert n > 1
    best = sorted((-sum(s) for s in itertools.product((0.1, 0.3, 0.9, 1.1), repeat=n)), reverse=True)[:4]
    assert [round(h.score * n, 6) for h in found.hypotheses] == [round(s, 6) for s in best]
    assert len({h.text for h in found.hypotheses}) == 4


@pytest.mark.parametrize(
    ("languages", "text", "expected"),
    [
        (("zh", "de"), "甲乙丙丁。戊己庚辛。", "a a"),
        (("zh", "ja"), "甲乙丙丁。戊己庚辛。", "aa"),
        (("zh", "de"), "甲乙丙丁戊己庚辛壬", "a a"),
        (("de", "en"), "abcdefghijklmnop", "aa"),
        (("de", "zh"), "abc def. abc def.", "a a"),
    ],
)
def test_spaces_between_parts_follow_the_languages(languages: tuple[str, str], text: str, expected: str) -> None:
    metadata = replace(METADATA, source_language=languages[0], target_language=languages[1], max_source=9)
    translator = Translator(Fixed(("a", -0.1)), metadata)  # type: ignore[arg-type]  # a test double
    translator.source_tokenizer.encode = lambda text: [*map(ord, text), EOS]  # type: ignore[method-assign]
    assert translator.translate(text, beam=1).text == expected


def test_alignment_of_parts_with_empty_translations() -> None:
    def part(source: int, target: int) -> AttentionMap:
        return AttentionMap(
            (*["▁s"] * source, "</s>"), (*["▁t"] * target, "</s>"), np.eye(target + 1, source + 1, dtype=np.float32)
        )

    after_space, continues = (False, False), (True, True)
    maps = [part(2, 2), part(1, 0), part(1, 1)]
    assert word_alignment(maps, [after_space, continues, after_space]) == ((0, 0), (1, 1), (2, 2))
    assert word_alignment([part(2, 0), part(2, 1)], [after_space, continues]) == ((1, 0),)


def test_commands(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    path = str(file_of(tmp_path / "m.onnx"))
    assert main(["translate", path, "copy this", "", "--scores"]) == 0
    assert capsys.readouterr().out == "-0.5000\tcopy this\n0.0000\t\n"
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"copy\n\nthat one\n")))
    assert main(["translate", path]) == 0
    assert capsys.readouterr().out == "copy\n\nthat one\n"
    assert main(["translate", path, "copy", "--n-best", "2", "--beam", "2"]) == 0
    assert capsys.readouterr().out == "1\t-0.5000\tcopy\n"  # the second hypothesis is the same text
    assert main(["info", path, "--json", "--self-test"]) == 0
    assert '"self_test": "passed"' in capsys.readouterr().out
    assert main(["info", path]) == 0
    assert "en-xx" in capsys.readouterr().out
    assert main(["bench", path, "--batch", "2", "--beam", "1", "--repeat", "3", "--json"]) == 0
    assert '"ms":' in capsys.readouterr().out
    (tmp_path / "empty").write_text("")
    (tmp_path / "long").write_text("copy this line. " * 20)
    for name, message in (
        ("empty", "is empty; give at least one sentence"),
        ("long", "first 32 lines: every sentence is longer than 24 subwords, the model's limit; give shorter ones"),
    ):
        assert main(["bench", path, "--source", str(tmp_path / name)]) == 2
        assert message in capsys.readouterr().err
    assert main(["translate", path, "one", "--batch-size", "1", "two"]) == 0
    assert capsys.readouterr().out == "one\ntwo\n"
    for wrong in (["translate", path, "x", "--n-best", "3", "--beam", "2"], ["info", str(tmp_path / "none")]):
        assert main(wrong) == 2
        error = capsys.readouterr().err
        assert error.startswith("dragoman: ")
        assert error.count("\n") == 1
    with pytest.raises(SystemExit) as stop:
        main(["translate", path, "--beam", "0"])
    assert stop.value.code == 2


def test_translations_with_attention_can_be_compared(tiny_file: Path) -> None:
    one, same, other = Translator.load(tiny_file).translate(["12", "12", "21"], alignments=True)
    assert one == same
    assert hash(one) == hash(same)
    assert one != other
    assert one.attention[0] != "12"
    assert len({one, same, other}) == 2
