"""What the loss says: whether inputs are used at all, a simple guess is as good, a target is given away."""

from __future__ import annotations

import contextlib
import math
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ostinato.diagnosis.flow import answers_of
from ostinato.diagnosis.padding import raw_inputs
from ostinato.diagnosis.stages import Run, Stage
from ostinato.diagnosis.subject import Subject

_FAILS = (RuntimeError, ValueError, TypeError, IndexError)
_ROWS = 24  # of a batch: fewer say nothing about a leak
_EXACT = 0.9995  # of the variance of a number that one input explains: it is the number
_CLASS = 0.985  # of the rows whose class their neighbour by one input has
_SINGLE = 0.005  # of the loss with exchanged inputs, that is left with one input alone
_FEATURES = 64
_LEARNED = 0.2  # of the loss: what a model that has learned is better by than with inputs of others


@dataclass(frozen=True)
class Losses:
    """The loss on the batch beside what simpler models lose on it.

    Args:
        model: as it is.
        exchanged: with each row's inputs exchanged for another row's, `NaN` where there is one row.
        simple: by name, of models that do not look back: the best constant, an input's last value.
    """

    model: float
    exchanged: float
    simple: dict[str, float] = field(default_factory=dict)

    @property
    def learned(self) -> bool:
        """Whether the model does clearly better with its inputs than with those of others."""
        # a loss may be below zero, as likelihoods are
        return self.exchanged - self.model > _LEARNED * max(abs(self.exchanged), abs(self.model))

    @property
    def rivals(self) -> dict[str, float]:
        """All that it stands beside, by name."""
        found = {"another row's inputs": self.exchanged, **self.simple}
        return {name: value for name, value in found.items() if math.isfinite(value)}


