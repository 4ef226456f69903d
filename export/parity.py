"""Parity of an exported file with PyTorch, and the batch invariance of the file.

Parity is checked level by level: encoder, one step, chained steps, whole search, text. In float32 both sides compute
the same network, so tokens are equal and scores nearly equal. An int8 file is compared with PyTorch doing the same
integer arithmetic. A value close to a rounding boundary can still round differently on the two sides. That moves a
score slightly, and now and then changes which of two nearly equal hypotheses wins.

Axis letters: B batch, S source length, T target length, K beam, V vocabulary.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnx_ir as ir
import torch

from dragoman.export.graph_passes import constant_values
from dragoman.runtime.batching import pad
from dragoman.runtime.contract import BOS, EOS, PAD, Floats, Ids
from dragoman.runtime.engine import Engine, OnnxEngine, session_inputs
from dragoman.runtime.errors import UserError
from dragoman.runtime.metadata import Metadata
from dragoman.runtime.session import open_session
from dragoman.runtime.translator import Translator
from dragoman.translate.network.search import EXTRA_LENGTH, BeamSearch, pad_to_even
from dragoman.translate.network.selection import Candidates
from dragoman.translate.network.seq2seq import Memory, Network

CHAINED_STEPS = 30

EOS_SUPPRESSED = -1e4  # a bias with which `</s>` never wins

NO_HYPOTHESIS = -1e6  # the search marks an empty place of the beam with a score below this

NEGLIGIBLE = -50  # log-probabilities below this are not compared; they influence nothing


@dataclass(frozen=True)
class Tolerance:
    """The differences that still count as equal."""

    share: float  # of the sentences that must have equal tokens
    score: float  # largest difference of a score
    encoder: float  # largest difference of an encoder output; these are larger numbers than scores


TOLERANCE = {
    "float32": Tolerance(share=1.0, score=1e-4, encoder=1e-3),
    "int8": Tolerance(share=0.98, score=0.5, encoder=1.0),
}


@dataclass(frozen=True)
class Level:
    """The result of one comparison."""

    name: str
    compared: int
    equal: int
    worst: float  # largest difference of a number
    passed: bool
    example: str = ""  # the first unequal pair

    @classmethod
    def of(
        cls, name: str, compared: int, equal: int, worst: float, *, share: float, tolerance: float, example: str = ""
    ) -> Level:
        """Return a level that passes if enough items are equal and no number differs by more than the tolerance.

        A difference of NaN counts as infinite.
        """
        worst = worst if math.isfinite(worst) else math.inf
        return cls(name, compared, equal, worst, equal >= share * compared and worst <= tolerance, example)

    def describe(self) -> str:
        """Return one line for people."""
        verdict = "" if self.passed else "FAILED  "
        line = (
            f"{verdict}{self.name}: {self.equal} of {self.compared} equal, numbers differ by at most {self.worst:.1e}"
        )
        return f"{line}; first difference: {self.example}" if self.example else line

    def as_dict(self) -> dict[str, Any]:
        """Return the fields for JSON."""
        return asdict(self)


def larger_difference(a: float, b: float) -> float:
    """Return the larger of two differences, where NaN counts as infinite."""
    return max(a, b) if math.isfinite(a) and math.isfinite(b) else math.inf


def require_parity(levels: Sequence[Level]) -> None:
    """Raise UserError for the first level that failed."""
    for level in levels:
        if not level.passed:
            raise UserError(f"the exported file differs from PyTorch, so it was not written: {level.describe()}")


def parity_batches(rows: Sequence[Sequence[int]], batch_size: int) -> list[tuple[Ids, Ids]]:
    """Return rows of ids in batches (B, S) with their lengths (B).

    The rows keep their order, so batches are ragged. Padding holds random ids, since its content must not matter.
    """
    rng = np.random.default_rng(0)
    batches = []
    for start in range(0, len(rows), batch_size):
        ids, length = pad(rows[start : start + batch_size])
        padding = np.arange(ids.shape[1]) >= length[:, None]
        batches.append((np.where(padding, rng.integers(4, 100, ids.shape), ids), length))
    return batches


def search_settings(beam: int, metadata: Metadata, n_best: int = 1) -> dict[str, Any]:
    """Return the search settings of a file's metadata with another beam size."""
    defaults = metadata.defaults
    return {"beam_size": beam, "n_best": n_best, "max_length": defaults["max_length"],
            "length_penalty": defaults["length_penalty"]}  # fmt: skip


