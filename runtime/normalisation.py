"""Text normalisation, the same in training, evaluation and every host.

A model keeps the version of the rules that it was trained with: the key `dragoman.normalisation` of its file. Files
without the key have version 1. docs/file-format.md describes the rules for hosts in other languages.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable

VERSION = 2  # of the rules that new models are trained with

_SURROGATE = re.compile(r"[\ud800-\udfff]")
_REPLACEMENT = "\ufffd"

# Version 1
_SPACES_1 = re.compile(r"[ \t\r\n\v\f\x85\u2028\u2029]+")
_CONTROL_1 = re.compile(r"[\x00-\x1f\x7f-\x9f\ufeff]")

# Version 2
# Characters of European languages that normalisation leaves alone, whatever stands beside them; and text of them.
_USUAL = r"!-~\xa1-\xac\xae-\u017f\u0400-\u0482\u048a-\u052f–—‘’‚“”„…€"
_PLAIN = re.compile(rf"[{_USUAL}]+(?: [{_USUAL}]+)*")
_SPACES = re.compile(r"[\t-\r \x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]+")  # Unicode's White_Space
_CONTROL = r"\x00-\x08\x0e-\x1f\x7f-\x84\x86-\x9f"
_CONTROLS = re.compile(f"[{_CONTROL}]")

# Control characters, Unicode's Default_Ignorable_Code_Point without the joiners, and annotation marks. Two kinds carry
# meaning: selectors after a Mongolian letter, and the tags that spell the region of a flag (UTS #51, ED-14a).
_INVISIBLE = re.compile(
    r"([\u1820-\u18aa][\u180b-\u180f]+|\U0001f3f4[\U000e0030-\U000e0039\U000e0061-\U000e007a]+\U000e007f)|"
    rf"[{_CONTROL}\xad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b\u200e\u200f\u202a-\u202e\u2060-\u206f"
    r"\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff]+"
)

# Zero-width non-joiner and joiner. Scripts that join their letters need them: Arabic and its relatives, the scripts of
# India and South-East Asia, Mongolian, and the supplementary scripts of these families.
_JOINERS = re.compile("[\u200c\u200d]+")
_JOINING_SCRIPTS = re.compile(
    "[\u0600-\u109f\u1700-\u18af\u1900-\u1cff\ua800-\uaaff\uabc0-\uabff\ufb50-\ufdff\ufe70-\ufefe"
    "\U00010a00-\U00011fff\U0001e900-\U0001e95f]"
)
_VIRAMA = 9  # its canonical combining class


def normalise(text: str, version: int = VERSION) -> str:
    """Return a text in Unicode NFC, without invisible characters, with single spaces and none at either end.

    Every Unicode space becomes a plain space. A lone surrogate, which no encoding can represent, becomes U+FFFD.
    U+2581, which SentencePiece writes for a space, becomes a low line. Joiners stay where a script or an emoji needs
    them.

    Args:
        text: Any text.
        version: Version of the rules, from 1 to VERSION. Version 1 keeps all spaces that are not ASCII or line ends,
            and all invisible characters other than control characters and U+FEFF.
    """
    return _VERSIONS[version](text)


def has_control_characters(text: str) -> bool:
    """Return whether a text has a control character (category Cc) that is not white space."""
    return _CONTROLS.search(text) is not None


def _normalise_1(text: str) -> str:
    text = _CONTROL_1.sub("", _SPACES_1.sub(" ", _SURROGATE.sub(_REPLACEMENT, text))).replace("\u2581", "_")
    return _SPACES_1.sub(" ", unicodedata.normalize("NFC", text)).strip(" ")


def _normalise_2(text: str) -> str:
    if _PLAIN.fullmatch(text):
        return text
    text = _INVISIBLE.sub(_kept_sequence, _SURROGATE.sub(_REPLACEMENT, text))
    text = unicodedata.normalize("NFC", _SPACES.sub(" ", text).replace("\u2581", "_")).strip(" ")
    while _JOINERS.search(text):
        shorter = unicodedata.normalize("NFC", _JOINERS.sub(_needed_joiner, text))
        if shorter == text:
            break
        text = _SPACES.sub(" ", shorter).strip(" ")  # again, because NFC changes the neighbours of other joiners
    return text


def _kept_sequence(match: re.Match[str]) -> str:
    return match[1] or ""


def _needed_joiner(match: re.Match[str]) -> str:
    """Return the first joiner of a run if it changes how its neighbours look, else nothing.

    It does so after a virama, and between letters or marks of a joining script (RFC 5892, appendix A). A letter of a
    joining script with a zero-width joiner on one side has the form that it has inside a word. Between two symbols, the
    zero-width joiner makes an emoji.
    """
    text, joiner = match.string, match[0][0]
    before, after = text[match.start() - 1 : match.start()], text[match.end() : match.end() + 1]
    if before and unicodedata.combining(before) == _VIRAMA:
        return joiner
    sides = _is_joining(before), _is_joining(after)
    if all(sides) or (joiner == "\u200d" and (any(sides) or (_is_symbol(before) and _is_symbol(after)))):
        return joiner
    return ""


def _is_joining(character: str) -> bool:
    return bool(_JOINING_SCRIPTS.match(character)) and unicodedata.category(character)[0] in "LM"


def _is_symbol(character: str) -> bool:
    return character >= "\u2000" and unicodedata.category(character)[0] == "S"


_VERSIONS: dict[int, Callable[[str], str]] = {1: _normalise_1, 2: _normalise_2}
