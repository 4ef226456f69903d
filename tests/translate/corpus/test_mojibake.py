"""Tests that text in a wrong encoding is found, and that letters which look like it are kept."""

from __future__ import annotations

import ftfy.bad_codecs  # noqa: F401 (registers the codec sloppy-windows-1252)
import pytest

from dragoman.runtime.normalisation import normalise
from dragoman.translate.corpus.folder import Pair
from dragoman.translate.corpus.languages import letters_of
from dragoman.translate.corpus.mojibake import Mojibake

RIGHT = [
    ("ee", "Eɖo ƒè geɖe eye aƒãwo le afi sia."),
    ("ewe", "Le ƒè 2020 me"),
    ("tw", "Ɛyɛ ɔhemaa no fie, na ɔbɛba ɔkyena."),
    ("fon", "Ðò xwè wú, é yì «axì» mɛ̀ à«Benɛ"),
    ("bbj", "Â nə́ pə́ sɔ̂gwíŋ"),
    ("ha", "Ƙofar gida ta ɓaci, ɗan ƴar uwa ya ce."),
    ("yo", "Ó ní,”ètò ọ̀rọ̀ ajé”Àárọ̀"),
    ("vi", "ĐÃ CÓ NƯỚC: ThuÂm, tăngÂmLượng"),
    ("is", "Það er ágætt að búa í Ísafirði, sagði Þórður."),
    ("pt", "NÃO HÁ PÃO NEM AMANHÃ"),
    ("fr", "ÂGE, CÔTÉ, « À bientôt », sœur"),
    ("ro", "Țara și ÎNVĂȚĂMÂNTUL, „așa”"),
    ("tr", "“Klasör Aç”ı seçin; “yavaş”la “hızlı” arasında, OoŞşKkçÇ, Boşİn"),
    ("cs", "Příliš žluťoučký kůň, „úpěl“"),
    ("pl", "Zażółć gęślą jaźń – „Łódź”"),
    ("lt", "Nustatykite į ir »č«, ąžuolėlis"),
    ("cy", "Mae'r dŵr yn y tŷ, ŵyn a gŵydd"),
    ("se", "Sámegiella lea čáppa giella, ŋuoddu đa."),
    ("ln", "Mokolo mɔ́kɔ́ tokokɛndɛ na ndáko, Ntɔ́ngɔ́"),
    ("ki", "Mũgĩkũyũ nĩ arathiĩ mũciĩ"),
    ("az", "Əlavə et: ığorə, ŞƏHƏR"),
    ("de", "»Über das Maß« und »ß«, »Ärger«"),
    ("sv", "Han sade ”även ”ärter"),
    ("sk", "Písmeno áÁ a ôÔ"),
]


@pytest.mark.parametrize(("language", "text"), RIGHT)
def test_letters_of_the_language_are_kept(language: str, text: str) -> None:
    assert not Mojibake(("en", language))(Pair("right", text))
    assert not Mojibake((language, "en"))(Pair(text, "right"))


@pytest.mark.parametrize(("language", "text"), RIGHT)
@pytest.mark.parametrize("rounds", [1, 2])
def test_the_same_text_in_a_wrong_encoding_is_found(language: str, text: str, rounds: int) -> None:
    for _ in range(rounds):
        text = text.encode().decode("sloppy-windows-1252")
    assert Mojibake(("en", language))(Pair("right", normalise(text)))


@pytest.mark.parametrize(
    ("language", "text"),
    [
        ("es", "el sÃmbolo"),  # its second byte was the invisible U+00AD
        ("ha", "Ya ce waÉ—anda"),
        ("lt", "Pirma federacinÄ—"),
        ("lg", "Women‚Äôs International"),
        ("ee", "Cui JianchunÂ , fiɖa sia"),
        ("nn", "Vel Â«filÂ» pÃ¥ nytt"),
        ("xx", "CafÃ© zu"),
    ],
)
def test_wrong_encodings_are_found(language: str, text: str) -> None:
    assert Mojibake(("en", language))(Pair("right", text))


def test_letters_by_cldr() -> None:
    letters = {code: letters_of(code) or frozenset() for code in ("ee", "ewe", "de", "pt_BR", "xx")}
    assert letters["ee"] == letters["ewe"] >= {*"ƒɖɛɣŋɔʋè"}
    assert letters["de"] >= {*"äöüßÄÖÜ"}
    assert letters["pt_BR"] >= {*"ãõçêá"}
    assert not letters["xx"]
