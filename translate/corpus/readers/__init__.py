"""Readers of the formats that text comes in: plain, compressed with gzip, bzip2 or xz, in zip archives, or from pipes.

Parallel text: two plain files, TSV, CSV, JSON Lines, TMX 1.4, XLIFF 1.2 and 2.x, gettext PO and MO, and folders of
these. Its readers yield raw rows, source first. Labelled text: TSV of classes, and CoNLL columns.

Readers stream their files, but for gettext catalogues and CoNLL, which they hold in memory. They open a file once.
"""
