"""The command `dragoman serve` in a process of its own: its start, its end, signals, and mistakes."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

import pytest

from copying import METADATA, file_of
from dragoman.cli import main, parse
from dragoman.runtime.errors import UserError
from dragoman.runtime.server import command
from serving import SECONDS


@contextmanager
def process(*arguments: str | Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Yield a process that serves, and its URL."""
    command = [sys.executable, "-m", "dragoman", "serve", *map(str, arguments), "--port", "0"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as served:
        assert served.stderr
        try:
            line = served.stderr.readline()
            found = re.fullmatch(r"dragoman: serving \S+ on (http://\S+) with \d+ workers?; Ctrl-C ends it\n", line)
            assert found, line
            yield served, found[1]
        finally:
            served.kill()


def translate(url: str, text: str) -> str:
    body = json.dumps({"q": text, "source": "en", "target": "de"}).encode()
    request = Request(f"{url}/translate", body, {"Content-Type": "application/json"})
    with urlopen(request, timeout=SECONDS) as answer:
        return str(json.load(answer)["translatedText"])


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_after_the_accepted_requests(number: signal.Signals, copying_files: list[Path]) -> None:
    texts = [f"copy this line, number {i}. " * 250 for i in range(6)]
    answers: dict[str, str] = {}
    with process(copying_files[0], "--workers", "1") as (served, url):

        def ask(text: str) -> None:
            answers[text] = translate(url, text)

        threads = [threading.Thread(target=ask, args=(text,)) for text in texts]
        for thread in threads:
            thread.start()
        n_characters = sum(map(len, texts))
        while waiting_characters(url) < n_characters and any(thread.is_alive() for thread in threads):
            pass  # until all are accepted
        served.send_signal(number)
        for thread in threads:
            thread.join(SECONDS)
        assert served.wait(SECONDS) == 0
        assert served.stderr
        assert "Traceback" not in served.stderr.read()
    assert answers == {text: text.strip() for text in texts}


def waiting_characters(url: str) -> float:
    with urlopen(f"{url}/metrics", timeout=SECONDS) as answer:
        (found,) = re.findall(r"^dragoman_waiting_characters (\S+)", answer.read().decode(), re.MULTILINE)
    return float(found)


@pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="the system has no SIGHUP")
def test_sighup_loads_the_models_again(tmp_path: Path) -> None:
    metadata = replace(METADATA, source_language="en", target_language="de")
    path = file_of(tmp_path / "model.onnx", metadata)
    with process(path) as (served, url):
        served.send_signal(signal.SIGHUP)
        assert served.stderr
        assert served.stderr.readline() == f"dragoman: loaded {path} again\n"
        assert translate(url, "copy this") == "copy this"
        path.write_bytes(b"damaged")
        served.send_signal(signal.SIGHUP)
        assert "the model that was loaded before stays in use" in served.stderr.readline()
        assert translate(url, "copy this") == "copy this"


def test_sighup_while_models_are_loaded_does_no_harm(monkeypatch: pytest.MonkeyPatch) -> None:
    def load(_: object) -> None:
        assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
        raise UserError("this is the test's")

    monkeypatch.setattr(command, "Server", load)
    before = signal.getsignal(signal.SIGHUP)
    try:
        assert main(["serve", "a.onnx"]) == 2
    finally:
        signal.signal(signal.SIGHUP, before)


def test_the_second_signal_ends_it_at_once(copying_files: list[Path]) -> None:
    server = command.Server(parse(["serve", str(copying_files[0]), "--port", "0"]))
    for expected in (False, True):
        server.handle_exit(signal.SIGTERM, None)
        assert server.should_exit
        assert server.force_exit == expected
    server.run_until_told()


PARSE_FOR_EVER = """
import sys, threading
from dragoman.cli import main
from dragoman.runtime.server import service
service.translate_bytes = lambda *a, **k: threading.Event().wait()
sys.exit(main(sys.argv[1:]))
"""


