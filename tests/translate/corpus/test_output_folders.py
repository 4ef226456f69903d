"""Tests of the folder of `--out`: it is refused before anything is read, or replaced as a whole."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from dragoman.cli import main
from dragoman.runtime.errors import UserError
from dragoman.translate.corpus.builders.algorithms import LANGUAGES
from dragoman.translate.corpus.folder import SPLITS, Corpus, Pair, new_corpus, write_corpus
from dragoman.translate.files import LOCK
from tiny import number_pairs

COPY = ["corpus", "algorithm", "copy", "--size", "40", "--length", "5"]
COPY_FILES = ["corpus.json", *sorted(f"{split}.{side}" for split in SPLITS for side in LANGUAGES)]

# Each command makes a mistake of its own, which it reports only if it reads or generates anything.
KINDS = [
    ["corpus", "files", "--pair", "en-de", "garbage"],
    ["corpus", "files", "--pair", "en-de", "garbage", "--dropped", "dropped.tsv"],
    ["corpus", "libreoffice", "--pair", "en-de", "--from", "nothing"],
    ["corpus", "multi30k", "--pair", "en-de", "--from", "nothing"],
    ["corpus", "classes", "--language", "en", "garbage"],
    ["corpus", "tags", "--language", "en", "garbage"],
    ["corpus", "series", "garbage"],
    ["corpus", "reversed", "damaged"],
    ["corpus", "cldr", "--pair", "en-qqq"],
    ["corpus", "algorithm", "copy", "--beyond", "1"],
]

UNUSABLE = [
    ("file", "--out file is a file; name a new folder"),
    ("file/below", "file is a file"),
    ("file/below/deeper", "file is a file"),
    ("full", "--out full holds own.txt, which is not part of a corpus; name a new folder"),
    (".", "--out here holds barred.part, which is not part of a corpus"),
    ("", "--out is empty; name a folder"),
    ("..", "which is not part of a corpus"),
    ("/", "--out / "),
    ("loop", "--out loop is a symbolic link to itself"),
    ("linked", "--out full holds own.txt"),
    ("taken", "taken.part is needed to make the corpus, but holds other files; rename it, or name another folder"),
    ("barred", "barred.part is a file"),
    ("x" * 300, "File name too long"),
]


def tree(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() if p.is_file() else b"" for p in folder.rglob("*")}


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the current folder, which holds inputs, and folders that cannot be written."""
    here = tmp_path / "here"
    for folder in ("nothing", "full", "taken.part", "damaged"):
        (here / folder).mkdir(parents=True)
    (here / "garbage").write_bytes(b"\xff\n" * 30)
    (here / "file").write_text("own\n")
    (here / "barred.part").write_text("own\n")
    (here / "full" / "own.txt").write_text("own\n")
    (here / "taken.part" / "own.txt").write_text("own\n")
    (here / "damaged" / "corpus.json").write_text('{"source_language": "en", "target_language": "de"}')
    (here / "loop").symlink_to("loop")
    (here / "linked").symlink_to("full")
    monkeypatch.chdir(here)
    return here


@pytest.mark.parametrize(("out", "message"), UNUSABLE)
@pytest.mark.parametrize("command", KINDS, ids=" ".join)
def test_unusable_folders_are_refused_before_anything_is_read(
    here: Path, capsys: pytest.CaptureFixture[str], command: list[str], out: str, message: str
) -> None:
    before = tree(here.parent)
    assert main([*command, "--out", out]) == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith("dragoman: ")
    assert message in error
    assert tree(here.parent) == before


@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc, where nobody can make a folder")
@pytest.mark.parametrize("out", ["/proc/x", "/proc/x/y"])
def test_folders_without_permission_are_refused(here: Path, capsys: pytest.CaptureFixture[str], out: str) -> None:
    assert main([*KINDS[0], "--out", out]) == 2
    assert capsys.readouterr().err.startswith("dragoman: cannot create the folder /proc/x")


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="root may write anywhere")
def test_read_only_folders_are_refused(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*COPY, "--out", "closed/corpus"]) == 0
    for folder, out in (("closed", "closed/new"), ("closed", "closed/corpus"), ("closed/corpus", "closed/corpus")):
        (here / folder).chmod(0o555)
        assert main([*KINDS[0], "--out", out]) == 2
        assert "ermission denied" in capsys.readouterr().err
        (here / folder).chmod(0o755)


