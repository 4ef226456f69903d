"""Clients of LibreTranslate in JavaScript, which other people wrote, against `dragoman serve`."""

from __future__ import annotations

from typing import Any

import pytest

import dragoman
from clients.driving import NODE, NODE_MODULES, Refusal, node_client
from clients.serving import CHAR_LIMIT, KEY, Server

pytestmark = [
    pytest.mark.skipif(not NODE, reason="Node.js is not installed"),
    pytest.mark.skipif(
        not NODE_MODULES.exists(),
        reason="the clients in JavaScript are not installed; run make tests/clients/node_modules/.installed",
    ),
]

CLIENTS = ("translate", "libretranslate", "libretranslate-ts")
ENGLISH = "This is a line of plain English text, which nobody takes for German."
GERMAN = "Das ist eine Zeile deutscher Text, die niemand für englisch hält: „Käse & 5 % – 😀“"


def text_of(answer: Any) -> Any:  # noqa: ANN401 (what a client returns)
    """Return the translation in what a client returned."""
    return answer["translatedText"] if isinstance(answer, dict) else answer


def message_of(answer: Any) -> str | None:  # noqa: ANN401 (what a client returns)
    """Return the message of an error, or None if there is no error.

    libretranslate-ts returns the message, and translate raises it. libretranslate returns nothing for most errors.
    """
    if isinstance(answer, Refusal):
        return answer.message
    message = answer.get("error") if isinstance(answer, dict) else None
    assert message is None or isinstance(message, str)
    return message


@pytest.mark.parametrize("name", CLIENTS)
def test_a_text_gets_the_translation_of_its_model(name: str, server: Server) -> None:
    answers = node_client(name).ask(server.url, ("translate", "12 345", "en", "de"), ("translate", GERMAN, "de", "en"))
    assert [text_of(answer) for answer in answers] == [
        *server.translations(["12 345"], "en", "de"), *server.translations([GERMAN], "de", "en"),
    ]  # fmt: skip


@pytest.mark.parametrize("name", CLIENTS)
def test_texts_at_once_do_not_mix(name: str, server: Server) -> None:
    texts = [str(number * number) for number in range(10, 60)]
    (answers,) = node_client(name).ask(server.url, ("at_once", texts, "en", "de"))
    assert [text_of(answer["value"]) for answer in answers] == server.translations(texts, "en", "de")


def test_a_language_may_have_its_name(server: Server) -> None:
    (answer,) = node_client("translate").ask(server.url, ("translate", "12", "English", "German"))
    assert answer == server.translations(["12"], "en", "de")[0]


def test_languages(server: Server) -> None:
    assert node_client("libretranslate-ts").ask(server.url, ("listLanguages",)) == [
        [
            {"code": "en", "name": "English", "targets": ["de", "en"]},
            {"code": "de", "name": "German", "targets": ["de", "en"]},
        ]
    ]


def test_detection(server: Server) -> None:
    answers = node_client("libretranslate-ts").ask(server.url, ("detect", ENGLISH), ("detect", GERMAN))
    assert [answer["language"] for answer in answers] == ["en", "de"]
    assert all(0 < answer["confidence"] <= 100 for answer in answers)


@pytest.mark.parametrize("name", ["libretranslate", "libretranslate-ts"])  # translate knows no auto
def test_the_source_language_may_be_unknown(name: str, server: Server) -> None:
    (answer,) = node_client(name).ask(server.url, ("translate", ENGLISH, "auto", "de"))
    assert text_of(answer) == server.translations([ENGLISH], "en", "de")[0]


def test_alternatives(server: Server) -> None:
    (answer,) = node_client("libretranslate-ts").ask(server.url, ("translate", "12 345", "en", "de", 2))
    translator = dragoman.Translator.load(server.files["en", "de"])
    best, *others = [hypothesis.text for hypothesis in translator.translate("12 345", n_best=3).hypotheses]
    assert answer["translatedText"] == best
    assert answer["alternatives"] == others


@pytest.mark.parametrize(
    ("name", "words"), [
        ("translate", "target is 'fr'"),
        ("libretranslate", "This language was not found"),  # its own message
        ("libretranslate-ts", "target is 'fr'"),
    ],
)  # fmt: skip
def test_an_unknown_language_is_an_error(name: str, words: str, server: Server) -> None:
    bad, good = node_client(name).ask(server.url, ("translate", "12", "en", "fr"), ("translate", "12", "en", "de"))
    assert words in (message_of(bad) or "")
    assert text_of(good) == server.translations(["12"], "en", "de")[0]


@pytest.mark.parametrize("name", CLIENTS)
def test_too_much_text_is_an_error(name: str, server: Server) -> None:
    long = "7" * (CHAR_LIMIT + 1)
    bad, good = node_client(name).ask(server.url, ("translate", long, "de", "en"), ("translate", "7", "de", "en"))
    if name == "libretranslate":
        assert bad is None
    else:
        assert f"the text has {len(long):,} characters" in (message_of(bad) or "")
    assert text_of(good) == server.translations(["7"], "de", "en")[0]


@pytest.mark.parametrize("name", ["translate", "libretranslate-ts"])
def test_a_key_is_needed(name: str, server_with_keys: Server) -> None:
    call = ("translate", "12", "en", "de")
    client = node_client(name)
    without, other, right = (client.ask(server_with_keys.url, call, key=key)[0] for key in (None, "another", KEY))
    assert "needs an API key" in (message_of(without) or "")
    assert "key is unknown" in (message_of(other) or "")
    assert text_of(right) == server_with_keys.translations(["12"], "en", "de")[0]


def test_libretranslate_names_the_key_in_another_way(server_with_keys: Server) -> None:
    (answer,) = node_client("libretranslate").ask(server_with_keys.url, ("translate", "12", "en", "de"), key=KEY)
    assert text_of(answer) == server_with_keys.translations(["12"], "en", "de")[0]
