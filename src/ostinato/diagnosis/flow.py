"""How gradients go back through time, and how far back a change of input still moves the output."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence
from torch.utils import _pytree

from ostinato.diagnosis.stages import Call, Stage, watched
from ostinato.diagnosis.subject import NotMeasured, Subject
from ostinato.tasks.base.gradients import gradient_norms, gradient_reach, gradients_explode

_MOVES = 0.01  # of the largest effect: what is less is said not to move the output
_NOISE = 1e-5  # of it: what float32 loses anyway
_PLACES = 22  # distances at which inputs are changed


@dataclass(frozen=True)
class Flow:
    """The gradient through time.

    Args:
        norms: of the gradient of the loss, through the last step, by what was read so many steps before it.
        reach: how many steps back they are a thousandth of the largest, or more.
        explodes: whether they grow with the distance.
        cut: the first distance from which on they are nothing at all; `None`: they are so nowhere.
    """

    norms: NDArray[np.float64]
    reach: int
    explodes: bool
    cut: int | None

    @property
    def factor(self) -> float:
        """By how much the gradient is multiplied a step, on the average."""
        seen = self.norms[self.norms > 0]
        return float((seen[-1] / seen[0]) ** (1 / (len(seen) - 1))) if len(seen) > 1 else 1.0


def gradient_flow(subject: Subject, stage: Stage) -> Flow:
    """Measure the gradient through time of one recurrent part, as the loss has it through that part's last step.

    Where the loss reads every step, its gradient comes to early steps directly; what has to come through the state is
    then seen from the last step alone.
    """

    def through_last(read: Tensor) -> Tensor:
        run = watched(subject, {stage.name: stage.module}, {stage.name: (stage, read)})
        calls = _of_stage(run.calls[stage.name], stage)
        found = list({id(each): each for call in calls for each in call.outputs if each.requires_grad}.values())
        if not found:
            raise NotMeasured("what the layer gives is computed without gradients")
        loss = run.loss if run.loss.requires_grad else run.loss + 0 * read.sum()
        given = torch.autograd.grad(loss, found, retain_graph=True, allow_unused=True)
        seeds: dict[int, Tensor | None] = {id(each): seed for each, seed in zip(found, given, strict=True)}
        lasts = stage.last_outputs(calls)
        shares = stage.last_outputs([_replaced(call, seeds) for call in calls])
        if not any(bool((share != 0).any()) for share in shares):
            shares = [torch.full_like(each, each[0].numel() ** -0.5) for each in lasts[:1]]
        return torch.stack([(share.detach() * last).sum() for share, last in zip(shares, lasts, strict=False)]).sum()

    norms = gradient_norms(stage.xs, stage.lengths, through_last)
    # a step within is read by itself, but only through the state by the last one
    nothing = np.flatnonzero(norms > 0)
    cut = int(nothing[-1]) + 1 if len(nothing) and nothing[-1] + 1 < len(norms) else None
    return Flow(norms, gradient_reach(norms), gradients_explode(norms), cut)


def untaught(subject: Subject, stages: list[Stage]) -> list[int]:
    """Return of each recurrent part how many weights it has if the loss has no gradient by any of them, else 0.

    Weights that are frozen, which require no gradient, do not count.
    """
    loss = watched(subject, {}).loss
    known: set[int] = set()
    weights = [weight for weight in subject.model.parameters() if weight.requires_grad]
    if loss.requires_grad and weights:
        gradients = torch.autograd.grad(loss, weights, allow_unused=True)
        known = {id(weight) for weight, gradient in zip(weights, gradients, strict=True) if gradient is not None}
    found = []
    for stage in stages:
        mine = [weight for weight in stage.module.parameters() if weight.requires_grad]
        found.append(0 if any(id(weight) in known for weight in mine) else sum(weight.numel() for weight in mine))
    return found


def _of_stage(calls: list[Call], stage: Stage) -> list[Call]:
    first = stage.calls[0].number
    return calls[first : first + len(stage.calls)]


def _replaced(call: Call, seeds: dict[int, Tensor | None]) -> Call:
    """Return a call that gave other tensors: zeros where there is none."""

    def other(value: Any) -> Any:
        if isinstance(value, PackedSequence):
            return PackedSequence(other(value.data), *value[1:])
        if not isinstance(value, Tensor):
            return value
        seed = seeds.get(id(value))
        if seed is None:  # the same zeros wherever the same tensor stands
            seed = seeds[id(value)] = torch.zeros_like(value)
        return seed

    output = _pytree.tree_map(other, call.output, is_leaf=lambda each: isinstance(each, PackedSequence))
    if len(_tensors(output)) == len(_tensors(call.output)):
        return Call(call.args, call.kwargs, output, call.number)
    return call


def _tensors(value: Any) -> list[Tensor]:
    return [leaf for leaf in _pytree.tree_leaves(value) if isinstance(leaf, Tensor)]


# --- changes of input ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Memory:
    """How far back a change of input still moves the output.

    Args:
        distances: at which inputs were changed, in steps before the last.
        moved: how far the output moved, over the most that it did at any distance.
        steps: the largest distance at which it moved by a hundredth of that.
        longest: the largest distance that was tried.
    """

    distances: NDArray[np.int64]
    moved: NDArray[np.float64]
    steps: int
    longest: int

    def moves_at(self, distance: int) -> bool:
        """Tell whether the output moves, more than by rounding, by a change at or beyond a distance."""
        return bool((self.moved[self.distances >= distance] > 100 * _NOISE).any())


def answer_at_end(answer: Tensor | None, calls: list[Call], stage: Stage) -> list[Tensor]:
    """Return what a run gave at the last step of each row: of the model's output, else of the recurrent part."""
    rows = stage.xs.shape[1]
    if answer is None or answer.dim() == 0 or rows not in answer.shape[:2]:
        return stage.last_outputs(calls)
    places = torch.arange(rows, device=answer.device)
    if answer.dim() >= 2 and answer.shape[:2] == (stage.steps, rows):
        return [answer[stage.lengths - 1, places]]
    if answer.dim() >= 2 and answer.shape[:2] == (rows, stage.steps):
        return [answer[places, stage.lengths - 1]]
    return [answer]


