"""A host of static files for the tests, on the loopback interface, which a test can disturb."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import IO


class Host:
    """A host of static files.

    Attributes:
        url: Its URL.
        requested: Paths of all requests.
        headers: Headers of all answers, beside the usual ones.
        halves: Paths whose answers stop in the middle, until `go_on` is set.
        go_on: Set when answers continue; they break off if `breaks` is true.
        breaks: True if answers that stop break off.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.requested: list[str] = []
        self.headers: dict[str, str] = {}
        self.halves: set[str] = set()
        self.go_on = threading.Event()
        self.breaks = False
        self._port = 0  # a free one
        self.start()
        self.url = f"http://127.0.0.1:{self._port}"

    def start(self) -> None:
        """Start, or start again at the same port."""
        self._server = Server(("127.0.0.1", self._port), partial(Handler, directory=str(self.folder)))
        self._server.host = self
        self._port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def stop(self) -> None:
        """Answer no more."""
        self.go_on.set()
        self._server.shutdown()
        self._server.server_close()


class Server(ThreadingHTTPServer):
    """A server that knows its host."""

    daemon_threads = True
    host: Host


class Handler(SimpleHTTPRequestHandler):
    """An answer to one request."""

    server: Server

    def do_GET(self) -> None:
        """Answer with a file."""
        self.server.host.requested.append(self.path)
        super().do_GET()

    def end_headers(self) -> None:
        """Add the headers of the host."""
        for name, value in self.server.host.headers.items():
            self.send_header(name, value)
        super().end_headers()

    def copyfile(self, source: IO[bytes], outputfile: IO[bytes]) -> None:  # type: ignore[override]  # of any files
        """Send a file, perhaps in two halves."""
        host, data, start = self.server.host, source.read(), 0
        if self.path.split("?")[0] in host.halves:
            start = len(data) // 2
            outputfile.write(data[:start])
            outputfile.flush()
            host.go_on.wait()
            if host.breaks:
                return
        outputfile.write(data[start:])

    def log_message(self, format: str, *_: object) -> None:
        """Write nothing to standard error."""


@contextmanager
def hosting(folder: Path) -> Iterator[Host]:
    """Yield a host of a folder."""
    host = Host(folder)
    try:
        yield host
    finally:
        host.stop()
