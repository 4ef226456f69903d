"""HTTP connections: uvicorn's, with errors in JSON, and limits on clients that are slow on purpose."""

from __future__ import annotations

import asyncio
import json
import socket
import sys
from typing import Any

import httptools
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol
from uvicorn.server import Server

from dragoman.runtime.errors import UserError

MAX_HEADERS = 512 << 10  # bytes; a text may stand in the query string, with nine bytes for a character
MAX_URL = 65_535  # bytes of a URL that httptools can split
UPGRADE = b"upgrade", b"http2-settings"  # names of headers that wish for another protocol
MAX_BETWEEN = 64 << 10  # bytes without any of the body, such as trailers
MAX_CONNECTIONS = 1000
MAX_PORT = 65535
FILES_FOR_OTHER_USE = 64  # of those that a process may open

# A request must be here after so many seconds, or else come at so many bytes a second.
PATIENCE = 20
SLOWEST = 10_000

# A client must take its answer in so many seconds, or else at so many bytes a second.
WRITE_PATIENCE = 60
SLOWEST_WRITE = 1000

# A refused request is still read for so many seconds and bytes, or else its client may not see the answer: a system
# resets a connection that is closed with unread bytes.
LINGER_SECONDS = 5
LINGER_BYTES = 64 << 20
SWEEP_SECONDS = 1


class Connection(HttpToolsProtocol):
    """A connection of uvicorn that answers errors in JSON and keeps an eye on the time.

    `sweep` closes connections that send a request, or take an answer, too slowly. A request for another protocol, such
    as the `h2c` of Java's clients, is read as if it did not ask for it (RFC 9110, section 7.8).
    """

    _reading_since: float | None = None  # a request is being received, and was fast enough until then
    _writing_since: float | None = None  # an answer is stuck
    _n_received = 0  # bytes of the request
    _n_before = 0  # bytes of the request until `_reading_since`
    _n_header = 0  # bytes of the request's head; -1 when that is complete
    _n_between = 0  # bytes since the last ones of the body
    _n_unsent = 0  # bytes of the answer when it got stuck
    _plain_head = b""  # of a request for another protocol, without that wish
    _is_refused = False
    _linger_until: float | None = None  # the answer is sent, and the rest of the request is ignored

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as in uvicorn
        """Begin to wait for a request. Refuse the connection if there are too many."""
        super().connection_made(_Lingering(transport, self))  # type: ignore[arg-type]  # it delegates
        self._reading_since = self.loop.time()
        if len(self.connections) > max_connections():
            self.refuse(503, "too many connections; try again in some seconds")

    def data_received(self, data: bytes) -> None:
        """Read a part of a request. Refuse one whose head is too long, or that is no HTTP."""
        self._n_received += len(data)
        self._n_between += len(data)
        if self._linger_until is not None:
            if self._n_received > LINGER_BYTES:
                self.transport.abort()
            return
        if self._is_refused:
            return  # the answer to the request before is still to come
        if self._n_header >= 0:
            self._n_header += len(data)
            if self._n_header > MAX_HEADERS + (1 << 18):  # the head's last bytes may come with some of the body
                self.refuse(431, f"the head of the request has more than {MAX_HEADERS:,} bytes, which is the limit")
                return
        self._unset_keepalive_if_required()
        try:
            self._parse(data)
        except httptools.HttpParserError:
            self.refuse(400, "this is no valid HTTP request")
            return
        if self._n_header < 0 and self._n_between > MAX_BETWEEN:
            self.refuse(431, f"the request has more than {MAX_BETWEEN:,} bytes of trailers, or of a chunk's head")

    def _parse(self, data: bytes) -> None:
        """Parse bytes. Raises HttpParserError."""
        while data:
            try:
                self.parser.feed_data(data)
                return
            except httptools.HttpParserUpgrade as upgrade:
                if not self._plain_head:  # of the method CONNECT, which is refused
                    return
                head, self._plain_head = self._plain_head, b""
                self.parser.feed_data(head)
                data = data[upgrade.args[0] :]

    def on_message_begin(self) -> None:
        """Begin to count a request."""
        super().on_message_begin()
        if self._reading_since is None:
            self._reading_since = self.loop.time()

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keep a header. A trailer, which follows the body, is ignored."""
        if self._n_header >= 0:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """Start the request."""
        if self.parser.should_upgrade() and self.parser.get_method() != b"CONNECT":
            start = b"%s %s HTTP/%s" % (self.parser.get_method(), self.url, self.parser.get_http_version().encode())
            headers = [
                b"%s: %s" % header for header in self.headers if header[0] not in (b"upgrade", b"http2-settings")
            ]
            self._plain_head = b"\r\n".join([start, *headers, b"", b""])
            return
        self._n_header = -1
        self._n_between = 0
        query = None
        if len(self.url) > MAX_URL:
            self.url, _, query = self.url.partition(b"#")[0].partition(b"?")
        super().on_headers_complete()
        if query is not None:
            self.scope["query_string"] = query

    def on_body(self, body: bytes) -> None:
        """Take a part of the body."""
        self._n_between = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        """End the count of a request that is here."""
        if self._plain_head:
            return
        self._reading_since = None
        self._n_received = self._n_before = self._n_header = 0
        super().on_message_complete()

    def shutdown(self) -> None:
        """Refuse a request that is not complete, as the server ends. One that is complete is answered."""
        if self._reading_since is not None and self._n_received:
            self.refuse(503, "the server stops")
        else:
            super().shutdown()

    def pause_writing(self) -> None:
        """Note that the client does not take its answer."""
        self._writing_since = self.loop.time()
        self._n_unsent = self.transport.get_write_buffer_size()
        super().pause_writing()

    def resume_writing(self) -> None:
        """Note that the client takes its answer."""
        self._writing_since = None
        super().resume_writing()

    def refuse(self, status: int, message: str) -> None:
        """Answer with an error, and close the connection. A complete request before it still gets its own answer."""
        self._is_refused = True
        if self.transport.is_closing():
            return
        if self.cycle and not self.cycle.more_body and not self.cycle.response_complete:
            self.cycle.keep_alive = False
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
        if self._writing_since is not None:
            n_taken = self._n_unsent - self.transport.get_write_buffer_size()
            if now - self._writing_since > WRITE_PATIENCE + n_taken / SLOWEST_WRITE:
                self.transport.abort()
        if self._reading_since is None or self.flow.read_paused:
            return
        if self.cycle and not self.cycle.more_body and not self.cycle.response_complete:
            self._reading_since = now  # the request before has no answer yet
        elif now - self._reading_since > PATIENCE:
            if self._n_received - self._n_before >= SLOWEST * (now - self._reading_since):
                self._reading_since, self._n_before = now, self._n_received
            elif self._n_received:
                message = f"the request is not complete after {PATIENCE} s, and has not {SLOWEST:,} bytes a second"
                self.refuse(408, message)
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
