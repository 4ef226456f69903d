"""Names and descriptions of the cleaning rules; cleaning.py implements them.

This module imports nothing, because `dragoman corpus --help` prints the rules.
"""

from __future__ import annotations

MAX_CHARACTERS = 2000  # of one side of a pair; a longer text is a document, not a sentence

# One side may be RATIO times as long as the corpus's median length ratio predicts, plus SLACK characters. Short texts
# need the slack: "Yes" is "Jawohl".
RATIO, SLACK = 2.5, 12

# Pairs that differ in their numbers alone, per pattern. In software catalogues in German, French, Japanese and Swedish,
# 16 keep 99.97 % of 180,000 pairs, and 1 keeps 99.4 %. Of 18,355 phrases of CLDR with dates and amounts, 1, 4, 8, 16,
# 32 and 64 keep 30, 42, 51, 62, 73 and 79 %, and the ten most frequent patterns are 0.2, 0.5, 0.8, 1.4, 2.4 and 4.4 %
# of what is kept; without a limit they are 23 %.
MAX_VARIANTS = 16

# Every rule by the name that `--allow` takes, in the order in which the rules are applied.
RULES = {
    "duplicate": "exact duplicate",
    "same": "source equals target",
    "long": f"more than {MAX_CHARACTERS:,} characters",
    "mojibake": "text decoded with the wrong encoding",
    "script": "text in another script than its language's",
    "ratio": f"one side more than {RATIO} times as long as the corpus's length ratio predicts",
    "numbers": "different numbers",
    "near-duplicate": "duplicate except for case, punctuation and spaces, or one of more than "
    f"{MAX_VARIANTS} that differ in numbers alone",
}

# Changes of text, by the name that `--allow` takes to leave the text as it is.
REPAIRS = {"entities": "entities of HTML and Moses in escaped text, which are unescaped"}

ALLOWED = {**RULES, **REPAIRS}  # what `--allow` takes
