"""Plans as JSON, and back: a plan that was read is the same plan, gives the same code and the same bits.

What is read is data. Its operations are looked up by name among those that a plan may hold, and every shape is checked
before any code is made of it.
"""

from __future__ import annotations

import base64
import json
import math
import operator
from typing import Any

import torch
from torch import Tensor

from ostinato.engine.plan import graph as g
from ostinato.engine.plan.checks import DTYPES, factors_of, first_fault, is_finite_size, is_sound
from ostinato.engine.plan.formulas import Formulas, Operation, Value, values_in
from ostinato.engine.plan.graph import Node
from ostinato.engine.plan.plan import Contraction, Factor, Plan, Program, Sink
from ostinato.engine.plan.signature import Signature
from ostinato.engine.plan.step import Work
from ostinato.errors import CorruptArtifact, NewerArtifact, UsageError

FORMAT, VERSION = "ostinato plan", 1
_NAMED: dict[str, dict[str, Any]] = {
    "dtype": DTYPES,
    "device": {"cpu": torch.device("cpu")},
    "layout": {"strided": torch.strided},
    "memory_format": {
        "contiguous_format": torch.contiguous_format,
        "preserve_format": torch.preserve_format,
    },
}
"""Arguments of operations that have names."""

_ALSO = frozenset(
    """
    _weight_norm_interface _weight_norm_interface_backward detach dot lift_fresh_copy linalg_vector_norm mv outer t
    transpose
    """.split()  # noqa: SIM905 - a list of words
)
"""Operations besides those of PyTorch's core set."""


def to_json(plan: Plan) -> str:
    """Write a plan down.

    Raises:
        UsageError: outside of its steps it computes with an operation that a file cannot hold; the message has it.
    """
    programs = {"infer": plan.infer, "forward": plan.forward, "backward": plan.backward}
    roots = [sink.node for program in programs.values() if program for sink in program.sinks]
    roots += [*plan.saved, *(view for factor in factors_of(plan) for view in factor.views)]
    order = g.topological(roots)
    numbers = {node: index for index, node in enumerate(order)}
    signature = {name: getattr(plan.signature, name) for name in Signature.__dataclass_fields__}
    found = {
        "format": FORMAT,
        "version": VERSION,
        "signature": signature,
        "work": {"forward": plan.work.forward, "backward": plan.work.backward},
        "nodes": [
            [node.op, [numbers[child] for child in node.inputs], node.shape, _packed(node.attr), node.boolean]
            for node in order
        ],
        "programs": {
            name: program and [[sink.kind, sink.index, numbers[sink.node]] for sink in program.sinks]
            for name, program in programs.items()
        },
        "saved": [numbers[node] for node in plan.saved],
        "contractions": [
            {
                "factors": part.factors
                and [[of.kind, of.index, [numbers[view] for view in of.views]] for of in part.factors],
                "total": part.total,
                "shape": part.shape,
            }
            for part in plan.contractions
        ],
        "has_dx": plan.has_dx,
        "constants": _written(plan.constants),
        "weights": plan.weights and _written(plan.weights),
    }
    return json.dumps(found, allow_nan=False)


def _packed(value: Any) -> Any:
    """Return numbers as JSON has them: what is not finite as a text."""
    if isinstance(value, (tuple, list)):
        return [_packed(part) for part in value]
    return {"float": str(value)} if isinstance(value, float) and not math.isfinite(value) else value


def _written(formulas: Formulas) -> dict[str, Any]:
    operations = []
    for each in formulas.operations:
        if not _may_be_written(each.target):
            raise UsageError(
                f"the plan cannot be written down: outside of its steps it computes with {each.name}, which is not "
                "among the operations that a plan's file may hold; compute that outside of the cell"
            )
        operations.append([each.name, _argument(each, each.arguments), _argument(each, each.named)])
    tensors = [_tensor(tensor) for tensor in formulas.tensors]
    return {"given": formulas.given, "tensors": tensors, "operations": operations, "wanted": formulas.wanted}


def _may_be_written(target: Any) -> bool:
    """Tell whether an operation is one of PyTorch's own that only computes: no file, no effect, no random numbers."""
    if target is operator.getitem:
        return True
    if not isinstance(target, torch._ops.OpOverload) or target.namespace != "aten" or target._schema.is_mutable:
        return False
    if torch.Tag.nondeterministic_seeded in target.tags:
        return False
    return torch.Tag.core in target.tags or target._schema.name.removeprefix("aten::") in _ALSO


def _argument(operation: Operation, argument: Any) -> Any:
    if isinstance(argument, Value):
        return {"value": argument.index}
    if isinstance(argument, (tuple, list)):
        return [_argument(operation, part) for part in argument]
    for kind, names in _NAMED.items():
        for name, known in names.items():
            if type(argument) is type(known) and argument == known:
                return {kind: name}
    if argument is None or isinstance(argument, (bool, int, float, str)):
        return _packed(argument)
    raise UsageError(f"the plan cannot be written down: {operation.name} in it is given {argument!r:.80}")


def _tensor(tensor: Tensor) -> dict[str, Any]:
    name = str(tensor.dtype).removeprefix("torch.")
    if name not in DTYPES:
        raise UsageError(f"the plan cannot be written down: the cell's code holds a tensor of the type {name}")
    data = tensor.detach().cpu().contiguous().numpy().tobytes()
    return {"dtype": name, "shape": list(tensor.shape), "data": base64.b64encode(data).decode()}


