"""The graph's pointwise operations as Triton's."""

from __future__ import annotations

import math
from collections.abc import Sequence

from ostinato.engine.plan.graph import Node

_UNARY = {
    "neg": "-({0})",
    "abs": "tl.abs({0})",
    "sign": "sign({0})",
    "exp": "tl.exp({0})",
    "exp2": "tl.exp2({0})",
    "expm1": "expm1({0})",
    "log": "tl.log({0})",
    "log2": "tl.log2({0})",
    "log1p": "log1p({0})",
    "sqrt": "root({0})",
    "rsqrt": "tl.rsqrt({0})",
    "reciprocal": "1.0 / ({0})",
    "sigmoid": "sigmoid({0})",
    "tanh": "tanh({0})",
    "sin": "tl.sin({0})",
    "cos": "tl.cos({0})",
    "erf": "tl.erf({0})",
    "floor": "tl.floor({0})",
    "ceil": "tl.ceil({0})",
    "round": "round_even({0})",
    "trunc": "trunc({0})",
    "relu": "relu({0})",
    "copy": "{0}",
}
_BINARY = {
    "add": "({0}) + ({1})",
    "sub": "({0}) - ({1})",
    "mul": "({0}) * ({1})",
    "div": "({0}) / ({1})",
    "maximum": "maximum({0}, {1})",
    "minimum": "minimum({0}, {1})",
    "pow": "power({0}, {1})",
    "eq": "({0}) == ({1})",
    "ne": "({0}) != ({1})",
    "lt": "({0}) < ({1})",
    "le": "({0}) <= ({1})",
    "gt": "({0}) > ({1})",
    "ge": "({0}) >= ({1})",
}
_LOGICAL = {"logical_and": "({0}) & ({1})", "logical_or": "({0}) | ({1})", "logical_xor": "({0}) ^ ({1})"}
_OF_TILES = ("pow", "maximum", "minimum")
"""Functions whose arguments must be tiles."""


def literal(node: Node) -> str:
    """Return a number as source text."""
    value = node.attr[0]
    if node.boolean:
        return str(bool(value))
    if math.isnan(value) or math.isinf(value):
        return f'float("{value}")'
    return repr(float(value))


def expression(node: Node, operands: Sequence[str], kind: str) -> str:
    """Return a pointwise operation on tiles and numbers; masks are tiles of booleans, all else of type `kind`."""
    op, inputs = node.op, node.inputs
    if op == "to_float":
        return f"({_mask(inputs[0], operands[0])}).to({kind})"
    if op == "where":
        mask = _mask(inputs[0], operands[0])
        if node.boolean:
            return f"tl.where({mask}, {_mask(inputs[1], operands[1])}, {_mask(inputs[2], operands[2])})"
        return f"tl.where({mask}, {_number(inputs[1], operands[1], kind)}, {_number(inputs[2], operands[2], kind)})"
    if op == "logical_not":
        return f"({_mask(inputs[0], operands[0])}) == 0"
    if op in _LOGICAL:
        return _LOGICAL[op].format(*(_mask(child, text) for child, text in zip(inputs, operands, strict=True)))
    if op == "copy" and node.boolean:
        return operands[0]
    values = [_number(child, text, kind) for child, text in zip(inputs, operands, strict=True)]
    if op in _UNARY:
        return _UNARY[op].format(values[0] if _is_tile(values[0]) else _tile(values[0], kind))
    if op in _OF_TILES or not any(map(_is_tile, values)):
        values = [text if _is_tile(text) else _tile(text, kind) for text in values]
    return _BINARY[op].format(*values)


def _is_tile(text: str) -> bool:
    named = text[0].isalpha() and not text.startswith(("float", "True", "False"))
    return named or text.startswith("(")


def _tile(number: str, kind: str) -> str:
    return f"tl.full([1, 1], {number}, {kind})"


def _number(node: Node, text: str, kind: str) -> str:
    if not node.boolean:
        return text
    return f"({text}).to({kind})" if _is_tile(text) else ("1.0" if text == "True" else "0.0")


def _mask(node: Node, text: str) -> str:
    if node.boolean:
        return text if _is_tile(text) else f"tl.full([1, 1], {text}, tl.int1)"
    return f"({text}) != 0.0" if _is_tile(text) else f"tl.full([1, 1], {text != '0.0'}, tl.int1)"
