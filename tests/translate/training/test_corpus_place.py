"""The corpus of a run is found from any folder, after a move, and never taken for another."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from dragoman.cli import main
from dragoman.runtime.errors import UserError
from dragoman.translate.config import load
from dragoman.translate.evaluation.cell_comparison import changed_keys
from dragoman.translate.training.run import Run
from dragoman.translate.training.trainer import Trainer
from tiny import tiny_toml


@pytest.fixture(scope="module")
def trained(tiny_corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a project folder with a corpus and a run that was trained there, by relative paths."""
    project = tmp_path_factory.mktemp("trained") / "project"
    shutil.copytree(tiny_corpus, project / "data" / "my")
    (project / "tiny.toml").write_text(tiny_toml(Path("data/my")))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(project)
        Trainer(load("tiny.toml", ["training.epochs=1"]), "runs/tiny").fit()
    return project


@pytest.fixture
def project(trained: Path, tmp_path: Path) -> Path:
    """Return a copy of the project, to which its absolute path leads as well."""
    project = tmp_path / "project"
    shutil.copytree(trained, project)
    facts = json.loads((project / "runs/tiny/run.json").read_text())
    facts["corpus_place"]["absolute"] = str(project / "data/my")
    (project / "runs/tiny/run.json").write_text(json.dumps(facts))
    return project