def answers_of(subject: Subject, stage: Stage, read: Tensor) -> tuple[list[Tensor], Tensor]:
    """Return what is answered at the end, and the loss, if a recurrent part reads something else."""
    with torch.no_grad():
        run = watched(subject, {stage.name: stage.module}, {stage.name: (stage, read)})
    return answer_at_end(run.answer, _of_stage(run.calls[stage.name], stage), stage), run.loss


def effective_memory(subject: Subject, stage: Stage, left: Any) -> Memory:
    """Change what is read at one distance after the other, by what another row read there, and see the output move.

    Args:
        subject: the model, the batch, the loss.
        stage: whose input is changed.
        left: tells whether there is time for another distance.
    """
    longest = int(stage.lengths.max()) - 1
    places = np.unique(np.r_[np.arange(min(6, longest + 1)), np.geomspace(1, max(1, longest), _PLACES)].round())
    base, _ = answers_of(subject, stage, stage.xs)
    moved, tried = list[float](), list[int]()
    for distance in places.astype(np.int64):
        if tried and not left():
            break
        outputs, _ = answers_of(subject, stage, _changed(stage, int(distance)))
        pairs = zip(outputs, base, strict=True)
        moved.append(float(torch.stack([(new - old).double().square().sum() for new, old in pairs]).sum().sqrt()))
        tried.append(int(distance))
    effect = np.nan_to_num(np.asarray(moved))
    effect = effect / (effect.max() or 1.0)
    felt = np.flatnonzero(effect >= _MOVES)
    return Memory(np.asarray(tried), effect, int(tried[felt[-1]]) if len(felt) else 0, tried[-1])


def _changed(stage: Stage, distance: int) -> Tensor:
    """Return what is read with one step of each row, so many before its last, exchanged for another row's."""
    xs, read = stage.xs, stage.xs.clone()
    steps, rows = xs.shape[:2]
    places = stage.lengths - 1 - distance
    at = places.clamp_min(0)
    index = torch.arange(rows, device=xs.device)
    mine = xs[at, index]
    if rows > 1:
        # the row whose step differs most of a few: some steps are alike in many rows
        others = torch.stack([xs[at.roll(k), index.roll(k)] for k in {1, rows // 2, max(1, rows // 3)}])
    else:
        others = torch.stack([xs[(at + k) % steps, index] for k in {1, steps // 2, max(1, steps // 3)}])
    far = (others - mine).flatten(2).norm(dim=-1).argmax(0)
    put = others[far, index]
    read[at, index] = torch.where((places >= 0).reshape(-1, *[1] * (mine.dim() - 1)), put, mine)
    return read
