"""Files of lines in and out: one line for each line, also after any kind of interruption."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import os
import re
import signal
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from copying import METADATA, file_of
from dragoman.runtime import output
from dragoman.runtime.commands import main
from dragoman.runtime.documents.names import format_by_ending
from dragoman.runtime.metadata import ModelFileError
from dragoman.runtime.progress import ProgressLine
from dragoman.runtime.translator import Translator
from tiny import ROOT

FILES = ROOT / "tests" / "files" / "35c52c7"
UNPACK: dict[str, Callable[[bytes], bytes]] = {
    "": bytes, ".gz": gzip.decompress, ".bz2": bz2.decompress, ".xz": lzma.decompress,
}  # fmt: skip
PACK: dict[str, Callable[[bytes], bytes]] = {
    "": bytes, ".gz": gzip.compress, ".bz2": bz2.compress, ".xz": lzma.compress,
}  # fmt: skip


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(file_of(tmp_path_factory.mktemp("copy") / "copy.onnx"))


@pytest.fixture(autouse=True)
def in_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def numbered(n: int) -> str:
    return "".join(f"copy {i}\n" for i in range(n))


def files() -> list[str]:
    return sorted(os.listdir())


@pytest.mark.parametrize("ending", UNPACK)
@pytest.mark.parametrize("given", PACK)
def test_every_line_of_a_file_gives_one_line(given: str, ending: str, model: str) -> None:
    text = "one\r\n\nthree  3\n \nGröße\nlast"
    Path(f"in{given}").write_bytes(PACK[given](text.encode()))
    assert main(["translate", model, "--in", f"in{given}", "--out", f"out{ending}"]) == 0
    assert UNPACK[ending](Path(f"out{ending}").read_bytes()).decode() == "one\n\nthree 3\n\nGröße\nlast\n"
    assert files() == sorted([f"in{given}", f"out{ending}"])


@pytest.mark.parametrize("ending", UNPACK)
def test_a_file_without_lines(ending: str, model: str) -> None:
    Path("in").touch()
    assert main(["translate", model, "--in", "in", "--out", f"out{ending}"]) == 0
    assert UNPACK[ending](Path(f"out{ending}").read_bytes()) == b""


def test_a_compressed_output_is_the_same_each_time(model: str) -> None:
    Path("in").write_text(numbered(9))
    for name in ("a.gz", "b.gz"):
        assert main(["translate", model, "--in", "in", "--out", name]) == 0
    assert Path("a.gz").read_bytes() == Path("b.gz").read_bytes()


def test_each_side_may_be_a_stream(
    model: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("in").write_text("one\ntwo\n")
    for words in (["--in", "in"], ["--in", "in", "--out", "-"]):
        assert main(["translate", model, *words]) == 0
        assert capsys.readouterr() == ("one\ntwo\n", "")
    for words in (["--out", "out"], ["--in", "-", "--out", "out"], ["-", "--out", "out"]):
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"three\nfour")))
        assert main(["translate", model, *words]) == 0
        assert Path("out").read_text() == "three\nfour\n"
    assert main(["translate", model, "five", "six", "--out", "out"]) == 0
    assert Path("out").read_text() == "five\nsix\n"
    assert capsys.readouterr() == ("", "")


def test_options_reach_the_file(model: str) -> None:
    Path("in").write_text("one\ntwo\n")
    assert main(["translate", model, "--in", "in", "--out", "out", "--scores", "--beam", "1"]) == 0
    assert Path("out").read_text() == "-0.5000\tone\n-0.5000\ttwo\n"
    assert main(["translate", model, "--in", "in", "--out", "out", "--json"]) == 0
    assert [json.loads(row)["line"] for row in Path("out").read_text().splitlines()] == [1, 2]


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("float32", "12\n\n907\n", "two one\n\nseven zero nine\n"),
        ("classify", "good\n\nbad", None),
        ("tag", "Ada Byron\n\nin London\n", None),
    ],
)
def test_run_reads_and_writes_files_for_every_task_on_text(
    name: str, text: str, expected: str | None, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("in.xz").write_bytes(lzma.compress(text.encode()))
    words = ["run", str(FILES / f"{name}.onnx"), "--in", "in.xz"]
    assert main(words) == 0
    printed = capsys.readouterr().out
    assert main([*words, "--out", "out.gz"]) == 0
    assert gzip.decompress(Path("out.gz").read_bytes()).decode() == printed
    assert expected in (None, printed)
    assert main([*words, "--json"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 3


def test_run_reads_and_writes_series(capsys: pytest.CaptureFixture[str]) -> None:
    forecaster = str(FILES / "forecast.onnx")
    series = (FILES / "series.csv").read_bytes()
    assert main(["run", forecaster, str(FILES / "series.csv")]) == 0
    expected = capsys.readouterr().out
    for name, data in (("s.csv.gz", gzip.compress(series)), ("s.csv.bz2", bz2.compress(series))):
        Path(name).write_bytes(data)
        for words in ([name], ["--in", name]):
            assert main(["run", forecaster, *words, "--out", "out.csv"]) == 0
            assert Path("out.csv").read_text() == expected
    assert main(["run", forecaster, "--in", "s.csv.gz", "--out", "o", "--resume"]) == 2
    assert "is a forecaster, whose output is not continued" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--in", "none"], "cannot read none: no such file"),
        (["--in", "folder"], "--in folder is a folder; name a file"),
        (["--in", "in", "text"], "--in in: give a file or TEXT, not both"),
        (["--in", "in", "-"], "--in in: give a file or TEXT, not both"),
        (["--in", "in", "--out", "in"], "--out in would overwrite in; name another file"),
        (["--in", "in", "--out", "link"], "--out link would overwrite in; name another file"),
        (["--in", "in", "--out", "folder/../in"], "--out folder/../in would overwrite in"),
        (["--in", "x.partial", "--out", "x"], "--out x would overwrite x.partial"),
        (["--in", "x.partial.json", "--out", "x"], "--out x would overwrite x.partial.json"),
        (["--in", "in", "--out", "folder"], "--out folder is a folder; name a file"),
        (["--in", "in", "--out", "."], "--out . is a folder; name a file"),
        (["--in", "in", "--out", "none/out"], "--out none/out: there is no folder none; make it first"),
        (["--in", "in", "--out", "in/out"], "--out in/out: there is no folder in; make it first"),
        (["--in", ""], "--in '' names no file; give a file, or leave --in out"),
        (["--in", "in", "--out", ""], "--out '' names no file; give a name"),
        (["--in", "in", "--resume"], "--resume continues a file; name it with --out"),
        (["--in", "in", "--resume", "--out", "-"], "--resume continues a file; name it with --out"),
        (["--in", "in", "--resume", "--out", "/dev/null"], "--resume: /dev/null is no file that could be continued"),
    ],
)
@pytest.mark.parametrize("command", ["translate", "run"])
def test_files_that_cannot_be_used_are_refused_before_the_model_is_loaded(
    command: str, words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("in").write_text("one\n")
    Path("link").symlink_to("in")
    Path("folder").mkdir()
    for name in ("x.partial", "x.partial.json"):
        Path(name).write_text("of the user\n")
    before = {name: Path(name).read_text() for name in files() if Path(name).is_file()}
    if command == "run":
        message = message.replace("TEXT", "INPUT")
    assert main([command, "none.onnx", *words]) == 2
    assert capsys.readouterr().err.startswith(f"dragoman: {message}")
    assert {name: Path(name).read_text() for name in files() if Path(name).is_file()} == before


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="the system lets this user write everywhere")
def test_a_folder_without_permission_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    Path("locked").mkdir(mode=0o500)
    assert main(["translate", "none.onnx", "x", "--out", "locked/out"]) == 2
    assert "--out locked/out: the folder locked cannot be written to" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["x.partial", "x.partial.json"])
def test_files_of_the_user_are_not_overwritten(name: str, model: str, capsys: pytest.CaptureFixture[str]) -> None:
    Path("in").write_text("one\n")
    Path(name).write_text('{"of": "the user"}\n')
    assert main(["translate", model, "--in", "in", "--out", "x"]) == 2
    assert f"{name} was not left by an interrupted command, and would be overwritten" in capsys.readouterr().err
    assert Path(name).read_text() == '{"of": "the user"}\n'
    assert files() == ["in", name]


def test_a_name_that_is_too_long_is_one_sentence(model: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["translate", model, "x", "--out", "x" * 250]) == 2
    error = capsys.readouterr().err
    assert error.startswith("dragoman: ")
    assert error.count("\n") == 1
    assert files() == []


def test_links_and_devices(model: str, capsys: pytest.CaptureFixture[str]) -> None:
    Path("file").write_text("before\n")
    Path("link").symlink_to("file")
    assert main(["translate", model, "one", "--out", "link"]) == 0
    assert Path("link").is_symlink()
    assert Path("file").read_text() == "one\n"
    assert main(["translate", model, "one", "--out", "/dev/null"]) == 0
    assert stat.S_ISCHR(Path("/dev/null").stat().st_mode)
    os.mkfifo("pipe")
    received: list[bytes] = []
    reader = threading.Thread(target=lambda: received.append(Path("pipe").read_bytes()))
    reader.start()
    assert main(["translate", model, "through", "--out", "pipe"]) == 0
    reader.join()
    assert received == [b"through\n"]
    assert files() == ["file", "link", "pipe"]
    assert capsys.readouterr() == ("", "")


def test_a_pipe_is_read(model: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Process substitution, `--in <(zcat a.gz)`, gives the name of a pipe."""
    os.mkfifo("pipe")
    writer = threading.Thread(target=lambda: Path("pipe").write_bytes(gzip.compress(b"one\ntwo\n")))
    writer.start()
    assert main(["translate", model, "--in", "pipe", "--out", "out"]) == 0
    writer.join()
    assert Path("out").read_text() == "one\ntwo\n"


