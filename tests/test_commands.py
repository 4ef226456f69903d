"""The commands as a user runs them: from a corpus to a translation, and every mistake in one line."""

from __future__ import annotations

import argparse
import gzip
import io
import json
import os
import shutil
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from dragoman.cli import main, parser
from dragoman.runtime.console import parse
from dragoman.runtime.files import write_atomically
from dragoman.runtime.wording import counted
from dragoman.translate.evaluation import translation_evaluation
from dragoman.translate.files import write_json
from dragoman.translate.training.display import Display
from tiny import ROOT, number_pairs, tiny_toml


def test_from_corpus_to_translation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    pairs = number_pairs(300)
    for side, language in enumerate(("en", "xx")):
        Path(f"all.{language}").write_text("".join(p[side] + "\n" for p in pairs))
    Path("c.toml").write_text(tiny_toml(Path("data/numbers")))

    def run(*words: str) -> str:
        assert main(list(words)) == 0
        return capsys.readouterr().out

    out = run("corpus", "files", "--pair", "en-xx", "all.en", "all.xx", "--out", "data/numbers", "--valid", "20")
    assert "250 train, 20 valid, 30 test" in out
    assert run("train", "c.toml", "--set", "training.epochs=2").strip().endswith("runs/tiny")
    assert Path("runs/tiny/curves.png").stat().st_size > 10_000
    assert main(["train", "c.toml"]) == 2
    assert "continue it with --resume" in capsys.readouterr().err
    assert "20 of 20 equal" in run("export", "runs/tiny", "-o", "n.onnx")
    report = json.loads(run("verify", "n.onnx", "--against", "runs/tiny", "--json"))
    assert report["passed"]
    names = [level["name"] for level in report["levels"]]
    assert names[:2] == ["encoder", "one step"]
    assert names[3:] == [
        "whole search, beam 1, batches of 1", "whole search, beam 1, batches of 20",
        "whole search, beam 3, batches of 1", "whole search, beam 3, batches of 20",
        "whole search, beam 3, 2 best, batches of 20", "batch invariance, beam 3", "text and attention",
    ]  # fmt: skip
    assert "equal" in run("verify", "n.onnx", "--against", "runs/tiny", "--source", "all.en")
    shutil.copytree("runs/tiny", "runs/other")
    config = json.loads(Path("runs/other/config.json").read_text())
    Path("runs/other/config.json").write_text(json.dumps({**config, "model": {**config["model"], "heads": 3}}))
    assert main(["verify", "n.onnx", "--against", "runs/other"]) == 2
    assert (
        "n.onnx was not exported from runs/other: model.heads is 2 in the file and 3 in the run"
        in capsys.readouterr().err
    )
    scores = [
        json.loads(run("evaluate", model, "--source", "data/numbers/test.en", "--reference", "data/numbers/test.xx",
                      "--beam", "2", "--json"))
        for model in ("runs/tiny", "n.onnx")
    ]  # fmt: skip
    assert scores[0]["BLEU"] == scores[1]["BLEU"]
    assert "signature" in scores[0]["chrF"]
    assert "lc.tok" in run("evaluate", "n.onnx", "--source", "all.en", "--reference", "all.xx", "--protocol", "lc.tok")
    rows = [json.loads(line) for line in run("translate", "n.onnx", "12", "", "--alignments", "--json").splitlines()]
    assert [r["source"] for r in rows] == ["12", ""]
    assert len(run("translate", "n.onnx", "12", "--scores", "--alignments").split("\t")) == 3
    assert "self_test    passed" in run("info", "n.onnx", "--self-test")
    assert run("plot", "curves", "runs/tiny").strip().endswith("curves.png")


