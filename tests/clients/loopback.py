"""A Python process that reaches no other machine. The clients run in one; other connections fail and are reported."""

from __future__ import annotations

import sys

HOSTS = ("127.0.0.1", "::1", "localhost")
connections: list[str] = []  # hosts that were reached
others: list[str] = []  # hosts that something tried to reach


def stay_on_loopback() -> None:
    """Refuse connections to other machines and look-ups of their names, and note their hosts in `others`."""

    def hook(event: str, args: tuple[object, ...]) -> None:
        host: object = None
        if event == "socket.connect" and isinstance(args[1], tuple):
            host = args[1][0]
        elif event == "socket.getaddrinfo":
            host = args[0]
        if host is None:  # another event, or a socket of this machine alone
            return
        name = host.decode() if isinstance(host, bytes) else str(host)
        if name not in HOSTS:
            others.append(name)
            raise ConnectionRefusedError(f"{name} is another machine")
        if event == "socket.connect":
            connections.append(name)

    sys.addaudithook(hook)
