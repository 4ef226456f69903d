"""Text and inline codes of XML translation formats."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

from dragoman.runtime.errors import UserError
from dragoman.translate.corpus.readers.raw import open_raw

# What stands inside these is code of the format that the text came from, not text (TMX 1.4 and XLIFF 1.2, "inline").
CODES = {"bpt", "ept", "ph", "it", "ut", "x", "bx", "ex", "sub"}


BREAK = re.compile(r"\s*(<br\b|\\n)", re.IGNORECASE)  # as code: a line's end


LANGUAGE = "{http://www.w3.org/XML/1998/namespace}lang"


def elements(path: Path, *names: str) -> Iterator[tuple[ElementTree.Element, list[ElementTree.Element]]]:
    """The elements of these names, each with those it is in, outermost first; memory holds one at a time.

    Raises UserError with the line for broken XML. Python's parser fetches nothing and bounds what entities grow to.
    """
    above: list[ElementTree.Element] = []
    with open_raw(path) as file:
        try:
            for event, element in ElementTree.iterparse(file, ("start", "end")):
                if event == "start":
                    above.append(element)
                    continue
                above.pop()
                if _name(element) in names:
                    yield element, above
                    if above:
                        above[-1].remove(element)
        except ElementTree.ParseError as error:
            line, column = error.position
            raise UserError(
                f"{path}, line {line}, column {column + 1}: broken XML: {str(error).partition(':')[0]}"
            ) from None
        except (ValueError, LookupError) as error:  # an encoding that is not known
            raise UserError(f"cannot read {path}: {error}") from None


def _name(element: ElementTree.Element) -> str:
    """An element's name without its namespace."""
    return str(element.tag).rpartition("}")[2]


def text_of(element: ElementTree.Element) -> str:
    """The text inside, without what is code; a space where that ends a line."""
    parts, inside = [element.text or ""], [(iter(element), "")]  # not by recursion, whose depth a file could exceed
    while inside:
        children, tail = inside[-1]
        child = next(children, None)
        if child is None:
            inside.pop()
            parts.append(tail)
        elif _name(child) in CODES:
            parts += [" " if _ends_line(child) else "", child.tail or ""]
        else:
            parts.append(child.text or "")
            inside.append((iter(child), child.tail or ""))
    return "".join(parts)


def _ends_line(code: ElementTree.Element) -> bool:
    """Whether inline code is an end of line: by its kind, or by what it stands for (XLIFF 1.2, 2.x; TMX)."""
    kinds = code.get("ctype"), code.get("subType"), code.get("type")
    if {"lb", "xlf:lb"} & {*kinds}:
        return True
    return any(BREAK.match(text or "") for text in (code.text, code.get("equiv-text"), code.get("disp")))