def test_a_run_works_from_any_folder(project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for folder, run in (
        (tmp_path, "project/runs/tiny"),
        (project / "runs/tiny", "."),
        (Path("/"), project / "runs/tiny"),
    ):
        monkeypatch.chdir(folder)
        assert Run(run).corpus().folder.samefile(project / "data/my")
    assert main(["export", str(project / "runs/tiny"), "-o", str(tmp_path / "m.onnx")]) == 0
    assert main(["distill", str(project / "runs/tiny"), "--out", str(tmp_path / "distilled")]) == 0
    assert b'"corpus_place"' not in (tmp_path / "m.onnx").read_bytes()
    assert str(tmp_path).encode() not in (tmp_path / "m.onnx").read_bytes()  # the names of folders are the user's


def test_a_run_and_its_corpus_move_together(project: Path, tmp_path: Path) -> None:
    moved = tmp_path / "elsewhere" / "moved"
    moved.parent.mkdir()
    project.rename(moved)
    assert Run(moved / "runs/tiny").corpus().folder == moved / "data/my"


def test_a_run_moves_alone(project: Path, tmp_path: Path) -> None:
    shutil.move(project / "runs/tiny", tmp_path / "tiny")
    assert Run(tmp_path / "tiny").corpus().folder == project / "data/my"
    copy = tmp_path / "deep" / "er" / "tiny"
    shutil.copytree(tmp_path / "tiny", copy)
    other = copy.parents[1] / "data" / "my"
    shutil.copytree(project / "data/my", other)
    (other / "train.en").write_text("1\n" * 300)
    # Where the run expects its corpus stands another one: the text decides.
    assert Run(copy).corpus().folder == project / "data/my"


def test_links_are_followed(project: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(project / "runs/tiny")
    assert Run(tmp_path / "link").corpus().folder == project / "data/my"
    (project / "data").rename(tmp_path / "disk")
    (project / "data").symlink_to(tmp_path / "disk")
    assert Run(tmp_path / "link").corpus().folder == tmp_path / "disk" / "my"


def test_training_into_a_linked_folder(tiny_corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "disk" / "deep").mkdir(parents=True)
    (tmp_path / "project").mkdir()
    (tmp_path / "project" / "runs").symlink_to(tmp_path / "disk" / "deep")
    shutil.copytree(tiny_corpus, tmp_path / "project" / "my")
    (tmp_path / "project" / "tiny.toml").write_text(tiny_toml(Path("my")))
    monkeypatch.chdir(tmp_path / "project")
    Trainer(load("tiny.toml"), "runs/tiny").save()
    monkeypatch.chdir("/")
    place = Run(tmp_path / "disk" / "deep" / "tiny").read_json("run.json")["corpus_place"]
    assert place == {"given": "my", "absolute": str(tmp_path / "project/my"), "from_run": "../../../project/my"}
    assert Run(tmp_path / "project" / "runs" / "tiny").corpus().folder == tmp_path / "project/my"


def test_a_deleted_corpus_is_an_error_that_names_its_places(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    moved = tmp_path / "moved"
    shutil.copytree(project, moved)
    shutil.rmtree(moved / "data")
    shutil.rmtree(project / "data")
    shutil.copytree(moved / "runs", tmp_path / "here" / "data" / "my")  # no corpus, though of the same name
    monkeypatch.chdir(tmp_path / "here")
    for words in (["export", "-o", "m.onnx"], ["distill", "--out", "distilled"]):
        assert main([words[0], str(moved / "runs/tiny"), *words[1:]]) == 2
        assert capsys.readouterr().err.splitlines()[-1] == (
            f"dragoman: data/my, the corpus of {moved}/runs/tiny, is not a corpus now: there is no corpus.json in "
            f"{moved}/data/my or {project}/data/my; put the corpus back there"
        )


def test_a_resumption_may_name_the_new_place_of_the_corpus(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    folder = project / "runs/tiny"
    Trainer(load(project / "tiny.toml"), folder, resume=True).close()  # data/my is not in this folder
    (project / "data/my").rename(tmp_path / "new")
    with pytest.raises(UserError, match="is not a corpus now"):
        Trainer(load(project / "tiny.toml"), folder, resume=True)
    Trainer(load(project / "tiny.toml", ["data.corpus=new"]), folder, resume=True).close()
    assert Run(folder).config().data.corpus == "new"
    monkeypatch.chdir("/")
    assert Run(folder).corpus().folder == tmp_path / "new"
    (tmp_path / "new/train.en").write_text("1\n" * 300)
    with pytest.raises(UserError, match="is not the corpus that"):
        Trainer(load(project / "tiny.toml", [f'data.corpus="{tmp_path}/new"']), folder, resume=True)


def test_a_finished_run_learns_the_new_place_of_its_corpus(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = project / "runs/tiny"
    before = {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}
    (project / "data/my").rename(tmp_path / "new")
    monkeypatch.chdir(tmp_path)
    Trainer(load(project / "tiny.toml", ["training.epochs=1", "data.corpus=new"]), folder, resume=True).fit()
    monkeypatch.chdir("/")
    assert Run(folder).corpus().folder == tmp_path / "new"
    facts = {**json.loads(before["run.json"]), "corpus_place": Run(folder).read_json("run.json")["corpus_place"]}
    assert Run(folder).read_json("run.json") == facts
    changed = {name for name, data in before.items() if (folder / name).read_bytes() != data}
    assert changed == {"config.json", "run.json"}


def test_cells_are_compared_again_from_another_folder(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Run(project / "runs/tiny")
    monkeypatch.chdir(tmp_path)
    again = load(project / "tiny.toml", ["training.epochs=1", f'data.corpus="{project}/data/my"'])
    assert changed_keys(run, again) == []
    shutil.copytree(project / "data/my", "other")
    assert changed_keys(run, load(project / "tiny.toml", ["data.corpus=other"])) == ["training.epochs"]
    Path("other/train.en").write_text("1\n" * 300)
    changes = ["training.epochs=1", "model.cell=gru", "data.corpus=other"]
    assert {*changed_keys(run, load(project / "tiny.toml", changes))} == {"data.corpus", "model.cell"}


def test_a_run_of_an_earlier_version_finds_its_corpus(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = project / "runs/tiny"
    facts = json.loads((folder / "run.json").read_text())
    del facts["corpus_place"]
    (folder / "run.json").write_text(json.dumps(facts))
    monkeypatch.chdir(project)
    assert Run("runs/tiny").corpus().folder == project / "data/my"
    monkeypatch.chdir(tmp_path)
    assert Run(folder).corpus().folder == project / "data/my"
    shutil.copytree(project / "data/my", tmp_path / "data/my")  # the same text, so either is right
    assert Run(folder).corpus().digest() == facts["corpus_sha256"]
    (tmp_path / "data/my/train.en").write_text("1\n" * 300)
    assert Run(folder).corpus().folder == project / "data/my"


def test_a_corpus_beside_the_configuration(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    work = project / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    words = ["train", "../tiny.toml", "--set", "training.epochs=1"]
    assert main(words) == 0
    run = Run(work / "runs/tiny")
    assert run.config().data.corpus == "data/my"
    assert run.corpus().folder.samefile(project / "data/my")
    assert main([*words, "--resume"]) == 0
    monkeypatch.chdir(tmp_path)
    assert run.corpus().folder == project / "data/my"
    capsys.readouterr()


def test_the_current_folder_comes_before_that_of_the_configuration(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(project / "data", tmp_path / "data")
    monkeypatch.chdir(tmp_path)
    assert Run("runs/new", project).find_corpus("data/my").folder == Path("data/my")
    shutil.rmtree("data/my")
    assert Run("runs/new", project).find_corpus("data/my").folder == project / "data/my"


def test_a_corpus_that_is_missing_in_both_places(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "work").mkdir()
    (tmp_path / "tiny.toml").write_text(tiny_toml(Path("data/my")))
    monkeypatch.chdir(tmp_path / "work")
    assert main(["train", "../tiny.toml"]) == 2
    assert capsys.readouterr().err == (
        f"dragoman: data/my is not a corpus: there is no corpus.json in {tmp_path}/work/data/my or {tmp_path}/data/my; "
        "make one with `dragoman corpus`, or correct data.corpus\n"
    )
    monkeypatch.chdir(tmp_path)
    assert main(["train", "tiny.toml"]) == 2
    assert "data/my is not a corpus: it has no corpus.json; make one with `dragoman corpus`" in capsys.readouterr().err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["tiny.toml", "work"]
