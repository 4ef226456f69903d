"""Graph passes that shorten an exported graph before it is written.

At batch size 1 the number of nodes decides how long a step takes, and the exporter writes more of them than it needs.
Each pass matches what `translate/network/` writes and leaves every other pattern alone. The export compares the result
with PyTorch before it writes a file.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import onnx
import onnx_ir as ir
from onnx_ir.passes import common

CHOOSE = ("dragoman", "Choose")  # stands for search.choose until make_branches


def simplify(model: ir.Model) -> onnx.ModelProto:
    """Apply all passes in place, in an order in which one makes way for the next, and return the model."""
    _clean(model)
    for rewrite in (
        use_static_reshapes,
        reduce_booleans,
        stack_loop_outputs,
        use_scan_directions,
        drop_relus,
        quantise_early,
        use_sums,
    ):
        rewrite(model.graph)
        common.RemoveUnusedNodesPass()(model)  # what a rewrite bypassed must not count as a use in the next
    _clean(model)
    hoist(model.graph)
    _clean(model)
    make_branches(model.graph)
    for node in model.graph.all_nodes():
        for value in node.outputs:
            if not value.is_graph_output():  # the exporter's types and shapes are those of the graph before
                value.type = value.shape = None
    common.ClearMetadataAndDocStringPass()(model)  # stack traces, with paths of the machine that exports
    model.metadata_props.clear()
    return ir.to_proto(model)


def _clean(model: ir.Model) -> None:
    """Make names unique, turn constants into initializers of the main graph, and drop duplicate and unused nodes."""
    for graph_pass in (
        common.NameFixPass(),
        common.LiftConstantsToInitializersPass(lift_all_constants=True, size_limit=0),
        common.LiftSubgraphInitializersToMainGraphPass(),
        common.DeduplicateInitializersPass(size_limit=1 << 24),
        common.CommonSubexpressionEliminationPass(),
        common.RemoveUnusedNodesPass(),
    ):
        graph_pass(model)


def use_static_reshapes(graph: ir.Graph) -> None:
    """Replace a computed Reshape target with a constant one: 0 keeps a dimension and -1 infers one.

    A Reshape from one dimension to one dimension goes away.
    """
    for node in _nodes(graph, "Reshape"):
        data, target = (_input(node, i) for i in (0, 1))
        before, after = data.shape, node.outputs[0].shape
        if before is None or after is None:
            continue
        if len(before) == len(after) == 1 and not node.outputs[0].is_graph_output():
            node.outputs[0].replace_all_uses_with(data)
        elif not target.is_initializer():
            sizes = [
                size if isinstance(size, int) else 0 if size.value and before[i : i + 1] == (size,) else -1
                for i, size in enumerate(after)
            ]
            if sizes.count(-1) <= 1:
                node.attributes.clear()  # with allowzero, 0 would be a size
                node.replace_input_with(1, _vector(graph, sizes))


def reduce_booleans(graph: ir.Graph) -> None:
    """Reduce booleans as booleans; the exporter writes `any` and `all` as reductions of integers between casts."""
    for cast in _nodes(graph, "Cast"):
        reduction = _producer(cast.inputs[0], "ReduceMax", "ReduceMin")
        inner = _producer(reduction.inputs[0], "Cast") if reduction else None
        if reduction is None or inner is None or _input(inner, 0).dtype != ir.DataType.BOOL:
            continue
        if cast.outputs[0].dtype == ir.DataType.BOOL and _used_once(reduction.outputs[0]):
            reduction.replace_input_with(0, inner.inputs[0])
            _replace(cast.outputs[0], reduction.outputs[0])


def stack_loop_outputs(graph: ir.Graph) -> None:
    """Let Loop stack the rows that a body writes into a carried buffer, one row an iteration.

    The buffer had a row for every step of the longest translation allowed. The stack has a row for each step that ran,
    and the search reads no others.
    """
    for loop in _nodes(graph, "Loop"):
        body = loop.attributes["body"].as_graph()
        rows = {i: row for i in range(len(loop.inputs) - 2) if (row := _written_row(loop, i)) is not None}
        if not rows:
            continue
        for i, row in rows.items():
            if row.is_graph_output():  # a value can be an output only once
                copy = ir.node("Identity", [row])
                copy.outputs[0].type, copy.outputs[0].shape = row.type, row.shape
                body.append(copy)
                rows[i] = copy.outputs[0]
        order = [*(i for i in range(len(loop.outputs)) if i not in rows), *rows]
        outputs = [body.outputs[0], *(rows.get(i, body.outputs[1 + i]) for i in order)]
        inputs = [value for i, value in enumerate(loop.inputs) if i - 2 not in rows]
        carried = [value for i, value in enumerate(body.inputs) if i - 2 not in rows]
        for values, new in ((body.outputs, outputs), (body.inputs, carried)):
            values.clear()
            values.extend(new)
        shorter = ir.node("Loop", inputs, {"body": body}, num_outputs=len(order))
        loop.append(shorter)
        for old, new_value in zip((loop.outputs[i] for i in order), shorter.outputs, strict=True):
            _replace(old, new_value)


def _written_row(loop: ir.Node, i: int) -> ir.Value | None:
    """Return the row (B, K) that a Loop body writes into its carried value i, if it does nothing else with it."""
    body = loop.attributes["body"].as_graph()
    buffer = body.inputs[2 + i]
    scatter = _producer(body.outputs[1 + i], "ScatterND")
    if scatter is None or scatter.inputs[0] is not buffer or not _used_once(buffer):
        return None
    unsqueeze = _producer(scatter.inputs[2], "Unsqueeze")
    if unsqueeze is None or not _counts_iterations(loop, _input(scatter, 1)):
        return None
    row = _input(unsqueeze, 0)
    return row if row.shape is not None and len(row.shape) == 2 else None


def _counts_iterations(loop: ir.Node, index: ir.Value) -> bool:
    """Return whether an index in a Loop body is a carried value that starts at 0 and grows by 1."""
    unsqueeze = _producer(index, "Unsqueeze")
    counter = _input(unsqueeze, 0) if unsqueeze else index
    body = loop.attributes["body"].as_graph()
    if not counter.is_graph_input() or counter.graph is not body:
        return False
    place = body.inputs.index(counter)
    add = _producer(body.outputs[place - 1], "Add")
    if add is None or counter not in add.inputs or _numbers(loop.inputs[place]) != [0]:
        return False
    return any(_numbers(value) == [1] for value in add.inputs)


def use_scan_directions(graph: ir.Graph) -> None:
    """Let Scan run backwards where the exporter reverses a sequence before it or an output after it."""
    for scan in _nodes(graph, "Scan"):
        count = scan.attributes["num_scan_inputs"].as_int()
        states = len(scan.inputs) - count
        input_directions, output_directions = [0] * count, [0] * (len(scan.outputs) - states)
        for i in range(count):
            flip = _producer(scan.inputs[states + i], "Slice")
            if flip is not None and _reverses(flip):
                scan.replace_input_with(states + i, flip.inputs[0])
                input_directions[i] = 1
        for i, value in enumerate(scan.outputs[states:]):
            users = value.consumers()
            if _used_once(value) and users[0].op_type == "Slice" and _reverses(users[0]):
                _replace(users[0].outputs[0], value)
                output_directions[i] = 1
        scan.attributes.add(ir.AttrInt64s("scan_input_directions", input_directions))
        scan.attributes.add(ir.AttrInt64s("scan_output_directions", output_directions))


def _reverses(node: ir.Node) -> bool:
    """Return whether a Slice reverses its first axis."""
    start, _, axes, steps = (_numbers(value) for value in node.inputs[1:5])
    return start == [-1] and axes == [0] and steps == [-1]


def drop_relus(graph: ir.Graph) -> None:
    """Drop a ReLU before a quantisation with zero point 0, which clamps negative values anyway."""
    for node in _nodes(graph, "QuantizeLinear"):
        relu, zero = _producer(node.inputs[0], "Relu"), _input(node, 2).const_value
        if relu is not None and zero is not None and not zero.numpy().any():
            node.replace_input_with(0, relu.inputs[0])


def quantise_early(graph: ir.Graph) -> None:
    """Quantise values before they are moved, so that a quarter of the bytes moves."""
    while any(_quantise_earlier(node) for node in _nodes(graph, "QuantizeLinear")):
        pass  # one swap can make the next possible


def _quantise_earlier(node: ir.Node) -> bool:
    """Swap a quantisation with the node that moves its input, if every use of that node quantises alike."""
    mover = _producer(node.inputs[0], "Slice", "Concat", "Split")
    if mover is None or mover.graph is not node.graph:
        return False
    parameters = node.inputs[1:]
    users = [user for value in mover.outputs for user in value.consumers()]
    alike = all(user.op_type == "QuantizeLinear" and user.inputs[1:] == parameters for user in users)
    if not alike or not all(_used_once(value) for value in mover.outputs):
        return False
    for i in range(len(mover.inputs) if mover.op_type == "Concat" else 1):
        quantised = ir.node("QuantizeLinear", [mover.inputs[i], *parameters])
        mover.prepend(quantised)
        mover.replace_input_with(i, quantised.outputs[0])
    for user in users:
        _replace(user.outputs[0], _input(user, 0))
        assert user.graph is not None
        user.graph.remove(user, safe=True)
    return True


def use_sums(graph: ir.Graph) -> None:
    """Write an Add before a LayerNormalization as a Sum.

    ONNX Runtime fuses Add and LayerNormalization into SkipLayerNormalization, which takes several times as long as both
    (docs/speed.md).
    """
    for node in _nodes(graph, "LayerNormalization"):
        add = _producer(node.inputs[0], "Add")
        if add is None:
            continue
        terms = [*add.inputs]
        for i, term in enumerate(terms):
            inner = _producer(term, "Add")
            if inner is not None and _used_once(inner.outputs[0]):
                terms[i : i + 1] = inner.inputs
                break
        total = ir.node("Sum", terms)
        add.append(total)
        _replace(add.outputs[0], total.outputs[0])


def hoist(graph: ir.Graph) -> None:
    """Move out of Loop and Scan bodies all nodes that compute the same in every iteration."""
    for owner in reversed([*graph.all_nodes()]):  # inner bodies first
        for body in _bodies(owner):
            for node in [*body]:
                varies = any(value is not None and value.graph is body for value in node.inputs)
                if not varies and not any(value.is_graph_output() for value in node.outputs) and not _bodies(node):
                    body.remove(node)
                    owner.prepend(node)


def make_branches(graph: ir.Graph) -> None:
    """Turn the choices of one condition into an If, and move into its branches what only they need."""
    choices: dict[ir.Value, list[ir.Node]] = {}
    for node in graph:
        if (node.domain, node.op_type) == CHOOSE:
            choices.setdefault(_input(node, 0), []).append(node)
    for condition, nodes in choices.items():
        branches = {}
        for name, place in (("then_branch", 1), ("else_branch", 2)):
            outputs = []
            for node in nodes:  # a branch does not return a value of the graph around it
                copy = ir.node("Identity", [_input(node, place)])
                graph.append(copy)
                outputs.append(copy.outputs[0])
                node.replace_input_with(place, None)
            members = _needed_by(graph, outputs)
            for member in members:
                graph.remove(member)
            branches[name] = ir.Graph([], outputs, nodes=members, name=name)
        branch = ir.node("If", [condition], branches, num_outputs=len(nodes))
        nodes[-1].append(branch)
        for node, value in zip(nodes, branch.outputs, strict=True):
            _replace(node.outputs[0], value)
            graph.remove(node, safe=True)
        graph.sort()  # the users of one choice may stand before another


def _needed_by(graph: ir.Graph, values: Sequence[ir.Value]) -> list[ir.Node]:
    """Return the nodes that compute these values and nothing else, in order.

    Those that compute constants are left out: ONNX Runtime computes them once, if they are in the main graph. So are
    loops, since it rearranges the weights of products in advance only where they are one level below the main graph.
    """
    constants, wanted, members = constant_values(graph), {*values}, set[ir.Node]()
    owner_of = {node: owner for owner in graph for node in _inner_nodes(owner)}
    for node in reversed(graph):
        users = {owner_of.get(user, user) for value in node.outputs for user in value.consumers()}
        needed = users <= members and node.op_type != "Loop" and not any(v.is_graph_output() for v in node.outputs)
        if (wanted & {*node.outputs}) or (users and needed and not constants & {*node.outputs}):
            members.add(node)
    return [node for node in graph if node in members]


def constant_values(graph: ir.Graph) -> set[ir.Value]:
    """Return the initializers of a graph and all values that it computes from them alone."""
    constants = set(graph.initializers.values())
    for node in graph:
        if all(value in constants for value in node.inputs if value is not None) and not _bodies(node):
            constants.update(node.outputs)
    return constants


def _inner_nodes(node: ir.Node) -> Iterator[ir.Node]:
    """Return the nodes in the bodies of a node, and in the bodies of those."""
    return (inner for body in _bodies(node) for inner in body.all_nodes())


def _bodies(node: ir.Node) -> list[ir.Graph]:
    return [a.as_graph() for a in node.attributes.values() if a.type == ir.AttributeType.GRAPH]


def _nodes(graph: ir.Graph, op_type: str) -> Iterator[ir.Node]:
    """Return the nodes of one type in a graph and its bodies; a pass may change the graph while it reads them."""
    return iter([node for node in graph.all_nodes() if node.op_type == op_type])


def _producer(value: ir.Value | None, *op_types: str) -> ir.Node | None:
    """Return the node that computes a value, if it has one of these types."""
    node = value.producer() if value is not None else None
    return node if node is not None and node.op_type in op_types else None


def _input(node: ir.Node, i: int) -> ir.Value:
    """Return an input that the operator requires."""
    value = node.inputs[i]
    assert value is not None
    return value


def _used_once(value: ir.Value) -> bool:
    return len(value.uses()) == 1 and not value.is_graph_output()


def _replace(old: ir.Value, new: ir.Value) -> None:
    """Let every user of one value use another; a graph output keeps its name and type."""
    new.type, new.shape = old.type, old.shape
    if old.is_graph_output():
        new.name, old.name = old.name, None
    old.replace_all_uses_with(new, replace_graph_outputs=True)


def _numbers(value: ir.Value | None) -> list[int] | None:
    """Return a small int64 constant as a list."""
    constant = value.const_value if value is not None else None
    if constant is None or constant.dtype != ir.DataType.INT64 or constant.size > 16:
        return None
    return [int(number) for number in constant.numpy().reshape(-1)]


def _vector(graph: ir.Graph, numbers: Sequence[int]) -> ir.Value:
    """Return an int64 vector among the initializers of the main graph."""
    name = "vector." + "_".join(map(str, numbers))
    if name not in graph.initializers:
        tensor = ir.tensor(np.array(numbers, np.int64), name=name)
        graph.register_initializer(ir.Value(name=name, const_value=tensor))
    return graph.initializers[name]
