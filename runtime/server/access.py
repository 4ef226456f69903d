"""Who may translate how much: API keys, and limits on the rate of requests."""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import math
import re
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from dragoman.runtime.errors import UserError
from dragoman.runtime.server.errors import RequestError

MAX_CLIENTS = 10_000  # whose rates are remembered


@dataclass(frozen=True)
class Limits:
    """Limits of a client.

    Attributes:
        rate: Requests a minute; 0 for any number.
        characters: Characters of text in a request.
    """

    rate: int
    characters: int


class ApiKeys:
    """The API keys of a file, with the limits of each.

    Only hashes of the keys are kept. Comparing a hash takes the same time for every key.
    """

    def __init__(self, limits: dict[bytes, Limits]) -> None:
        self._limits = limits

    @classmethod
    def read(cls, path: str, default: Limits) -> ApiKeys:
        """Read a file with a key a line, and behind it, if wanted, requests a minute and characters a request.

        Empty lines are ignored, and so is what follows a # that begins a line or follows a space. Raises UserError.
        """
        try:
            with open(path, encoding="utf-8-sig") as file:
                lines = file.read().splitlines()
        except OSError as error:
            raise UserError(f"cannot read {path}: {error.strerror or error}") from None
        except UnicodeDecodeError:
            raise UserError(f"{path} is not valid UTF-8; a file of API keys has a key a line") from None
        limits = {}
        for number, line in enumerate(lines, 1):
            key, *numbers = re.split(r"(?:^|\s)#", line, maxsplit=1)[0].split() or [""]
            if not key:
                continue
            if len(numbers) > 2 or not all(re.fullmatch("[0-9]{1,9}", each) for each in numbers):
                raise UserError(
                    f"{path}, line {number}: a line is a key, and if wanted requests a minute and characters a request"
                )
            rate, characters = (*map(int, numbers), *(default.rate, default.characters)[len(numbers) :])
            if _hash(key) in limits:
                raise UserError(f"{path}, line {number}: the key is there twice; leave one of them out")
            limits[_hash(key)] = Limits(rate, characters)
        if not limits:
            raise UserError(f"{path} has no API key; give a key a line")
        return cls(limits)

    @property
    def most_characters(self) -> int:
        """The largest number of characters that a key may have in a request."""
        return max(limits.characters for limits in self._limits.values())

    def limits(self, key: str) -> Limits | None:
        """Return the limits of a key, or None for an unknown one."""
        given = _hash(key)
        found = None
        for known, limits in self._limits.items():
            if hmac.compare_digest(known, given):
                found = limits
        return found


def _hash(key: str) -> bytes:
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).digest()


class RateLimiter:
    """A limit on the rate of requests of each client: a bucket of tokens, which a minute fills.

    Source: Turner, 1986, New Directions in Communications (or Which Way to the Information Age?).
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._buckets: OrderedDict[str | bytes, tuple[float, float]] = OrderedDict()  # tokens, and when

    def take(self, client: str, rate: int) -> None:
        """Count a request of a client. Raises RequestError if it has more than `rate` a minute."""
        if not rate:
            return
        now = self._clock()
        tokens, then = self._buckets.pop(client, (float(rate), now))
        tokens = min(float(rate), tokens + (now - then) * rate / 60)
        allowed = tokens >= 1
        self._buckets[client] = tokens - allowed, now
        while len(self._buckets) > MAX_CLIENTS:
            self._buckets.popitem(last=False)
        if not allowed:
            seconds = max(1, math.ceil((1 - tokens) * 60 / rate))
            message = f"more than {rate:,} requests a minute; try again in {seconds} s"
            raise RequestError(429, message, {"Retry-After": str(seconds)})


def client_network(address: str) -> str:
    """Return the network that counts as one client: the address itself, and of an IPv6 address the first 64 bits."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address
    if isinstance(parsed, ipaddress.IPv6Address) and not parsed.ipv4_mapped:
        return str(ipaddress.ip_network((parsed, 64), strict=False))
    return address
