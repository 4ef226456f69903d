"""API keys and rates."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import pytest

from dragoman.runtime.errors import UserError
from dragoman.runtime.server import access
from dragoman.runtime.server.access import ApiKeys, Limits, RateLimiter, client_network
from dragoman.runtime.server.errors import RequestError

DEFAULT = Limits(10, 1000)


def test_keys_have_the_limits_of_their_line(tmp_path: Path) -> None:
    path = tmp_path / "keys.txt"
    path.write_text("\ufeff# keys\n\nalpha\nbeta 5  # a comment\n  gamma\t0 99\r\nd#e 7 #f\n", "utf-8")
    keys = ApiKeys.read(str(path), DEFAULT)
    assert keys.limits("alpha") == DEFAULT
    assert keys.limits("beta") == Limits(5, 1000)
    assert keys.limits("gamma") == Limits(0, 99)
    assert keys.limits("d#e") == Limits(7, 1000)
    for unknown in ("", "alph", "alphaa", "ALPHA", "# keys", "d", "\ud800"):
        assert keys.limits(unknown) is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"", "has no API key"),
        (b"# nothing\n", "has no API key"),
        (b"a\nb many\n", "line 2: a line is a key"),
        (b"a -1\n", "line 1: a line is a key"),
        (b"a 1 2 3\n", "line 1: a line is a key"),
        (b"a\nb\na 5\n", "line 3: the key is there twice"),
        (b"\xff\xfe", "is not valid UTF-8"),
    ],
)
def test_a_damaged_file_of_keys_is_refused(text: bytes, message: str, tmp_path: Path) -> None:
    path = tmp_path / "keys.txt"
    path.write_bytes(text)
    with pytest.raises(UserError, match=message) as error:
        ApiKeys.read(str(path), DEFAULT)
    assert str(path) in str(error.value)


def test_a_missing_file_of_keys_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"cannot read .*missing\.txt"):
        ApiKeys.read(str(tmp_path / "missing.txt"), DEFAULT)


def test_a_rate_lets_through_as_many_as_it_says() -> None:
    now = 0.0
    limiter = RateLimiter(lambda: now)
    accepted = 0
    for step in range(1200):  # two minutes, ten requests a second
        now = step / 10
        with suppress(RequestError):
            limiter.take("client", 30)
            accepted += 1
    assert 30 + 2 * 30 - 1 <= accepted <= 30 + 2 * 30


def test_retry_after_is_late_enough() -> None:
    now = 0.0
    limiter = RateLimiter(lambda: now)
    limiter.take("client", 1)
    with pytest.raises(RequestError, match="more than 1 requests a minute") as error:
        limiter.take("client", 1)
    assert error.value.status == 429
    now += int(error.value.headers["Retry-After"])
    limiter.take("client", 1)


def test_clients_do_not_share_a_rate_and_zero_is_none() -> None:
    limiter = RateLimiter(lambda: 0.0)
    limiter.take("a", 1)
    limiter.take("b", 1)
    for _ in range(100):
        limiter.take("c", 0)


def test_few_clients_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(access, "MAX_CLIENTS", 10)
    limiter = RateLimiter(lambda: 0.0)
    for number in range(100):
        limiter.take(str(number), 1)
    assert len(limiter._buckets) == 10


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::1", "2001:db8:1:2::/64"),
        ("::ffff:192.0.2.7", "::ffff:192.0.2.7"),
        ("testclient", "testclient"),
    ],
)
def test_a_network_of_ipv6_is_one_client(address: str, network: str) -> None:
    assert client_network(address) == network