def test_a_corpus_that_is_read_or_holds_an_input_is_not_replaced(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_corpus("corpus", ("en", "de"), dict.fromkeys(SPLITS, number_pairs(3)), {})
    before = tree(here)
    files = ["corpus", "files", "--pair", "en-de"]
    for command, message in [
        (["corpus", "reversed", "corpus"], "is the corpus that this command reads"),
        ([*files, "corpus"], "is the corpus that this command reads"),
        ([*files, "corpus/train.en", "corpus/train.de"], "holds corpus/train.en, an input of this command"),
        ([*files, "garbage", "--valid-files", "corpus/valid.en", "corpus/valid.de"], "holds corpus/valid.en, an input"),
        (
            ["corpus", "classes", "--language", "en", "corpus/train.en"],
            "holds test.de, which is not part of a corpus of en-labels",
        ),
        (["corpus", "series", "corpus/train.en"], "holds test.de, which is not part of a corpus of csv"),
        (["corpus", "multi30k", "--pair", "en-de", "--from", "corpus"], "is the corpus that this command reads"),
    ]:
        assert main([*command, "--out", "./corpus"]) == 2
        assert message in capsys.readouterr().err
        assert tree(here) == before


@pytest.mark.parametrize(
    ("dropped", "message"),
    [
        ("garbage", "--dropped garbage is also an input of this command; name another file"),
        ("./garbage", "--dropped ./garbage is also an input of this command; name another file"),
        ("memory/dropped.tsv", "--dropped memory/dropped.tsv is in memory, an input of this command"),
        ("new/dropped.tsv", "--dropped new/dropped.tsv is in the folder of --out"),
        ("new", "--dropped new is in the folder of --out"),
        ("nowhere/dropped.tsv", "cannot write nowhere/dropped.tsv: No such file or directory"),
        ("full", "cannot write full: it is a folder; name a file"),
    ],
)
def test_unusable_lists_of_dropped_pairs_are_refused(
    here: Path, capsys: pytest.CaptureFixture[str], dropped: str, message: str
) -> None:
    (here / "memory").mkdir()
    before = tree(here)
    words = ["--valid-files", "memory", "--out", "new", "--dropped", dropped]
    assert main(["corpus", "files", "--pair", "en-de", "garbage", *words]) == 2
    assert message in capsys.readouterr().err
    assert tree(here) == before


@pytest.mark.parametrize("out", ["new", "new/", "deep/er/new", "empty", "dangling", "to-empty", "earlier", "./a/../b"])
def test_other_folders_are_written(here: Path, capsys: pytest.CaptureFixture[str], out: str) -> None:
    (here / "empty").mkdir()
    (here / "a").mkdir()
    (here / "dangling").symlink_to("target")
    (here / "to-empty").symlink_to("empty")
    assert main([*COPY, "--out", "earlier", "--seed", "5"]) == 0
    assert main([*COPY, "--out", out]) == 0
    assert sorted(path.name for path in Path(out).iterdir()) == COPY_FILES
    assert (here / "dangling").is_symlink()
    assert (here / "to-empty").is_symlink()
    assert not [path for path in here.rglob("*.part") if path.name not in ("taken.part", "barred.part")]
    capsys.readouterr()


@pytest.mark.parametrize("earlier", [False, True])
@pytest.mark.parametrize("fixed", ["current", "mount"])
def test_folders_that_must_stay_are_filled(
    here: Path, monkeypatch: pytest.MonkeyPatch, earlier: bool, fixed: str
) -> None:
    """The folder that the user is in, and a mount point such as a volume of a container, stay the same folders."""
    folder = here / "stays"
    folder.mkdir()
    if earlier:
        assert main([*COPY, "--out", "stays", "--seed", "5"]) == 0
    inode = folder.stat().st_ino
    if fixed == "current":
        monkeypatch.chdir(folder)
    else:
        ismount = os.path.ismount
        monkeypatch.setattr(os.path, "ismount", lambda path: Path(path) == folder or ismount(path))
    out = {"current": ".", "mount": "stays"}[fixed]
    before = tree(here)
    assert main([*COPY, "--out", out, "--beyond", "1"]) == 2
    assert tree(here) == before
    (folder / "stays.part").mkdir()  # left behind by a killed process
    (folder / "stays.part" / LOCK).write_text("1")
    assert main([*COPY, "--out", out]) == 0
    assert folder.stat().st_ino == inode
    assert not (here / "stays.part").exists()  # it may be on another disk
    assert sorted(path.name for path in folder.iterdir()) == COPY_FILES
    assert main([*COPY, "--out", str(here / "expected")]) == 0
    assert tree(folder) == tree(here / "expected")


def test_a_replaced_corpus_is_reported_if_its_text_differs(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for seed, expected in (("1", ""), ("1", ""), ("2", "new held other text; a run that was started on it")):
        assert main([*COPY, "--out", "new", "--seed", seed]) == 0
        error = capsys.readouterr().err
        assert expected in error
        assert bool(expected) == bool(error)


def test_a_failure_keeps_the_earlier_corpus(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    splits = dict.fromkeys(SPLITS, number_pairs(3))
    write_corpus("corpus", ("en", "de"), splits, {})
    before = tree(here)

    def build(error: type[BaseException]) -> None:
        with new_corpus("corpus", ("en", "de")) as partial:
            (partial / "train.en").write_text("half of it")
            assert tree(here / "corpus") == {name[7:]: data for name, data in before.items() if name[:7] == "corpus/"}
            raise error

    for error in (UserError, KeyboardInterrupt, ValueError):
        with pytest.raises(error):
            build(error)
        assert tree(here) == before
    with pytest.raises(UserError), new_corpus("deep/er/corpus", ("en", "de")):
        raise UserError("the input is empty")
    assert tree(here) == before

    rename = Path.rename

    def fail_for_the_new_one(path: Path, target: Path) -> Path:
        if path.suffix == ".part":
            raise PermissionError(13, "Permission denied")
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", fail_for_the_new_one)
    with pytest.raises(UserError, match=r"cannot make the corpus .*corpus: Permission denied"):
        write_corpus("corpus", ("en", "de"), dict.fromkeys(SPLITS, number_pairs(5)), {})
    assert tree(here) == before


def test_an_open_corpus_can_be_read_to_its_end(here: Path) -> None:
    """A process that reads a corpus while it is replaced sees the earlier one alone."""
    pairs = number_pairs(40_000)  # more than any buffer
    write_corpus("corpus", ("en", "de"), {"train": pairs, "valid": pairs[:1], "test": []}, {})
    reader = Corpus("corpus").pairs("train")
    first = next(reader)
    write_corpus("corpus", ("en", "de"), dict.fromkeys(SPLITS, number_pairs(3)), {})
    assert [first, *reader] == pairs
    assert Corpus("corpus").count("train") == 3


HOLD = (
    "import sys; from dragoman.translate.corpus.folder import *\n"
    "with new_corpus(sys.argv[1], ('en', 'de')) as folder:\n"
    "    (folder / 'train.en').write_text('half of it'); print(flush=True); input()"
)


def test_a_second_process_is_refused_before_it_reads(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It need not wait until its own text is read. Once the first process is killed, the folder can be made."""
    with subprocess.Popen([sys.executable, "-c", HOLD, "new"], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout
        other.stdout.readline()
        assert main([*KINDS[0], "--out", "new"]) == 2
        assert f"new is being made by process {other.pid}; wait for it" in capsys.readouterr().err
        other.kill()
    assert (here / "new.part" / LOCK).exists()
    assert main([*COPY, "--out", "new"]) == 0
    assert sorted(path.name for path in (here / "new").iterdir()) == COPY_FILES
    assert not (here / "new.part").exists()


@pytest.mark.parametrize("split", SPLITS)
def test_a_corpus_that_is_replaced_while_it_is_reversed_is_refused(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], split: str
) -> None:
    write_corpus("corpus", ("en", "de"), dict.fromkeys(SPLITS, number_pairs(3)), {})
    read = Corpus.read

    def replace_and_read(corpus: Corpus, name: str) -> list[Pair]:
        if name == split:
            write_corpus("corpus", ("en", "de"), dict.fromkeys(SPLITS, number_pairs(5)[2:]), {})
        return read(corpus, name)

    monkeypatch.setattr(Corpus, "read", replace_and_read)
    assert main(["corpus", "reversed", "corpus", "--out", "reversed"]) == 2
    assert "corpus was changed while it was read; repeat the command" in capsys.readouterr().err
    assert not (here / "reversed").exists()
