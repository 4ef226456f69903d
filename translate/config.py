"""The configuration: frozen, typed and closed. Use `load`; the constructors do not validate."""

from __future__ import annotations

import codecs
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from dragoman.runtime.errors import UserError


def differing_keys(a: Config, b: Config) -> list[str]:
    """Dotted keys whose values differ."""

    def walk(x: Any, y: Any, prefix: str) -> list[str]:  # noqa: ANN401 (a tree of plain values)
        if isinstance(x, dict) and isinstance(y, dict):
            return [k for key in x for k in walk(x[key], y.get(key), f"{prefix}.{key}" if prefix else key)]
        return [] if x == y else [prefix]

    return walk(msgspec.to_builtins(a), msgspec.to_builtins(b), "")


CellName = Literal["elman", "lstm", "gru", "sru"]


TaskName = Literal["translate", "classify", "tag", "forecast"]


Count = Annotated[int, Meta(ge=1)]


Layers = Annotated[int, Meta(ge=1, le=1000)]


Width = Annotated[int, Meta(ge=1, le=65536)]  # of a layer


Rate = Annotated[float, Meta(ge=0, lt=1)]


KINDS = {"integer": "a whole number", "number": "a number", "boolean": "true or false", "string": "a text"}


BOUNDS = {"minimum": "at least", "exclusiveMinimum": "above", "maximum": "at most", "exclusiveMaximum": "below"}


TEXTS = ("name", "task", "data.corpus")  # keys of which 2024 is a value, too


# Of each optimizer, where a configuration says none. Muon's decay is that of Liu et al. 2025 (arXiv:2502.16982), who
# read their text once; docs/experiments.md has what it does for text that is read twenty times.
USUAL = {"adamw": {"lr": 2e-3, "weight_decay": 0.01}, "muon": {"lr": 4e-3, "weight_decay": 0.1}}


class DataConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where the parallel text is. The languages come from the corpus itself."""

    corpus: str  # a folder made by `dragoman corpus`
    max_length: Annotated[int, Meta(ge=8, le=1000)] = 100  # ids, </s> included; longer training pairs are left out
    # Write translations from their last id to their first: another view of the same text, for a committee of teachers
    # (Liu et al. 2016, "Agreement on target-bidirectional neural machine translation").
    right_to_left: bool = False


class TokenizerConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """SentencePiece: Kudo and Richardson 2018."""

    kind: Literal["bpe", "unigram"] = "bpe"
    vocabulary: Annotated[int, Meta(ge=300, le=64000)] | None = None  # None: from the size of the corpus
    joint: bool = True  # one vocabulary for both languages
    # The share of merges that BPE-dropout skips (Provilkov et al. 2020); unigram sampling (Kudo 2018) cuts as many
    # words otherwise. 0 turns it off.
    sampling: Rate = 0.05


class AugmentConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The share of pairs that an epoch shows written otherwise, so that a model bears with how people write."""

    upper: Rate = 0.0  # both sides in capitals
    title: Rate = 0.0  # every word of both sides with a capital
    bare: Rate = 0.0  # both sides without their final punctuation
    typos: Rate = 0.0  # the source with typing errors, in one of eight words if they are long enough; of few in none


AS_WRITTEN = AugmentConfig()  # no pair in another spelling


class ModelConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The network's shape."""

    cell: CellName = "sru"
    width: Width = 256
    hidden: Width = 256  # of a cell, in one direction
    encoder_layers: Layers = 3
    decoder_layers: Layers = 1
    feed_forward: Annotated[int, Meta(ge=0, le=65536)] = 512  # 0: no feed-forward blocks
    heads: Count = 1
    attention: Literal["dot", "additive", "none"] = "dot"  # none: the decoder knows a summary of the source alone
    shared_embedding: bool = True  # source and target; needs a joint tokenizer
    tied_output: bool = True  # the output matrix is the target embedding (Press and Wolf 2017)
    dropout: Rate = 0.15
    # Of what each layer adds; left out, `dropout`, which is then for both. 0 learns faster, and by heart in the end.
    layer_dropout: Rate | None = None
    word_dropout: Rate = 0.0

    @property
    def dropout_of_layers(self) -> float:
        """The dropout of what each layer adds."""
        return self.dropout if self.layer_dropout is None else self.layer_dropout


class TrainingConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How the weights are found."""

    minutes: Annotated[float, Meta(gt=0)] | None = None  # stop if `epochs` have not ended; then a last validation
    epochs: Count = 30
    batch_tokens: Annotated[int, Meta(ge=16)] = 1500  # target ids a batch, padding included
    optimizer: Literal["adamw", "muon"] = "adamw"  # in a file that says none: Muon to translate
    lr: Annotated[float, Meta(gt=0, le=1)] = USUAL["adamw"]["lr"]  # in a file that says none: that of its optimizer
    warmup: Annotated[int, Meta(ge=0)] = 400  # steps
    decay: Literal["linear", "cosine", "inverse_sqrt"] = "linear"
    label_smoothing: Rate = 0.1
    weight_decay: Annotated[float, Meta(ge=0)] = USUAL["adamw"]["weight_decay"]  # likewise
    # Pascanu et al. 2013, "On the difficulty of training recurrent neural networks": the cure for exploding gradients.
    clip_norm: Annotated[float, Meta(gt=0)] = 1.0
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    seed: Annotated[int, Meta(ge=0, lt=2**31)] = 1
    validate_every: Count = 1  # epochs
    validation_sentences: Annotated[int, Meta(ge=1)] = 1000  # of the validation set, for BLEU
    patience: Annotated[int, Meta(ge=0)] = 0  # stop after so many validations without a better score; 0: never
    checkpoint_minutes: Annotated[float, Meta(gt=0)] = 2.0
    average: Annotated[int, Meta(ge=1)] = 5  # checkpoints in the final average
    average_of: Literal["last", "best"] = "last"


class SearchConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Defaults of the search, for validation and for the exported file."""

    beam_size: Annotated[int, Meta(ge=1, le=64)] = 5
    length_penalty: Annotated[float, Meta(ge=0, le=5)] = 1.0
    max_length: Annotated[int, Meta(ge=1, le=4096)] = 256


class SeriesConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a forecast looks at, in rows of the series."""

    window: Count = 168
    horizon: Count = 24
    period: Count = 24  # of the season: 24 for hours of days, 12 for months of years; 1 for none


class Config(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A whole training run."""

    # The run is written to runs/NAME.
    name: Annotated[
        str,
        Meta(pattern=r"^[A-Za-z0-9_][A-Za-z0-9._-]*$", description="a text of letters, digits, points, dashes and _"),
    ]
    data: DataConfig
    task: TaskName = "translate"
    tokenizer: TokenizerConfig = TokenizerConfig()
    augment: AugmentConfig = AS_WRITTEN
    model: ModelConfig = ModelConfig()
    training: TrainingConfig = TrainingConfig()
    search: SearchConfig = SearchConfig()
    series: SeriesConfig = SeriesConfig()


def load(path: str | Path, overrides: list[str] | None = None) -> Config:
    """Read a TOML file and apply overrides of the form `section.key=value`.

    Raises UserError, naming key and value, for an unknown key, a wrong type, a bound or a contradiction.
    """
    try:
        text = Path(path).read_bytes()
    except OSError as error:
        raise UserError(f"cannot read the configuration {path}: {error.strerror or error}") from None
    try:
        tree = msgspec.toml.decode(text.removeprefix(codecs.BOM_UTF8))
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise UserError(f"{path} is not valid TOML: {error}") from None
    for override in overrides or []:
        _apply(tree, override)
    config = from_tree(tree, str(path))
    longest, allowed = config.data.max_length, config.search.max_length
    if config.task == "translate" and allowed < longest:
        raise UserError(
            f"{path}: search.max_length = {allowed} is below data.max_length = {longest}, so the longest text would "
            "never be translated whole; set it to twice that or so"
        )
    return config


def from_tree(tree: dict[str, Any], where: str) -> Config:
    """Check a configuration given as plain values; `where` names it in errors."""
    try:
        config = msgspec.convert(tree, Config)
    except msgspec.ValidationError as error:
        raise UserError(f"{where}: {_explain(error, tree)}") from None
    config = _with_optimizer(config, tree.get("training", {}))
    problem = _contradiction(config)
    if problem:
        raise UserError(f"{where}: {problem}")
    return config