FLAGSHIP = ROOT / "configs" / "multi30k-en-de.toml"


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["train", "none.toml"], "cannot read the configuration none.toml"),
        (["train", str(FLAGSHIP), "--set", "data.corpus=none"], "none is not a corpus"),
        (["export", "none", "-o", "x.onnx"], "none is not a training run"),
        (["verify", "none.onnx", "--against", "none"], "none is not a training run"),
        (["evaluate", "none.onnx", "--source", "a", "--reference", "b"], "cannot read none.onnx"),
        (["translate", "none.onnx", "x"], "cannot read none.onnx"),
        (["corpus", "cldr", "--pair", "en", "--out", "x"], "two different languages"),
        (["corpus", "cldr", "--pair", "en-qqq", "--out", "x"], "CLDR has no language qqq"),
        (["corpus", "files", "--pair", "en-de", "none", "--out", "x"], "cannot read none"),
        (["corpus", "multi30k", "--pair", "en-de", "--from", "none", "--out", "x"], "neither train.en nor train.en.gz"),
        (
            ["corpus", "files", "--pair", "de-en", "a.en", "a.de.gz", "--out", "x"],
            "say en-de, but --pair says de-en",
        ),
        (["compare", "a", "a", "--source", "a"], "give --source and --reference, a text and its expected output"),
        (["translate", ".", "x"], "`dragoman export` makes a model file from it"),
        (["plot", "curves", "none"], "none has no metrics.jsonl"),
        (["quickstart", "--pair", "de"], "two different languages"),
        (["quickstart", "--pair", "en-qqq"], "CLDR has no language qqq"),
    ],
)
def test_mistakes_are_one_line_and_leave_nothing(
    words: list[str], expected: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(words) == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith("dragoman: ")
    assert expected in error
    assert list(tmp_path.iterdir()) == []


def test_int8_mistakes(tmp_path: Path, tiny_run: Path, tiny_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "m.onnx"
    run = tmp_path / "run"
    shutil.copytree(tiny_run, run)
    corpus = tmp_path / "corpus"
    config = json.loads((run / "config.json").read_text())
    shutil.copytree(config["data"]["corpus"], corpus)
    for language in ("en", "xx"):
        (corpus / f"valid.{language}").write_text("")
    config["data"]["corpus"] = str(corpus)
    (run / "config.json").write_text(json.dumps(config))
    for words, expected in (
        ([str(tiny_file), "--int8"], "is exported already, in float32"),
        ([str(tiny_run), "--target", "vnni"], "give --int8 with them"),
        ([str(run), "--int8"], "has an empty validation set"),
    ):
        assert main(["export", *words, "-o", str(out)]) == 2
        assert expected in capsys.readouterr().err.splitlines()[-1]
        assert not out.exists()


def test_evaluate_checks_its_options_before_translating(
    tmp_path: Path,
    tiny_run: Path,
    tiny_corpus: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    reverse = tmp_path / "reverse"
    assert main(["corpus", "reversed", str(tiny_corpus), "--out", str(reverse)]) == 0
    (tmp_path / "file").write_text("")
    monkeypatch.setattr(translation_evaluation, "translate_lines", None)
    for options, expected in (
        (["--corpus", str(reverse)], f"{tiny_run} translates en-xx, but {reverse} needs a model for xx-en"),
        (["--corpus", str(tiny_corpus), "--output", str(tmp_path / "none" / "x")], "there is no folder"),
        *(
            (
                ["--corpus", str(tiny_corpus), "--output", str(tmp_path / f"x{ending}")],
                f"the output is plain text, which a file that ends in {ending} is not; name it .txt, .tsv or .jsonl\n",
            )
            for ending in (".gz", ".docx")
        ),
        (["--corpus", str(tiny_corpus), "--record", str(tmp_path)], "is a folder; name a file"),
        (["--corpus", str(tiny_corpus), "--record", str(tmp_path / "none" / "x")], "there is no folder"),
        (
            ["--corpus", str(tiny_corpus), "--name", "a"],
            "--name names the test set in the file of --record; give --record as well",
        ),
        (["--corpus", str(tiny_corpus), "--report", str(tmp_path)], "is a folder; name a file"),
    ):
        assert main(["evaluate", str(tiny_run), *options]) == 2
        assert expected in capsys.readouterr().err
    files = ["--source", str(tmp_path / "none"), "--reference", str(tmp_path / "file")]
    assert main(["evaluate", str(tiny_run), *files, "--record", str(tmp_path / "scores")]) == 2
    assert not (tmp_path / "scores").exists()


def test_export_without_the_corpus_of_the_run(
    tmp_path: Path, tiny_run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    shutil.copytree(tiny_run, run)
    config = json.loads((run / "config.json").read_text())
    config["data"]["corpus"] = str(tmp_path / "gone")
    (run / "config.json").write_text(json.dumps(config))
    assert main(["export", str(run), "-o", str(tmp_path / "m.onnx")]) == 2
    assert "is not a corpus" in capsys.readouterr().err
    assert not (tmp_path / "m.onnx").exists()


def test_links_and_pipes_survive_writing(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("before")
    (tmp_path / "link").symlink_to("file")
    write_atomically(tmp_path / "link", b"after")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "file").read_text() == "after"
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "pipe.part").write_text("of the user")
    reader = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    write_atomically(tmp_path / "pipe", b"through")
    assert os.read(reader, 100) == b"through"
    os.close(reader)
    assert stat.S_ISFIFO((tmp_path / "pipe").stat().st_mode)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "link", "pipe", "pipe.part"]


def test_a_link_to_itself_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "round").symlink_to("round")
    write_atomically(tmp_path / "round", b"and through")
    assert (tmp_path / "round").read_text() == "and through"


WRITES = """
from pathlib import Path
from dragoman.runtime.files import write_atomically
print("first")
write_atomically(Path({!r}), b"second\\n")
print("third")
"""


@pytest.mark.skipif(not Path("/dev/fd").exists(), reason="there is no /dev/fd")
@pytest.mark.parametrize("name", ["/dev/stdout", "/dev/fd/1"])
def test_writing_to_standard_output_does_not_truncate_its_file(tmp_path: Path, name: str) -> None:
    """A second descriptor would start at the beginning of the file and overwrite it."""
    path = tmp_path / "out"
    path.write_text("before\n")
    with path.open("a") as file:
        subprocess.run([sys.executable, "-c", WRITES.format(name)], stdout=file, check=True)
    assert path.read_text().split() == ["before", "first", "second", "third"]


COMMAND = """
import sys
from dragoman.runtime.console import run_commands
from dragoman.runtime.errors import UserError

def finish(_):
    print("a line")
    {}

run = lambda commands: commands.add_parser("run").set_defaults(run=finish)
sys.exit(run_commands("dragoman", "", [run], ["run"]))
"""
NO_SPACE = "dragoman: standard output: No space left on device\n"


def run_command(last_statement: str, output: str = "") -> tuple[int, str, str]:
    """Return status, stdout and stderr of a command that prints a line, then runs a statement.

    output: a redirection by the shell.
    """
    command = ["sh", "-c", f'"$0" -E -c "$1" {output}', sys.executable, COMMAND.format(last_statement)]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout, done.stderr


def test_exit_status_and_errors() -> None:
    assert run_command("return 1") == (1, "a line\n", "")
    assert run_command("return 1", ">&-") == (1, "", "")
    assert run_command("raise UserError('so')", "2>&-") == (2, "a line\n", "")
    assert run_command("raise OSError('libx.so: cannot open')") == (2, "a line\n", "dragoman: libx.so: cannot open\n")
    assert run_command("open('none')") == (2, "a line\n", "dragoman: none: No such file or directory\n")
    assert run_command("sys.stdin.close(); raise KeyboardInterrupt") == (130, "a line\n", "dragoman: interrupted\n")


def test_a_closed_pipe_does_not_change_the_status() -> None:
    """A check that failed does not pass because of `| head`."""
    for statement, status in (("return 1", 1), ("return 0", 0), ("print('x' * 1000000); return 1", 0)):
        # The wait lets the pipe close before the command ends.
        code = statement if "print" in statement else f"import time; time.sleep(0.5); {statement}"
        with subprocess.Popen(
            [sys.executable, "-E", "-c", COMMAND.format(code)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as process:
            assert process.stdout
            assert process.stderr
            process.stdout.close()
            assert process.stderr.read() == ""
            assert process.wait() == status, statement


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full")
def test_a_full_disk_is_reported_however_a_command_ends() -> None:
    assert run_command("return 1", ">/dev/full") == (1, "", NO_SPACE)
    assert run_command("return 0", ">/dev/full") == (2, "", NO_SPACE)
    assert run_command("raise UserError('so')", ">/dev/full") == (2, "", f"dragoman: so\n{NO_SPACE}")
    assert run_command("print('x' * 1000000)", ">/dev/full") == (2, "", NO_SPACE)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full")
def test_a_full_disk_is_reported_by_the_runtime(tiny_file: Path) -> None:
    for words in (["translate", str(tiny_file), "12"], ["info", str(tiny_file), "--json"]):
        with open("/dev/full", "w") as full:
            command = [sys.executable, "-m", "dragoman.runtime", *words]
            done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
        assert done.returncode == 2
        assert done.stderr.endswith(NO_SPACE)
        assert "Traceback" not in done.stderr
        assert "Exception" not in done.stderr


NOT_UTF8 = os.fsdecode(b"caf\xe9")
needs_byte_paths = pytest.mark.skipif(sys.platform in ("win32", "darwin"), reason="every path is Unicode here")


@needs_byte_paths
@pytest.mark.parametrize("environment", [{}, {"PYTHONIOENCODING": "ascii"}, {"LC_ALL": "C", "PYTHONUTF8": "0"}])
def test_paths_that_are_not_utf8_work_in_every_locale(tmp_path: Path, environment: dict[str, str]) -> None:
    model = ROOT / "tests" / "files" / "35c52c7" / "float32.onnx"
    shutil.copy(model, tmp_path / f"{NOT_UTF8}.onnx")
    (tmp_path / NOT_UTF8).write_text("12\n")

    def run(*words: str) -> tuple[int, bytes, bytes]:
        done = subprocess.run(
            [sys.executable, "-m", "dragoman.runtime", *words], cwd=tmp_path, capture_output=True, check=False,
            env={**os.environ, "PYTHONPATH": str(ROOT), **environment}, stdin=subprocess.DEVNULL,
        )  # fmt: skip
        return done.returncode, done.stdout, done.stderr

    name = f"{NOT_UTF8}.onnx"
    assert run("translate", name, "--in", NOT_UTF8, "--out", f"{NOT_UTF8}.gz") == (0, b"", b"")
    assert gzip.decompress((tmp_path / f"{NOT_UTF8}.gz").read_bytes()) == b"two one\n"
    status, out, error = run("translate", name, "gr\u00fc\u00df", os.fsdecode(b"1\xe9"), "--json")
    assert status == 0
    assert [json.loads(row)["source"] for row in out.decode().splitlines()] == ["gr\u00fc\u00df", "1\ufffd"]
    assert error == b"dragoman: line 2: byte 2 is not UTF-8 and was replaced\n"
    assert json.loads(run("info", name, "--json")[1])["file"] == name
    missing = f"{NOT_UTF8}2.onnx"
    assert run("translate", missing, "x") == (
        2,
        b"",
        b"dragoman: cannot read caf\\udce92.onnx: No such file or directory\n",
    )
    assert run("translate", name, "--beem", NOT_UTF8)[0] == 2


@needs_byte_paths
@pytest.mark.parametrize(
    "words",
    [
        ["train", NOT_UTF8],
        ["train", str(FLAGSHIP), "--set", f"data.corpus={NOT_UTF8}"],
        ["train", str(FLAGSHIP), "--set", f"name={NOT_UTF8}"],
        ["corpus", "files", "--pair", "en-de", NOT_UTF8, "--out", "x"],
        ["corpus", "reversed", NOT_UTF8, "--out", "x"],
        ["corpus", "series", NOT_UTF8, "--out", "x"],
        ["export", NOT_UTF8, "-o", "x"],
        ["verify", NOT_UTF8, "--against", NOT_UTF8],
        ["evaluate", NOT_UTF8, "--source", "x", "--reference", "y"],
        ["plot", "curves", NOT_UTF8],
        ["bench", NOT_UTF8],
        ["run", NOT_UTF8],
    ],
)
def test_mistakes_with_paths_that_are_not_utf8_are_one_line(
    words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    error = io.BytesIO()
    monkeypatch.setattr("sys.stderr", io.TextIOWrapper(error))
    assert main(words) == 2
    sys.stderr.flush()
    last = error.getvalue().decode().splitlines()[-1]
    assert last.startswith("dragoman: ")
    assert "caf\\udce9" in last
    assert list(tmp_path.iterdir()) == []


@needs_byte_paths
def test_a_path_that_another_package_refuses_is_one_line() -> None:
    statement = f"raise UnicodeEncodeError('utf-8', {f'a file: {NOT_UTF8}/x.bin!'!r}, 8, 9, 'surrogates not allowed')"
    assert run_command(statement) == (
        2, "a line\n", "dragoman: caf\\udce9/x.bin! is not UTF-8 and cannot be used here; rename it\n",
    )  # fmt: skip


@needs_byte_paths
def test_export_of_a_run_with_paths_that_are_not_utf8(
    tmp_path: Path, tiny_run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copytree(tiny_run, NOT_UTF8)
    config = json.loads(Path(NOT_UTF8, "config.json").read_text())
    shutil.copytree(config["data"]["corpus"], f"{NOT_UTF8}-corpus")
    config["data"]["corpus"] = f"{NOT_UTF8}-corpus"
    write_json(Path(NOT_UTF8, "config.json"), config)
    assert main(["export", NOT_UTF8, "-o", f"{NOT_UTF8}.onnx"]) == 0
    capsys.readouterr()
    assert main(["info", f"{NOT_UTF8}.onnx", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["config"]["data"]["corpus"].endswith(f"{NOT_UTF8}-corpus")


def options_of(parser: argparse.ArgumentParser, words: list[str]) -> Iterator[tuple[list[str], argparse.Action]]:
    """Yield every option that takes a value, with the words of its command."""
    for action in parser._actions:  # argparse has no public way to list what a parser accepts
        if isinstance(action, argparse._SubParsersAction):
            for name, command in action.choices.items():
                yield from options_of(command, [*words, name])
        elif action.option_strings and action.nargs != 0 and action.help != argparse.SUPPRESS:
            yield words, action


def test_an_option_with_one_value_is_given_once(capsys: pytest.CaptureFixture[str]) -> None:
    repeatable = set()
    whole = parser()
    for words, action in options_of(whole, []):
        option, value = action.option_strings[-1], str(next(iter(action.choices)) if action.choices else 1)
        action.type = None
        with pytest.raises(SystemExit):
            parse(whole, [*words, option, value, *(["2"] if action.nargs == "+" else []), option, value])
        error = capsys.readouterr().err
        if "is given twice" not in error:
            repeatable.add(option)
            continue
        assert error.startswith(
            f"dragoman: {option} is given twice, and takes effect once; leave one of them out; see `"
        )
        assert error.count("\n") == 1
    assert repeatable == {
        "--set", "--reference", "--show", "--allow", "--valid-files", "--test-files", "--keys", "--columns",
    }  # fmt: skip


def test_the_same_parser_reads_several_command_lines() -> None:
    reused = parser()
    for beam in ("1", "2"):
        assert parse(reused, ["translate", "m.onnx", "--beam", beam, "x", "y"]).beam == int(beam)


@pytest.mark.parametrize(
    ("number", "noun", "words"),
    [(0, "line", "0 lines"), (1, "line", "1 line"), (2, "word", "2 words"), (1000, "step", "1,000 steps")],
)
def test_a_number_with_its_noun(number: int, noun: str, words: str) -> None:
    assert counted(number, noun) == words


def test_a_short_training_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    display = Display()
    display.start(1, 10, False, "tokens")
    facts = {"minutes": 0.1, "target_tokens_per_second": 7, "weights": "the last"}
    for steps, words in ((1, "1 step"), (31, "31 steps")):
        display.finish({**facts, "steps": steps}, {})
        error = capsys.readouterr().err
        assert f"trained {words} in 0.1 min" in error
        assert f"{words} of training gave the model little time to learn; raise training.minutes or" in error
