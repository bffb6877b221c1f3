"""Whether the learning rate is too high or too low: a range test, and short runs, on copies of the model."""

from __future__ import annotations

import copy
import math
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ostinato.diagnosis.subject import NotMeasured, Subject
from ostinato.errors import UsageError

_LOWEST, _HIGHEST = 1e-6, 10.0
_POINTS = (40, 100)  # of a range test
_RUN = (25, 60)  # steps of a short run
_BETTER = 0.7  # of a loss: what a smaller rate must come to, in as many steps, to show that the rate is too high
_FAR = 300.0  # below the steepest: a rate that is so small is far too small
_FAILS = (RuntimeError, ValueError, TypeError)


@dataclass(frozen=True)
class Rates:
    """A range test (L. Smith, "Cyclical learning rates for training neural networks", 2017), and short runs.

    Args:
        rates: which rose from step to step; losses: at each, smoothed; NaN once it was none.
        steepest: the rate at which the loss fell fastest; diverges: from which on it rose again, infinite: nowhere.
        asked: the rate that is used; `None`: it was not said.
        runs: by rate, the loss after as many steps of it from the same start.
        steps: how many; start: the loss before.
        fresh: whether weights were drawn again for it, and not those of the model.
    """

    rates: NDArray[np.float64]
    losses: NDArray[np.float64]
    steepest: float
    diverges: float
    asked: float | None
    runs: dict[float, float]
    steps: int
    start: float
    fresh: bool

    @property
    def too_high(self) -> bool:
        """Whether a smaller rate gets much further in as many steps, or the loss breaks off."""
        if self.asked is None or self.asked not in self.runs:
            return False
        mine = self.runs[self.asked]
        if not math.isfinite(mine):
            return True
        others = [loss for rate, loss in self.runs.items() if rate < self.asked and math.isfinite(loss)]
        best = min(others, default=math.inf)
        if not self.fresh and mine <= max(1.5 * self.start, self.start):
            return False  # from weights that were trained, even a rate that suits may lose a little at first
        return best < _BETTER * mine and mine - best > 0.02 * abs(self.start)

    @property
    def too_low(self) -> bool:
        """Whether it is far below where the loss falls, and the loss hardly moves."""
        if self.asked == 0:
            return True
        if self.asked is None or self.asked not in self.runs or not math.isfinite(self.steepest):
            return False
        mine = self.runs[self.asked]
        fell = self.start - float(np.nanmin(self.losses)) > 0.1 * abs(self.start)
        return fell and self.asked < self.steepest / _FAR and self.start - mine < 0.02 * abs(self.start)


def optimizer_of(
    given: Any, learning_rate: float | None
) -> tuple[Callable[[Iterable[Tensor], float], Any], float | None]:
    """Return what makes an optimiser like a given one, at another rate, and the rate that is used.

    Args:
        given: `"adam"`, `"adamw"`, `"sgd"`, a class of `torch.optim`, or an optimiser.
        learning_rate: `None`: that of the optimiser, if it is one.

    Raises:
        UsageError: it is none of these, or the rate is not above zero.
    """
    names: dict[str, Any] = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW, "sgd": torch.optim.SGD}
    rate = learning_rate
    if isinstance(given, torch.optim.Optimizer):
        group = dict(given.param_groups[0])
        rate = float(group["lr"]) if rate is None else rate
        kind, more = (
            type(given),
            {k: v for k, v in group.items() if k in ("betas", "eps", "momentum", "alpha", "weight_decay")},
        )
        made = lambda weights, at: kind(list(weights), lr=at, **more)  # type: ignore[call-arg]  # noqa: E731
    elif isinstance(given, type) and issubclass(given, torch.optim.Optimizer):
        made = lambda weights, at: given(list(weights), lr=at)  # type: ignore[call-arg]  # noqa: E731
    elif isinstance(given, str) and given in names:
        made = lambda weights, at: names[given](list(weights), lr=at)  # noqa: E731
    else:
        raise UsageError(f"optimizer is {given!r:.60}; expected adam, adamw, sgd, or an optimiser of torch.optim")
    if rate is not None and (isinstance(rate, bool) or not isinstance(rate, (int, float)) or not 0 <= rate < math.inf):
        raise UsageError(f"learning_rate is {rate!r:.40}; expected a number of 0 or more")
    return made, None if rate is None else float(rate)


