"""HTTP connections: uvicorn's, with errors in JSON, and limits on clients that are slow on purpose."""

from __future__ import annotations

import asyncio
import json
import socket
import sys
from typing import Any

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol
from uvicorn.server import Server

from dragoman.runtime.errors import UserError

MAX_HEADERS = 512 << 10  # bytes; a text may stand in the query string, with nine bytes for a character
MAX_CONNECTIONS = 1000
MAX_PORT = 65535
FILES_FOR_OTHER_USE = 64  # of those that a process may open

# A request must be here after so many seconds, and a large body at so many bytes a second.
PATIENCE = 20
SLOWEST = 10_000
WRITE_PATIENCE = 60  # seconds without a byte that the client takes of an answer

# A refused request is still read for so many seconds and bytes, or else its client may not see the answer: a system
# resets a connection that is closed with unread bytes.
LINGER_SECONDS = 5
LINGER_BYTES = 64 << 20
SWEEP_SECONDS = 1


class Connection(HttpToolsProtocol):
    """A connection of uvicorn that answers errors in JSON and keeps an eye on the time.

    `sweep` closes connections that send a request, or take an answer, too slowly.
    """

    _reading_since: float | None = None  # a request is being received
    _writing_since: float | None = None  # an answer is stuck
    _n_received = 0  # bytes of the request
    _n_header = 0  # bytes of the request's head; -1 when that is complete
    _is_refused = False
    _linger_until: float | None = None  # the answer is sent, and the rest of the request is ignored

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as in uvicorn
        """Begin to wait for a request. Refuse the connection if there are too many."""
        super().connection_made(_Lingering(transport, self))  # type: ignore[arg-type]  # it delegates
        self._reading_since = self.loop.time()
        if len(self.connections) > max_connections():
            self.refuse(503, "too many connections; try again in some seconds")

    def data_received(self, data: bytes) -> None:
        """Count the bytes of a request. Refuse one whose head is too long."""
        self._n_received += len(data)
        if self._linger_until is not None:
            if self._n_received > LINGER_BYTES:
                self.transport.abort()
            return
        if self._n_header >= 0:
            self._n_header += len(data)
            if self._n_header > MAX_HEADERS + (1 << 18):  # the head's last bytes may come with some of the body
                self.refuse(431, f"the head of the request has more than {MAX_HEADERS:,} bytes, which is the limit")
                return
        super().data_received(data)

    def on_message_begin(self) -> None:
        """Begin to count a request."""
        super().on_message_begin()
        if self._reading_since is None:
            self._reading_since = self.loop.time()

    def on_headers_complete(self) -> None:
        """Start the request."""
        self._n_header = -1
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """End the count of a request that is here."""
        self._reading_since = None
        self._n_received = self._n_header = 0
        super().on_message_complete()

    def pause_writing(self) -> None:
        """Note that the client does not take its answer."""
        self._writing_since = self.loop.time()
        super().pause_writing()

    def resume_writing(self) -> None:
        """Note that the client takes its answer."""
        self._writing_since = None
        super().resume_writing()

    def send_400_response(self, msg: str) -> None:
        """Refuse what is no HTTP."""
        self.refuse(400, "this is no valid HTTP request")

    def refuse(self, status: int, message: str) -> None:
        """Answer with an error, and close the connection."""
        self._is_refused = True
        if self.transport.is_closing():
            return
        if self.cycle is None or not self.cycle.response_started or self.cycle.response_complete:
            body = json.dumps({"error": message}).encode()
            head = [
                STATUS_LINE[status],
                b"content-type: application/json\r\n",
                b"content-length: %d\r\n" % len(body),
                b"retry-after: 5\r\n" if status == 503 else b"",
                b"connection: close\r\n\r\n",
            ]
            self.transport.write(b"".join([*head, body]))
        self.transport.close()

    @property
    def is_lingering(self) -> bool:
        """True if the rest of a request is ignored."""
        return self._linger_until is not None

    def linger(self) -> bool:
        """Begin to ignore the rest of a request that is answered. Return False if the request is complete."""
        if self._reading_since is None or not (self._n_received or self._is_refused):
            return False
        if self._linger_until is None:
            self._linger_until = self.loop.time() + LINGER_SECONDS
            self._n_received = 0
            self.flow.resume_reading()
        return True

    def check_time(self, now: float) -> None:
        """Close the connection if its client is too slow."""
        if self._linger_until is not None:
            if now > self._linger_until:
                self.transport.abort()
            return
        if self._writing_since is not None and now - self._writing_since > WRITE_PATIENCE:
            self.transport.abort()
        if self._reading_since is None or self.flow.read_paused:
            return
        if self.cycle and not self.cycle.more_body and not self.cycle.response_complete:
            self._reading_since = now  # the request before has no answer yet
        elif now - self._reading_since > PATIENCE + self._n_received / SLOWEST:
            if self._n_received:
                self.refuse(408, f"the request is not complete after {PATIENCE} s")
            else:
                self.transport.close()


class _Lingering:
    """A transport that closes a connection with unread bytes only when the client has had time to see its answer."""

    def __init__(self, transport: asyncio.Transport, connection: Connection) -> None:
        self._transport, self._connection = transport, connection

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 (of the transport)
        return getattr(self._transport, name)

    def is_closing(self) -> bool:
        return self._connection.is_lingering or self._transport.is_closing()

    def close(self) -> None:
        if self._connection.is_lingering:
            return
        if not self._transport.is_closing() and self._connection.linger() and self._transport.can_write_eof():
            self._transport.write_eof()
        else:
            self._transport.close()


def max_connections() -> int:
    """Return the largest number of connections, which the system's limit on open files bounds."""
    if sys.platform == "win32":
        return MAX_CONNECTIONS
    import resource

    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return max(1, min(MAX_CONNECTIONS, soft - FILES_FOR_OTHER_USE))


async def sweep(server: Server) -> None:
    """Close connections of clients that are too slow, until cancelled."""
    loop = asyncio.get_running_loop()
    while True:
        await asyncio.sleep(SWEEP_SECONDS)
        for connection in [*server.server_state.connections]:
            if isinstance(connection, Connection):
                connection.check_time(loop.time())


def listen(host: str, port: int) -> socket.socket:
    """Return a socket that listens on a host and port. Raises UserError."""
    if port > MAX_PORT:
        raise UserError(f"--port is {port}; a port is a number from 0 to {MAX_PORT}")
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind, protocol)
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(address)
        except BaseException:
            listener.close()
            raise
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", "") or error
        raise UserError(f"cannot listen on {host}, port {port}: {reason}; choose another --port or --host") from None
    return listener


def url_of(listener: socket.socket) -> str:
    """Return the URL of a server that listens on a socket."""
    address: Any = listener.getsockname()
    host, port = address[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
