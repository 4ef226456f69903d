"""Run calls of a client of LibreTranslate, in an environment where that client is installed.

It reads JSON from standard input: the client's name, the server's URL, an API key or null, and calls, which are a
method's name and its arguments. It writes JSON: an answer or an error for each call, the number of connections to this
machine, and the other hosts that the client tried to reach.

Type checks do not see the clients, since the project's own environment does not hold them.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Callable
from dataclasses import asdict, is_dataclass
from importlib import import_module
from typing import Any

import loopback  # type: ignore[import-not-found]  # it stands beside this script

Call = Callable[..., Any]


def libretranslatepy(url: str, key: str | None) -> Call:
    """Return a function that calls a method of the client."""
    client = import_module("libretranslatepy").LibreTranslateAPI(url, key)
    return lambda name, *arguments: getattr(client, name)(*arguments)


def deep_translator(url: str, key: str | None) -> Call:
    """Return a function that calls a method, whose last two arguments are the languages."""
    translator = import_module("deep_translator").LibreTranslator

    def call(name: str, text: str | list[str], source: str, target: str) -> object:
        client = translator(source, target, api_key=key or "none", custom_url=f"{url}/")  # it needs some key
        return getattr(client, name)(text)

    return call


def libretranslate_aio(url: str, key: str | None) -> Call:
    """Return a function that calls a method of the client."""
    client = import_module("libretranslate_aio").LibreTranslate(url, api_key=key)
    return lambda name, *arguments, **options: getattr(client, name)(*arguments, **options)


def libretranslate_aio_async(url: str, key: str | None) -> Call:
    """Return a function that calls a method of the asynchronous client, or one for each of several texts at once."""
    connect = import_module("libretranslate_aio").AsyncLibreTranslate

    async def run(name: str, *arguments: Any, **options: Any) -> object:  # noqa: ANN401 (of whichever method)
        async with connect(url, api_key=key) as client:
            if name == "translate_at_once":
                texts, *languages = arguments
                return await asyncio.gather(*(client.translate(text, *languages) for text in texts))
            return await getattr(client, name)(*arguments, **options)

    return lambda *arguments, **options: asyncio.run(run(*arguments, **options))


def translate(url: str, key: str | None) -> Call:
    """Return a function that calls a method, whose last two arguments are the languages."""
    translator = import_module("translate").Translator

    def call(name: str, text: str, source: str, target: str) -> object:
        client = translator(from_lang=source, to_lang=target, provider="libre", base_url=url, secret_access_key=key)
        return getattr(client, name)(text)

    return call


CLIENTS = {
    client.__name__: client
    for client in (libretranslatepy, deep_translator, libretranslate_aio, libretranslate_aio_async, translate)
}


def as_json(value: object) -> object:
    """Return an object of a client as one that JSON has."""
    assert is_dataclass(value)
    assert not isinstance(value, type)
    return asdict(value)


def main() -> None:
    """Run the calls that standard input names."""
    loopback.stay_on_loopback()
    task = json.load(sys.stdin)
    call = CLIENTS[task["client"]](task["url"], task["key"])
    answers: list[dict[str, Any]] = []
    for name, *arguments in task["calls"]:
        options = arguments.pop() if arguments and isinstance(arguments[-1], dict) else {}
        try:
            answers.append({"value": call(name, *arguments, **options)})
        except Exception as error:  # each client has errors of its own
            body = error.read().decode() if hasattr(error, "read") else ""  # urllib's
            answers.append({"error": type(error).__name__, "message": f"{error} {body}".strip()})
    found = {"answers": answers, "connections": len(loopback.connections), "others": loopback.others}
    json.dump(found, sys.stdout, default=as_json)


if __name__ == "__main__":
    main()
