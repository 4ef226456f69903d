"""Tests of language tags and pairs."""

from __future__ import annotations

import pytest

from dragoman.runtime.errors import UserError
from dragoman.translate.corpus.languages import parse_pair, script_of


@pytest.mark.parametrize(
    ("pair", "message"),
    [
        *((pair, "two different languages") for pair in ("en", "en-", "en-en", "", "../en-de", "en-d e")),
        *((pair, "with an underscore, such as en-pt_BR") for pair in ("en-pt-br", "x-y-z", "en-de-", "pt-BR-en-de")),
    ],
)
def test_pair_must_name_two_languages(pair: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        parse_pair(pair)


def test_pairs_with_regions() -> None:
    """A region in capitals cannot be mistaken for a language, whatever joins it."""
    pairs = ("pt-BR-en", "en-zh-TW", "en-zh_TW", "en-US-fr-FR", "zh-Hant-TW-en", "ZH-en")
    assert [parse_pair(pair) for pair in pairs] == [
        ("pt_BR", "en"), ("en", "zh_TW"), ("en", "zh_TW"), ("en_US", "fr_FR"), ("zh_Hant_TW", "en"), ("ZH", "en"),
    ]  # fmt: skip


def test_scripts_by_cldr() -> None:
    scripts = {code: script_of(code) for code in ("de", "sr", "sr_Latn", "zh_TW", "zh-TW", "ja", "xx", "pt_BR")}
    assert scripts == {
        "de": "Latn",
        "sr": "Cyrl",
        "sr_Latn": "Latn",
        "zh_TW": "Hant",
        "zh-TW": "Hant",
        "ja": "Jpan",
        "xx": None,
        "pt_BR": "Latn",
    }


@pytest.mark.parametrize(
    ("pair", "codes"),
    [
        ("english-german", "en-de"), ("English-German", "en-de"), ("en-german", "en-de"), ("german-fr", "de-fr"),
        ("Portuguese_BR-en", "pt_BR-en"), ("xx-Hindi", "xx-hi"), ("en-swiss", None), ("ewe-vai", None),
        ("xx-qqq", None),
    ],
)  # fmt: skip
def test_names_of_languages_are_refused_with_their_codes(pair: str, codes: str | None) -> None:
    if codes is None:
        assert parse_pair(pair) == tuple(pair.split("-"))
        return
    with pytest.raises(UserError, match=rf"^--pair {pair}: give the codes of the languages: {codes}$"):
        parse_pair(pair)
