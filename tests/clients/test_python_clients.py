"""Clients of LibreTranslate in Python, which other people wrote, against `dragoman serve`."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest

import dragoman
from clients.driving import PYTHON, Refusal, python_client
from clients.serving import CHAR_LIMIT, KEY, Server

pytestmark = pytest.mark.skipif(
    not PYTHON.exists(), reason="the clients in Python are not installed; run make .venv-clients/installed"
)

AIO = ("libretranslate_aio", "libretranslate_aio_async")
CLIENTS = ("libretranslatepy", "deep_translator", *AIO, "translate")
ENGLISH = "This is a line of plain English text, which nobody takes for German."
GERMAN = "Das ist eine Zeile deutscher Text, die niemand für englisch hält: „Käse & 5 % – 😀“"
LANGUAGES = [
    {"code": "en", "name": "English", "targets": ["de", "en"]},
    {"code": "de", "name": "German", "targets": ["de", "en"]},
]


def text_of(answer: Any) -> Any:  # noqa: ANN401 (what a client returns)
    """Return the translation in what a client returned."""
    return answer["translated_text"] if isinstance(answer, dict) else answer


@pytest.mark.parametrize("name", CLIENTS)
def test_a_text_gets_the_translation_of_its_model(name: str, server: Server) -> None:
    answers = python_client(name).ask(
        server.url, ("translate", "12 345", "en", "de"), ("translate", GERMAN, "de", "en")
    )
    assert [text_of(answer) for answer in answers] == [
        *server.translations(["12 345"], "en", "de"), *server.translations([GERMAN], "de", "en"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "method"), [
        ("deep_translator", "translate_batch"), ("libretranslate_aio", "translate"),
        ("libretranslate_aio_async", "translate"), ("libretranslate_aio_async", "translate_at_once"),
    ],
)  # fmt: skip
def test_several_texts_keep_their_order(name: str, method: str, server: Server) -> None:
    texts = [str(number * number) for number in range(10, 60)]
    (answer,) = python_client(name).ask(server.url, (method, texts, "en", "de"))
    found = answer["translated_text"] if isinstance(answer, dict) else [text_of(each) for each in answer]
    assert found == server.translations(texts, "en", "de")


@pytest.mark.parametrize("name", ["libretranslatepy", *AIO])
def test_languages(name: str, server: Server) -> None:
    assert python_client(name).ask(server.url, ("languages",)) == [LANGUAGES]


@pytest.mark.parametrize("name", ["libretranslatepy", *AIO])
def test_detection(name: str, server: Server) -> None:
    answers = python_client(name).ask(server.url, ("detect", ENGLISH), ("detect", GERMAN))
    assert [[row["language"] for row in answer] for answer in answers] == [["en", "de"], ["de", "en"]]
    assert all(0 <= row["confidence"] <= 100 for answer in answers for row in answer)
    assert all(answer[0]["confidence"] > answer[1]["confidence"] for answer in answers)


@pytest.mark.parametrize("name", CLIENTS)
def test_the_source_language_may_be_unknown(name: str, server: Server) -> None:
    source = "autodetect" if name == "translate" else "auto"
    (answer,) = python_client(name).ask(server.url, ("translate", ENGLISH, source, "de"))
    assert text_of(answer) == server.translations([ENGLISH], "en", "de")[0]
    if name in AIO:
        assert answer["detected_language"]["language"] == "en"


@pytest.mark.parametrize(
    ("name", "kind", "words"), [
        ("libretranslatepy", "HTTPError", "target is 'fr'"),  # the body of the answer, which the error holds
        ("deep_translator", "ServerException", "ERR_BAD_REQUEST"),  # its name for the status 400
        ("libretranslate_aio", "BadRequestError", "target is 'fr'"),
        ("libretranslate_aio_async", "BadRequestError", "target is 'fr'"),
        ("translate", "TranslationError", "HTTP Error 400"),
    ],
)  # fmt: skip
def test_an_unknown_language_is_an_error(name: str, kind: str, words: str, server: Server) -> None:
    bad, good = python_client(name).ask(server.url, ("translate", "12", "en", "fr"), ("translate", "12", "en", "de"))
    assert bad.kind == kind
    assert words in bad.message
    assert text_of(good) == server.translations(["12"], "en", "de")[0]


@pytest.mark.parametrize(
    ("name", "kind"), [
        ("libretranslatepy", "HTTPError"), ("deep_translator", "ServerException"),
        ("libretranslate_aio", "LibreTranslateError"), ("libretranslate_aio_async", "LibreTranslateError"),
    ],
)  # fmt: skip
def test_too_much_text_is_an_error(name: str, kind: str, server: Server) -> None:
    long = "7" * (CHAR_LIMIT + 1)
    bad, good = python_client(name).ask(server.url, ("translate", long, "de", "en"), ("translate", "7", "de", "en"))
    assert isinstance(bad, Refusal)
    assert bad.kind == kind
    assert text_of(good) == server.translations(["7"], "de", "en")[0]


def test_a_long_text_may_stand_in_the_query_string(server: Server) -> None:
    long = "\n".join("東京は日本の首都です。" for _ in range(300))
    (answer,) = python_client("deep_translator").ask(server.url, ("translate", long, "de", "en"))
    assert answer == server.translations([long], "de", "en")[0]


def test_a_long_text_may_come_in_parts(server: Server) -> None:
    long = " ".join(f"Zeile {number} hat noch mehr Text." for number in range(100))
    (answer,) = python_client("translate").ask(server.url, ("translate", long, "de", "en"))
    assert answer == long  # the client splits it at spaces, and this model copies


@pytest.mark.parametrize(
    ("name", "missing", "wrong"), [
        ("libretranslatepy", "HTTPError", "HTTPError"),
        ("deep_translator", "AuthorizationException", "AuthorizationException"),  # it always sends some key
        ("libretranslate_aio", "LibreTranslateError", "ForbiddenError"),
        ("libretranslate_aio_async", "LibreTranslateError", "ForbiddenError"),
        ("translate", "TranslationError", "TranslationError"),
    ],
)  # fmt: skip
def test_a_key_is_needed(name: str, missing: str, wrong: str, server_with_keys: Server) -> None:
    call = ("translate", "12", "en", "de")
    client = python_client(name)
    without, other, right = (client.ask(server_with_keys.url, call, key=key)[0] for key in (None, "another", KEY))
    assert without.kind == missing
    assert other.kind == wrong
    assert text_of(right) == server_with_keys.translations(["12"], "en", "de")[0]


@pytest.mark.parametrize("name", ["libretranslatepy", *AIO])
def test_a_key_does_no_harm_where_none_is_needed(name: str, server_with_keys: Server) -> None:
    # libretranslatepy sends it in the body of a GET request.
    languages, detected = python_client(name).ask(server_with_keys.url, ("languages",), ("detect", GERMAN), key=KEY)
    assert languages == LANGUAGES
    assert detected[0]["language"] == "de"


@pytest.mark.parametrize("name", AIO)
def test_health_settings_and_suggestions(name: str, server: Server) -> None:
    health, settings, suggestion = python_client(name).ask(
        server.url, ("health",), ("frontend_settings",), ("suggest", "12", "twelve", "en", "de")
    )
    assert health is True
    assert settings["char_limit"] == CHAR_LIMIT
    assert settings["key_required"] is settings["suggestions"] is False
    assert settings["language"] == {
        "source": {"code": "en", "name": "English"}, "target": {"code": "de", "name": "German"},
    }  # fmt: skip
    assert suggestion.kind == "ForbiddenError"


@pytest.mark.parametrize("name", AIO)
def test_alternatives(name: str, server: Server) -> None:
    (answer,) = python_client(name).ask(server.url, ("translate", "12 345", "en", "de", {"alternatives": 2}))
    translator = dragoman.Translator.load(server.files["en", "de"])
    best, *others = [hypothesis.text for hypothesis in translator.translate("12 345", n_best=3).hypotheses]
    assert answer["translated_text"] == best
    assert answer["alternatives"] == others


@pytest.mark.parametrize("name", AIO)
def test_html(name: str, server: Server) -> None:
    (answer,) = python_client(name).ask(
        server.url, ("translate", "<p>12</p>\n<p>7</p>", "en", "de", {"format": "html"})
    )
    first, second = server.translations(["12", "7"], "en", "de")
    assert answer["translated_text"] == f"<p>{first}</p>\n<p>{second}</p>"


@pytest.mark.parametrize("name", AIO)
def test_a_document(name: str, server: Server, tmp_path: Path) -> None:
    path = tmp_path / "two numbers.txt"
    path.write_text("12\n\n345\n")
    answer, refusal = python_client(name).ask(
        server.url, ("translate_file", str(path), "en", "de"), ("translate_file", __file__, "en", "de")
    )
    url = answer["translated_file_url"]
    assert url.startswith(f"{server.url}/download_file/")
    with urlopen(url) as response:
        found = response.read().decode()
    first, second = server.translations(["12", "345"], "en", "de")
    assert found == f"{first}\n\n{second}\n"
    assert "has none of the endings" in refusal.message
