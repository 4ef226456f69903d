"""Operators outside of ONNX's standard, for onnxscript to write into a graph."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import onnx
from onnxscript.values import Op, Opset


def operator(
    domain: str,
    name: str,
    inputs: Mapping[str, str],
    output: str,
    types: Sequence[str] = (),
    required: int | None = None,
) -> Op:
    """Return version 1 of an operator with one output.

    inputs: their types by name, in order. types: those that the type variable T stands for. required: how many inputs
    an operator has at least; all by default.
    """
    S = onnx.defs.OpSchema
    options = S.FormalParameterOption
    required = len(inputs) if required is None else required
    parameters = [
        S.FormalParameter(key, dtype, "", param_option=options.Single if i < required else options.Optional)
        for i, (key, dtype) in enumerate(inputs.items())
    ]
    constraints = [("T", [*types], "")] if types else []
    schema = S(
        name, domain, 1, inputs=parameters, outputs=[S.FormalParameter("Y", output, "")], type_constraints=constraints
    )
    return Op(Opset(domain, 1), name, schema)
