"""Language codes, and what CLDR knows of a language."""

from __future__ import annotations

import re
from functools import cache, lru_cache

from babel import Locale, UnknownLocaleError
from babel.core import get_global

from dragoman.runtime.errors import UserError

# A language, then perhaps a script and a region, written as BCP 47 recommends: which letters are capitals tells where
# one code of `en-pt-BR` ends.
CODE = r"[a-z]{2,3}(?:[-_][A-Z][a-z]{3})?(?:[-_](?:[A-Z]{2}|[0-9]{3}))?"


# Two letters for the three that mean the same, and a language for its usual dialect, by CLDR.
SHORTER = {code: re.split("_", own)[0] for code, own in get_global("language_aliases").items() if len(code) == 3}


def parse_pair(text: str) -> tuple[str, str]:
    """`en-de` -> ("en", "de"), and `en-pt-BR` -> ("en", "pt_BR"). Raises UserError otherwise."""
    source, _, target = text.partition("-")
    if "-" in target:  # within a code, too
        both = re.fullmatch(f"({CODE})-({CODE})", text)
        if not both:
            raise UserError(f"--pair {text}: write a script or region with an underscore, such as en-pt_BR or zh_TW-en")
        source, target = (code.replace("-", "_") for code in both.groups())
    if not all(re.fullmatch(r"[\w@]+", code) for code in (source, target)) or source == target:
        raise UserError(f"--pair {text}: give two different languages as SOURCE-TARGET, for example en-de")
    return source, target


def pair_of(source: str, target: str) -> str:
    """Two codes as `parse_pair` takes them."""
    return "-".join(code.replace("-", "_") for code in (source, target))


def _parts(code: str) -> list[str]:
    """The language of a code, by its shortest name, then its script and region, if it has them."""
    own, *rest = re.split("[-_]", code)
    return [SHORTER.get(own.lower(), own.lower()), *rest]


def primary(code: str) -> str:
    """The language of a code, by its shortest name: `zh` of `zh-TW`, `ja` of `jpn`."""
    return _parts(code)[0]


@lru_cache(4096)
def matches(code: str, language: str) -> bool:
    """Whether a code such as `de-AT`, `deu` or `pt_BR` means a language, such as `de`."""
    code, language = ("-".join(_parts(c)).lower() for c in (code, language))
    return code == language or code.startswith(language + "-")


@cache
def known(code: str) -> bool:
    """Whether CLDR knows the language of a code."""
    return primary(code) in Locale("en").languages


@cache
def script_of(code: str) -> str | None:
    """The script that a language is written in: `Latn` for German. None where CLDR does not know."""
    try:
        locale = Locale.parse("_".join(_parts(code)))
    except (ValueError, UnknownLocaleError):
        return None
    if locale.script:
        return str(locale.script)
    likely = get_global("likely_subtags")
    for key in (str(locale), locale.language):
        if key in likely:
            return next((part for part in likely[key].split("_")[1:] if len(part) == 4), None)
    return None
