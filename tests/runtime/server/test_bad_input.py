"""Clients that are slow, endless, gone or hostile: a clear refusal, and the server stays up."""

from __future__ import annotations

import io
import json
import socket
import threading
import zipfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from urllib.parse import quote

import pytest

from dragoman.runtime.languages import parse_language
from dragoman.runtime.parts import Part
from dragoman.runtime.server import app, command, http
from dragoman.runtime.translator import SearchSettings
from serving import SECONDS, Client, serving

HEAD = b"POST /translate HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
BODY = b'{"q": "copy this", "source": "en", "target": "de"}'


@pytest.fixture
def slow(server: Client, monkeypatch: pytest.MonkeyPatch) -> Callable[..., bytes]:
    """Return a function that sends a part of a request, and returns what a server without patience answers.

    Its second argument is a whole request before it.
    """
    monkeypatch.setattr(http, "SWEEP_SECONDS", 0.01)
    monkeypatch.setattr(http, "SLOWEST", 10**9)

    def received() -> list[int]:
        return [getattr(connection, "_n_received", -1) for connection in server.server.server_state.connections]

    def send(data: bytes, request: bytes = b"") -> bytes:
        with server.connect() as connection:
            if request:
                connection.sendall(request)
                assert connection.recv(1 << 16).startswith(b"HTTP/1.1 400")
            connection.sendall(data)
            until(lambda: received() == [len(data)])
            monkeypatch.setattr(http, "PATIENCE", 0)
            return all_of(connection)

    return send


@pytest.fixture
def server(copying_files: list[Path]) -> Iterator[Client]:
    with serving(copying_files[0], "--file-limit", "1") as client:
        yield client
        works(client)


def works(client: Client) -> None:
    """Assert that a server translates, and that nothing waits or is reserved."""
    assert client.post("/translate", q="copy this", source="en", target="de").json == {"translatedText": "copy this"}
    assert client.server.service.scheduler.n_waiting == 0
    assert client.server.service.capacity.used == 0


def until(condition: Callable[[], bool]) -> None:
    """Wait until a condition holds."""
    tick = threading.Event()
    for _ in range(int(SECONDS / 0.01)):
        if condition():
            return
        tick.wait(0.01)
    pytest.fail("it has not come true")


def all_of(connection: socket.socket) -> bytes:
    received = b""
    while data := connection.recv(1 << 16):
        received += data
    return received


def error_of(answer: bytes, status: int) -> str:
    """Return the message of an answer that is an error in JSON, after which the connection is closed."""
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.split()[1] == str(status).encode(), answer
    assert b"content-type: application/json" in head.lower()
    assert b"connection: close" in head.lower()
    return str(json.loads(body)["error"])


@contextmanager
def workers_held(client: Client) -> Iterator[None]:
    """Hold up the workers of a server: they wait for a lock before they translate a batch."""
    lock = threading.Lock()
    (model,) = client.server.service.models
    translate_parts = model.translator.translate_parts

    def held(batch: Sequence[Part], search: SearchSettings) -> None:
        with lock:
            translate_parts(batch, search)

    with pytest.MonkeyPatch.context() as patch, lock:
        patch.setattr(model.translator, "translate_parts", held)
        yield


@pytest.mark.parametrize("body", [b"", b"{", b'{"q": "a'])
def test_a_slow_request_is_ended(body: bytes, slow: Callable[..., bytes]) -> None:
    request = HEAD + b"Content-Length: 100\r\n\r\n" + body
    assert "is not complete after" in error_of(slow(request), 408)


@pytest.mark.parametrize("head", [b"P", b"POST /translate", HEAD, HEAD + b"X: " + b"a" * 1000])
def test_a_slow_head_is_ended(head: bytes, slow: Callable[..., bytes]) -> None:
    assert "is not complete after" in error_of(slow(head), 408)


def test_a_slow_client_is_ended_though_it_was_fast_before(slow: Callable[..., bytes]) -> None:
    request = HEAD + b"Content-Length: 100000\r\n\r\n" + b" " * 90_000
    assert "is not complete after" in error_of(slow(request), 408)


