"""Parity of ONNX Runtime and PyTorch, level by level."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import onnx
import torch
from onnx import helper, numpy_helper

from dragoman.export.graph_passes import fixed_values
from dragoman.runtime.batching import pad
from dragoman.runtime.contract import BOS, EOS, PAD, Ids
from dragoman.runtime.engine import Engine, OnnxEngine, inputs_of
from dragoman.runtime.errors import UserError
from dragoman.runtime.metadata import Metadata
from dragoman.runtime.session import open_session
from dragoman.runtime.translator import Translator
from dragoman.translate.network.search import EXTRA_LENGTH, BeamSearch, even_width

CHAINED = 30  # steps


UNENDING = -1e4  # the bias of a </s> that never comes


@dataclass(frozen=True)
class Tolerance:
    """What counts as equal. share: of the sentences, that must give equal tokens; worst: of a number's difference."""

    share: float
    worst: float
    inner: float  # the same for the encoder's numbers, which are larger than scores


TOLERANCE = {
    "float32": Tolerance(1.0, 1e-4, 1e-3),
    "int8": Tolerance(0.98, 0.5, 1.0),
}


@dataclass(frozen=True)
class Level:
    """How two results compared on one level."""

    name: str
    compared: int
    equal: int
    worst: float
    passed: bool
    example: str = ""  # the first that differed

    def describe(self) -> str:
        """One line for people."""
        verdict = "" if self.passed else "FAILED  "
        line = (
            f"{verdict}{self.name}: {self.equal} of {self.compared} equal, numbers differ by at most {self.worst:.1e}"
        )
        return f"{line}; first difference: {self.example}" if self.example else line

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


def level(name: str, tolerance: Tolerance, compared: int, equal: int, worst: float, example: str = "") -> Level:
    """A Level that passes when enough is equal and nothing differs by too much; NaN differs."""
    worst = worst if math.isfinite(worst) else math.inf
    passed = equal >= tolerance.share * compared and worst <= tolerance.worst
    return Level(name, compared, equal, worst, passed, example)


def further(worst: float, difference: float) -> float:
    """The larger of two differences; what is no number differs most."""
    return max(worst, difference) if math.isfinite(difference) else math.inf


def refuse_unequal(levels: Sequence[Level]) -> None:
    """Raise UserError for the first level that failed: then there is to be no file."""
    for one in levels:
        if not one.passed:
            raise UserError(f"the exported file differs from PyTorch, so it was not written: {one.describe()}")


def parity_batches(rows: Sequence[Sequence[int]], batch: int) -> list[tuple[Ids, Ids]]:
    """Ids as padded batches in the order given, so ragged; padding holds ids that must not matter."""
    noise = np.random.default_rng(0)
    batches = []
    for start in range(0, len(rows), batch):
        ids, length = pad(rows[start : start + batch])
        padding = np.arange(ids.shape[1]) >= length[:, None]
        batches.append((np.where(padding, noise.integers(4, 100, ids.shape), ids), length))
    return batches


def own_settings(beam: int, metadata: Metadata) -> dict[str, Any]:
    """A file's own settings of the search, but for the beam."""
    defaults = metadata.defaults
    return {"beam_size": beam, "n_best": 1, "max_length": defaults["max_length"],
            "length_penalty": defaults["length_penalty"]}  # fmt: skip


def compare_search(
    reference: Engine, other: Engine, batches: Sequence[tuple[Ids, Ids]], beam: int, metadata: Metadata,
    progress: Callable[[int], None] | None = None,
) -> Level:  # fmt: skip
    """Run both on the same batches and compare the best hypothesis of each sentence."""
    settings = own_settings(beam, metadata)
    equal = sentences = 0
    worst = 0.0
    example = ""
    for source, length in batches:
        one, two = (engine.run(source, length, n_aligned=0, **settings) for engine in (reference, other))
        for b in range(len(length)):
            ids = [[i for i in result[0][b, 0].tolist() if i != PAD] for result in (one, two)]
            sentences += 1
            equal += ids[0] == ids[1]
            if ids[0] != ids[1] and not example:
                example = f"sentence {sentences} gives {ids[0]} and {ids[1]}"
            difference = abs(float(one[1][b, 0]) - float(two[1][b, 0]))
            worst = further(worst, difference)
        if progress:
            progress(sentences)
    name = f"whole search, beam {beam}, batches of {max(len(length) for _, length in batches)}"
    return level(name, TOLERANCE[metadata.precision], sentences, equal, worst, example)