def compare_search(
    reference: Engine, engine: Engine, batches: Sequence[tuple[Ids, Ids]], beam: int, metadata: Metadata,
    progress: Callable[[int], None] | None = None, n_best: int = 1,
) -> Level:  # fmt: skip
    """Compare the `n_best` best hypotheses of each sentence from two engines that search the same batches."""
    settings = search_settings(beam, metadata, n_best)
    equal = sentences = 0
    worst = 0.0
    example = ""
    for source, length in batches:
        (targets, scores, _), (other_targets, other_scores, _) = (
            e.run(source, length, n_aligned=0, **settings) for e in (reference, engine)
        )
        for b in range(len(length)):
            ids, other_ids = (
                [[i for i in hypothesis.tolist() if i != PAD] for hypothesis in target[b, :n_best]]
                for target in (targets, other_targets)
            )
            sentences += 1
            equal += ids == other_ids
            if ids != other_ids and not example:
                k = next(k for k in range(n_best) if ids[k] != other_ids[k])
                example = f"sentence {sentences} gives {ids[k]} and {other_ids[k]}"
            difference = np.abs(scores[b, :n_best] - other_scores[b, :n_best])
            found = ~((scores[b, :n_best] < NO_HYPOTHESIS) & (other_scores[b, :n_best] < NO_HYPOTHESIS))
            worst = larger_difference(worst, float(difference[found].max(initial=0)))
        if progress:
            progress(sentences)
    best = f", {n_best} best" if n_best > 1 else ""
    name = f"whole search, beam {beam}{best}, batches of {max(len(length) for _, length in batches)}"
    limit = TOLERANCE[metadata.precision]
    return Level.of(name, sentences, equal, worst, share=limit.share, tolerance=limit.score, example=example)


def batch_invariance(
    model: bytes,
    rows: Sequence[Sequence[int]],
    beam: int,
    metadata: Metadata,
    progress: Callable[[int], None] | None = None,
) -> Level:
    """Compare each sentence alone with the same sentence in batches, for one file.

    The batches vary in size, order and padding, and run on one thread and on two. Tokens must be equal. Scores of an
    int8 file must be equal to the last bit.
    """
    settings = search_settings(beam, metadata)

    def results(
        engine: Engine, order: Sequence[int], batch_size: int, extra_padding: int
    ) -> Iterator[tuple[int, list[int], float]]:
        for start in range(0, len(order), batch_size):
            part = order[start : start + batch_size]
            source, length = pad([rows[i] for i in part])
            source = np.pad(source, ((0, 0), (0, extra_padding)))
            target, score, _ = engine.run(source, length, n_aligned=0, **settings)
            for b, i in enumerate(part):
                yield i, [t for t in target[b, 0].tolist() if t != PAD], float(score[b, 0])

    one_thread, two_threads = OnnxEngine(model, threads=1), OnnxEngine(model, threads=2)
    in_order = [*range(len(rows))]
    by_length = sorted(in_order, key=lambda i: len(rows[i]))
    shuffled = [int(i) for i in np.random.default_rng(0).permutation(len(rows))]
    alone = {i: (ids, score) for i, ids, score in results(one_thread, in_order, 1, 0)}
    equal, worst, example = {*in_order}, 0.0, ""
    variants = [
        (one_thread, in_order, 7, 0), (one_thread, by_length, 64, 0), (one_thread, shuffled, 64, 0),
        (one_thread, in_order, 7, 40), (two_threads, in_order, 1, 0), (two_threads, shuffled, 64, 13),
    ]  # fmt: skip
    for number, variant in enumerate(variants, 1):
        for i, ids, score in results(*variant):
            if ids != alone[i][0]:
                equal.discard(i)
                example = example or f"sentence {i + 1} gives {alone[i][0]} alone and {ids} in a batch"
            worst = larger_difference(worst, abs(score - alone[i][1]))
        if progress:
            progress(number * len(rows))
    tolerance = TOLERANCE["float32"].score if metadata.precision == "float32" else 0.0
    name = f"batch invariance, beam {beam}"
    return Level.of(name, len(rows), len(equal), worst, share=1.0, tolerance=tolerance, example=example)


