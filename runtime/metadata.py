"""Model metadata and checksum of a Dragoman file.

A Dragoman file is an ONNX model followed by one more `metadata_props` entry, which holds the SHA-256 of all bytes
before it. Protocol Buffers merges a message with what is appended to it, so ONNX tools see one more property."""

from __future__ import annotations

import base64
import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from dragoman.runtime.contract import CHECKSUM_KEY, CONTRACTS, METADATA_PREFIX, PRECISIONS, SCHEMA
from dragoman.runtime.errors import UserError

Kind = TypeVar("Kind", dict[str, Any], list[Any], int)


class ModelFileError(UserError):
    """A file that is not a usable Dragoman model; the message is one sentence for its user."""


@dataclass(frozen=True)
class Metadata:
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

    def to_props(self) -> dict[str, str]:
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
    def from_props(cls, props: dict[str, str]) -> Metadata:
        """The inverse of `to_props`. Raises ModelFileError when something is missing or of another schema."""

        def get(key: str, without: str | None = None) -> str:
            """without: for what the first files did not say."""
            text = props.get(METADATA_PREFIX + key, without)
            if text is None:
                raise ModelFileError(f"not a Dragoman model: the file has no {METADATA_PREFIX}{key} among its metadata")
            return text

        def read(key: str, kind: type[Kind], without: str | None = None) -> Kind:
            return _read(key, get(key, without), kind)

        if get("schema") != str(SCHEMA):
            raise ModelFileError(f"the model is of schema {get('schema')} and this version of dragoman reads {SCHEMA}")
        if (task := get("task", "translate")) not in CONTRACTS:
            raise ModelFileError(f"the model was made to {task}, which this version of dragoman cannot do")
        source, target = (_from_base64(get(f"{side}_tokenizer")) for side in ("source", "target"))
        metadata = cls(
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
        metadata._check()
        return metadata

    def _check(self) -> None:
        """Raise ModelFileError where something would be missing later."""
        if self.precision not in PRECISIONS:
            raise ModelFileError(
                f"the model's precision is {self.precision!r}, which this version of dragoman cannot run"
            )
        wanted = ("beam_size", "length_penalty", "max_length") if self.task == "translate" else ()
        for name in wanted:
            if not isinstance(self.defaults.get(name), int | float):
                raise ModelFileError(f"the file's {METADATA_PREFIX}defaults has no number for {name}")
        if self.task != "forecast" and self.max_source < 8:  # which any text can be cut to
            raise ModelFileError(f"the file's {METADATA_PREFIX}max_source is {self.max_source} and should be 8 or more")
        if not isinstance(self.self_test.get("cases"), list):
            raise ModelFileError(f"the file's {METADATA_PREFIX}self_test has no list of cases")


def _read(key: str, text: str, kind: type[Kind]) -> Kind:
    """A value of the metadata as JSON. Raises ModelFileError when it is of another kind, or a number below 1."""
    try:
        value = json.loads(text)
    except ValueError:
        value = None
    if not isinstance(value, kind) or (isinstance(value, int) and value < 1):
        what = {dict: "an object", list: "a list", int: "a whole number from 1"}[kind]
        raise ModelFileError(f"the file's {METADATA_PREFIX}{key} is {text[:40]!r} and should be {what}")
    return value


def _from_base64(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except ValueError:
        raise ModelFileError("one of the file's tokenizers is not in base64") from None


def _length_delimited(field: int, payload: bytes) -> bytes:
    assert len(payload) < 128  # a one-byte length
    return bytes([field << 3 | 2, len(payload)]) + payload


def _checksum_entry(digest: str) -> bytes:
    """A serialised ModelProto that holds one metadata property (field 14: key 1, value 2)."""
    return _length_delimited(14, _length_delimited(1, CHECKSUM_KEY.encode()) + _length_delimited(2, digest.encode()))


def append_checksum(model: bytes) -> bytes:
    """Append the checksum entry to a serialised model."""
    return model + _checksum_entry(hashlib.sha256(model).hexdigest())


def read_model_file(path: str | Path) -> bytes:
    """The bytes of a Dragoman file, once their checksum holds.

    Raises ModelFileError when the file cannot be read, is not a Dragoman model, is cut short or damaged.
    """
    try:
        data = Path(path).read_bytes()
    except ValueError as error:  # no path at all
        raise ModelFileError(f"cannot read {str(path)!r}: {error}") from None
    except OSError as error:
        hint = "; `dragoman export` makes a file of a training run" if Path(path).is_dir() else ""
        raise ModelFileError(f"cannot read {path}: {error.strerror or error}{hint}") from None
    entry = _checksum_entry("0" * 64)
    body, tail = data[: -len(entry)], data[-len(entry) :]
    if tail[:-64] != entry[:-64]:
        producer = METADATA_PREFIX.rstrip(".").encode()  # which stands at the start of a file that was cut short, too
        if METADATA_PREFIX.encode() + b"schema" in data or producer in data[:64]:
            raise ModelFileError(f"{path} is damaged or cut short: its closing checksum is missing; copy it again")
        raise ModelFileError(f"{path} is not a Dragoman model; `dragoman export` makes one from a training run")
    if tail[-64:] != hashlib.sha256(body).hexdigest().encode():
        raise ModelFileError(f"{path} is damaged: its contents do not match their checksum; copy it again")
    return data