def test_a_client_that_is_fast_enough_has_time(server: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "SWEEP_SECONDS", 0.01)
    monkeypatch.setattr(http, "PATIENCE", 0.2)
    monkeypatch.setattr(http, "SLOWEST", 1)
    with server.connect() as connection:
        connection.sendall(HEAD + b"Connection: close\r\nContent-Length: %d\r\n\r\n" % len(BODY))
        for byte in BODY:
            connection.sendall(bytes([byte]))
            threading.Event().wait(0.02)
        assert all_of(connection).endswith(b'{"translatedText":"copy this"}')


@pytest.mark.parametrize("rate", [10**9, 1])
def test_a_client_that_takes_its_answer_slowly_is_cut_off_only_if_it_is_too_slow(
    rate: int, server: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http, "SWEEP_SECONDS", 0.01)
    monkeypatch.setattr(http, "WRITE_PATIENCE", 0.1)
    monkeypatch.setattr(http, "SLOWEST_WRITE", rate)
    size = 8 << 20
    name = server.server.interface.downloads.add("a.txt", b"a" * size)
    with server.connect() as connection:
        connection.sendall(b"GET /download_file/%s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n" % name.encode())
        received = 0
        while data := connection.recv(1 << 19):
            received += len(data)
            threading.Event().wait(0.15)
    assert received > size if rate == 1 else received < size


def test_a_silent_connection_is_closed(slow: Callable[..., bytes]) -> None:
    assert slow(b"") == b""


def test_a_second_request_on_a_connection_may_be_slow_too(slow: Callable[..., bytes]) -> None:
    request = HEAD + b"Content-Length: 2\r\n\r\n{}"
    assert "is not complete after" in error_of(slow(HEAD, request), 408)


def test_a_request_is_answered_though_the_next_one_is_slow(server: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "SWEEP_SECONDS", 0.01)
    monkeypatch.setattr(http, "SLOWEST", 10**9)
    with server.connect() as connection:
        with workers_held(server):
            connection.sendall(HEAD + b"Content-Length: %d\r\n\r\n%s" % (len(BODY), BODY))
            until(lambda: server.server.service.capacity.used > 0)
            connection.sendall(HEAD)
            until(lambda: [getattr(c, "_n_received", 0) for c in server.server.server_state.connections] == [len(HEAD)])
            monkeypatch.setattr(http, "PATIENCE", 0)
            threading.Event().wait(0.1)  # some sweeps
        answers = all_of(connection).split(b"HTTP/1.1 ")[1:]
    assert [answer[:3] for answer in answers] == [b"200", b"408"]


@pytest.mark.parametrize("length", [10**6, 10**12, 10**30])
@pytest.mark.parametrize("path", ["/translate", "/detect", "/suggest"])
def test_a_large_body_is_refused_before_it_is_read(length: int, path: str, server: Client) -> None:
    head = HEAD.replace(b"/translate", path.encode())
    answer = server.raw(head + b"Content-Length: %d\r\nExpect: 100-continue\r\n\r\n" % length)
    assert b"100 Continue" not in answer
    assert error_of(answer, 413 if length < 2**64 else 400)


def test_a_chunked_body_without_end_is_refused(server: Client) -> None:
    with server.connect() as connection:
        connection.sendall(HEAD + b"Transfer-Encoding: chunked\r\n\r\n")
        chunk = b"10000\r\n" + b" " * 0x10000 + b"\r\n"
        with pytest.raises((BrokenPipeError, ConnectionResetError)):
            connection.sendall(chunk * 2000)


def test_a_client_that_sends_all_before_it_reads_sees_its_refusal(server: Client) -> None:
    refused = server.send("POST", "/translate", b"a" * (20 << 20), {"Content-Type": "application/json"})
    assert "which is the limit" in refused.error(413)
    with server.connect() as connection:
        connection.sendall(HEAD + b"Transfer-Encoding: chunked\r\n\r\n")
        for _ in range(200):
            connection.sendall(b"10000\r\n" + b" " * 0x10000 + b"\r\n")
        connection.sendall(b"0\r\n\r\n")
        assert "which is the limit" in error_of(all_of(connection), 413)


