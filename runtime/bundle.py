"""The contract between an exported file and whatever runs it: names, axes, special ids, metadata. Written once, here.

A Dragoman file is an ONNX model followed by one more `metadata_props` entry that holds the SHA-256 of all bytes
before it. (Protocol Buffers merges a message with what is appended to it, so ONNX tools see one more property.)
"""

from __future__ import annotations

import base64
import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from dragoman.runtime.errors import UserError

SCHEMA = 1
Kind = TypeVar("Kind", dict[str, Any], list[Any], int)

PAD, UNK, BOS, EOS = 0, 1, 2, 3

# Axis letters: B batch, S source length, T target length, K beam, A hypotheses whose attention is wanted.
INPUTS = {
    "source": ("int64", ("B", "S")),
    "source_length": ("int64", ("B",)),
    "beam_size": ("int64", ()),
    "n_best": ("int64", ()),
    "max_length": ("int64", ()),
    "length_penalty": ("float32", ()),
    "attended": ("int64", ()),
}
OUTPUTS = {
    "target": ("int64", ("B", "K", "T")),
    "score": ("float32", ("B", "K")),
    "attention": ("float32", ("B", "A", "T", "S")),
}

# What a model for each task takes and gives. More axis letters: C labels, F variables of a series, H steps ahead.
_READ = {"source": INPUTS["source"], "source_length": INPUTS["source_length"]}
CONTRACTS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "translate": (INPUTS, OUTPUTS),
    "classify": (_READ, {"probability": ("float32", ("B", "C"))}),
    "tag": (_READ, {"probability": ("float32", ("B", "S", "C"))}),  # at each word's first piece
    "forecast": ({"series": ("float32", ("B", "S", "F"))}, {"forecast": ("float32", ("B", "H", "F"))}),
}

METADATA_PREFIX = "dragoman."
# A file's precisions, and by how much its scores may differ between machines; tokens must be equal. In int8 a number
# that is rounded to the other side moves a score.
PRECISIONS = {"float32": 1e-3, "int8": 0.05}
CHECKSUM_KEY = "dragoman.sha256"


class BundleError(UserError):
    """A file that is not a usable Dragoman model; the message is one sentence for its user."""


@dataclass(frozen=True)
class Bundle:
    """What a file says about itself.

    tokenizers: the SentencePiece models (source, target), equal when joint. config: the training configuration.
    card: data, scores, licence. self_test: source ids with the target ids and scores they must give.
    max_source: the longest source, in ids, that training lets in; longer text is translated in parts.
    max_sentences: how many sentences all but a few of the sources that a translator learnt from have, at most: what it
    was hardly shown, it leaves out, and so text of more is translated in parts, too.
    defaults: beam_size, length_penalty and max_length to use when the caller names none.
    precision: float32 or int8. quantisation: of an int8 file, the processors it is made for, the steps of its
    activations, and how it compared with float32 when it was made.
    task: translate, classify, tag or forecast. labels: of a classifier or tagger, in the order of its scores. series:
    of a forecaster, its variables, its window, its horizon and its season. These have no target, and the last no text.
    """

    source_language: str
    target_language: str
    source_tokenizer: bytes
    target_tokenizer: bytes
    max_source: int
    defaults: dict[str, Any]
    config: dict[str, Any]
    card: dict[str, Any]
    self_test: dict[str, Any]
    precision: str = "float32"
    quantisation: dict[str, Any] = field(default_factory=dict)
    schema: int = SCHEMA
    task: str = "translate"
    labels: list[str] = field(default_factory=list)
    series: dict[str, Any] = field(default_factory=dict)
    max_sentences: int = 1

    def to_metadata(self) -> dict[str, str]:
        """The `metadata_props` that carry this, as strings."""
        joint = self.source_tokenizer == self.target_tokenizer
        values = {
            "schema": str(self.schema),
            "task": self.task,
            "precision": self.precision,
            "source_language": self.source_language,
            "target_language": self.target_language,
            "source_tokenizer": base64.b64encode(self.source_tokenizer).decode(),
            "target_tokenizer": "" if joint else base64.b64encode(self.target_tokenizer).decode(),
            "max_source": str(self.max_source),
            "max_sentences": str(self.max_sentences),
        }
        for name in ("defaults", "config", "card", "self_test", "quantisation", "labels", "series"):
            values[name] = json.dumps(getattr(self, name), ensure_ascii=False)
        return {METADATA_PREFIX + key: value for key, value in values.items()}

    @classmethod
    def from_metadata(cls, metadata: dict[str, str]) -> Bundle:
        """The inverse of `to_metadata`. Raises BundleError when something is missing or of another schema."""

        def get(key: str, without: str | None = None) -> str:
            """without: for what the first files did not say."""
            text = metadata.get(METADATA_PREFIX + key, without)
            if text is None:
                raise BundleError(f"not a Dragoman model: the file has no {METADATA_PREFIX}{key} among its metadata")
            return text

        def read(key: str, kind: type[Kind], without: str | None = None) -> Kind:
            return _read(key, get(key, without), kind)

        if get("schema") != str(SCHEMA):
            raise BundleError(f"the model is of schema {get('schema')} and this version of dragoman reads {SCHEMA}")
        if (task := get("task", "translate")) not in CONTRACTS:
            raise BundleError(f"the model was made to {task}, which this version of dragoman cannot do")
        source, target = (_from_base64(get(f"{side}_tokenizer")) for side in ("source", "target"))
        bundle = cls(
            source_language=get("source_language"),
            target_language=get("target_language"),
            source_tokenizer=source,
            target_tokenizer=target or source,
            max_source=read("max_source", int),
            max_sentences=read("max_sentences", int, "1"),
            defaults=read("defaults", dict),
            config=read("config", dict),
            card=read("card", dict),
            self_test=read("self_test", dict),
            precision=get("precision"),
            quantisation=read("quantisation", dict, "{}"),
            task=task,
            labels=read("labels", list, "[]"),
            series=read("series", dict, "{}"),
        )
        bundle._check()
        return bundle

    def _check(self) -> None:
        """Raise BundleError where something would be missing later."""
        if self.precision not in PRECISIONS:
            raise BundleError(f"the model's precision is {self.precision!r}, which this version of dragoman cannot run")
        wanted = ("beam_size", "length_penalty", "max_length") if self.task == "translate" else ()
        for name in wanted:
            if not isinstance(self.defaults.get(name), int | float):
                raise BundleError(f"the file's {METADATA_PREFIX}defaults has no number for {name}")
        if self.task != "forecast" and self.max_source < 8:  # which any text can be cut to
            raise BundleError(f"the file's {METADATA_PREFIX}max_source is {self.max_source} and should be 8 or more")
        if not isinstance(self.self_test.get("cases"), list):
            raise BundleError(f"the file's {METADATA_PREFIX}self_test has no list of cases")


