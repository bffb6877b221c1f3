"""What a model's answers and its loss show at once: chance, rows that meet, outputs of the wrong kind, a wrong sign."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from ostinato.diagnosis.batches import tensors_in
from ostinato.diagnosis.padding import place_of
from ostinato.diagnosis.stages import Run, watched
from ostinato.diagnosis.subject import Subject

_FAILS = (RuntimeError, ValueError, TypeError, IndexError)
_MOVES = 1e-4  # of the size of answers: what moves less is rounding
_NODES = 400  # of the graph behind the loss that are looked at
_FAR = 1e4  # times the size of answers: outputs that no loss should like
_CHANNELS = 4
_VIEWS = frozenset({
    "View", "UnsafeView", "ReshapeAlias", "Transpose", "Permute", "Squeeze", "Unsqueeze", "Select", "Slice", "Clone",
    "T", "Expand", "Index", "ToCopy", "AsStrided",
})  # fmt: skip
_SUMMED = _VIEWS | {"Mean", "Sum", "Div"}
_PROBABILITIES = {"Softmax": "softmax", "SafeSoftmax": "softmax", "Sigmoid": "sigmoid"}
_LOSSES = frozenset({
    "MseLoss", "NllLoss", "NllLoss2D", "L1Loss", "SmoothL1Loss", "HuberLoss", "BinaryCrossEntropy",
    "BinaryCrossEntropyWithLogits", "SoftMarginLoss",
})  # fmt: skip


@dataclass(frozen=True)
class Answers:
    """What the answers and the loss show.

    Args:
        chance: how far answers in evaluation mode move from one run to the next, over their size.
        met: how far answers move if the inputs of another row change, over their size; NaN: it cannot be told.
        outputs: what the loss gets that it does not expect: `"softmax"`, `"sigmoid"`, `"no logarithm"`; empty: nothing.
        turned: whether the loss falls as answers get worse.
        frozen: how many weights require no gradient; weights: how many there are.
        constant: whether all targets are the same.
    """

    chance: float
    met: float
    outputs: str
    turned: bool
    frozen: int
    weights: int
    constant: bool


def look_at_answers(subject: Subject, run: Run) -> Answers:
    """Return what the answers and the loss show."""
    # whole numbers are no weights: Keras keeps the states of its generators so
    weights = [each for each in subject.model.parameters() if each.is_floating_point() or each.is_complex()]
    counts = [(weight.requires_grad, weight.numel()) for weight in weights]
    loss = watched(subject, {}).loss
    outputs = _outputs(loss)
    return Answers(
        chance=_chance(subject, run),
        met=_met(subject, run),
        outputs=outputs,
        turned=_is_turned(loss) or (_may_be_turned(subject, loss) and _has_no_end(subject, run)),
        frozen=sum(count for trained, count in counts if not trained),
        weights=sum(count for _, count in counts),
        constant=_is_constant(subject.targets),
    )


def _chance(subject: Subject, run: Run) -> float:
    """Return how far the answers move as other random numbers are drawn."""
    if run.answer is None:
        return 0.0
    with torch.no_grad():
        again = watched(replace(subject, seed=subject.seed + 1), {}).answer
    return 0.0 if again is None or again.shape != run.answer.shape else _moved(run.answer, again)


def _moved(old: Tensor, new: Tensor) -> float:
    if not old.numel():
        return 0.0
    size = float(old.double().square().mean().sqrt()) or 1.0
    return float((new.double() - old.double()).abs().max()) / size


def _met(subject: Subject, run: Run) -> float:
    """Exchange the inputs of all rows but one, and return how far the answer of that one moves: of the first and last.

    Where rows are read as steps, each is moved by those before it alone.
    """
    targets, answer = subject.targets, run.answer
    tensors = [tensor for _, tensor in tensors_in(subject.inputs) if tensor.dim() >= 2]
    if not isinstance(targets, Tensor) or targets.dim() < 1 or answer is None or answer.dim() < 1 or not tensors:
        return float("nan")
    xs, rows = tensors[0], len(targets)
    by_step = targets.dim() > 1 and targets.shape[1] == xs.shape[1]  # its first dimension may be steps then
    if rows < 3 or len(xs) != rows or xs.shape[1] in (1, rows) or by_step or len(answer) != rows:
        return float("nan")
    found = [0.0]
    for kept in (0, rows - 1):
        batch = copy.deepcopy(subject.batch)
        place = [name for name, _ in tensors_in(subject.batch)][place_of(subject.batch, xs)]
        others = [row for row in range(rows) if row != kept]
        with torch.no_grad():
            dict(tensors_in(batch))[place][others] = xs[[*others[1:], others[0]]]
            again = watched(replace(subject, batch=batch), {}).answer
        if again is None or again.shape != answer.shape:
            return float("nan")
        found.append(_moved(answer[kept], again[kept]))
    return max(found)


def _is_constant(targets: Any) -> bool:
    return isinstance(targets, Tensor) and targets.numel() > 1 and bool((targets == targets[:1]).all())


# --- the graph behind the loss ---------------------------------------------------------------------------------------


def _name(node: Any) -> str:
    return type(node).__name__.partition("Backward")[0]


def _before(node: Any, passed: frozenset[str]) -> Any:
    """Return what a node of the graph was computed from, what only changes a shape passed over; `None`: a leaf."""
    while True:
        node = node.next_functions[0][0] if node.next_functions else None
        if node is None or _name(node) not in passed:
            return node


def _nodes(loss: Tensor) -> Iterator[Any]:
    """Yield the nodes of the graph, those next to the loss first."""
    start: Any = loss.grad_fn
    found, seen = [start], {start}
    for node in found:
        if node is None or len(seen) > _NODES:
            return
        yield node
        for each, _ in node.next_functions:
            if each is not None and each not in seen:
                seen.add(each)
                found.append(each)


def _outputs(loss: Tensor) -> str:
    """Return what a loss of scores, or of logarithms of probabilities, gets in their place."""
    for node in _nodes(loss):
        kind, before = _name(node), None
        if kind in ("LogSoftmax", "BinaryCrossEntropyWithLogits"):
            before = _before(node, _VIEWS)
            if before is not None and _name(before) in _PROBABILITIES:
                return _PROBABILITIES[_name(before)]
        if kind in ("NllLoss", "NllLoss2D"):
            before = _before(node, _VIEWS)
            if before is not None and _name(before) in (*_PROBABILITIES, "Addmm", "Mm"):
                return "no logarithm"
    return ""


def _is_turned(loss: Tensor) -> bool:
    """Tell whether a loss of the library has a minus before it."""
    node: Any = loss.grad_fn
    while node is not None and _name(node) in _SUMMED:
        node = node.next_functions[0][0]
    if node is None or _name(node) != "Neg":
        return False
    inner = _before(node, _SUMMED)
    return inner is not None and _name(inner) in _LOSSES


def _may_be_turned(subject: Subject, loss: Tensor) -> bool:
    """Tell whether the loss is the user's, and takes any outputs: those of logarithms of probabilities have no end."""
    room = getattr(subject.apart, "__module__", None) or type(subject.apart).__module__
    library = room.partition(".")[0] in ("torch", "keras")
    return not library and not any(_name(node) in ("NllLoss", "NllLoss2D") for node in _nodes(loss))


def _has_no_end(subject: Subject, run: Run) -> bool:
    """Tell whether the loss of outputs that are absurdly far off is far below that of the model."""
    if subject.apart is None or run.answer is None or not isinstance(subject.targets, Tensor):
        return False
    answer, loss = run.answer, float(run.loss.detach())
    size = _FAR * (1 + float(answer.abs().max()) if answer.numel() else 1.0)
    for axis in {-1, 1} if answer.dim() > 2 else {-1}:
        for channel in range(min(_CHANNELS, answer.shape[axis]) if answer.dim() > 1 else 1):
            for sign in (-1.0, 1.0):
                guess = torch.zeros_like(answer)
                (guess.select(axis, channel) if answer.dim() > 1 else guess).fill_(sign * size)
                with contextlib.suppress(*_FAILS), torch.no_grad():
                    value = float(subject.apart(guess, subject.targets))
                    if -float("inf") < value < -1e-2 * size and value < loss - 1e3 * (abs(loss) + 1):
                        return True
    return False
