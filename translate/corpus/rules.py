"""The names of the cleaning rules. cleaning.py holds the rules; this module stays light because `--help` prints it."""

from __future__ import annotations

MAX_CHARACTERS = 2000  # of a side: more is a document, not a sentence


# The rules of cleaning, by the names that turn them off, in the order in which they are asked.
RULES = {
    "duplicate": "the same pair once more",
    "same": "source equal to target",
    "long": f"more than {MAX_CHARACTERS:,} characters",
    "mojibake": "text in a wrong encoding",
    "script": "written in another script than the language's",
    "ratio": "one side far longer than the other",
    "numbers": "numbers that do not match",
    "near duplicate": "the same but for case, punctuation, spaces and numbers",
}
