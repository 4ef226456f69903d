"""Report on the translation of a document: JSON for programs, a page with both texts side by side for people."""

from __future__ import annotations

import html
import json
from dataclasses import dataclass, field
from string import Template
from typing import Any

from dragoman.runtime.documents.translation import Problem

_PAGE = Template("""<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>$title</title>
<style>
:root { color-scheme: light dark; --line: #8884; --mark: #f5a62333; }
body { font: 16px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 72rem; padding: 0 1rem; }
table { border-collapse: collapse; width: 100%; table-layout: fixed; }
th, td { border-top: 1px solid var(--line); padding: .5rem; text-align: start; vertical-align: top;
  overflow-wrap: anywhere; white-space: pre-line; }
th:first-child, td:first-child { width: 9rem; opacity: .7; font-size: .85em; }
tr.listed { background: var(--mark); }
ul { margin: .5rem 0 0; padding-inline-start: 1.2rem; font-size: .9em; white-space: normal; }
</style>
<h1>$title</h1>
<p>$summary</p>
<label><input type="checkbox" id="only"> only segments to look at</label>
<style>body:has(#only:checked) tr:not(.listed):not(.head) { display: none; }</style>
<table>
<tr class="head"><th>place<th>$source_language<th>$target_language
$rows
</table>
</html>
""")


@dataclass(frozen=True)
class Row:
    """A segment in a report."""

    place: str
    source: str
    target: str
    problems: tuple[Problem, ...] = ()


@dataclass(frozen=True)
class Report:
    """The report on the translation of a document.

    Attributes:
        document: Name of the document.
        format: Its format.
        languages: Language codes of source and target.
        model: Checksum of the model file.
        rows: All segments, in order.
    """

    document: str
    format: str
    languages: tuple[str, str]
    model: str
    rows: tuple[Row, ...] = field(default_factory=tuple)

    @property
    def listed(self) -> list[Row]:
        """The segments that a person should look at."""
        return [row for row in self.rows if row.problems]

    @property
    def kept(self) -> int:
        """The number of segments that stay in the source language."""
        return sum(any(problem.kind == "kept" for problem in row.problems) for row in self.rows)

    def to_json(self) -> str:
        """Return the report as JSON: counts, and the listed segments."""
        value: dict[str, Any] = {
            "document": self.document,
            "format": self.format,
            "source_language": self.languages[0],
            "target_language": self.languages[1],
            "model": self.model,
            "segments": len(self.rows),
            "translated": len(self.rows) - self.kept,
            "listed": [
                {
                    "place": row.place,
                    "source": row.source,
                    "target": row.target,
                    "problems": [{"kind": problem.kind, "message": problem.message} for problem in row.problems],
                }
                for row in self.listed
            ],
        }
        return json.dumps(value, ensure_ascii=False, indent=2) + "\n"

    def to_html(self) -> str:
        """Return the report as a page: source and translation side by side, with the listed segments marked."""
        n_listed = len(self.listed)
        summary = (
            f"{len(self.rows):,} segments, {len(self.rows) - self.kept:,} translated, {self.kept:,} left in the source "
            f"language, {n_listed:,} to look at"
        )
        return _PAGE.substitute(
            title=html.escape(self.document),
            summary=summary,
            source_language=html.escape(self.languages[0]),
            target_language=html.escape(self.languages[1]),
            rows="\n".join(map(_html_row, self.rows)),
        )


def _html_row(row: Row) -> str:
    problems = "".join(f"<li>{html.escape(problem.message)}" for problem in row.problems)
    listed = ' class="listed"' if problems else ""
    return (
        f'<tr{listed}><td>{html.escape(row.place)}<td dir="auto">{html.escape(row.source)}'
        f'<td dir="auto">{html.escape(row.target)}{problems and f"<ul>{problems}</ul>"}</td>'
    )
