"""Model metadata and checksum of a Dragoman file.

A Dragoman file is a serialised ONNX model followed by one more `metadata_props` entry. That entry holds the SHA-256 of
all bytes before it. Protocol Buffers merges a message with a message appended to it, so ONNX tools see one more
property.
"""

from __future__ import annotations

import base64
import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from dragoman.runtime.contract import CHECKSUM_KEY, CONTRACTS, METADATA_PREFIX, PRECISIONS, SCHEMA
from dragoman.runtime.errors import UserError
from dragoman.runtime.normalisation import VERSION

Kind = TypeVar("Kind", dict[str, Any], list[Any], int)


class ModelFileError(UserError):
    """A file that is not a usable Dragoman model. The message is one sentence for the user."""


@dataclass(frozen=True)
class Metadata:
    """Metadata of a Dragoman file.

    Attributes:
        source_language: Language code of the source, or of the text to classify or tag; empty in a forecaster.
        target_language: Language code of the target; empty unless the task is `translate`.
        source_tokenizer: SentencePiece model of the source, as bytes; empty in a forecaster.
        target_tokenizer: SentencePiece model of the target, as bytes; equal to the source's when joint or unused.
        max_source: The longest source in training, in ids with `</s>`; longer text is translated in parts. The window
            of a forecaster, in rows.
        defaults: beam_size, length_penalty and max_length, used when the caller gives none.
        config: The training configuration.
        card: The model card: data, scores, licence.
        self_test: Source ids (or series) and the outputs that the file gave for them at export.
        precision: `float32` or `int8`.
        quantisation: Only in int8 files: target processors, activation scales, and the comparison with float32.
        schema: Version of the tensor contract.
        task: `translate`, `classify`, `tag` or `forecast`.
        labels: Labels of a classifier or tagger, in the order of its probabilities.
        series: Only in forecasters: variables, window, horizon and season.
        max_sentences: The number of sentences that nearly all training sources stay within. A translator drops
            sentences beyond what it has seen, so text with more of them is translated in parts, too.
        normalisation: Version of the rules by which text is normalised.
        selection: Only in translators with vocabulary selection: `shared`, the number of target subwords that every
            translation may contain, and `own`, how many more each source subword adds at most.
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
    normalisation: int = VERSION
    selection: dict[str, Any] = field(default_factory=dict)

    def to_props(self) -> dict[str, str]:
        """Return the metadata as `metadata_props`, with the prefix `dragoman.` and string values."""
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
            "normalisation": str(self.normalisation),
        }
        for name in ("defaults", "config", "card", "self_test", "quantisation", "labels", "series", "selection"):
            value = json.dumps(getattr(self, name), ensure_ascii=False)
            values[name] = value.encode("utf-8", "backslashreplace").decode()  # JSON's escapes for a path not in UTF-8
        return {METADATA_PREFIX + key: value for key, value in values.items()}

    @classmethod
    def from_props(cls, props: dict[str, str]) -> Metadata:
        """Return the metadata that `to_props` wrote.

        Raises:
            ModelFileError: A key is missing or invalid, or the file has another schema or an unknown task.
        """

        def get(key: str, default: str | None = None) -> str:
            """Return a value; the default is for keys that the first versions did not write."""
            text = props.get(METADATA_PREFIX + key, default)
            if text is None:
                raise ModelFileError(f"not a Dragoman model: the file's metadata has no {METADATA_PREFIX}{key}")
            return text

        def read(key: str, kind: type[Kind], default: str | None = None) -> Kind:
            return _parse_json(key, get(key, default), kind)

        if get("schema") != str(SCHEMA):
            raise ModelFileError(
                f"the model has schema {get('schema')}, and this version of Dragoman reads schema {SCHEMA}; "
                "install the version that exported it or a newer one"
            )
        if (task := get("task", "translate")) not in CONTRACTS:
            raise ModelFileError(
                f"the model's task is {task!r}, and this version of Dragoman knows {', '.join(CONTRACTS)}; "
                "install a newer version"
            )
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
            normalisation=read("normalisation", int, "1"),
            selection=read("selection", dict, "{}"),
        )
        metadata._check()
        return metadata

    def _check(self) -> None:
        """Raise ModelFileError for values that would fail later."""
        if self.precision not in PRECISIONS:
            raise ModelFileError(
                f"the model's precision is {self.precision!r}, and this version of Dragoman runs "
                f"{' and '.join(PRECISIONS)}; install a newer version"
            )
        if self.normalisation > VERSION:
            raise ModelFileError(
                f"the model's text is normalised by version {self.normalisation} of the rules, and this version of "
                f"Dragoman knows them up to {VERSION}; install a newer version"
            )
        required_defaults = ("beam_size", "length_penalty", "max_length") if self.task == "translate" else ()
        for name in required_defaults:
            if not isinstance(self.defaults.get(name), int | float):
                raise ModelFileError(f"the file's {METADATA_PREFIX}defaults has no number for {name}")
        if self.task != "forecast" and self.max_source < 8:  # any text can be split into parts of 8 ids
            raise ModelFileError(f"the file's {METADATA_PREFIX}max_source is {self.max_source} and should be 8 or more")
        if not isinstance(self.self_test.get("cases"), list):
            raise ModelFileError(f"the file's {METADATA_PREFIX}self_test has no list of cases")


def _parse_json(key: str, text: str, kind: type[Kind]) -> Kind:
    """Return a metadata value from JSON. Raise ModelFileError for another type or a number below 1."""
    try:
        value = json.loads(text)
    except ValueError:
        value = None
    if not isinstance(value, kind) or (isinstance(value, int) and value < 1):
        expected = {dict: "an object", list: "a list", int: "a whole number from 1"}[kind]
        raise ModelFileError(f"the file's {METADATA_PREFIX}{key} is {text[:40]!r} and should be {expected}")
    return value


def _from_base64(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except ValueError:
        raise ModelFileError("one of the file's tokenizers is not in base64") from None


def _length_delimited(field: int, payload: bytes) -> bytes:
    """Return a Protocol Buffers field of wire type 2."""
    assert len(payload) < 128  # the length takes one byte
    return bytes([field << 3 | 2, len(payload)]) + payload


def _checksum_entry(digest: str) -> bytes:
    """Return a serialised ModelProto with one metadata property (field 14, with key in field 1 and value in 2)."""
    return _length_delimited(14, _length_delimited(1, CHECKSUM_KEY.encode()) + _length_delimited(2, digest.encode()))


def append_checksum(model: bytes) -> bytes:
    """Return a serialised model with the checksum entry appended."""
    return model + _checksum_entry(hashlib.sha256(model).hexdigest())


def read_model_file(path: str | Path) -> bytes:
    """Return the bytes of a Dragoman file after checking its checksum.

    Raises:
        ModelFileError: The file cannot be read, is not a Dragoman model, or is truncated or damaged.
    """
    try:
        data = Path(path).read_bytes()
    except ValueError as error:  # the path is invalid, for example because it contains a null character
        raise ModelFileError(f"cannot read {str(path)!r}: {error}") from None
    except OSError as error:
        hint = "; if it is a training run, `dragoman export` makes a model file from it" if Path(path).is_dir() else ""
        raise ModelFileError(f"cannot read {path}: {error.strerror or error}{hint}") from None
    entry = _checksum_entry("0" * 64)
    body, tail = data[: -len(entry)], data[-len(entry) :]
    if tail[:-64] != entry[:-64]:
        producer = METADATA_PREFIX.rstrip(".").encode()  # stands near the start, so a truncated file has it, too
        if METADATA_PREFIX.encode() + b"schema" in data or producer in data[:64]:
            raise ModelFileError(f"{path} is damaged or cut short: the checksum at its end is missing; copy it again")
        raise ModelFileError(f"{path} is not a Dragoman model; `dragoman export` makes one from a training run")
    if tail[-64:] != hashlib.sha256(body).hexdigest().encode():
        raise ModelFileError(f"{path} is damaged: its contents do not match its checksum; copy it again")
    return data