def losses(subject: Subject, stage: Stage, run: Run) -> Losses:
    """Return the loss on the batch, and what simpler models lose."""
    rows = stage.xs.shape[1]
    exchanged = math.nan
    if rows > 1:
        shifts = {1, max(1, rows // 2), max(1, rows // 3)}
        found = [float(answers_of(subject, stage, exchanged_rows(stage, shift))[1]) for shift in shifts]
        exchanged = float(np.mean(found))
    return Losses(float(run.loss.detach()), exchanged, _simple(subject, stage, run))


def exchanged_rows(stage: Stage, shift: int) -> Tensor:
    """Return what is read with each row's steps exchanged for those of another row, the last ones at the end."""
    steps, rows = stage.xs.shape[:2]
    index = torch.arange(rows, device=stage.xs.device)
    donor = index.roll(shift)
    ago = stage.lengths - 1 - torch.arange(steps, device=stage.xs.device)[:, None]
    at = (stage.lengths[donor] - 1 - ago) % stage.lengths[donor]
    read = stage.xs[at, donor]
    return torch.where((ago >= 0).reshape(steps, rows, *[1] * (stage.xs.dim() - 2)), read, stage.xs)


def _simple(subject: Subject, stage: Stage, run: Run) -> dict[str, float]:
    if subject.apart is None or run.answer is None:
        return {}
    found = {}
    with contextlib.suppress(*_FAILS):  # a loss that takes no constant has no such rival
        found["the best constant"] = _best_constant(subject, run.answer)
    last = last_inputs(subject, stage)
    if last is not None and run.answer.is_floating_point() and run.answer.shape[0] == len(last):
        tries = [_loss_of(subject, last[:, place], run.answer) for place in range(min(last.shape[1], _FEATURES))]
        known = [value for value in tries if value is not None and math.isfinite(value)]
        if known:
            found["the last value of an input"] = min(known)
    return found


def _best_constant(subject: Subject, answer: Tensor) -> float:
    """Return the loss of the best outputs that are the same for all rows and steps."""
    assert subject.apart is not None
    apart, targets = subject.apart, subject.targets
    width = answer.shape[-1:] if answer.dim() > 1 else ()
    shape = answer.shape
    with torch.no_grad():
        start = answer.detach().reshape(-1, *width).float().mean(0)
    guess = start.clone().requires_grad_()
    search = torch.optim.LBFGS([guess], max_iter=80, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        search.zero_grad()
        loss = apart(guess.to(answer.dtype).expand(shape), targets)
        torch.autograd.backward(loss)
        return loss.detach()

    search.step(closure)  # type: ignore[no-untyped-call]
    with torch.no_grad():
        value = float(apart(guess.to(answer.dtype).expand(shape), targets))
    return value if math.isfinite(value) else math.inf


def _loss_of(subject: Subject, guess: Tensor, answer: Tensor) -> float | None:
    """Return the loss of one number a row as the answer; `None`: the loss does not take it."""
    assert subject.apart is not None
    if answer.numel() != len(guess):
        return None
    try:
        with torch.no_grad():
            return float(subject.apart(guess.to(answer.dtype).reshape(answer.shape), subject.targets))
    except _FAILS:
        return None


def last_inputs(subject: Subject, stage: Stage) -> Tensor | None:
    """Return what the model itself reads at the last step of each row, `(rows, inputs)`; `None`: it is not known."""
    found = raw_inputs(subject, stage)
    if found is None:
        return None
    _, tensor, by_row = found
    steps = tensor.shape[1] if by_row else tensor.shape[0]
    if steps != stage.steps:
        return None
    rows = torch.arange(len(stage.lengths), device=tensor.device)
    last = stage.lengths.to(tensor.device) - 1
    return (tensor[rows, last] if by_row else tensor[last, rows]).reshape(len(rows), -1)


# --- leaks of the target ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Given:
    """One input that gives the target away: its place, how well, and by what that was seen."""

    place: int
    share: float
    words: str


def given_away(subject: Subject, stage: Stage, found: Losses) -> Given | None:
    """Return the input that at the last step alone gives the target away, if there is one.

    Where targets are known, one input stands beside them; else the model is run with all but that input exchanged.
    """
    read = raw_inputs(subject, stage)
    if read is not None and not read[1].is_floating_point() and read[1].dim() == 2:
        return None  # tokens: there is nothing else to read, and the last word may well decide
    last, targets = last_inputs(subject, stage), _last_targets(subject, stage)
    if last is not None and targets is not None and len(last) >= _ROWS:
        shares = [_explained(last[:, place].cpu(), targets) for place in range(min(last.shape[1], _FEATURES))]
        best = int(np.argmax([share for share, _ in shares])) if shares else 0
        share, needed = shares[best] if shares else (0.0, 1.0)
        words = "of the variance of the target" if needed == _EXACT else "of the targets"
        return Given(best, share, words) if share >= needed else None
    return _by_model(subject, stage, found)


def _last_targets(subject: Subject, stage: Stage) -> Tensor | None:
    targets = subject.targets
    if not isinstance(targets, Tensor):
        return None
    rows, steps = len(stage.lengths), stage.steps
    index, last = torch.arange(rows, device=targets.device), stage.lengths.to(targets.device) - 1
    if targets.shape == stage.lengths.shape and bool((targets == last + 1).all()):
        return None  # these are the lengths
    if targets.dim() >= 2 and targets.shape[:2] == (rows, steps) and steps > 1:
        targets = targets[index, last]
    elif targets.dim() >= 2 and targets.shape[:2] == (steps, rows):
        targets = targets[last, index]
    elif targets.shape[:1] != (rows,):
        return None
    flat = targets.reshape(rows, -1).cpu()
    return flat.double() if flat.is_floating_point() else flat


def _explained(values: Tensor, targets: Tensor) -> tuple[float, float]:
    """Return how much of the targets one input says, and how much would be too much."""
    kinds = torch.from_numpy(np.unique(targets.numpy()))
    if targets.shape[1] == 1 and (not targets.is_floating_point() or len(kinds) <= 2):
        if len(kinds) < 2:
            return 0.0, 1.0
        counts = torch.stack([(targets == kind).sum() for kind in kinds])
        often = float(counts.max()) / len(targets)
        return (_neighbours(values, targets[:, 0]), _CLASS) if often < 0.9 else (0.0, 1.0)
    x = values.double() - values.double().mean()
    y = targets.double() - targets.double().mean(0)
    if float(x.norm()) == 0:
        return 0.0, 1.0
    shares = (x @ y).square() / (x.square().sum() * y.square().sum(0)).clamp_min(1e-30)
    return float(shares.max()), _EXACT


def _neighbours(values: Tensor, classes: Tensor) -> float:
    """Return the share of rows whose class is that of all that have the same value, or of the next ones by value."""
    order = values.double().argsort(stable=True)
    sorted_values, sorted_classes = values.double()[order], classes[order]
    kinds = np.unique(sorted_values.numpy())
    if len(kinds) <= max(2, len(values) // 4):  # categories: what most of a value's rows are
        right = sum(
            int(np.unique(sorted_classes[sorted_values == float(value)].numpy(), return_counts=True)[1].max())
            for value in kinds
        )
        return right / len(values)
    before, after = sorted_classes[:-1] == sorted_classes[1:], sorted_classes[1:] == sorted_classes[:-1]
    same = torch.zeros(len(values))
    same[1:] += before
    same[:-1] += after
    ends = torch.full((len(values),), 2.0)
    ends[0] = ends[-1] = 1.0
    return float((same / ends).mean())


def _by_model(subject: Subject, stage: Stage, found: Losses) -> Given | None:
    width = stage.xs[0, 0].numel()
    if not found.learned or width > _FEATURES or stage.xs.shape[1] < _ROWS or found.model > 0.05 * found.exchanged:
        return None
    rows = torch.arange(stage.xs.shape[1], device=stage.xs.device)
    last = stage.lengths - 1
    shares = []
    for place in range(width):
        read = exchanged_rows(stage, 1).flatten(2)
        read[last, rows, place] = stage.xs.flatten(2)[last, rows, place]
        value = float(answers_of(subject, stage, read.reshape(stage.xs.shape))[1])
        shares.append(value / found.exchanged)
    best = int(np.argmin(shares))
    if shares[best] > _SINGLE:
        return None
    return Given(best, 1 - shares[best], "of what exchanged inputs lose")


# --- what lies too far back ------------------------------------------------------------------------------------------


def said_by_far_inputs(subject: Subject, stage: Stage, run: Run, reach: int) -> float:
    """Return how much of what the model still gets wrong inputs beyond its reach explain: a share of the variance.

    What is wrong is the gradient of the loss by the answers, row by row; means, and means of products, of what was read
    before are fitted to it by ridge regression, and judged on rows that were left out. NaN: too few rows.
    """
    rows = stage.xs.shape[1]
    far = stage.lengths - 1 - reach
    if rows < 48 or int(far.min()) < 2 or run.answer is None:
        return math.nan
    wrong = _wrong(subject, stage)
    if wrong is None:
        return math.nan
    features = _far_features(stage, far)
    return max(_left_out(features, column) for column in wrong.T)


def _wrong(subject: Subject, stage: Stage) -> NDArray[np.float64] | None:
    """Return the gradient of the loss by each row's answer, `(rows, numbers)`; at most a few of the largest numbers."""
    from ostinato.diagnosis.stages import watched

    run = watched(subject, {})
    if run.answer is None or not run.answer.requires_grad or run.answer.shape[0] != stage.xs.shape[1]:
        return None
    (gradient,) = torch.autograd.grad(run.loss, run.answer, allow_unused=True)
    if gradient is None:
        return None
    flat = gradient.flatten(1).double().cpu().numpy()
    return flat[:, np.argsort(-flat.std(0))[:4]]


def _far_features(stage: Stage, far: Tensor) -> NDArray[np.float64]:
    flat = stage.xs.flatten(2).double().cpu()
    if flat.shape[-1] > 6:
        generator = torch.Generator().manual_seed(0)
        flat = flat @ torch.randn(flat.shape[-1], 6, generator=generator, dtype=flat.dtype) / flat.shape[-1] ** 0.5
    real = torch.arange(len(flat))[:, None] < far.cpu()
    pairs = torch.stack([flat[..., i] * flat[..., j] for i in range(flat.shape[-1]) for j in range(i + 1)], -1)
    both = torch.cat([flat, pairs], -1)
    means = (both * real[..., None]).sum(0) / far.cpu()[:, None]
    return np.asarray(means.numpy())


def _left_out(features: NDArray[np.float64], wrong: NDArray[np.float64]) -> float:
    """Return the share of the variance that ridge regression explains on rows that it has not seen."""
    if wrong.std() == 0:
        return 0.0
    scaled = (features - features.mean(0)) / np.maximum(features.std(0), 1e-12)
    design = np.c_[np.ones(len(scaled)), scaled]
    hat = design @ np.linalg.solve(design.T @ design + 1.0 * np.eye(design.shape[1]), design.T)
    left = (wrong - hat @ wrong) / np.maximum(1 - np.diag(hat), 1e-6)
    return float(1 - (left**2).mean() / wrong.var())