def _read(key: str, text: str, kind: type[Kind]) -> Kind:
    """A value of the metadata as JSON. Raises BundleError when it is of another kind, or a number below 1."""
    try:
        value = json.loads(text)
    except ValueError:
        value = None
    if not isinstance(value, kind) or (isinstance(value, int) and value < 1):
        what = {dict: "an object", list: "a list", int: "a whole number from 1"}[kind]
        raise BundleError(f"the file's {METADATA_PREFIX}{key} is {text[:40]!r} and should be {what}")
    return value


def _from_base64(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except ValueError:
        raise BundleError("one of the file's tokenizers is not in base64") from None


def _length_delimited(field: int, payload: bytes) -> bytes:
    assert len(payload) < 128  # a one-byte length
    return bytes([field << 3 | 2, len(payload)]) + payload


def _checksum_entry(digest: str) -> bytes:
    """A serialised ModelProto that holds one metadata property (field 14: key 1, value 2)."""
    return _length_delimited(14, _length_delimited(1, CHECKSUM_KEY.encode()) + _length_delimited(2, digest.encode()))


def seal(model: bytes) -> bytes:
    """Append the checksum entry to a serialised model."""
    return model + _checksum_entry(hashlib.sha256(model).hexdigest())


def read_sealed(path: str | Path) -> bytes:
    """The bytes of a Dragoman file, once their checksum holds.

    Raises BundleError when the file cannot be read, is not a Dragoman model, is cut short or damaged.
    """
    try:
        data = Path(path).read_bytes()
    except ValueError as error:  # no path at all
        raise BundleError(f"cannot read {str(path)!r}: {error}") from None
    except OSError as error:
        hint = "; `dragoman export` makes a file of a training run" if Path(path).is_dir() else ""
        raise BundleError(f"cannot read {path}: {error.strerror or error}{hint}") from None
    entry = _checksum_entry("0" * 64)
    body, tail = data[: -len(entry)], data[-len(entry) :]
    if tail[:-64] != entry[:-64]:
        producer = METADATA_PREFIX.rstrip(".").encode()  # which stands at the start of a file that was cut short, too
        if METADATA_PREFIX.encode() + b"schema" in data or producer in data[:64]:
            raise BundleError(f"{path} is damaged or cut short: its closing checksum is missing; copy it again")
        raise BundleError(f"{path} is not a Dragoman model; `dragoman export` makes one from a training run")
    if tail[-64:] != hashlib.sha256(body).hexdigest().encode():
        raise BundleError(f"{path} is damaged: its contents do not match their checksum; copy it again")
    return data