def batch_invariance(
    model: bytes,
    rows: Sequence[Sequence[int]],
    beam: int,
    metadata: Metadata,
    progress: Callable[[int], None] | None = None,
) -> Level:
    """A file against itself: each sentence alone, and in batches of all kinds and with two threads.

    Tokens are equal always; the scores of an int8 file to the last bit.
    """
    settings = own_settings(beam, metadata)

    def results(engine: Engine, order: Sequence[int], batch: int, wider: int) -> Iterator[tuple[int, list[int], float]]:
        for start in range(0, len(order), batch):
            part = order[start : start + batch]
            ids, length = pad([rows[i] for i in part])
            ids = np.pad(ids, ((0, 0), (0, wider)))
            target, score, _ = engine.run(ids, length, n_aligned=0, **settings)
            for b, i in enumerate(part):
                yield i, [t for t in target[b, 0].tolist() if t != PAD], float(score[b, 0])

    one, two = OnnxEngine(model, threads=1), OnnxEngine(model, threads=2)
    straight = [*range(len(rows))]
    by_length = sorted(straight, key=lambda i: len(rows[i]))
    shuffled = [int(i) for i in np.random.default_rng(0).permutation(len(rows))]
    alone = {i: (ids, score) for i, ids, score in results(one, straight, 1, 0)}
    equal, worst, example = {*straight}, 0.0, ""
    forms = [
        (one, straight, 7, 0), (one, by_length, 64, 0), (one, shuffled, 64, 0), (one, straight, 7, 40),
        (two, straight, 1, 0), (two, shuffled, 64, 13),
    ]  # fmt: skip
    for number, form in enumerate(forms):
        for i, ids, score in results(*form):
            if ids != alone[i][0]:
                equal.discard(i)
                example = example or f"sentence {i + 1} gives {alone[i][0]} alone and {ids} in a batch"
            difference = abs(score - alone[i][1])
            worst = further(worst, difference)
        if progress:
            progress((number + 1) * len(rows))
    exact = Tolerance(1.0, 0.0 if metadata.precision != "float32" else TOLERANCE["float32"].worst, 0.0)
    return level(f"batch invariance, beam {beam}", exact, len(rows), len(equal), worst, example)


def opened(model: bytes) -> bytes:
    """A file's graph that also gives what happens inside, and whose translations never end by themselves.

    More outputs: `step.log_probability` (T, B, K, V), and `encoder.N`, all that its loop is given of the source.
    Raises UserError when it is not laid out as an exported search is.
    """
    proto = onnx.load_from_string(model)
    graph = proto.graph
    constants = {t.name: t for t in graph.initializer}
    loops = [n for n in graph.node if n.op_type == "Loop" and _step_of(n) is not None]
    if len(loops) != 1:
        raise UserError("the file's graph is not laid out as this version of dragoman exports it")
    loop, body = loops[0], loops[0].attribute[0].g
    softmax = _step_of(loop)
    assert softmax is not None
    made = {o: n for n in body.node for o in n.output}
    product = made[softmax.input[0]]
    bias = constants[product.input[6] if product.op_type == "MatMulIntegerToFloat" else product.input[-1]]
    values = numpy_helper.to_array(bias).copy()
    values[EOS] = UNENDING
    bias.CopyFrom(numpy_helper.from_array(values, bias.name))

    body.output.append(helper.make_tensor_value_info(softmax.output[0], onnx.TensorProto.FLOAT, None))
    loop.output.append("step.log_probability")
    known = {x.name for x in body.input} | set(made) | fixed_values(graph)
    given = [loop.input[6]]  # after count, condition, position, token, value and open: the state
    given += [name for n in body.node if n.op_type == "MatMul" for name in n.input if name not in known]
    for number, name in enumerate(given):
        graph.node.append(helper.make_node("Identity", [name], [f"encoder.{number}"]))
    names = ["step.log_probability", *(f"encoder.{number}" for number in range(len(given)))]
    graph.output.extend(helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None) for name in names)
    data: bytes = proto.SerializeToString()
    return data


def _step_of(loop: onnx.NodeProto) -> onnx.NodeProto | None:
    """The log-softmax of the loop over steps; other loops have none."""
    return next((n for n in loop.attribute[0].g.node if n.op_type == "LogSoftmax"), None)


