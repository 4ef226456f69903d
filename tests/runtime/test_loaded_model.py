"""Copies and pickles of models, and models in several threads and processes."""

from __future__ import annotations

import copy
import multiprocessing
import pickle
import random
import shutil
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

import dragoman
from copying import METADATA, file_of
from dragoman.runtime.errors import UserError
from dragoman.runtime.metadata import ModelFileError
from dragoman.runtime.translator import Translator
from tiny import ROOT

FILES = ROOT / "tests" / "files" / "35c52c7"


def translate(model: Translator) -> str:
    return model.translate("907").text


USES: dict[str, Callable[[Any], object]] = {
    "float32": lambda model: model.translate(["12", "907"], n_best=2),
    "int8": lambda model: model.translate(["12", "907"], n_best=2),
    "classify": lambda model: model.classify(["good 12", "bad"]),
    "tag": lambda model: model.tag("Ada Byron walks in London"),
    "forecast": lambda model: model.forecast([[1.0] * len(model.names)] * model.window).tolist(),
}


@pytest.mark.parametrize("name", USES)
@pytest.mark.parametrize(
    "duplicate", [copy.copy, copy.deepcopy, *(lambda m, n=n: pickle.loads(pickle.dumps(m, n)) for n in range(2, 6))]
)
def test_a_copy_gives_the_same_results(name: str, duplicate: Callable[[Any], Any]) -> None:
    model: Any = dragoman.load(FILES / f"{name}.onnx", threads=2)
    other = duplicate(model)
    assert other is not model
    assert other.__class__ == model.__class__
    assert other.metadata == model.metadata
    assert other.path == model.path == str(FILES / f"{name}.onnx")
    assert other.checksum == model.checksum
    assert other.engine.session.get_session_options().intra_op_num_threads == 2
    assert USES[name](other) == USES[name](model)


def test_a_deep_copy_has_metadata_of_its_own() -> None:
    model = Translator.load(FILES / "float32.onnx")
    copy.deepcopy(model).metadata.defaults["beam_size"] = 1
    assert model.metadata.defaults["beam_size"] == 3


def test_a_pickle_is_small_and_does_not_depend_on_the_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(FILES)
    data = pickle.dumps(Translator.load("float32.onnx"))
    assert len(data) < 1000
    monkeypatch.chdir(tmp_path)
    assert translate(pickle.loads(data)) == "seven zero nine"


def test_a_pickle_needs_the_same_file(tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    shutil.copy(FILES / "float32.onnx", path)
    data = pickle.dumps(Translator.load(path))
    shutil.copy(FILES / "int8.onnx", path)
    with pytest.raises(ModelFileError, match=r"m.onnx is another file than when its Translator was pickled"):
        pickle.loads(data)
    path.unlink()
    with pytest.raises(ModelFileError, match=r"a pickled Translator needs its model file: cannot read .*m.onnx"):
        pickle.loads(data)


def test_a_model_without_a_file_cannot_be_pickled() -> None:
    loaded = Translator.load(FILES / "float32.onnx")
    model = Translator(loaded.engine, loaded.metadata)
    with pytest.raises(
        UserError, match="this Translator was not loaded from a file, so it cannot be pickled; export it"
    ):
        pickle.dumps(model)
    assert translate(copy.deepcopy(model)) == "seven zero nine"


def test_errors_and_results_can_be_pickled() -> None:
    result = Translator.load(FILES / "float32.onnx").translate("12\n7", n_best=2)
    assert pickle.loads(pickle.dumps(result)) == result
    error = pickle.loads(pickle.dumps(ModelFileError("so")))
    assert isinstance(error, ModelFileError)
    assert str(error) == "so"


@pytest.mark.slow  # each process loads the packages
@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_other_processes_translate(method: str) -> None:
    model = Translator.load(FILES / "float32.onnx")
    context = multiprocessing.get_context(method)
    with ProcessPoolExecutor(1, mp_context=context) as executor:
        assert [*executor.map(translate, [model, copy.deepcopy(model)])] == ["seven zero nine"] * 2
        assert executor.submit(model.translate, "12").result().text == "two one"
    with context.Pool(1) as pool:
        assert [t.text for t in pool.map(model.translate, ["12", "345"])] == ["two one", "five four three"]


@pytest.mark.parametrize("path", [FILES / "float32.onnx", FILES / "int8.onnx", None])
def test_eight_threads_share_one_translator(path: Path | None, tmp_path: Path) -> None:
    model = Translator.load(path or file_of(tmp_path / "m.onnx", METADATA))
    rng = random.Random(1)
    jobs = [[str(rng.randrange(10 ** rng.randint(1, 5))) for _ in range(rng.randint(1, 9))] for _ in range(64)]
    alone = [model.translate(job, beam=1 + n % 4) for n, job in enumerate(jobs)]
    with ThreadPoolExecutor(8) as executor:
        found = [*executor.map(lambda n: model.translate(jobs[n], beam=1 + n % 4), [*range(len(jobs))] * 4)]
    assert [[t.text for t in job] for job in found] == [[t.text for t in job] for job in alone] * 4
    assert [t.score for job in found for t in job] == pytest.approx([t.score for job in alone for t in job] * 4)


def test_eight_threads_share_one_model_of_other_tasks() -> None:
    for name in ("classify", "tag", "forecast"):
        model = dragoman.load(FILES / f"{name}.onnx")
        expected = USES[name](model)
        with ThreadPoolExecutor(8) as executor:
            assert all(found == expected for found in executor.map(USES[name], [model] * 64))