def range_test(
    subject: Subject,
    make: Callable[[Iterable[Tensor], float], Any],
    asked: float | None,
    clip: float | None,
    seconds: float,
) -> Rates:
    """Let the rate rise from step to step, then train a little at the rate that is used and at smaller ones.

    Args:
        subject: its batch is what each step is of; the model is left as it is.
        make: an optimiser of weights and a rate.
        asked: the rate that is used.
        clip: the greatest norm of a gradient; `None`: any.
        seconds: what all of it may take.

    Raises:
        NotMeasured: no weight is trained, or the time is too short.
    """
    if not any(weight.requires_grad for weight in subject.model.parameters()):
        raise NotMeasured("all weights are frozen")
    start, fresh = _fresh(subject.model)
    began = time.monotonic()
    first = _trained(subject, start, make, np.full(2, 1e-9), clip)
    if not first:
        raise NotMeasured("the loss breaks off at once")
    each = max((time.monotonic() - began) / 2, 1e-5)
    share = seconds / each
    needed = _POINTS[0] + 3 * _RUN[0] * bool(asked)
    if needed > 1.5 * share:
        raise NotMeasured(f"it would take {needed * each:.0f} seconds; give more max_seconds, or fewer rows or steps")
    points = int(np.clip(share * 0.4, *_POINTS))
    rates = np.geomspace(_LOWEST, _HIGHEST, points)
    curve = _smooth(_trained(subject, start, make, rates, clip))
    steps = int(np.clip(share * 0.15, *_RUN))
    runs = {}
    if asked:
        for rate in (asked, asked / 10, asked / 100):
            losses = _trained(subject, start, make, np.full(steps, rate), clip)
            runs[rate] = float(np.mean(losses[-4:])) if len(losses) == steps else math.inf
    steepest, diverges = _read(rates, curve)
    return Rates(rates, curve, steepest, diverges, asked, runs, steps, first[0] if first else math.nan, fresh)


def _fresh(model: nn.Module) -> tuple[nn.Module, bool]:
    """Return a copy whose weights are drawn again, where its modules can do that, and whether they all could."""
    if hasattr(model, "_flatten_layers"):
        return _fresh_of_keras(model)
    copied, drawn = copy.deepcopy(model), True
    for module in copied.modules():
        mine = [parameter for parameter in module.parameters(recurse=False) if parameter.requires_grad]
        reset = getattr(module, "reset_parameters", None) or getattr(module, "_reset_parameters", None)
        if callable(reset):
            reset()
        elif mine and not _within_resettable(copied, module):
            drawn = False
    if not drawn:  # drawn in part, it is neither the one nor the other
        return copy.deepcopy(model).train(), False
    return copied.train(), True


def _fresh_of_keras(model: nn.Module) -> tuple[nn.Module, bool]:
    try:
        clone: nn.Module = sys.modules["keras"].models.clone_model(model)
    except (ValueError, TypeError, AttributeError):  # it is a class of the user's, which Keras cannot make again
        return copy.deepcopy(model), False
    return clone, True


def _within_resettable(model: nn.Module, module: nn.Module) -> bool:
    return any(
        callable(getattr(outer, "reset_parameters", None)) and any(inner is module for inner in outer.modules())
        for outer in model.modules()
    )


def _trained(
    subject: Subject,
    start: nn.Module,
    make: Callable[[Iterable[Tensor], float], Any],
    rates: NDArray[np.float64],
    clip: float | None,
) -> list[float]:
    """Train a copy, each step at its rate; return the losses as long as they are numbers."""
    model = copy.deepcopy(start)
    weights = [parameter for parameter in model.parameters() if parameter.requires_grad]
    if not weights:
        return []
    optimizer, losses = make(weights, float(rates[0])), list[float]()
    torch.manual_seed(0)
    lowest = math.inf
    for rate in rates:
        for group in optimizer.param_groups:
            group["lr"] = float(rate)
        optimizer.zero_grad()
        loss = subject.loss(model)
        value = float(loss.detach())
        if not math.isfinite(value) or value > 1e3 * max(abs(lowest), 1e-3):
            break
        lowest = min(lowest, value)
        losses.append(value)
        torch.autograd.backward(loss)
        if not bool(torch.isfinite(nn.utils.clip_grad_norm_(weights, clip or math.inf))):
            break
        optimizer.step()
    return losses


def _smooth(values: list[float]) -> NDArray[np.float64]:
    """Return an average that forgets slowly, corrected for its start."""
    found, total, weight = [], 0.0, 0.0
    for value in values:
        total, weight = 0.7 * total + 0.3 * value, 0.7 * weight + 0.3
        found.append(total / weight)
    return np.asarray(found)


def _read(rates: NDArray[np.float64], curve: NDArray[np.float64]) -> tuple[float, float]:
    """Return where the loss falls fastest, and from where on it rises."""
    if len(curve) < 5:
        return math.nan, float(rates[len(curve)]) if len(curve) < len(rates) else math.inf
    best = int(np.argmin(curve))
    slope = np.gradient(curve)[: best + 1]
    steepest = float(rates[int(np.argmin(slope))]) if len(slope) > 1 else math.nan
    above = np.flatnonzero(curve[best:] > curve[best] + 0.5 * max(curve[0] - curve[best], 0.05 * abs(curve[0])))
    if len(above):
        return steepest, float(rates[best + above[0]])
    return steepest, float(rates[len(curve)]) if len(curve) < len(rates) else math.inf
