"""Translate a file line by line into another file of tab-separated n-best lists, with progress.

    python examples/batch_job.py my.onnx source.txt translated.tsv 3

Each output line holds the number of the input line, the score and a translation, best first.
"""

from __future__ import annotations

import sys
from itertools import islice

import dragoman

LINES_AT_ONCE = 512  # more lines sort into better batches by length; fewer report progress more often


def main(model: str, source: str, output: str, n_best: int) -> int:
    """Translate `source` into `output`, which holds up to `n_best` translations for each line."""
    done = 0
    try:
        translator = dragoman.Translator.load(model)
        with open(source, encoding="utf-8") as lines, open(output, "w", encoding="utf-8") as out:
            while chunk := [line.rstrip("\n") for line in islice(lines, LINES_AT_ONCE)]:
                for number, result in enumerate(translator.translate(chunk, n_best=n_best), done + 1):
                    for hypothesis in result.hypotheses:
                        out.write(f"{number}\t{hypothesis.score:.4f}\t{hypothesis.text}\n")
                done += len(chunk)
                print(f"{done:,} lines", file=sys.stderr)
    except (dragoman.UserError, OSError) as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    if len(sys.argv) != 5:
        sys.exit(__doc__)
    sys.exit(main(sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])))
