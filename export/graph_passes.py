"""Graph passes that simplify an exported graph: at one sentence the number of nodes decides the time of a step."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

import numpy as np
import onnx
import onnx_ir
from onnx import TensorProto, helper, numpy_helper
from onnx_ir.passes import common

Dimension = str | int


def simplify(model: onnx.ModelProto) -> onnx.ModelProto:
    """All rewrites, in an order in which one makes way for the next."""
    model = _tidy(model)
    graph = _Graphs(model.graph)
    graph.static_reshapes()
    graph.booleans()
    graph.stacked_outputs()
    graph.scan_directions()
    graph.relus()
    graph.early_quantisation()
    graph.sums()
    graph.constant_products()
    model = _tidy(model)
    _Graphs(model.graph).hoist()
    model = _tidy(model)
    for part in _Graphs(model.graph).graphs():
        del part.value_info[:]  # what was changed is no longer what the exporter noted
    return model


def _tidy(model: onnx.ModelProto) -> onnx.ModelProto:
    """Names unique over all bodies, constants as initializers of the outer graph, nothing twice and nothing unused."""
    ir = onnx_ir.from_proto(model)
    for one in (
        common.NameFixPass(),
        common.LiftConstantsToInitializersPass(lift_all_constants=True, size_limit=0),
        common.LiftSubgraphInitializersToMainGraphPass(),
        common.DeduplicateInitializersPass(size_limit=1 << 24),
        common.CommonSubexpressionEliminationPass(),
        common.RemoveUnusedNodesPass(),
    ):
        one(ir)
    return onnx_ir.to_proto(ir)


class _Graphs:
    """A graph with its bodies, whose names are unique: who makes a value, who uses it, what is known of it."""

    def __init__(self, root: onnx.GraphProto) -> None:
        self.root = root
        self.made = 0
        self.refresh()

    def refresh(self) -> None:
        """Read the graph again after it was changed."""
        self.constants = {t.name: t for t in self.root.initializer}
        self.producer: dict[str, onnx.NodeProto] = {}
        self.shape: dict[str, list[Dimension]] = {}
        self.boolean: set[str] = set()
        self.uses: Counter[str] = Counter()
        for graph in self.graphs():
            for value in (*graph.input, *graph.output, *graph.value_info):
                kind = value.type.tensor_type
                if kind.HasField("shape"):
                    self.shape[value.name] = [
                        d.dim_value if d.HasField("dim_value") else d.dim_param or f"{value.name}.{i}"
                        for i, d in enumerate(kind.shape.dim)
                    ]
                if kind.elem_type == TensorProto.BOOL:
                    self.boolean.add(value.name)
            self.uses.update(o.name for o in graph.output)
            for node in graph.node:
                self.producer.update((o, node) for o in node.output)
                self.uses.update(node.input)

    def graphs(self) -> Iterator[onnx.GraphProto]:
        """The graph and all bodies in it, outer ones first."""
        yield self.root
        yield from (body for _, body, _ in bodies(self.root))

    def nodes(self, *ops: str) -> Iterator[tuple[onnx.GraphProto, onnx.NodeProto]]:
        """(graph, node) of all nodes of these kinds, from a list made beforehand."""
        return iter([(graph, node) for graph in self.graphs() for node in graph.node if node.op_type in ops])

    def made_by(self, name: str, *ops: str) -> onnx.NodeProto | None:
        """The node that makes a value, if it is one of these kinds."""
        node = self.producer.get(name)
        return node if node is not None and node.op_type in ops else None

    def numbers(self, name: str) -> list[int] | None:
        """The content of a small constant of whole numbers, else None."""
        if name not in self.constants or self.constants[name].data_type != TensorProto.INT64:
            return None
        value = numpy_helper.to_array(self.constants[name])
        return [int(i) for i in value.reshape(-1)] if value.size <= 16 else None

    def constant(self, numbers: Sequence[int]) -> str:
        """The name of a constant vector."""
        name = "numbers." + "_".join(map(str, numbers))
        if name not in self.constants:
            self.constants[name] = numpy_helper.from_array(np.array(numbers, np.int64), name)
            self.root.initializer.append(self.constants[name])
        return name

    def new_name(self) -> str:
        """A name that no value has."""
        self.made += 1
        return f"simplified.{self.made}"

    def rename(self, old: str, new: str) -> None:
        """Let all that use one value use another."""
        for graph in self.graphs():
            for node in graph.node:
                for i, name in enumerate(node.input):
                    if name == old:
                        node.input[i] = new
            for output in graph.output:
                if output.name == old:
                    output.name = new

    def static_reshapes(self) -> None:
        """A Reshape whose new shape is computed from its input's own, with constants: 0 (as it was) and -1."""
        outputs = {o.name for graph in self.graphs() for o in graph.output}
        for _, node in self.nodes("Reshape"):
            before, after = self.shape.get(node.input[0]), self.shape.get(node.output[0])
            if before is None or after is None:
                continue
            if len(before) == len(after) == 1 and node.output[0] not in outputs:
                self.rename(node.output[0], node.input[0])
            elif node.input[1] not in self.constants:
                sizes = [
                    size if isinstance(size, int) else 0 if before[i : i + 1] == [size] else -1
                    for i, size in enumerate(after)
                ]
                if sizes.count(-1) <= 1:
                    del node.attribute[:]  # allowzero, with which 0 would mean nothing
                    node.input[1] = self.constant(sizes)
        self.refresh()

    def booleans(self) -> None:
        """`any` and `all`, which the exporter takes over integers: ReduceMax and ReduceMin of booleans."""
        for _, node in self.nodes("Cast"):
            reduction = self.made_by(node.input[0], "ReduceMax", "ReduceMin")
            cast = self.made_by(reduction.input[0], "Cast") if reduction is not None else None
            if reduction is None or cast is None or cast.input[0] not in self.boolean:
                continue
            if _attribute(node, "to") == TensorProto.BOOL and self.uses[reduction.output[0]] == 1:
                reduction.input[0] = cast.input[0]
                reduction.output[0], node.output[0] = node.output[0], self.new_name()
                node.input[0] = reduction.output[0]  # unused from now on
        self.refresh()

    def stacked_outputs(self) -> None:
        """A carried buffer that each iteration writes its own row of, as an output that Loop itself stacks.

        The buffer had rows for the longest translation allowed; the stack has one for each step that was run, and
        the search reads no others.
        """
        for _, loop in self.nodes("Loop"):
            body = loop.attribute[0].g
            for i in range(len(loop.input) - 3, -1, -1):
                buffer, written = body.input[2 + i].name, body.output[1 + i].name
                scatter = self.made_by(written, "ScatterND")
                if scatter is None or scatter.input[0] != buffer or self.uses[buffer] != 1:
                    continue
                row = self.made_by(scatter.input[2], "Unsqueeze")
                if row is None or not self._counts_up(loop, scatter.input[1]) or len(self.shape[row.input[0]]) != 2:
                    continue
                name = row.input[0]
                if name in {o.name for o in body.output}:  # an output needs a name of its own
                    name = self.new_name()
                    body.node.append(helper.make_node("Identity", [row.input[0]], [name]))
                body.node.remove(scatter)
                output = body.output.pop(1 + i)
                del output.type.tensor_type.shape.dim[0]
                output.name = name
                body.output.append(output)
                body.input.pop(2 + i)
                loop.input.pop(2 + i)
                loop.output.append(loop.output.pop(i))
        self.refresh()

    def _counts_up(self, loop: onnx.NodeProto, index: str) -> bool:
        """Whether an index is a carried value that starts at 0 and grows by 1."""
        unsqueeze = self.made_by(index, "Unsqueeze")
        carried = index if unsqueeze is None else unsqueeze.input[0]
        body = loop.attribute[0].g
        places = [i for i, x in enumerate(body.input) if x.name == carried]
        if not places:
            return False
        add = self.made_by(body.output[places[0] - 1].name, "Add")
        if add is None or carried not in add.input or self.numbers(loop.input[places[0]]) != [0]:
            return False
        return any(self.numbers(x) == [1] for x in add.input)

    def scan_directions(self) -> None:
        """A sequence reversed before a Scan, and its output reversed after it, as directions of the Scan."""
        for _, scan in self.nodes("Scan"):
            count = _attribute(scan, "num_scan_inputs")
            states = len(scan.input) - count
            ways_in, ways_out = [0] * count, [0] * (len(scan.output) - states)
            for i in range(count):
                flip = self.made_by(scan.input[states + i], "Slice")
                if flip is not None and self._reverses(flip):
                    scan.input[states + i] = flip.input[0]
                    ways_in[i] = 1
            for i in range(len(ways_out)):
                name = scan.output[states + i]
                users = [node for graph in self.graphs() for node in graph.node if name in node.input]
                if len(users) == 1 == self.uses[name] and users[0].op_type == "Slice" and self._reverses(users[0]):
                    ways_out[i] = 1
                    scan.output[states + i], users[0].output[0] = users[0].output[0], self.new_name()
                    users[0].input[0] = scan.output[states + i]  # unused from now on
            for name, ways in (("scan_input_directions", ways_in), ("scan_output_directions", ways_out)):
                kept = [a for a in scan.attribute if a.name != name]
                del scan.attribute[:]
                scan.attribute.extend([*kept, helper.make_attribute(name, ways)])
        self.refresh()

    def _reverses(self, node: onnx.NodeProto) -> bool:
        """Whether a Slice turns its first axis round."""
        start, _, axes, steps = ((self.numbers(x) or [7]) for x in node.input[1:5])
        return start == [-1] and axes == [0] and steps == [-1]

    def relus(self) -> None:
        """A ReLU in front of a quantisation whose zero point is 0, which does the same."""
        for _, node in self.nodes("QuantizeLinear"):
            relu = self.made_by(node.input[0], "Relu")
            zero = self.constants.get(node.input[2])
            if relu is not None and zero is not None and not numpy_helper.to_array(zero).any():
                node.input[0] = relu.input[0]
        self.refresh()

    def early_quantisation(self) -> None:
        """Quantise before values are moved about, not after: a quarter of the bytes to move."""
        while any(self._earlier(graph, node) for graph, node in self.nodes("QuantizeLinear")):
            pass  # one swap may make way for the next

    def _earlier(self, graph: onnx.GraphProto, node: onnx.NodeProto) -> bool:
        """Swap a quantisation with what moves its input, if nothing else needs that as numbers."""
        mover = self.made_by(node.input[0], "Slice", "Concat", "Split")
        if mover is None or mover not in graph.node:
            return False
        users = [other for other in graph.node if set(mover.output) & set(other.input)]
        same = all(u.op_type == "QuantizeLinear" and list(u.input[1:]) == list(node.input[1:]) for u in users)
        if not same or any(self.uses[name] != 1 for name in mover.output):
            return False
        for i in range(len(mover.input) if mover.op_type == "Concat" else 1):
            name = self.new_name()
            _insert(graph, mover, helper.make_node("QuantizeLinear", [mover.input[i], *node.input[1:]], [name]))
            mover.input[i] = name
        for user in users:
            self.rename(user.output[0], user.input[0])
            graph.node.remove(user)
        self.refresh()
        return True

    def sums(self) -> None:
        """An Add in front of a LayerNormalization as a Sum.

        ONNX Runtime fuses the two into one SkipLayerNormalization that takes several times as long as both
        (docs/speed.md).
        """
        for _, node in self.nodes("LayerNormalization"):
            add = self.made_by(node.input[0], "Add")
            if add is None:
                continue
            add.op_type = "Sum"
            for i, name in enumerate(add.input):
                inner = self.made_by(name, "Add")
                if inner is not None and self.uses[name] == 1:
                    terms = [*add.input[:i], *inner.input, *add.input[i + 1 :]]
                    del add.input[:]
                    add.input.extend(terms)
                    break
        self.refresh()

    def constant_products(self) -> None:
        """A product of constants, in operators that ONNX Runtime computes when it loads the file.

        It does so for the operators of ONNX, not for its own MatMulIntegerToFloat.
        """
        fixed = fixed_values(self.root)
        for node in [*self.root.node]:
            if node.op_type == "MatMulIntegerToFloat" and node.output[0] in fixed:
                x, columns, step, scale, zero, _, bias = (*node.input, "", "")[:7]
                names = [self.new_name() for _ in range(4)]
                new = [
                    helper.make_node("MatMulInteger", [x, columns, zero], [names[0]]),
                    helper.make_node("Cast", [names[0]], [names[1]], to=TensorProto.FLOAT),
                    helper.make_node("Mul", [step, scale], [names[2]]),
                    helper.make_node("Mul", [names[1], names[2]], [names[3] if bias else node.output[0]]),
                ]
                if bias:
                    new.append(helper.make_node("Add", [names[3], bias], [node.output[0]]))
                for one in new:
                    _insert(self.root, node, one)
                self.root.node.remove(node)
        self.refresh()

    def hoist(self) -> None:
        """Out of the bodies, what is the same in every iteration."""
        for parent, body, owner in reversed([*bodies(self.root)]):
            inside = {x.name for x in body.input} | {o for node in body.node for o in node.output}
            outputs = {o.name for o in body.output}
            for node in [*body.node]:
                names = set(node.input)
                if names & inside or any(a.type == onnx.AttributeProto.GRAPH for a in node.attribute):
                    continue
                if not outputs.isdisjoint(node.output):
                    continue
                inside.difference_update(node.output)
                body.node.remove(node)
                _insert(parent, owner, node)
                infos = [v for v in body.value_info if v.name in node.output]
                parent.value_info.extend(infos)
        self.refresh()


def bodies(graph: onnx.GraphProto) -> Iterator[tuple[onnx.GraphProto, onnx.GraphProto, onnx.NodeProto]]:
    """(graph, body, the node in the graph that has the body), outer ones first."""
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.type == onnx.AttributeProto.GRAPH:
                yield graph, attribute.g, node
                yield from bodies(attribute.g)


def fixed_values(graph: onnx.GraphProto) -> set[str]:
    """The names of constants, and of all that an outer graph computes from constants alone."""
    fixed = {t.name for t in graph.initializer}
    for node in graph.node:
        if all(name in fixed for name in node.input if name) and not any(a.HasField("g") for a in node.attribute):
            fixed.update(node.output)
    return fixed


def _attribute(node: onnx.NodeProto, name: str) -> int:
    """A whole-number attribute, 0 where it is not given."""
    return next((a.i for a in node.attribute if a.name == name), 0)


def _insert(graph: onnx.GraphProto, node: onnx.NodeProto, new: onnx.NodeProto) -> None:
    """Put a new node in front of another of the same graph."""
    place = next(i for i, other in enumerate(graph.node) if other == node)
    graph.node.insert(place, new)