class Interruption:
    """Ends a command with an error after some batches."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, batches: int, error: BaseException) -> None:
        translate, self.left = Translator.translate, batches

        def limited(*arguments: Any, **options: Any) -> Any:  # noqa: ANN401 (arguments are passed on)
            self.left -= 1
            if self.left < 0:
                raise error
            return translate(*arguments, **options)

        monkeypatch.setattr(Translator, "translate", limited)


def starts_anew(out: Path) -> str:
    """Return the message about a file that `--resume` has nothing to continue of."""
    partial = Path(f"{out}.partial").resolve()
    return f"dragoman: --resume: there is no {partial} to continue, so {out} starts at the first line\n"


@pytest.mark.parametrize("ending", UNPACK)
@pytest.mark.parametrize("source", ["in", "-"])
def test_an_interrupted_command_is_resumed(
    ending: str, source: str, model: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = Path(f"out{ending}")
    Path("in").write_text(numbered(100))
    words = ["translate", model, "--in", source, "--out", str(out)]

    def run(*more: str, batch_size: str = "1") -> int:
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(Path("in").read_bytes())))
        return main([*words, *more, "--batch-size", batch_size])

    for n, done in ((2, 32), (1, 48), (3, 96)):
        with monkeypatch.context() as patch:
            Interruption(patch, n, KeyboardInterrupt())
            assert run("--resume") == 130
        error = capsys.readouterr().err
        assert error == f"{starts_anew(out) if done == 32 else ''}dragoman: interrupted; repeat the command with " + (
            f"--resume to go on after line {done}\n"
        )
        assert files() == sorted(["in", f"{out}.partial", f"{out}.partial.json"])
    assert run() == 2
    assert "holds the results of 96 lines from an interrupted command; go on with --resume" in capsys.readouterr().err
    assert run("--resume", batch_size="7") == 0
    assert UNPACK[ending](out.read_bytes()).decode() == numbered(100)
    assert files() == ["in", str(out)]


def test_line_numbers_continue_after_an_interruption(model: str, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("in").write_text(numbered(40))
    words = ["translate", model, "--in", "in", "--out", "out", "--batch-size", "1", "--n-best", "2", "--resume"]
    with monkeypatch.context() as patch:
        Interruption(patch, 1, KeyboardInterrupt())
        assert main(words) == 130
    assert main(words) == 0
    assert [row.split("\t")[0] for row in Path("out").read_text().splitlines()] == [str(n) for n in range(1, 41)]


def test_an_interruption_before_the_first_line_leaves_nothing(model: str, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("in").write_text(numbered(40))
    Interruption(monkeypatch, 0, KeyboardInterrupt())
    assert main(["translate", model, "--in", "in", "--out", "out"]) == 130
    assert files() == ["in"]


@pytest.fixture
def interrupted(model: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> list[str]:
    """Return a command that was interrupted after 16 of 40 lines."""
    Path("in").write_text(numbered(40))
    words = ["translate", model, "--in", "in", "--out", "out", "--batch-size", "1"]
    with monkeypatch.context() as patch:
        Interruption(patch, 1, KeyboardInterrupt())
        assert main(words) == 130
    capsys.readouterr()
    return [*words, "--resume"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--beam", "1"], "out.partial was made with another --beam; repeat the command that was interrupted"),
        (["--scores", "--json"], "out.partial was made with another --scores and --json; repeat"),
        (["--length-penalty", "0.5"], "out.partial was made with another --length-penalty; repeat"),
        (["--n-best", "2"], "out.partial was made with another --n-best; repeat"),
        (["--alignments"], "out.partial was made with another --alignments; repeat"),
    ],
)
def test_other_settings_are_refused(
    interrupted: list[str], options: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    before = Path("out.partial").read_bytes()
    assert main([*interrupted, *options]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert Path("out.partial").read_bytes() == before
    assert main(interrupted) == 0
    assert Path("out").read_text() == numbered(40)


def test_another_model_is_refused(interrupted: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    from dataclasses import replace

    interrupted[1] = str(file_of(Path("other.onnx"), replace(METADATA, max_source=30)))
    assert main(interrupted) == 2
    assert "out.partial was made with another model; repeat" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (numbered(40).replace("copy 3\n", "copy three\n"), "the first 16 lines of in have changed since"),
        ("one more\n" + numbered(40), "the first 16 lines of in have changed since"),
        (numbered(40).replace("copy 3\ncopy 4\n", "copy 3copy 4\n"), "the first 16 lines of in have changed since"),
        (numbered(15), "in has 15 lines, and 16 were read before the interruption"),
        ("", "in has 0 lines, and 16 were read before the interruption"),
    ],
)
def test_another_input_is_refused(
    interrupted: list[str], text: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("in").write_text(text)
    assert main(interrupted) == 2
    assert message in capsys.readouterr().err
    Path("in").write_text(numbered(40))
    assert main(interrupted) == 0
    assert Path("out").read_text() == numbered(40)


def test_an_input_that_has_grown_is_continued(interrupted: list[str]) -> None:
    Path("in").write_text(numbered(50))
    assert main(interrupted) == 0
    assert Path("out").read_text() == numbered(50)


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda: os.truncate("out.partial", 0), "{partial} is missing or empty"),
        (lambda: os.remove("out.partial"), "{partial} is missing or empty"),
        (lambda: [*map(os.remove, ("out.partial.json", "out.partial"))], "there is no {partial} to continue"),
        (
            lambda: Path("out.partial.json").write_text(
                json.dumps({**json.loads(Path("out.partial.json").read_text()), "lines": 0, "bytes": 0})
            ),
            "the interrupted command had not yet saved a line in {partial}",
        ),
    ],
)
def test_a_new_start_says_why(
    spoil: Callable[[], object], reason: str, interrupted: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    spoil()
    assert main([*interrupted, "--beam", "1"]) == 0
    partial = Path("out.partial").resolve()
    assert capsys.readouterr().err == (
        f"dragoman: --resume: {reason.format(partial=partial)}, so out starts at the first line\n"
    )
    assert Path("out").read_text() == numbered(40)


def test_the_first_line_alone(
    interrupted: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("one").write_text("copy 1\n")
    with monkeypatch.context() as patch:
        patch.setattr(output.PartialOutput, "finish", lambda _: (_ for _ in ()).throw(KeyboardInterrupt))
        assert main(["translate", interrupted[1], "--in", "one", "--out", "single"]) == 130
    for text, message in (("", "one has 0 lines, and 1 was read before"), ("x\n", "the first line of one has changed")):
        Path("one").write_text(text)
        assert main(["translate", interrupted[1], "--in", "one", "--out", "single", "--resume"]) == 2
        assert message in capsys.readouterr().err
    assert main(["translate", interrupted[1], "--in", "one", "--out", "single"]) == 2
    assert "holds the results of 1 line from" in capsys.readouterr().err


def test_a_partial_file_that_lost_its_end_is_refused(
    interrupted: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    os.truncate("out.partial", 10)
    assert main(interrupted) == 2
    assert "out.partial has lost its end since the interruption; remove it, and start again" in capsys.readouterr().err


@given(rest=st.binary())
@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])  # the folder is used again
def test_whatever_follows_the_last_checkpoint_is_cut_off(
    model: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], rest: bytes
) -> None:
    """As after a power cut, or `kill -9` in the middle of a line."""
    Path("in").write_text(numbered(40))
    words = ["translate", model, "--in", "in", "--out", "out.bz2", "--batch-size", "1", "--resume"]
    with monkeypatch.context() as patch:
        Interruption(patch, 1, KeyboardInterrupt())
        assert main(words) == 130
    with open("out.bz2.partial", "ab") as file:
        file.write(rest)
    assert main(words) == 0
    assert bz2.decompress(Path("out.bz2").read_bytes()).decode() == numbered(40)


def test_an_error_in_the_middle_keeps_what_is_done(
    model: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = gzip.compress(numbered(5000).encode())
    Path("in.gz").write_bytes(whole[:-2000])
    words = ["translate", model, "--in", "in.gz", "--out", "out", "--batch-size", "1"]
    assert main(words) == 2
    error = capsys.readouterr().err
    assert error.startswith("dragoman: cannot read in.gz: ")
    done = int(
        re.findall(r"repeat the command with --resume to go on after line ([\d,]+)\n", error)[0].replace(",", "")
    )
    assert 0 < done < 5000
    assert Path("out.partial").read_text() == numbered(done)
    Path("in.gz").write_bytes(whole)
    assert main([*words, "--resume"]) == 0
    assert Path("out").read_text() == numbered(5000)


def test_a_bug_is_not_hidden_but_keeps_what_is_done(model: str, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("in").write_text(numbered(40))
    Interruption(monkeypatch, 1, ZeroDivisionError())
    with pytest.raises(ZeroDivisionError):
        main(["translate", model, "--in", "in", "--out", "out", "--batch-size", "1"])
    assert json.loads(Path("out.partial.json").read_text())["lines"] == 16


LIMITED = """
import resource, signal, sys
from dragoman.runtime.commands import main
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]), resource.RLIM_INFINITY))
sys.exit(main(sys.argv[2:]))
"""


@pytest.mark.parametrize("ending", UNPACK)
def test_a_full_disk_is_one_sentence_and_resumable(ending: str, model: str) -> None:
    """A limit on the size of files stands for the disk."""
    Path("in").write_text("".join(f"copy {hash((i, ending)) % 10**12}\n" for i in range(4000)))
    words = ["translate", model, "--in", "in", "--out", f"out{ending}", "--resume"]
    command = [sys.executable, "-c", LIMITED, "9000", *words]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    error = done.stderr.removeprefix(starts_anew(Path(f"out{ending}")))
    assert re.fullmatch(rf"dragoman: cannot write out{ending}: File too large[^\n]*\n", error)
    assert not Path(f"out{ending}").exists()
    assert main(words) == 0
    assert UNPACK[ending](Path(f"out{ending}").read_bytes()) == Path("in").read_bytes()
    assert files() == ["in", f"out{ending}"]


EAGER = """
import sys
from dragoman.runtime import output
from dragoman.runtime.commands import main
output.CHECKPOINT_SECONDS = 0.0
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.slow  # starts four processes one after another
@pytest.mark.parametrize("ending", ["", ".gz"])
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_a_killed_command_is_resumed(how: signal.Signals, ending: str, model: str) -> None:
    Path("in").write_text(numbered(3000))
    out = f"out{ending}"
    command = [sys.executable, "-c", EAGER, "translate", model, "--in", "in", "--out", out, "--batch-size", "2"]
    for done in (1, 500, 1500):
        with subprocess.Popen([*command, "--resume"], stderr=subprocess.PIPE) as process:
            while process.poll() is None and lines_done(out) < done:
                time.sleep(0.01)
            process.send_signal(how)
    subprocess.run([*command, "--resume"], check=True, stderr=subprocess.PIPE)
    assert UNPACK[ending](Path(out).read_bytes()).decode() == numbered(3000)
    assert files() == ["in", out]