def to_tree(config: Config) -> dict[str, Any]:
    """The inverse of `from_tree`."""
    tree: dict[str, Any] = msgspec.to_builtins(config)
    return tree


def _with_optimizer(config: Config, given: Collection[str]) -> Config:
    """The optimizer, rate and decay that were measured to learn a task best, where none was given."""
    training = config.training
    if "optimizer" not in given:
        optimizer = "muon" if config.task == "translate" else "adamw"
        training = msgspec.structs.replace(training, optimizer=optimizer)
    usual = {key: value for key, value in USUAL[training.optimizer].items() if key not in given}
    return msgspec.structs.replace(config, training=msgspec.structs.replace(training, **usual))


def _apply(tree: dict[str, Any], override: str) -> None:
    key, equals, text = override.partition("=")
    if not equals or not key.strip():
        raise UserError(f"--set {override}: give section.key=value, for example training.lr=1e-3")
    value: Any = text.strip()  # a bare word is a string
    if key.strip() not in TEXTS or value.startswith(('"', "'")):
        with suppress(msgspec.DecodeError):
            value = msgspec.toml.decode(f"value = {text}")["value"]
    *sections, last = key.strip().split(".")
    for section in sections:
        tree = tree.setdefault(section, {})
        if not isinstance(tree, dict):
            raise UserError(f"--set {override}: {section} is a value, not a section")
    tree[last] = value


def _explain(error: msgspec.ValidationError, tree: dict[str, Any]) -> str:
    """msgspec's message, with the dotted key and the value that was given, and for a misspelt key what exists."""
    message, _, place = str(error).partition(" - at `$")
    path = place.rstrip("`").strip(".")
    if message.startswith("Object contains unknown field"):
        field = message.split("`")[1]
        kind: Any = Config
        for part in filter(None, path.split(".")):
            kind = {f.name: f.type for f in msgspec.structs.fields(kind)}[part]
        known = ", ".join(f.name for f in msgspec.structs.fields(kind))
        return f"unknown key {f'{path}.' if path else ''}{field}; the keys here are {known}"
    if message.startswith("Object missing required field"):
        field = message.split("`")[1]
        return f"the key {f'{path}.' if path else ''}{field} is missing"
    value: Any = tree
    for part in filter(None, path.split(".")):
        value = value[part]
    return f"{path} = {value!r}: give {_wanted(path)}"


def _wanted(path: str) -> str:
    """What a key takes, in words, such as `a whole number, at least 8, at most 1000`."""
    schema = msgspec.json.schema(Config)
    found: dict[str, Any] = {"$ref": "#/$defs/Config"}
    for part in [*path.split("."), ""]:
        if "$ref" in found:
            found = schema["$defs"][found["$ref"].rpartition("/")[2]]
        if part:
            found = found["properties"][part]
            found = next((one for one in found.get("anyOf", []) if one.get("type") != "null"), found)
    if "enum" in found:
        return "one of " + ", ".join(found["enum"])
    if found["type"] == "object":
        return f"a section [{path}] of its own"
    bounds = [f"{word} {found[key]:.12g}" for key, word in BOUNDS.items() if key in found]
    return ", ".join([found.get("description", KINDS[found["type"]]), *bounds])


def _contradiction(c: Config) -> str | None:
    if c.model.width % c.model.heads:
        return f"model.heads = {c.model.heads} does not divide model.width = {c.model.width}; choose one that does"
    if c.model.shared_embedding and not c.tokenizer.joint:
        return "model.shared_embedding = true needs tokenizer.joint = true; set one of them to the other's value"
    if c.task == "forecast" and c.series.window % c.series.period:
        return (
            f"series.window = {c.series.window} does not hold whole seasons of series.period = {c.series.period}; "
            "choose a multiple"
        )
    if c.task != "translate" and (c.augment != AS_WRITTEN or c.data.right_to_left):
        return f'task = "{c.task}": augment and data.right_to_left are for translation; leave them out'
    shares = sum(msgspec.structs.asdict(c.augment).values())
    if shares > 1:
        return f"augment: the shares add up to {shares:g}; of all pairs there is 1"
    return None
