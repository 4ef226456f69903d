"""Names and descriptions of the cleaning rules; cleaning.py implements them.

This module imports nothing, because `dragoman corpus --help` prints the rules.
"""

from __future__ import annotations

MAX_CHARACTERS = 2000  # of one side of a pair; a longer text is a document, not a sentence

# One side may be RATIO times as long as the corpus's median length ratio predicts, plus SLACK characters. Short texts
# need the slack: "Yes" is "Jawohl".
RATIO, SLACK = 2.5, 12

# Every rule by the name that `--allow` takes, in the order in which the rules are applied.
RULES = {
    "duplicate": "exact duplicate",
    "same": "source equals target",
    "long": f"more than {MAX_CHARACTERS:,} characters",
    "mojibake": "text decoded with the wrong encoding",
    "script": "text in another script than its language's",
    "ratio": f"one side more than {RATIO} times as long as the corpus's length ratio predicts",
    "numbers": "different numbers",
    "near-duplicate": "duplicate except for case, punctuation, spaces and numbers",
}
