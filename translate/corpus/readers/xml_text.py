"""Text of XML translation formats (TMX, XLIFF), without inline codes."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

from dragoman.runtime.errors import UserError
from dragoman.translate.corpus.readers.lines import open_unpacked

# The content of these inline elements is code of the original document, not text (TMX 1.4 and XLIFF 1.2, "inline").
INLINE_CODES = {"bpt", "ept", "ph", "it", "ut", "x", "bx", "ex", "sub"}

LINE_BREAK_CODE = re.compile(r"\s*(<br\b|\\n)", re.IGNORECASE)

LANGUAGE_ATTRIBUTE = "{http://www.w3.org/XML/1998/namespace}lang"


def iterate_elements(path: Path, *names: str) -> Iterator[tuple[ElementTree.Element, list[ElementTree.Element]]]:
    """Yield each element with one of the names, and its ancestors from the root down. Memory holds one at a time.

    Raises UserError with the line for broken XML. Python's parser fetches nothing and limits how much entities expand.
    """
    ancestors: list[ElementTree.Element] = []
    with open_unpacked(path) as file:
        try:
            for event, element in ElementTree.iterparse(file, ("start", "end")):
                if event == "start":
                    ancestors.append(element)
                    continue
                ancestors.pop()
                if _local_name(element) in names:
                    yield element, ancestors
                    if ancestors:
                        ancestors[-1].remove(element)
        except ElementTree.ParseError as error:
            line, column = error.position
            raise UserError(
                f"{path}, line {line}, column {column + 1}: broken XML: {str(error).partition(':')[0]}"
            ) from None
        except (ValueError, LookupError) as error:  # an unknown encoding
            raise UserError(f"cannot read {path}: {error}") from None


def _local_name(element: ElementTree.Element) -> str:
    """Return an element's name without its namespace."""
    return str(element.tag).rpartition("}")[2]


def text_of(element: ElementTree.Element) -> str:
    """Return the text of an element without inline codes, with a space for a code that breaks the line."""
    parts = [element.text or ""]
    open_elements = [(iter(element), "")]  # a stack, because a file could exceed the depth of recursion
    while open_elements:
        children, tail = open_elements[-1]
        child = next(children, None)
        if child is None:
            open_elements.pop()
            parts.append(tail)
        elif _local_name(child) in INLINE_CODES:
            parts += [" " if _breaks_line(child) else "", child.tail or ""]
        else:
            parts.append(child.text or "")
            open_elements.append((iter(child), child.tail or ""))
    return "".join(parts)


def _breaks_line(code: ElementTree.Element) -> bool:
    """Return True if an inline code is a line break, by its type or by its content (XLIFF 1.2 and 2.x, TMX)."""
    types = {code.get("ctype"), code.get("subType"), code.get("type")}
    if {"lb", "xlf:lb"} & types:
        return True
    return any(LINE_BREAK_CODE.match(text or "") for text in (code.text, code.get("equiv-text"), code.get("disp")))
