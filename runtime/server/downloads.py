"""Translated documents that wait for their download. They are held in memory, so no file is left behind."""

from __future__ import annotations

import re
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import NamedTuple

KEPT_SECONDS = 600
KEPT_BYTES = 64 << 20  # of all documents together; the oldest make room

_NOT_IN_NAMES = re.compile(r"[^\w.-]+")


class Download(NamedTuple):
    """A document that waits for its download."""

    name: str
    data: bytes
    expires: float


class Downloads:
    """Translated documents by their name in the URL, which nobody can guess."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._kept: OrderedDict[str, Download] = OrderedDict()

    def add(self, name: str, data: bytes) -> str:
        """Keep a document for ten minutes, and return its name in the URL."""
        name = _NOT_IN_NAMES.sub("_", name)[-100:].lstrip(".") or "document"
        key = f"{secrets.token_urlsafe(16)}.{name}"
        self._kept[key] = Download(name, data, self._clock() + KEPT_SECONDS)
        self.forget()
        return key

    def find(self, key: str) -> Download | None:
        """Return a document by its name in the URL, or None if there is none or its time is over."""
        self.forget()
        return self._kept.get(key)

    def forget(self) -> None:
        """Forget the documents whose time is over, and the oldest ones if all take too much memory."""
        now = self._clock()
        size = sum(len(kept.data) for kept in self._kept.values())
        while self._kept:
            key, oldest = next(iter(self._kept.items()))
            if oldest.expires > now and (size <= KEPT_BYTES or len(self._kept) == 1):
                break
            size -= len(oldest.data)
            del self._kept[key]
