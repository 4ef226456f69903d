"""The configuration of a training run, and the reference of its keys. Use `load`: the constructors do not validate.

A TOML file holds `name`, `task` and one section per class below. Every key is optional except `name` and `data.corpus`.
Each comment says what a key is, its unit, and its range where the type does not show it. An unknown key, a wrong type
or a contradiction is an error.
"""

from __future__ import annotations

import codecs
from collections.abc import Collection, Sequence
from contextlib import suppress
from copy import deepcopy
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from dragoman.runtime.errors import UserError

CellName = Literal["elman", "lstm", "gru", "sru"]
TaskName = Literal["translate", "classify", "tag", "forecast"]
Count = Annotated[int, Meta(ge=1)]
Layers = Annotated[int, Meta(ge=1, le=1000)]
Width = Annotated[int, Meta(ge=1, le=65536)]  # features of a vector
Rate = Annotated[float, Meta(ge=0, lt=1)]  # a probability or fraction, from 0 to below 1

# Words for error messages.
TYPE_NAMES = {"integer": "a whole number", "number": "a number", "boolean": "true or false", "string": "a string"}
BOUND_NAMES = {"minimum": "at least", "exclusiveMinimum": "above", "maximum": "at most", "exclusiveMaximum": "below"}

STRING_KEYS = ("name", "task", "data.corpus")  # `--set name=2024` is a string, not a number

# Defaults of each optimizer. Muon's weight decay is that of Liu et al. 2025 (arXiv:2502.16982), who train for one
# epoch. docs/experiments.md measures its effect over 20 epochs.
OPTIMIZER_DEFAULTS = {"adamw": {"lr": 2e-3, "weight_decay": 0.01}, "muon": {"lr": 4e-3, "weight_decay": 0.1}}


class InvalidConfigError(UserError):
    """A mistake in a configuration. The message does not say where the configuration came from."""


class DataConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The corpus. It also determines the languages."""

    corpus: str  # folder that `dragoman corpus` wrote
    max_length: Annotated[int, Meta(ge=8, le=1000)] = 100  # subwords with </s>; longer training pairs are left out
    # Train on reversed targets. A right-to-left model adds another view of the same text to an ensemble (Liu et al.
    # 2016, "Agreement on target-bidirectional neural machine translation").
    right_to_left: bool = False


class TokenizerConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """SentencePiece (Kudo and Richardson 2018)."""

    kind: Literal["bpe", "unigram"] = "bpe"  # subword algorithm
    # Subwords. Left out, it depends on the size of the corpus (Gowda and May 2020).
    vocabulary: Annotated[int, Meta(ge=300, le=64000)] | None = None
    joint: bool = True  # one vocabulary for source and target
    # Subword regularisation: BPE-dropout for bpe (Provilkov et al. 2020), unigram sampling for unigram (Kudo 2018).
    # The probability to skip a merge; unigram sampling changes as many words as that would. 0 turns it off.
    sampling: Rate = 0.05
    # Reserve symbols for protected spans, such as URLs and {name}, and train with them (see encoding/placeholders.py).
    placeholders: bool = True


class AugmentConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Data augmentation: the fraction of training pairs, in every epoch, that appear in each variant. At most 1 in all.

    It makes translation robust to the ways in which people write.
    """

    upper: Rate = 0.0  # upper case, both sides
    title: Rate = 0.0  # title case, both sides: every word starts with a capital letter
    bare: Rate = 0.0  # no final punctuation, both sides
    typos: Rate = 0.0  # typing errors in the source: in one of eight words, except words of under 4 letters


NO_AUGMENTATION = AugmentConfig()


class ModelConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The architecture of the network."""

    cell: CellName = "sru"  # recurrent cell
    width: Width = 256  # of embeddings and of the vectors between layers; a multiple of `heads`
    hidden: Width = 256  # of a recurrent cell, per direction
    encoder_layers: Layers = 3  # bidirectional
    decoder_layers: Layers = 1
    feed_forward: Annotated[int, Meta(ge=0, le=65536)] = 512  # inner width of the feed-forward blocks; 0: no blocks
    heads: Count = 1  # of attention
    # dot: scaled dot product (Vaswani et al. 2017); additive: Bahdanau et al. 2015; none: the decoder sees only a
    # summary vector of the source (Sutskever et al. 2014).
    attention: Literal["dot", "additive", "none"] = "dot"
    shared_embedding: bool = True  # one embedding for source and target; needs `tokenizer.joint`
    tied_output: bool = True  # the output projection is the target embedding (Press and Wolf 2017)
    dropout: Rate = 0.15  # of embeddings, and of the layers unless `layer_dropout` is set
    # Dropout of the output of each layer, before the residual sum; left out: `dropout`. 0 learns faster and overfits.
    layer_dropout: Rate | None = None
    word_dropout: Rate = 0.0  # probability to zero the embedding of a whole token (Gal and Ghahramani 2016)

    @property
    def dropout_of_layers(self) -> float:
        """The dropout rate of each layer's output."""
        return self.dropout if self.layer_dropout is None else self.layer_dropout


class TrainingConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The optimization: length, schedule, optimizer, validation and checkpoints."""

    minutes: Annotated[float, Meta(gt=0)] | None = None  # time limit with preparation, without restarts; left out: none
    epochs: Count = 30  # the most epochs; the schedule ends with them or with `minutes`, whichever comes first
    # Target tokens per batch and process, padding included, beside at most twice as many source tokens; for
    # forecasting, rows of all windows together.
    batch_tokens: Annotated[int, Meta(ge=16)] = 1500
    optimizer: Literal["adamw", "muon"] = "adamw"  # in a file that has no such key: muon for translation, else adamw
    lr: Annotated[float, Meta(gt=0, le=1)] = OPTIMIZER_DEFAULTS["adamw"]["lr"]  # peak learning rate; muon: 4e-3
    warmup: Annotated[int, Meta(ge=0)] = 400  # steps of linear warm-up, but at most a tenth of training
    decay: Literal["linear", "cosine", "inverse_sqrt"] = "linear"  # of the learning rate; the first two end at 0
    label_smoothing: Rate = 0.1  # Szegedy et al. 2016
    weight_decay: Annotated[float, Meta(ge=0)] = OPTIMIZER_DEFAULTS["adamw"]["weight_decay"]  # of matrices; muon: 0.1
    # Maximum norm of the gradient, against exploding gradients (Pascanu et al. 2013, "On the difficulty of training
    # recurrent neural networks").
    clip_norm: Annotated[float, Meta(gt=0)] = 1.0
    precision: Literal["auto", "float32", "bfloat16"] = "auto"  # of matrix products; auto: bfloat16 where it is faster
    seed: Annotated[int, Meta(ge=0, lt=2**31)] = 1  # of weights, dropout, batches and subword regularisation
    validate_every: Count = 1  # epochs between two validations
    validation_sentences: Annotated[int, Meta(ge=1)] = 1000  # pairs of the validation set that are translated for BLEU
    patience: Annotated[int, Meta(ge=0)] = 0  # validations without a better score before training stops early; 0: off
    checkpoint_minutes: Annotated[float, Meta(gt=0)] = 2.0  # between two checkpoints
    average: Annotated[int, Meta(ge=1)] = 5  # validation checkpoints in the final average; 1: no average
    average_of: Literal["last", "best"] = "last"  # which of them


class SearchConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Defaults of the beam search, for validation and for the exported file."""

    beam_size: Annotated[int, Meta(ge=1, le=64)] = 5  # hypotheses per sentence; 1: greedy search
    length_penalty: Annotated[float, Meta(ge=0, le=5)] = 1.0  # score = log-probability / length ** length_penalty
    max_length: Annotated[int, Meta(ge=1, le=4096)] = 256  # of a translation, in subwords with </s>


class SeriesConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Forecasting, in rows of the series."""

    window: Count = 168  # rows that a forecast is based on; a multiple of `period`
    horizon: Count = 24  # rows to forecast
    period: Count = 24  # rows per season: 24 for hourly data with a daily pattern, 12 for months; 1 for none


class Config(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The configuration of a training run."""

    # The run is written to runs/NAME.
    name: Annotated[
        str,
        Meta(
            pattern=r"^[A-Za-z0-9_][A-Za-z0-9._-]*$",
            description="a string of letters, digits, '.', '-' and '_' that starts with a letter, a digit or '_'",
        ),
    ]
    data: DataConfig
    task: TaskName = "translate"  # the kind of the corpus
    tokenizer: TokenizerConfig = TokenizerConfig()
    augment: AugmentConfig = NO_AUGMENTATION  # for translation only
    model: ModelConfig = ModelConfig()
    training: TrainingConfig = TrainingConfig()
    search: SearchConfig = SearchConfig()  # for translation only
    series: SeriesConfig = SeriesConfig()  # for forecasting only


def load(path: str | Path, overrides: list[str] | None = None) -> Config:
    """Read a TOML file and apply overrides of the form `section.key=value`.

    Raises UserError, with key and value, for an unknown key, a wrong type, a value out of range or a contradiction. The
    message names the overrides without which there would be no such mistake, or else the file.
    """
    try:
        data = Path(path).read_bytes()
    except IsADirectoryError:
        raise UserError(
            f"{path} is a folder; give a configuration, CONFIG.toml, and to continue a run the one that it was started "
            "with"
        ) from None
    except OSError as error:
        raise UserError(f"cannot read the configuration {path}: {error.strerror or error}") from None
    try:
        tree = msgspec.toml.decode(data.removeprefix(codecs.BOM_UTF8))
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise UserError(f"{path} is not valid TOML: {error}") from None
    given = overrides or []
    try:
        return _validated_for_training(_with_overrides(tree, given))
    except InvalidConfigError as error:
        culprits = [f"--set {override}" for override in given if _mistake_without(override, tree, given) != str(error)]
        raise UserError(f"{' '.join(culprits) or path}: {error}") from None


def from_tree(tree: dict[str, Any], where: str) -> Config:
    """Validate a configuration given as nested dictionaries. Raises UserError; `where` names the source in messages."""
    try:
        return _validated(tree)
    except InvalidConfigError as error:
        raise UserError(f"{where}: {error}") from None


def _validated(tree: dict[str, Any]) -> Config:
    try:
        config = msgspec.convert(tree, Config)
    except msgspec.ValidationError as error:
        raise InvalidConfigError(_explain_error(error, tree)) from None
    config = _with_optimizer_defaults(config, tree.get("training", {}))
    if problem := _find_contradiction(config):
        raise InvalidConfigError(problem)
    return config


def _validated_for_training(tree: dict[str, Any]) -> Config:
    """Validate a configuration that no run has been started with."""
    config = _validated(tree)
    longest, allowed = config.data.max_length, config.search.max_length
    if config.task == "translate" and allowed < longest:
        raise InvalidConfigError(
            f"search.max_length = {allowed} is below data.max_length = {longest}, which cuts off long "
            f"translations; set search.max_length to about {2 * longest}"
        )
    return config


def _mistake_without(override: str, tree: dict[str, Any], overrides: Sequence[str]) -> str | None:
    """Return the mistake in a configuration without one override and others of the same key, or None."""
    key = override.partition("=")[0]
    try:
        _validated_for_training(_with_overrides(tree, [o for o in overrides if o.partition("=")[0] != key]))
    except UserError as error:
        return str(error)
    return None


def to_tree(config: Config) -> dict[str, Any]:
    """Return a configuration as nested dictionaries, the inverse of `from_tree`."""
    tree: dict[str, Any] = msgspec.to_builtins(config)
    return tree


def differing_keys(a: Config, b: Config) -> list[str]:
    """Return the dotted keys whose values differ."""

    def walk(x: Any, y: Any, prefix: str) -> list[str]:  # noqa: ANN401 (nested dictionaries of plain values)
        if isinstance(x, dict) and isinstance(y, dict):
            return [k for key in x for k in walk(x[key], y.get(key), f"{prefix}.{key}" if prefix else key)]
        return [] if x == y else [prefix]

    return walk(msgspec.to_builtins(a), msgspec.to_builtins(b), "")