@pytest.mark.parametrize("piece", [b"a: b\r\n", b"a: " + b"b" * 1000, b"a: b\r\n" * 10_000])
def test_trailers_without_end_are_refused(piece: bytes, server: Client) -> None:
    with server.connect() as connection:
        connection.sendall(HEAD + b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n")
        received = b""
        with suppress(BrokenPipeError, ConnectionResetError):
            for _ in range((1 << 20) // len(piece)):
                connection.sendall(piece)
            received = all_of(connection)
    if received:
        assert "bytes of trailers" in error_of(received, 431)


def test_few_trailers_are_ignored(server: Client) -> None:
    head = HEAD + b"Connection: close\r\nTransfer-Encoding: chunked\r\n\r\n"
    chunks = b"%x;name=value\r\n%s\r\n0\r\nContent-Type: text/plain\r\n\r\n" % (len(BODY), BODY)
    answer = server.raw(head + chunks)
    assert answer.endswith(b'{"translatedText":"copy this"}')


UPGRADES = [
    (b"Upgrade, HTTP2-Settings", b"h2c"),  # curl --http2, and Java
    (b"Upgrade", b"websocket"),
    (b"keep-alive, Upgrade", b"TLS/1.0, HTTP/1.1"),
]


@pytest.mark.parametrize(("connection", "protocol"), UPGRADES)
@pytest.mark.parametrize("body", [BODY, b"GET /health HTTP/1.1\r\n\r\n"])
@pytest.mark.parametrize("form", [b"Content-Length: %(size)d\r\n\r\n%(body)b", b"%(chunked)b"])
def test_a_wish_for_another_protocol_is_ignored(
    connection: bytes, protocol: bytes, body: bytes, form: bytes, server: Client
) -> None:
    chunked = b"Transfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)
    rest = form % {b"size": len(body), b"body": body, b"chunked": chunked}
    head = HEAD + b"HTTP2-Settings: AAMAAABkAAQ\r\nConnection: %s\r\nUpgrade: %s\r\n" % (connection, protocol)
    plain = HEAD + b"Connection: close\r\n" + rest
    status = b"HTTP/1.1 200" if body.startswith(b"{") else b"HTTP/1.1 400"
    whole = head + rest
    for cut in (0, 40, len(HEAD), len(head), len(head) + rest.index(b"\r\n\r\n") + 4, len(whole) - 3, len(whole)):
        with server.connect() as client:
            client.sendall(whole[:cut])
            threading.Event().wait(0.01)
            client.sendall(whole[cut:] + plain)
            assert all_of(client).split(b"HTTP/1.1 ")[1:][0][:3] == status[-3:]
            assert all_of(client) == b""


def test_a_bad_request_does_not_take_the_answer_of_the_one_before(server: Client) -> None:
    request = HEAD + b"Content-Length: %d\r\n\r\n%s" % (len(BODY), BODY)
    for bad in (b"hello\r\n\r\n", HEAD + b"Content-Length: -1\r\n\r\n", b"\x00" * 100):
        with server.connect() as connection:
            with workers_held(server):
                connection.sendall(request + bad)
                until(lambda: server.server.service.capacity.used > 0)
            received = all_of(connection)
        assert received.startswith(b"HTTP/1.1 200")
        assert received.endswith(b'{"translatedText":"copy this"}')


def test_a_long_query_string_is_read(server: Client) -> None:
    text = "ä" * 19_000
    answer = server.get(f"/translate?langpair=en%7Cde&q={quote(text)}")
    assert answer.json["responseData"]["translatedText"]
    assert server.get("/health?" + "a" * 200_000).status == 200


def test_long_codes_of_languages_are_refused_and_forgotten(server: Client) -> None:
    code = "en-x-" + "a" * 100_000
    for source, target in ((code, "de"), ("en", code), ("auto", code)):
        values = {"source": source, "target": target}
        assert "a..., " in server.post("/translate", q="copy", **values).error(400)
    assert parse_language.cache_info().maxsize
    assert server.server.service.models._find.cache_info().currsize == 0


def test_a_large_head_is_refused(server: Client) -> None:
    answer = server.raw(HEAD + b"X-Large: " + b"a" * (http.MAX_HEADERS + (1 << 18)) + b"\r\n\r\n")
    assert "the head of the request has more than" in error_of(answer, 431)


@pytest.mark.parametrize(
    "data",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01",  # TLS
        b"GET / HTTP/9.9\r\n\r\n",
        b"hello\r\n\r\n",
        b"\r\n\r\n\x00\r\n\r\n",
        b"GET / HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
        b"GET / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        b"POST /translate HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"GET \xff\xfe HTTP/1.1\r\n\r\n",
        b"GET /\xc3\xa4 HTTP/1.1\r\n\r\n",
        b"CONNECT example.org:443 HTTP/1.1\r\n\r\n",
    ],
)
def test_what_is_no_http_gets_an_error(data: bytes, server: Client) -> None:
    assert error_of(server.raw(data + b"\r\n\r\n"), 400)


def test_too_many_connections_are_refused(server: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "max_connections", lambda: 3)
    connections = [server.connect() for _ in range(3)]
    request = b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n"
    for connection in connections:
        connection.sendall(request)
        assert connection.recv(1000).startswith(b"HTTP/1.1 200")
    assert "too many connections" in error_of(server.raw(request), 503)
    for connection in connections:
        connection.close()


def test_a_client_that_goes_away_frees_its_work(server: Client) -> None:
    service = server.server.service
    with workers_held(server):
        body = json.dumps({"q": ["copy this"] * 50, "source": "en", "target": "de"}).encode()
        connections = [server.connect() for _ in range(6)]
        for connection in connections:
            connection.sendall(HEAD + b"Content-Length: %d\r\n\r\n" % len(body) + body)
        until(lambda: service.scheduler.n_waiting >= 200)
        for connection in connections:
            connection.close()
        until(lambda: service.scheduler.n_waiting == 0 and service.capacity.used == 0)
    assert b"dragoman_gone_clients_total 6.0" in server.get("/metrics").body


@pytest.mark.parametrize("accept", ["*/*", "application/x-ndjson"])
def test_a_client_that_goes_away_from_a_document_frees_its_work(accept: str, server: Client) -> None:
    service = server.server.service
    with workers_held(server):
        connection = server.connect()
        data = b"--B\r\nContent-Disposition: form-data; name=file; filename=a.txt\r\n\r\n" + b"copy this\n" * 5000
        for name, value in ((b"source", b"en"), (b"target", b"de")):
            data += b"\r\n--B\r\nContent-Disposition: form-data; name=%s\r\n\r\n%s" % (name, value)
        data += b"\r\n--B--\r\n"
        connection.sendall(
            b"POST /translate_file HTTP/1.1\r\nHost: x\r\nContent-Type: multipart/form-data; boundary=B\r\n"
            b"Accept: %s\r\nContent-Length: %d\r\n\r\n%s" % (accept.encode(), len(data), data)
        )
        until(lambda: service._n_documents == 1)
        connection.close()
    until(lambda: service._n_documents == 0 and service.scheduler.n_waiting == 0)


def test_too_many_documents_are_refused(server: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dragoman.runtime.server.service.MAX_DOCUMENTS", 0)
    answer = server.upload("a.txt", b"copy", source="en", target="de")
    assert "try again later" in answer.error(503)
    assert "retry-after" in answer.headers


@pytest.mark.parametrize("path", ["/translate_file", "/translate"])
def test_too_many_bytes_of_bodies_are_refused(path: str, server: Client) -> None:
    received = server.server.interface._received
    head = b"POST %s HTTP/1.1\r\nHost: x\r\nContent-Type: multipart/form-data; boundary=B\r\n" % path.encode()
    slow = [server.connect() for _ in range(2 * app.MAX_UPLOADS)]
    for connection in slow:
        connection.sendall(head + b"Content-Length: 200000\r\n\r\n--B")
    until(lambda: received.used == 3 * len(slow))
    assert server.upload("a.txt", b"copy", source="en", target="de").status == 200  # they hold little
    with received.reserved(received.limit - received.used - 100):
        answer = server.upload("a.txt", b"copy" * 100, source="en", target="de")
        assert "too many requests wait" in answer.error(503)
        assert "retry-after" in answer.headers
    for connection in slow:
        connection.close()
    until(lambda: received.used == 0)
    assert server.upload("a.txt", b"copy", source="en", target="de").status == 200


def test_detection_counts_as_waiting(server: Client) -> None:
    capacity = server.server.service.capacity
    with capacity.reserved(capacity.limit - 10):
        assert "too many requests wait" in server.post("/detect", q="copy this line").error(503)
    assert server.post("/detect", q=["copy this line"] * 1000).status == 200


def test_requests_that_are_not_complete_are_refused_when_the_server_ends(copying_files: list[Path]) -> None:
    with serving(copying_files[0]) as client, ExitStack() as stack:
        connections = [stack.enter_context(client.connect()) for _ in range(3)]
        for connection, data in zip(connections, (HEAD, HEAD + b"Content-Length: 9\r\n\r\n{", b""), strict=True):
            connection.sendall(data)
        until(lambda: sum(getattr(c, "_n_received", 0) > 0 for c in client.server.server_state.connections) == 2)
        client.server.should_exit = True
        answers = [all_of(connection) for connection in connections]
    assert [error_of(answer, 503) for answer in answers[:2]] == ["the server stops"] * 2
    assert answers[2] == b""


def test_a_request_that_takes_too_long_is_refused_when_the_server_ends(
    copying_files: list[Path], monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(command, "GRACE_SECONDS", 0)
    with serving(copying_files[0]) as client, workers_held(client), client.connect() as connection:
        connection.sendall(HEAD + b"Content-Length: %d\r\n\r\n%s" % (len(BODY), BODY))
        until(lambda: client.server.service.scheduler.n_waiting == 0 and client.server.service.capacity.used > 0)
        client.server.should_exit = True
        assert error_of(all_of(connection), 503) == "the server stops"
    assert "Traceback" not in capfd.readouterr().err


def docx(text: bytes) -> bytes:
    """Return an archive that looks like a Word document, with any text as its main part."""
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("[Content_Types].xml", "<Types/>")
        archive.writestr("word/document.xml", text)
    return data.getvalue()


@pytest.mark.parametrize("name", ["bomb.docx", "bomb.odt"])
def test_a_zip_bomb_is_refused(name: str, server: Client) -> None:
    bomb = docx(b"<w>" + b"a" * (300 << 20))
    assert len(bomb) < 1 << 20
    answer = server.upload(name, bomb, source="en", target="de")
    assert name in answer.error(400)


def test_a_large_file_is_refused(server: Client) -> None:
    answer = server.upload("a.txt", b"a" * ((1 << 20) + 1), source="en", target="de")
    assert "the file has 1,048,577 bytes, and at most 1,048,576 may be" in answer.error(413)
    with server.connect() as connection:
        connection.sendall(
            b"POST /translate_file HTTP/1.1\r\nHost: x\r\nContent-Type: multipart/form-data; boundary=B\r\n"
            b"Content-Length: 20000000\r\n\r\n"
        )
        assert "which is the limit" in error_of(all_of(connection), 413)


def test_uploads_at_once_do_not_mix(server: Client) -> None:
    def upload(number: int) -> None:
        lines = "".join(f"copy this line, number {number}.{i}\n" for i in range(200)).encode()
        answer = server.upload(f"a{number}.txt", lines, source="en", target="de")
        if answer.status == 503:  # more than may wait
            return
        path = answer.json["translatedFileUrl"].removeprefix(server.server.url)
        assert server.get(path).body == lines
        done.append(number)

    done: list[int] = []
    with ThreadPoolExecutor(12) as threads:
        assert [*threads.map(upload, range(12))] == [None] * 12
    assert done


def test_no_file_is_left_behind(server: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    lines = b"copy this line\n" * 60_000
    assert server.upload("a.txt", lines, source="en", target="de").status == 200
    assert server.upload("a.docx", b"PK" + lines, source="en", target="de").status == 400
    assert not [*tmp_path.iterdir()]


def test_a_million_characters_and_ten_thousand_texts_are_refused(server: Client) -> None:
    million = server.post("/translate", q="a" * 10**6, source="en", target="de")
    assert million.status == 413
    many = server.post("/translate", q=["a"] * 10_000, source="en", target="de")
    assert many.status == 413
    html = server.post("/translate", q=["<p>"] * 10_000, source="en", target="de", format="html")
    assert html.status == 413


def test_the_longest_text_is_translated(server: Client) -> None:
    for text in ("a" * 20_000, "a " * 10_000, "\n" * 20_000, "copy this. " * 1818, "<" * 20_000, "\U0001f600" * 20_000):
        answer = server.post("/translate", q=text, source="en", target="de")
        assert answer.status == 200
        html = server.post("/translate", q=text, source="en", target="de", format="html")
        assert html.status in (200, 400)