def lines_done(out: str) -> int:
    try:
        return int(json.loads(Path(f"{out}.partial.json").read_text())["lines"])
    except FileNotFoundError:
        return 0


def test_two_commands_do_not_write_one_file(model: str, capsys: pytest.CaptureFixture[str]) -> None:
    command = [sys.executable, "-m", "dragoman.runtime", "translate", model, "--out", "out"]
    with subprocess.Popen(command, stdin=subprocess.PIPE) as process:
        assert process.stdin
        while not Path("out.partial.json").exists():
            time.sleep(0.01)
        assert main(["translate", model, "x", "--out", "out"]) == 2
        assert "another process is writing out; wait for it, or name another file" in capsys.readouterr().err
        process.stdin.write(b"one\n")
        process.stdin.close()
        assert process.wait() == 0
    assert Path("out").read_text() == "one\n"


# The peak is that of the program itself: `ru_maxrss` would also count the process that started it.
MEMORY = """
import re, sys
from pathlib import Path
from dragoman.runtime.commands import main
status = main(sys.argv[1:])
peak = re.search(r"VmHWM:\\s*([0-9]+) kB", Path("/proc/self/status").read_text())
print(int(peak[1]) // 1024, file=sys.stderr)
sys.exit(status)
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the system does not tell the peak of memory")
@pytest.mark.slow  # reads and writes hundreds of megabytes
@pytest.mark.parametrize("ending", ["", ".gz"])
def test_memory_does_not_grow_with_the_file(ending: str, model: str) -> None:
    """200 MB within 400 MiB: lines with little to translate, which a real file has many more of."""
    line = b"copy" + b" " * 20_000 + b"\n"
    with open("in", "wb") as file:
        for _ in range(10_000):
            file.write(line)
    words = ["translate", model, "--in", "in", "--out", f"out{ending}", "--json"]
    done = subprocess.run([sys.executable, "-c", MEMORY, *words], capture_output=True, text=True, check=True)
    assert int(done.stderr.splitlines()[-1]) < 400


def test_progress_without_a_terminal_is_a_line_a_minute(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    now = [0.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    line = ProgressLine("notes.txt", 1000)
    for seconds, done in ((0, 0), (10, 100), (20, 200), (40, 400), (85, 850)):
        now[0] = float(seconds)
        line.detail = f"{done // 10} lines"
        line(done)
    assert capsys.readouterr().err == (
        " 20%  1:20 left  notes.txt: 20 lines\n 85%  0:15 left  notes.txt: 85 lines\n"
    )  # fmt: skip
    unknown = ProgressLine("standard input")
    unknown.detail = "7 lines"
    now[0] += 30
    unknown(7)
    assert capsys.readouterr().err == "standard input: 7 lines\n"


def test_progress_on_a_terminal_is_one_line_that_is_removed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], model: str
) -> None:
    now = [0.0]

    def later() -> float:
        now[0] += 1.0
        return now[0]

    monkeypatch.setattr("time.monotonic", later)
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    Path("in").write_bytes(numbered(64).encode() + b"b\xe4d\n")
    monkeypatch.setattr("dragoman.runtime.lines.READ_SIZE", 100)
    assert main(["translate", model, "--in", "in", "--out", "out", "--batch-size", "1"]) == 0
    error = capsys.readouterr().err
    assert re.search(r"\r *\d+%  \d+:\d\d left  in: \d+ lines\033\[K", error)
    assert "\r\033[Kdragoman: line 65: byte 2 is not UTF-8 and was replaced\n" in error
    assert re.sub(r"\r[^\r\n]*\033\[K", "", error) == "dragoman: line 65: byte 2 is not UTF-8 and was replaced\n"


def test_a_short_command_shows_no_progress(model: str, capsys: pytest.CaptureFixture[str]) -> None:
    Path("in").write_text(numbered(3))
    assert main(["translate", model, "--in", "in", "--out", "out"]) == 0
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("command", ["translate", "run"])
def test_a_text_that_is_the_name_of_a_file(command: str, model: str, capsys: pytest.CaptureFixture[str]) -> None:
    Path("folder.d").mkdir()
    for name in ("notes.txt", "folder.d/notes", "word", "two words.txt"):
        Path(name).write_text("one\n")
    for name in ("notes.txt", "folder.d/notes", "./word"):
        assert main([command, model, "copy", name]) == 2
        assert capsys.readouterr().err == (
            f"dragoman: {name} is a file; to read its lines, give --in {name}; to read the name itself, give it on "
            "standard input\n"
        )
    for name in ("word", "two words.txt"):
        assert main([command, model, name]) == 0
        hint = f"dragoman: {name} is a file; to read its lines, give --in {name}\n"
        assert capsys.readouterr() == (f"{name}\n", hint)
    for text in ("folder.d", "none.txt", "", ".", "a\nb"):
        assert main([command, model, text]) == 0
        assert capsys.readouterr() == (f"{text}\n", "")


def test_one_row_for_each_hypothesis_of_a_text_with_line_breaks(model: str, capsys: pytest.CaptureFixture[str]) -> None:
    text = "\ncopy\r\nthis\rline\n\none"
    for options, columns in (
        (["--n-best", "2"], ["1", "-0.5000"]), (["--scores"], ["-0.5000"]), (["--alignments"], []),
    ):  # fmt: skip
        assert main(["translate", model, text, "two", *options]) == 0
        rows = capsys.readouterr().out.split("\n")
        assert len(rows) == 3
        assert rows[0].split("\t")[: len(columns) + 1] == [*columns, r"\ncopy\r\nthis\rline\n\none"]
    assert main(["translate", model, text]) == 0
    assert capsys.readouterr().out == text + "\n"
    assert main(["translate", model, text, "--json", "--n-best", "2"]) == 0
    row = json.loads(capsys.readouterr().out)
    assert row["text"] == row["hypotheses"][0]["text"] == row["source"] == text


def test_processes_do_not_change_the_output(model: str, capsys: pytest.CaptureFixture[str]) -> None:
    Path("in.txt").write_bytes(numbered(900).encode() + b"\xff\n")
    for processes in ("1", "2"):
        options = ["--batch-size", "4", "--processes", processes, "--n-best", "2"]
        assert main(["translate", model, "--in", "in.txt", "--out", f"{processes}.txt", *options]) == 0
        assert "line 901: byte 1 is not UTF-8" in capsys.readouterr().err
    assert Path("1.txt").read_bytes() == Path("2.txt").read_bytes()
    assert len(Path("1.txt").read_bytes().splitlines()) == 901


def test_checkpoints_are_seconds_apart() -> None:
    assert 1 <= output.CHECKPOINT_SECONDS <= 60


def test_a_model_without_a_file_has_no_checksum() -> None:
    class Engine:
        pass

    assert Translator(Engine(), METADATA).checksum == ""  # type: ignore[arg-type]  # a test double
    with pytest.raises(ModelFileError):
        Translator.load("none")


DOCUMENTS = (
    "memory.tmx", "a.xlf", "a.xliff", "A.SDLXLIFF", "a.po", "a.mo", "a.csv", "a.tsv", "a.jsonl", "a.json", "a.html",
    "a.srt", "a.docx", "a.xlsx", "a.pdf", "model.onnx", "a.tmx.gz", "a.zip",
)  # fmt: skip


@pytest.mark.parametrize(
    ("command", "name"),
    [("run", name) for name in DOCUMENTS] + [("translate", name) for name in DOCUMENTS if not format_by_ending(name)],
)
def test_a_document_is_not_read_as_lines(
    command: str, name: str, model: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    Path(name).write_text("<seg>one</seg>\n")
    assert main([command, model, "--in", name, "--out", "out"]) == 2
    ending = Path(name.removesuffix(".gz")).suffix.lower()
    assert capsys.readouterr().err == (
        f"dragoman: --in {name}: --in takes plain text, one text a line, and a file that ends in {ending} is not; "
        f"for a document in a known format, use `dragoman translate --format`, or give its lines as they are with "
        f"`< {name}`\n"
    )
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(Path(name).read_bytes())))
    assert main([command, model]) == 0
    assert capsys.readouterr() == ("<seg>one</seg>\n", "")
    assert files() == [name]


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"one\ntwo\0\n", "it has zero bytes, as binary files have"),
        (b"<?xml version='1.0'?>\n<tmx/>\n", "it begins with <?xml"),
        (b"\xef\xbb\xbf \n<!DOCTYPE html>\n", "it begins with <!DOCTYPE"),
        ("<?xml version='1.0'?>".encode("utf-16"), "it begins with <?xml"),
    ],
)
def test_a_document_without_its_ending_is_not_read_as_lines(
    data: bytes, reason: str, pack: Callable[[bytes], bytes], model: str, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("notes").write_bytes(pack(data))
    assert main(["translate", model, "--in", "notes"]) == 2
    assert f"and this file is not: {reason}; for a document in a known format" in capsys.readouterr().err


def test_a_model_file_is_not_read_as_lines(model: str, capsys: pytest.CaptureFixture[str]) -> None:
    for data in (Path(model).read_bytes(), (FILES / "int8.onnx").read_bytes()):
        Path("notes.txt").write_bytes(data)
        assert main(["translate", model, "--in", "notes.txt"]) == 2
        assert "it has zero bytes, as binary files have" in capsys.readouterr().err


def test_a_zero_byte_in_a_text_is_read(model: str, capsys: pytest.CaptureFixture[str]) -> None:
    text = numbered(30) + "x\0y\n"
    Path("notes.txt").write_text(text)
    assert main(["translate", model, "--in", "notes.txt"]) == 0
    assert capsys.readouterr().out.count("\n") == 31


def test_plain_text_of_any_name_is_read(model: str, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("notes.txt", "notes.de", "notes.txt.xz", "notes", "a.b.c", "notes.md", ".txt"):
        Path(name).write_bytes(PACK[".xz" if name.endswith(".xz") else ""](b"<b>one</b>\n"))
        assert main(["translate", model, "--in", name]) == 0
        assert capsys.readouterr() == ("<b>one</b>\n", "")


@pytest.mark.parametrize(
    "name", ["x.zip", "x.zst", "x.7z", "x.docx", "x.tar.gz", "x.pdf", "X.ODT", "x.tmx", "x.onnx", "x.html", "x.xlsx"]
)
@pytest.mark.parametrize("command", ["translate", "run"])
def test_an_output_is_not_named_as_something_else(
    command: str, name: str, model: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([command, model, "one", "--out", name]) == 2
    ending = Path(name.removesuffix(".gz")).suffix.lower()
    assert capsys.readouterr().err == (
        f"dragoman: --out {name}: the output is plain text, which a file that ends in {ending} is not; name it .txt, "
        ".tsv or .jsonl, or any of these with .gz, .xz or .bz2 to compress it\n"
    )
    assert files() == []


@pytest.mark.parametrize("name", ["x.txt", "x.tsv", "x.jsonl", "x.json", "x.csv", "x.de", "x", "x.TXT.GZ", "x.Bz2"])
def test_an_output_of_any_other_name_is_written(name: str, model: str) -> None:
    assert main(["translate", model, "one", "--out", name]) == 0
    ending = Path(name).suffix.lower()
    assert UNPACK[ending if ending in UNPACK else ""](Path(name).read_bytes()) == b"one\n"