def instrument(model: bytes) -> bytes:
    """Return a file's graph with inner values as additional outputs and with an `</s>` that never wins.

    The outputs are `step.log_probability` (T, B, 1, C) of greedy search, and `encoder.N` for each value that the
    decoder reads of the source.
    Raises UserError when the graph has not exactly one loop for greedy search.
    """
    proto = ir.from_proto(onnx.load_from_string(model))
    graph = proto.graph
    steps = [(loop, softmax) for loop in graph if loop.op_type == "Loop" and (softmax := _greedy_log_softmax(loop))]
    if len(steps) != 1:
        raise UserError("the file's graph is not laid out as this version of dragoman exports it")
    ((loop, softmax),) = steps
    body = loop.attributes["body"].as_graph()

    product = _producer_of_input(softmax, 0)
    selected = product.op_type == "Concat"
    if selected:  # the rest and the shared candidates come before a sentence's own
        product = _producer_of_input(product, 0)
    bias = product.inputs[6 if product.op_type == "MatMulIntegerToFloat" else -1]
    assert bias is not None
    place = 1 if selected else EOS  # </s> is the first of the shared candidates, after the rest
    while (node := bias.producer()) is not None:
        # Gathered or sliced from the bias of the vocabulary, and put after others.
        bias, place = (node.inputs[-1], 0) if node.op_type == "Concat" else (node.inputs[0], EOS)
        assert bias is not None
    assert bias.const_value is not None
    values = bias.const_value.numpy().copy()
    values[place] = EOS_SUPPRESSED
    bias.const_value = ir.tensor(values, name=bias.name)

    body.outputs.append(softmax.outputs[0])
    loop.resize_outputs(len(loop.outputs) + 1)
    loop.outputs[-1].name = "step.log_probability"
    constants = constant_values(graph)
    memory = [loop.inputs[6]]  # the decoder state, after count, condition, position, token, score and open
    memory += [
        value for node in body if node.op_type == "MatMul" for value in node.inputs
        if value is not None and value.graph is graph and value not in constants
    ]  # fmt: skip
    outputs = [loop.outputs[-1]]
    for number, value in enumerate(memory):
        copy = ir.node("Identity", [value])
        copy.outputs[0].name = f"encoder.{number}"
        graph.append(copy)
        outputs.append(copy.outputs[0])
    for value in (softmax.outputs[0], *outputs):
        value.type, value.shape = ir.TensorType(ir.DataType.FLOAT), None
    graph.outputs.extend(outputs)
    data: bytes = ir.to_proto(proto).SerializeToString()
    return data


def _producer_of_input(node: ir.Node, i: int) -> ir.Node:
    value = node.inputs[i]
    assert value is not None
    return _producer_of_output(value)


def _producer_of_output(value: ir.Value) -> ir.Node:
    node = value.producer()
    assert node is not None
    return node


def _greedy_log_softmax(loop: ir.Node) -> ir.Node | None:
    """Return the LogSoftmax node of the loop for greedy search, or None for other loops."""
    nodes = {node.op_type: node for node in loop.attributes["body"].as_graph()}
    return None if "GatherND" in nodes else nodes.get("LogSoftmax")  # beam search reorders its states


@torch.no_grad()
def compare_steps(search: BeamSearch, model: bytes, rows: Sequence[Sequence[int]], metadata: Metadata) -> list[Level]:
    """Compare the encoder, one greedy step, and a chain of greedy steps.

    The chain has CHAINED_STEPS steps, or as many as the sentences allow.
    """
    session = open_session(instrument(model))
    names = [o.name for o in session.get_outputs()]
    limit = TOLERANCE[metadata.precision]
    # The longest sentences, since the length limit of short ones is below CHAINED_STEPS.
    rows = sorted(rows, key=len)[-64:]
    encoder, one_step, chained = [], [], []  # for each batch: equal (B), largest difference (B)
    steps = CHAINED_STEPS
    for source, length in parity_batches(rows[::2] + rows[1::2], 16):
        inputs = session_inputs(
            source, length, beam_size=1, n_best=1, max_length=CHAINED_STEPS, length_penalty=1.0, n_aligned=0
        )
        outputs = dict(zip(names, session.run(None, inputs), strict=True))
        ids = pad_to_even(torch.from_numpy(source))
        lengths = torch.from_numpy(length)
        memory = search.model.encode(ids, lengths)
        candidates = search.selection(ids, lengths) if search.selection else None
        mask = np.arange(ids.shape[1]) < length[:, None]  # (B, S)
        encoder += [(worst <= limit.encoder, worst) for worst in _encoder_differences(memory, outputs, mask)]
        log_probability = outputs["step.log_probability"][:, :, 0]
        allowed = np.minimum(length * search.limit_ratio + EXTRA_LENGTH, len(log_probability))
        chain = _compare_chain(search.model, memory, candidates, log_probability, allowed)
        one_step.append(chain[0])
        chained.append(chain[-1])
        steps = min(steps, int(allowed.min()))
    levels = []
    for name, results, tolerance in (
        ("encoder", encoder, limit.encoder),
        ("one step", one_step, limit.score),
        (f"{steps} chained steps", chained, limit.score),
    ):
        equal, worst = (np.concatenate(arrays) for arrays in zip(*results, strict=True))
        levels.append(
            Level.of(name, len(equal), int(equal.sum()), float(worst.max()), share=limit.share, tolerance=tolerance)
        )
    return levels


