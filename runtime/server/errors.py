"""Errors of requests, which clients get as JSON."""

from __future__ import annotations

from collections.abc import Mapping

MAX_SHOWN = 40  # characters of a value in a message


class RequestError(Exception):
    """A request that is refused.

    Attributes:
        status: The HTTP status.
        message: One sentence for the client.
        headers: Further headers of the answer.
    """

    def __init__(self, status: int, message: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.status, self.message, self.headers = status, message, dict(headers or {})


def shown(value: object) -> str:
    """Return a value for a message: cut if it is long, in quotation marks and without control characters."""
    text = repr(value)
    return text if len(text) <= MAX_SHOWN else f"{text[:MAX_SHOWN]}..."


def too_large(message: str) -> RequestError:
    """Return the error for a body that is not read to its end. The connection is closed."""
    return RequestError(413, message, {"Connection": "close"})