def test_a_document_that_is_being_read_does_not_hold_up_the_end(copying_files: list[Path]) -> None:
    arguments = [sys.executable, "-c", PARSE_FOR_EVER, "serve", str(copying_files[0]), "--port", "0"]
    with subprocess.Popen(arguments, stderr=subprocess.PIPE, text=True) as served:
        assert served.stderr
        url = served.stderr.readline().split(" on ")[1].split()[0]
        body = b"--B\r\nContent-Disposition: form-data; name=file; filename=a.txt\r\n\r\na\r\n--B--\r\n"
        headers = {"Content-Type": "multipart/form-data; boundary=B"}
        request = Request(f"{url}/translate_file?source=en&target=de", body, headers)
        with pytest.raises((TimeoutError, URLError)):
            urlopen(request, timeout=1)
        served.terminate()
        assert served.wait(SECONDS) == 0


def test_the_log_has_a_line_for_each_request(copying_files: list[Path]) -> None:
    with process(copying_files[0], "--log", "requests") as (served, url):
        for path in ("/a%0a%1b[31mGET%20/admin%20200", "/b?c=d"):
            with pytest.raises(HTTPError):
                urlopen(url + path, timeout=SECONDS)
        served.terminate()
        assert served.stderr
        lines = served.stderr.read().splitlines()
    assert [line.rpartition(" ")[0].rpartition(" ")[0] for line in lines] == [
        "GET /a%0a%1b[31mGET%20/admin%20200 404", "GET /b 404",
    ]  # fmt: skip


def test_texts_are_logged_only_if_asked_for(copying_files: list[Path]) -> None:
    for level, expected in (("errors", 0), ("requests", 1), ("texts", 2)):
        with process(copying_files[0], "--log", level) as (served, url):
            translate(url, "copy this")
            served.terminate()
            assert served.wait(SECONDS) == 0
            assert served.stderr
            log = served.stderr.read()
            assert log.count("\n") == expected
            assert ("copy this" in log) == (level == "texts")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["missing.onnx"], "cannot read missing.onnx: No such file or directory"),
        (["MODEL", "MODEL"], "both translate en-de; leave one of them out"),
        (["MODEL", "--port", "70000"], "--port is 70000; a port is a number from 0 to 65535"),
        (["MODEL", "--host", "no.such.host.invalid"], "cannot listen on no.such.host.invalid, port 5000: "),
        (["MODEL", "--api-keys", "missing.txt"], "cannot read missing.txt: No such file"),
        (["MODEL", "--beam", "99999999"], "the beam size is 99,999,999; it must be from 1 to"),
        (["MODEL", "--workers", "257"], "--workers is 257; give at most 256, best one for each core"),
        (["tests"], "tests is no regular file; give the file of a model"),
        (["README.md"], "README.md is not a Dragoman model"),
    ],
)
def test_a_mistake_is_one_line(
    arguments: list[str], message: str, copying_files: list[Path], capsys: pytest.CaptureFixture[str]
) -> None:
    words = [str(copying_files[0]) if word == "MODEL" else word for word in arguments]
    assert main(["serve", *words]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


def test_a_port_that_is_taken_is_named(copying_files: list[Path], capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        assert main(["serve", str(copying_files[0]), "--port", port]) == 2
    error = capsys.readouterr().err
    assert f"cannot listen on 127.0.0.1, port {port}: Address already in use; choose another --port" in error


def test_a_missing_package_is_one_line(copying_files: list[Path]) -> None:
    code = (
        "import sys\n"
        "sys.modules['starlette.applications'] = None\n"
        "from dragoman.cli import main\n"
        "sys.exit(main(['serve', sys.argv[1]]))"
    )
    result = subprocess.run(
        [sys.executable, "-c", code, str(copying_files[0])], capture_output=True, text=True, env={**os.environ}
    )
    assert result.returncode == 2
    assert "`dragoman serve` needs the package starlette" in result.stderr
    assert "pip install '.[serve]' in Dragoman's folder" in result.stderr
    assert result.stderr.count("\n") == 1
