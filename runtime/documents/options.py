"""Options of formats: what to translate in a document, and for which languages."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Options:
    """Options of formats. Each format uses those that concern it.

    Attributes:
        source_language: Language code of the document's text.
        target_language: Language code of the translation.
        keys: JSON: paths of the strings to translate, such as `menu.title` or `items.*.label`. Empty: all strings.
        columns: CSV and TSV: names or numbers, counted from 1, of the columns to translate. Empty: all columns.
        fuzzy: PO and XLIFF: mark translations as drafts that a person must review.
    """

    source_language: str = ""
    target_language: str = ""
    keys: tuple[str, ...] = ()
    columns: tuple[str, ...] = ()
    fuzzy: bool = False