# --- reading -----------------------------------------------------------------------------------------------------


def from_json(text: str) -> Plan:
    """Read a plan that `to_json` wrote.

    Raises:
        CorruptArtifact: it is cut short, changed, or no plan.
        NewerArtifact: it was written by a newer version.
    """
    try:
        found = json.loads(text)
        if found["format"] != FORMAT:
            raise CorruptArtifact(f'the text is of the format "{found["format"]!s:.40}"; expected "{FORMAT}"')
        if found["version"] > VERSION:
            raise NewerArtifact(
                f"the plan is of version {found['version']!s:.20}, and this is a version of Ostinato that reads up to "
                f"{VERSION}; install a newer one"
            )
        plan = _plan(found)
        wrong = first_fault(plan)
    except (KeyError, TypeError, ValueError, IndexError, AttributeError, RuntimeError) as error:
        raise CorruptArtifact(
            f"the plan cannot be read ({type(error).__name__}: {error!s:.120}); write it again with Plan.to_json"
        ) from error
    if wrong:
        raise CorruptArtifact(f"the plan was changed: {wrong} does not fit; write it again with Plan.to_json")
    return plan


def _plan(found: dict[str, Any]) -> Plan:
    nodes: list[Node] = []
    for op, inputs, shape, attr, boolean in found["nodes"]:
        node = Node(op, tuple(nodes[_index(index)] for index in inputs), tuple(shape), _unpacked(attr), bool(boolean))
        if not is_finite_size(node) or not is_sound(node):
            raise ValueError(f"value {len(nodes)}, {op!s:.20} of the shape {shape!s:.40}")
        nodes.append(node)
    signature = Signature(**{name: _tuples(value) for name, value in found["signature"].items()})
    carries = signature.outputs[1:]
    programs = {
        name: None
        if sinks is None
        else Program(tuple(Sink(kind, _index(index), nodes[_index(at)]) for kind, index, at in sinks), carries)
        for name, sinks in found["programs"].items()
    }
    infer, forward, backward = (programs[name] for name in ("infer", "forward", "backward"))
    if infer is None or forward is None:
        raise ValueError("a program is missing")
    contractions = tuple(
        Contraction(
            part["factors"]
            and tuple(
                Factor(kind, _index(index), tuple(nodes[_index(view)] for view in views))
                for kind, index, views in part["factors"]
            ),
            part["total"],
            tuple(part["shape"]),
        )
        for part in found["contractions"]
    )
    return Plan(
        signature,
        Work(**{name: _tuples(value) for name, value in found["work"].items()}),
        _formulas(found["constants"]),
        signature.outputs,
        infer,
        forward,
        backward,
        tuple(nodes[_index(index)] for index in found["saved"]),
        contractions,
        found["weights"] and _formulas(found["weights"]),
        bool(found["has_dx"]),
    )


def _index(value: Any) -> int:
    if type(value) is not int or value < 0:
        raise ValueError(f"{value!s:.20} is no number of a value")
    return value


def _tuples(value: Any) -> Any:
    return tuple(_tuples(part) for part in value) if isinstance(value, list) else value


def _unpacked(value: Any) -> Any:
    if isinstance(value, list):
        return tuple(_unpacked(part) for part in value)
    return float(value["float"]) if isinstance(value, dict) else value


def _formulas(found: dict[str, Any]) -> Formulas:
    given, tensors = _index(found["given"]), tuple(_read_tensor(each) for each in found["tensors"])
    operations: list[Operation] = []
    for name, arguments, named in found["operations"]:
        operation = Operation(_target(name), tuple(map(_read, arguments)), tuple((key, _read(v)) for key, v in named))
        limit = given + len(tensors) + len(operations)
        if any(index >= limit for index in values_in((operation.arguments, operation.named))):
            raise ValueError(f"{name} reads what comes after it")
        operations.append(operation)
    last = given + len(tensors) + len(operations)
    wanted = tuple(None if index is None else _index(index) for index in found["wanted"])
    if any(index is not None and index >= last for index in wanted):
        raise ValueError("a value that is wanted is not computed")
    return Formulas(given, tensors, tuple(operations), wanted)


def _target(name: str) -> Any:
    """Return the operation of a name, one of those that a plan may hold."""
    if name == "getitem":
        return operator.getitem
    namespace, packet, overload = name.split(".")
    target = getattr(getattr(torch.ops.aten, packet), overload) if namespace == "aten" else None
    if not _may_be_written(target):
        raise ValueError(f"{name:.60} is no operation of a plan")
    return target


def _read(argument: Any) -> Any:
    if isinstance(argument, list):
        return [_read(part) for part in argument]
    if not isinstance(argument, dict):
        return argument
    ((kind, name),) = argument.items()
    if kind == "value":
        return Value(_index(name))
    return float(name) if kind == "float" else _NAMED[kind][name]


def _read_tensor(found: dict[str, Any]) -> Tensor:
    data = bytearray(base64.b64decode(found["data"], validate=True))
    dtype, shape = DTYPES[found["dtype"]], [_index(size) for size in found["shape"]]
    if not data:
        return torch.empty(shape, dtype=dtype)
    return torch.frombuffer(data, dtype=dtype).reshape(shape)
