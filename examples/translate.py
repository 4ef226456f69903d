"""Translate texts with a Dragoman file and print what the library knows about each translation.

python examples/translate.py my.onnx "Good morning." "Two dogs run."
"""

from __future__ import annotations

import sys

import dragoman


def main(path: str, texts: list[str]) -> int:
    """Print the translation, score and word alignment of each text."""
    try:
        translator = dragoman.Translator.load(path)
        results = translator.translate(texts, alignments=translator.has_attention)
    except dragoman.UserError as error:
        print(error, file=sys.stderr)
        return 2
    for text, result in zip(texts, results, strict=True):
        print(f"{text} -> {result.text}")
        print(f"  score {result.score:.3f}{'' if result.complete else ', cut off at the length limit'}")
        print("  words", *(f"{source}-{target}" for source, target in result.alignment))
    return 0


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    sys.exit(main(sys.argv[1], sys.argv[2:]))
