"""Write what LibreTranslate needs to serve a model of random weights, for `python -m bench.server --figures peer`.

It runs in LibreTranslate's own environment, in the folder of the repository: python -m bench.libretranslate
TOKENIZER FOLDER LENGTH. TOKENIZER is a SentencePiece model. FOLDER gets a package for each direction between English
and German: the int8 Transformer "tiny" of peer.py, which ends every translation after LENGTH ids, and spaCy's rules for
sentences, in place of a network that would have to be downloaded.
"""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import sentencepiece
import spacy  # type: ignore[import-not-found]  # installed in the peer's environment only

from bench.peer import build

NAMES = {"en": "English", "de": "German"}


def write_package(tokenizer: Path, folder: Path, source: str, target: str, length: int) -> None:
    """Write a package as Argos Translate unpacks it."""
    processor = sentencepiece.SentencePieceProcessor(model_file=str(tokenizer))
    (folder / "model").mkdir(parents=True)
    shutil.copy(tokenizer, folder / "sentencepiece.model")
    # CTranslate2 takes an unknown word, the beginning and the end of a sentence from these ids.
    subwords = ["<unk>", "<s>", "</s>"]
    names = (processor.id_to_piece(i) for i in range(len(processor)))
    build([*subwords, *(name for name in names if name not in subwords)], str(folder / "model"), length=length)
    spacy.blank(source).to_disk(folder / "spacy")
    metadata = {
        "package_version": "1.0", "argos_version": "1.9", "from_code": source, "from_name": NAMES[source],
        "to_code": target, "to_name": NAMES[target],
    }  # fmt: skip
    (folder / "metadata.json").write_text(json.dumps(metadata))


def main() -> None:
    """Write the packages."""
    tokenizer, folder, length = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
    for source, target in (("en", "de"), ("de", "en")):  # LibreTranslate asks the network for a missing direction
        write_package(tokenizer, folder / f"{source}_{target}", source, target, length)


if __name__ == "__main__":
    main()
