"""Time Firefox Translations' engine for `make bench`, in a virtual environment of its own.

The engine is Marian, through the package bergamot, with an int8 Transformer "tiny" and a lexical shortlist. It reads
text and writes text. bench/marian_model.py describes the model, which is built on the first start.

    python -m bench.marian FOLDER VOCABULARY

The script reads requests from standard input, one JSON object per line with the keys batch and length. For each it
translates a batch of sentences of 15 ids to outputs of exactly that length, and prints the milliseconds.
"""

from __future__ import annotations

import importlib.util
import json
import sys
import time
from collections.abc import Sequence
from functools import cache
from importlib.metadata import version
from itertools import islice
from pathlib import Path
from typing import Any

from bench.invented import WORDS, sentences

# `max-length-factor` limits a translation to a multiple of its source's ids.
OPTIONS = """\
models:
  - {folder}/tiny{vocabulary}.bin
vocabs:
  - {folder}/vocab{vocabulary}.spm
  - {folder}/vocab{vocabulary}.spm
shortlist:
  - {folder}/lex{vocabulary}.bin
  - false
beam-size: 1
normalize: 1.0
word-penalty: 0
max-length-break: 128
mini-batch-words: 1024
workspace: 128
max-length-factor: {length_factor}
skip-cost: true
cpu-threads: 0
quiet: true
quiet-translation: true
gemm-precision: int8shiftAlphaAll
ssplit-prefix-file: ""
ssplit-mode: sentence
"""


def compiled_part() -> Any:  # noqa: ANN401 (a module without types)
    """Import the compiled part of bergamot alone. The whole package asks the network for a list of models."""
    package = importlib.util.find_spec("bergamot")
    assert package
    assert package.submodule_search_locations
    library = next(Path(package.submodule_search_locations[0]).glob("_bergamot.*.so"))
    spec = importlib.util.spec_from_file_location("bergamot._bergamot", library)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Engine:
    """One thread of Marian with the models of one vocabulary size."""

    def __init__(self, folder: Path, vocabulary: int) -> None:
        self.folder, self.vocabulary = folder, vocabulary
        self.library = compiled_part()
        self.service = self.library.Service(self.library.ServiceConfig(numWorkers=1, cacheSize=0, logLevel="off"))
        self.options = self.library.ResponseOptions(
            qualityScores=False, alignment=False, HTML=False, sentenceMappings=False
        )
        self.model = cache(self.load)  # one for each length

    def load(self, length: int) -> Any:  # noqa: ANN401 (bergamot has no types)
        """Return the model whose translations of sentences of WORDS words have `length` ids."""
        factor = length / (WORDS + 1)
        return self.service.modelFromConfig(
            OPTIONS.format(folder=self.folder, vocabulary=self.vocabulary, length_factor=factor)
        )

    def ms(self, lines: Sequence[str], length: int) -> float:
        """Translate sentences to outputs of `length` ids and return the milliseconds."""
        model, text = self.model(length), self.library.VectorString(["\n".join(lines)])
        start = time.perf_counter()
        (result,) = self.service.translate(model, text, self.options)
        seconds = time.perf_counter() - start
        count = range(result.source.numSentences())
        assert [result.source.numWords(i) for i in count] == [WORDS + 1] * len(lines)
        assert [result.target.numWords(i) for i in count] == [length] * len(lines)
        return seconds * 1e3


def main() -> None:
    """Answer requests until standard input ends."""
    folder, vocabulary = Path(sys.argv[1]).resolve(), int(sys.argv[2])
    if not (folder / f"tiny{vocabulary}.bin").exists():
        from bench.marian_model import build  # imports NumPy, which the engine does not need

        build(folder, vocabulary)
    engine = Engine(folder, vocabulary)
    pool = sentences((folder / f"vocab{vocabulary}.words").read_text("utf-8").split("\n"))
    print(json.dumps({"peer": f"bergamot {version('bergamot')} int8 tiny, shortlist"}), flush=True)
    for line in sys.stdin:
        request = json.loads(line)
        lines = [*islice(pool, request["batch"])]
        print(json.dumps({"ms": engine.ms(lines, request["length"])}), flush=True)


if __name__ == "__main__":
    main()
