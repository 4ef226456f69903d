"""A server for the tests, in a thread of the test's process, and a client that sends any bytes."""

from __future__ import annotations

import http.client
import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from dragoman.cli import parse
from dragoman.runtime.server.command import Server

SECONDS = 120  # that a busy machine may take


@dataclass(frozen=True)
class Answer:
    """An answer of the server."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:  # noqa: ANN401 (a value of JSON)
        """The body, which must be JSON."""
        assert self.headers["content-type"] == "application/json", self.body
        return json.loads(self.body)

    def error(self, status: int) -> str:
        """Return the message of an answer that must be an error with a status."""
        assert self.status == status, self.body
        assert list(self.json) == ["error"]
        return str(self.json["error"])


class Client:
    """A client of a server."""

    def __init__(self, server: Server) -> None:
        self.server = server
        parts = urlsplit(server.url)
        assert parts.hostname
        assert parts.port
        self.address = parts.hostname, parts.port

    def send(
        self, method: str, path: str, body: bytes | str | None = None, headers: dict[str, str] | None = None
    ) -> Answer:
        """Send a request, and return the answer."""
        connection = http.client.HTTPConnection(*self.address, timeout=SECONDS)
        connection.request(method, path, body.encode() if isinstance(body, str) else body, headers or {})
        response = connection.getresponse()
        answer = Answer(response.status, {k.lower(): v for k, v in response.getheaders()}, response.read())
        connection.close()
        return answer

    def get(self, path: str, **headers: str) -> Answer:
        """Send a GET request."""
        return self.send("GET", path, None, headers)

    def post(self, path: str, **values: Any) -> Answer:  # noqa: ANN401 (values of JSON)
        """Send a POST request with a body of JSON."""
        return self.send("POST", path, json.dumps(values), {"Content-Type": "application/json"})

    def upload(self, name: str, data: bytes, accept: str = "*/*", **fields: str) -> Answer:
        """Send a document to be translated."""
        parts = [f'Content-Disposition: form-data; name="{k}"\r\n\r\n{v}'.encode() for k, v in fields.items()]
        parts.append(f'Content-Disposition: form-data; name="file"; filename="{name}"\r\n\r\n'.encode() + data)
        body = b"".join(b"--BOUNDARY\r\n" + part + b"\r\n" for part in parts) + b"--BOUNDARY--\r\n"
        headers = {"Content-Type": "multipart/form-data; boundary=BOUNDARY", "Accept": accept}
        return self.send("POST", "/translate_file", body, headers)

    def connect(self) -> socket.socket:
        """Return a connection."""
        return socket.create_connection(self.address, timeout=SECONDS)

    def raw(self, data: bytes) -> bytes:
        """Send bytes, and return all that the server sends until it closes the connection."""
        with self.connect() as connection:
            connection.sendall(data)
            received = b""
            while chunk := connection.recv(1 << 16):
                received += chunk
        return received


@contextmanager
def serving(*arguments: str | Path) -> Iterator[Client]:
    """Yield a client of a server with arguments of `dragoman serve`."""
    server = Server(parse(["serve", *map(str, arguments), "--port", "0"]))
    thread = threading.Thread(target=server.run_until_told)
    thread.start()
    try:
        while not server.started:
            thread.join(0.01)
            assert thread.is_alive()
        yield Client(server)
    finally:
        server.should_exit = True
        thread.join(SECONDS)
    assert not thread.is_alive()
