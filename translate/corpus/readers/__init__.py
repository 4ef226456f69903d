"""Readers of the formats that text comes in, each plain or gzipped.

Parallel text: two plain files, TSV, JSON Lines, TMX 1.4, XLIFF 1.2 and 2.x, gettext PO and MO, and folders of these.
Its readers yield raw rows, source first. Labelled text: TSV of classes, and CoNLL columns.

Readers stream their files, but for gettext catalogues and UTF-16 text, which they hold in memory.
"""
