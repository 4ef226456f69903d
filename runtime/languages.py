"""Language tags: their parts, the usual other spellings, and names for people. This module needs Babel."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache
from typing import NamedTuple

from babel import Locale, UnknownLocaleError
from babel.core import get_global

# CLDR's aliases of three-letter codes: the two-letter code (`deu`: `de`), or the language that a code is the main
# variety of (`cmn`: `zh`).
SHORT_CODES = {
    code: re.split("_", alias)[0] for code, alias in get_global("language_aliases").items() if len(code) == 3
}

# Codes of other translation services, and the tags of BCP 47 that they stand for.
_SERVICE_CODES = {"zt": "zh-Hant", "pb": "pt-BR"}
_SAME_LANGUAGE = {"no": "nb"}  # `no` is both kinds of Norwegian, and in practice Bokmål


def subtags(tag: str) -> list[str]:
    """Return the primary language subtag in its shortest form, followed by the script and region, if any."""
    primary, *others = re.split("[-_]", tag)
    return [SHORT_CODES.get(primary.lower(), primary.lower()), *others]


def primary_subtag(tag: str) -> str:
    """Return the primary language subtag in its shortest form: `zh` for `zh-TW`, `ja` for `jpn`."""
    return subtags(tag)[0]


LONGEST_TAG = 64  # characters; languages that were asked for are remembered


class Language(NamedTuple):
    """A language with its script and its region, where the tag or CLDR's likely subtags name them."""

    language: str
    script: str = ""
    region: str = ""


@lru_cache(4096)
def parse_language(tag: str) -> Language:
    """Return the language that a tag names, in any case and with any separator: `DE`, `pt_br`, `zh-hant`, `deu`.

    The likely script and region are added: `zh` is `zh-Hans-CN`.
    """
    primary, *others = subtags(_SERVICE_CODES.get(tag.lower(), tag))
    primary = _SAME_LANGUAGE.get(primary, primary)
    aliased, *implied = re.split("_", get_global("language_aliases").get(primary, primary))
    rest = [*others, *implied]
    script = next((part.title() for part in rest if re.fullmatch("[A-Za-z]{4}", part)), "")
    region = next((part.upper() for part in rest if re.fullmatch("[A-Za-z]{2}|[0-9]{3}", part)), "")
    likely = get_global("likely_subtags")
    for key in ("_".join(filter(None, parts)) for parts in ((aliased, script, region), (aliased, region), (aliased,))):
        if key in likely:
            _, likely_script, likely_region = likely[key].split("_")[:3]
            return Language(aliased, script or likely_script, region or likely_region)
    return Language(aliased, script, region)


def best_match(tag: str, tags: Iterable[str]) -> str | None:
    """Return that one of some tags which names the same language in the same script, if possible of the same region.

    Return None if there is none. A tag of more than LONGEST_TAG characters names no language.
    """
    if tag in (tags := list(tags)):
        return tag
    if len(tag) > LONGEST_TAG:
        return None
    wanted = parse_language(tag)
    same = [other for other in tags if parse_language(other)[:2] == wanted[:2]]
    return max(same, key=lambda other: parse_language(other) == wanted, default=None)


def bcp47(tag: str) -> str:
    """Return a tag in the spelling of BCP 47: `pt-BR` for `pt_br`."""
    primary, *others = re.split("[-_]", tag)
    return "-".join([primary.lower(), *(part.title() if len(part) == 4 else part.upper() for part in others)])


@lru_cache(4096)
def language_name(tag: str) -> str:
    """Return the English name of a language, such as `Portuguese (Brazil)`, or its tag if CLDR has no name for it."""
    try:
        name = Locale.parse(bcp47(tag).replace("-", "_")).get_display_name("en")
    except (ValueError, UnknownLocaleError):
        name = Locale("en").languages.get(primary_subtag(tag))
    return name or tag
