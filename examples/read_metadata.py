"""Print what a Dragoman file of any task says about itself. Neither onnx nor PyTorch is needed.

python examples/read_metadata.py my.onnx
"""

from __future__ import annotations

import json
import sys

import dragoman


def main(path: str) -> int:
    """Print the task, languages, precision, defaults and model card of a file as JSON."""
    try:
        metadata = dragoman.load(path).metadata
    except dragoman.UserError as error:
        print(error, file=sys.stderr)
        return 2
    facts = {
        "task": metadata.task,
        "languages": [metadata.source_language, metadata.target_language],
        "precision": metadata.precision,
        "defaults": metadata.defaults,
        "card": metadata.card,
    }
    print(json.dumps(facts, indent=2, ensure_ascii=False))
    return 0


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    sys.exit(main(sys.argv[1]))