def _encoder_differences(
    memory: Memory, outputs: dict[str, Any], mask: npt.NDArray[np.bool_]
) -> Iterator[npt.NDArray[Any]]:
    """Yield the largest difference (B) in each encoder result between PyTorch and a file, given the mask (B, S)."""
    expected = [(memory.state.unsqueeze(1), np.ones(1, bool))]
    for keys, values in zip(memory.keys, memory.values, strict=True):
        if not values.any():  # without attention, a step reads nothing of the source
            continue
        if keys.dim() == 4:  # only dot attention multiplies keys, which is how `instrument` finds them
            expected.append((keys, mask[:, None, None, :]))
        expected.append((values, mask[:, None, :, None]))
    for number, (tensor, defined) in enumerate(expected):
        # With one head the graph has no axis of heads.
        difference = np.abs(tensor.numpy() - outputs[f"encoder.{number}"].reshape(tensor.shape)) * defined
        yield difference.reshape(len(mask), -1).max(1)


def _compare_chain(
    model: Network, memory: Memory, candidates: Candidates | None, log_probability: Floats, allowed: Ids
) -> list[tuple[npt.NDArray[np.bool_], npt.NDArray[Any]]]:
    """Decode greedily in PyTorch and compare with a file's log-probabilities (T, B, C).

    allowed: the number of steps of each sentence (B) that are compared. Returns for each step whether all tokens up to
    it are equal (B), and the largest difference up to the first unequal token (B).
    """
    projection = model.projection(candidates)
    bias = projection.shared[-1].clone()
    bias[1 if candidates else EOS] = EOS_SUPPRESSED  # see `instrument`
    projection = projection._replace(shared=(*projection.shared[:-1], bias))
    B = len(allowed)
    token, state = torch.full((B, 1), BOS), memory.state.unsqueeze(1)
    equal, worst = np.ones(B, bool), np.zeros(B)
    results: list[tuple[npt.NDArray[np.bool_], npt.NDArray[Any]]] = []
    for t, other in enumerate(log_probability):
        logits, state = model.step(token, state, memory, projection)
        ours = torch.log_softmax(logits[:, 0], -1).numpy()  # (B, C)
        difference = (np.abs(ours - other) * (ours > NEGLIGIBLE)).max(1)
        compared = t < allowed
        worst = np.where(equal & compared, np.maximum(worst, difference), worst)
        likeliest, others = (x[:, 1 if candidates else 0 :].argmax(-1) for x in (ours, other))  # without the rest
        equal = equal & ((likeliest == others) | ~compared)
        results.append((equal, worst))
        token = torch.from_numpy(likeliest)[:, None]
        token = candidates.ids.gather(1, token) if candidates else token
    return results


def compare_text(reference: Translator, translator: Translator, lines: Sequence[str]) -> Level:
    """Compare the translations of lines with the file's default settings, and the attention of those that are equal."""
    with_attention = translator.has_attention
    pairs = [*zip(*(t.translate(lines, alignments=with_attention) for t in (reference, translator)), strict=True)]
    example = next((f"{a.text!r} and {b.text!r}" for a, b in pairs if a.text != b.text), "")
    equal = [(a, b) for a, b in pairs if a.text == b.text]
    worst = 0.0
    for a, b in equal:
        for attention, other in zip(a.attention, b.attention, strict=True):
            if attention.target_subwords == other.target_subwords:
                worst = larger_difference(worst, float(np.abs(attention.weights - other.weights).max()))
    name = "text and attention" if with_attention else "text"
    limit = TOLERANCE[translator.metadata.precision]
    return Level.of(name, len(pairs), len(equal), worst, share=limit.share, tolerance=limit.score, example=example)