def _with_optimizer_defaults(config: Config, given: Collection[str]) -> Config:
    """Fill in the optimizer that suits the task and its learning rate and weight decay, unless they were given."""
    training = config.training
    if "optimizer" not in given:
        optimizer = "muon" if config.task == "translate" else "adamw"
        training = msgspec.structs.replace(training, optimizer=optimizer)
    defaults = {key: value for key, value in OPTIMIZER_DEFAULTS[training.optimizer].items() if key not in given}
    return msgspec.structs.replace(config, training=msgspec.structs.replace(training, **defaults))


def _with_overrides(tree: dict[str, Any], overrides: Sequence[str]) -> dict[str, Any]:
    changed = deepcopy(tree)
    for override in overrides:
        _apply_override(changed, override)
    return changed


def _apply_override(tree: dict[str, Any], override: str) -> None:
    """Set one key of a tree in place, given `section.key=value`. The value is TOML; a bare word is a string."""
    key, equals, text = override.partition("=")
    key = key.strip()
    if not equals or not key:
        raise UserError(f"--set {override}: give section.key=value, for example training.lr=1e-3")
    value: Any = text.strip()
    if key not in STRING_KEYS or value.startswith(('"', "'")):
        with suppress(msgspec.DecodeError):
            value = msgspec.toml.decode(f"value = {text}")["value"]
    *sections, last = key.split(".")
    for section in sections:
        tree = tree.setdefault(section, {})
        if not isinstance(tree, dict):
            raise UserError(f"--set {override}: {section} is a value, not a section")
    tree[last] = value


def _explain_error(error: msgspec.ValidationError, tree: dict[str, Any]) -> str:
    """Return msgspec's error with the dotted key, its value and what would be right."""
    message, _, place = str(error).partition(" - at `$")
    path = place.rstrip("`").strip(".")
    if message.startswith("Object contains unknown field"):
        field = message.split("`")[1]
        section: Any = Config
        for part in filter(None, path.split(".")):
            section = {f.name: f.type for f in msgspec.structs.fields(section)}[part]
        known = ", ".join(f.name for f in msgspec.structs.fields(section))
        return f"unknown key {f'{path}.' if path else ''}{field}; the keys here are {known}"
    if message.startswith("Object missing required field"):
        field = message.split("`")[1]
        return f"the key {f'{path}.' if path else ''}{field} is missing"
    value: Any = tree
    for part in filter(None, path.split(".")):
        value = value[part]
    return f"{path} = {value!r}: give {_describe_type(path)}"


def _describe_type(path: str) -> str:
    """Return the values that a dotted key takes in words, such as `a whole number, at least 8, at most 1000`."""
    schema = msgspec.json.schema(Config)
    node: dict[str, Any] = {"$ref": "#/$defs/Config"}
    for part in [*path.split("."), ""]:
        if "$ref" in node:
            node = schema["$defs"][node["$ref"].rpartition("/")[2]]
        if part:
            node = node["properties"][part]
            node = next((option for option in node.get("anyOf", []) if option.get("type") != "null"), node)
    if "enum" in node:
        return "one of " + ", ".join(node["enum"])
    if node["type"] == "object":
        return f"a section [{path}]"
    bounds = [f"{word} {node[key]:.12g}" for key, word in BOUND_NAMES.items() if key in node]
    return ", ".join([node.get("description", TYPE_NAMES[node["type"]]), *bounds])


def _find_contradiction(c: Config) -> str | None:
    """Return a sentence about keys that contradict each other, or None."""
    if c.model.width % c.model.heads:
        return f"model.heads = {c.model.heads} does not divide model.width = {c.model.width}; choose a divisor"
    if c.model.shared_embedding and not c.tokenizer.joint:
        return (
            "model.shared_embedding = true needs tokenizer.joint = true; "
            "set tokenizer.joint = true or model.shared_embedding = false"
        )
    if c.task == "forecast" and c.series.window % c.series.period:
        return f"series.window = {c.series.window} is not a multiple of series.period = {c.series.period}"
    if c.task != "translate" and (c.augment != NO_AUGMENTATION or c.data.right_to_left):
        return f'task = "{c.task}": augment and data.right_to_left need task = "translate"; remove them'
    total = sum(msgspec.structs.asdict(c.augment).values())
    if total > 1:
        return f"augment: the fractions add up to {total:g}; the sum must be at most 1"
    return None
