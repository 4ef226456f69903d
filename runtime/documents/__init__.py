"""Translation of documents that keeps their markup, placeholders and layout.

A format finds the segments of a document. Their text is translated, their inline tags are placed by attention, and only
the segments' stretches of the source are replaced.
"""
