"""Write runtime/fixtures/normalisation.json, which hosts in every language test against. Run it by `make fixtures`."""

from __future__ import annotations

import json
import random
from pathlib import Path

from dragoman.runtime.normalisation import VERSION, normalise

FIXTURE = Path(__file__).parents[1] / "runtime" / "fixtures" / "normalisation.json"

TEXTS = [
    *(
        "",
        " ",
        "a",
        " a  b ",
        "one\ttwo\r\nthree",
        "\u2028a\u2029b\x85c",
        "A\u030a \u1112\u1161\u11ab",
        "\u2581a\u2581",
    ),
    *("\x00a\x07b\x1fc\x7fd\x9fe", "\ud800a\udc00", "\ufffda", "x\u2126y\u212bz\u037e"),
    "Friday,\u00a0November\u00a010,\u00a02023",
    "\u00ab\u202fNon.\u202f\u00bb Il\u2009part\u2007\u3000\u1680!",
    *(
        "\ufeffone",
        "6\u200b3\u200c1\u200d",
        "\u200eone\u200f two\u202a\u202e\u2066\u2069",
        "co\u00adop\u2060era\u034ftion",
    ),
    *("\u200b\u200e\u00ad", "\u200d", "\u3164", "\ufe0f\ufeff", "\u00a0\u2003", "\u2800"),
    "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645 \u06a9\u062a\u0627\u0628\u200c \u06f1\u200c\u06f2",  # Persian
    "\u0647\u200d \u200d\u0647 \u0647\u200c",
    "\u0915\u094d\u200d\u0937 \u0915\u094d\u200c\u0937 \u0915\u094d\u200c",  # Devanagari
    "\u09b0\u200d\u09cd\u09af \u0dc1\u0dca\u200d\u0dbb\u0dd3",  # Bengali, Sinhala
    "Auf\u200clage a\u200db \u05d0\u200d\u05d1",
    "\u2764\ufe0f\u200d\U0001f525 \U0001f469\U0001f3fd\u200d\U0001f680 \U0001f642\u200d\u2194\ufe0f 1\ufe0f\u20e3",
    "\U0001f3f4\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f \U0001f3f4\U000e0067 a\U000e0061",
    "\u1820\u180b\u180e a\u180e \u180b",  # Mongolian
    "a\u0301\u200d\u094d\u200d b\u200c\u200d\u200cc \u0645\u200c\u200c\u06cc",
    "\U000e0100\u845b\U000e0100 \ufff9a\ufffab\ufffb \ufffc",
]

# Characters that the rules single out, and their neighbours; random strings of them complete the fixture.
POOL = [
    *" \t\x0b\x1f\x7f\x85\xa0\xad_aAe5.",
    *"\u0301\u030a\u0323\u034f\u061c\u0627\u0645\u064e\u0653\u0661\u0915\u093c\u094d\u09be\u09c7\u0e01\u1100\u1160\u1161",
    *"\u1680\u17b4\u180b\u180e\u1820\u2007\u200b\u200c\u200d\u200c\u200d\u200e\u2028\u202f\u2060\u2194\u2581\u2764\u3000",
    *"\u3164\u4e00\ufe0f\ufeff\uffa0\ufffc\U0001f3f4\U0001f3fd\U0001f469\U000e0067\U000e007f",
]


def main() -> None:
    """Write each text with its normalised form under every version of the rules."""
    draw = random.Random(1)
    random_texts = ["".join(draw.choice(POOL) for _ in range(draw.randint(1, 9))) for _ in range(1000)]
    cases = [
        {"text": text, **{str(version): normalise(text, version) for version in range(1, VERSION + 1)}}
        for text in (*TEXTS, *random_texts)
    ]
    lines = ",\n".join(json.dumps(case) for case in cases)
    FIXTURE.write_text(f"[\n{lines}\n]\n", "utf-8")


if __name__ == "__main__":
    main()