def compare_steps(search: BeamSearch, model: bytes, rows: Sequence[Sequence[int]], metadata: Metadata) -> list[Level]:
    """Encoder, one step, and as many chained steps as the sentences allow up to CHAINED, greedily."""
    session = open_session(opened(model))
    names = [o.name for o in session.get_outputs()]
    tolerance = TOLERANCE[metadata.precision]
    # The longest sentences, since short ones are not allowed thirty steps; ragged, and each batch with noise around.
    rows = sorted(rows, key=len)[-64:]
    found: dict[str, list[Any]] = {}
    steps = CHAINED
    for source, length in parity_batches(rows[::2] + rows[1::2], 16):
        inputs = inputs_of(source, length, beam_size=1, n_best=1, max_length=CHAINED, length_penalty=1.0, n_aligned=0)
        theirs = dict(zip(names, session.run(None, inputs), strict=True))
        with torch.no_grad():
            ids = even_width(torch.from_numpy(source))
            memory = search.model.encode(ids, torch.from_numpy(length))
            inner = [memory.state.unsqueeze(1)]
            for keys, values in zip(memory.keys, memory.values, strict=True):
                inner += [keys, values] if keys.dim() == 4 else [values]
            kept = np.arange(ids.shape[1]) < length[:, None]  # (B, S)
            for number, mine in enumerate(inner):
                # With one head the step reads keys and values without the axis of heads.
                difference = np.abs(mine.numpy() - theirs[f"encoder.{number}"].reshape(mine.shape))
                if number:
                    at_keys = mine.dim() == 4 and mine.shape[-1] == kept.shape[1] and number % 2 == 1
                    difference = difference * (kept[:, None, None, :] if at_keys else kept[:, None, :, None])
                worst = difference.reshape(len(length), -1).max(1)
                found.setdefault("encoder", []).append((worst <= tolerance.inner, worst))
            log_probability = theirs["step.log_probability"][:, :, 0]  # (T, B, V)
            bias = search.model.bias + search.model.never
            bias[EOS] = UNENDING
            token = torch.full((len(length), 1), BOS)
            state = memory.state.unsqueeze(1)
            same = np.ones(len(length), bool)
            worst = np.zeros(len(length))
            allowed = np.minimum(length * search.limit_ratio + EXTRA_LENGTH, len(log_probability))
            steps = min(steps, int(allowed.min()))
            for t in range(len(log_probability)):
                logits, state = search.model.step(token, state, memory, bias)
                ours = torch.log_softmax(logits[:, 0], -1).numpy()
                likely = ours > -50  # what stands below has no say
                difference = (np.abs(ours - log_probability[t]) * likely).max(1)
                going = t < allowed
                worst = np.where(same & going, np.maximum(worst, difference), worst)
                token = torch.from_numpy(ours.argmax(-1))[:, None]
                same &= (ours.argmax(-1) == log_probability[t].argmax(-1)) | ~going
                if t == 0:
                    found.setdefault("one step", []).append((same.copy(), worst.copy()))
            found.setdefault("chained", []).append((same, worst))
    encoder = Tolerance(tolerance.share, tolerance.inner, tolerance.inner)
    levels = []
    for key, name, limit in (
        ("encoder", "encoder", encoder), ("one step", "one step", tolerance),
        ("chained", f"{steps} chained steps", tolerance),
    ):  # fmt: skip
        equal, worst = (np.concatenate([part[k] for part in found[key]]) for k in (0, 1))
        levels.append(level(name, limit, len(equal), int(equal.sum()), float(worst.max())))
    return levels


def compare_text(reference: Translator, other: Translator, lines: Sequence[str]) -> Level:
    """Whole translations as text, with the defaults of the file, and where those that are equal looked."""
    attends = other.attends
    pairs = [*zip(*(t.translate(lines, alignments=attends) for t in (reference, other)), strict=True)]
    example = next((f"{a.text!r} and {b.text!r}" for a, b in pairs if a.text != b.text), "")
    equal = [pair for pair in pairs if pair[0].text == pair[1].text]
    worst = 0.0
    for a, b in (maps for pair in equal for maps in zip(pair[0].attention, pair[1].attention, strict=True)):
        if a.target_subwords == b.target_subwords:
            worst = further(worst, float(np.abs(a.weights - b.weights).max()))
    name = "text, and where it looked" if attends else "text"
    return level(name, TOLERANCE[other.metadata.precision], len(pairs), len(equal), worst, example)
