"""Servers that the clients of these tests use."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from clients.serving import KEY, Server, serving


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Return a server that anybody may use."""
    with serving(tmp_path_factory.mktemp("server")) as found:
        yield found


@pytest.fixture(scope="module")
def server_with_keys(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Return a server that needs an API key."""
    folder = tmp_path_factory.mktemp("server-with-keys")
    keys = folder / "keys.txt"
    keys.write_text(f"{KEY}\n")
    with serving(folder, "--api-keys", str(keys)) as found:
        yield found
