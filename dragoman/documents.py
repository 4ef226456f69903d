"""Translation of documents: Markdown, HTML, subtitles, PO, XLIFF, JSON, CSV, TSV, DOCX, ODT and plain text.

>>> import dragoman.documents
>>> translator = dragoman.Translator.load("en-de.onnx")
>>> report = dragoman.documents.translate(translator, "report.html", "bericht.html")
"""

from __future__ import annotations

from dragoman.runtime.documents.files import TranslatedDocument, translate, translate_bytes
from dragoman.runtime.documents.report import Report, Row
from dragoman.runtime.documents.translation import Problem

__all__ = ["Problem", "Report", "Row", "TranslatedDocument", "translate", "translate_bytes"]
