"""A training run, and the network that it trains."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from ostinato.errors import NonFiniteLoss, NotEnoughMemory
from ostinato.files import make_folder
from ostinato.training import BatchSource, History, Objective, TrainingConfig, enough_memory, train

_LARGE = 2**28  # bytes of weights from which on all shapes are looked at before any more are drawn
_COPIES = 4  # of each weight: itself, its gradient, and two averages of the optimiser


@dataclass(frozen=True)
class Run:
    """How training went; `failure` is set when it broke off but left good weights."""

    history: History
    failure: NonFiniteLoss | None = None


def run_training(
    network: nn.Module,
    objective: Objective,
    batches: BatchSource,
    validation: BatchSource | None,
    config: TrainingConfig,
    *,
    directory: Path | None,
    resume: bool,
    fingerprint: str,
) -> Run:
    """Train a network in place, and leave it in evaluation mode; see `ostinato.training.train`.

    Raises:
        NonFiniteLoss: training broke off before an epoch was done.
    """
    if directory is not None:
        make_folder(directory)
    failure = None
    try:
        history = train(
            network, objective, batches, validation, config,
            directory=directory, resume=resume, fingerprint=fingerprint,
        )  # fmt: skip
    except NonFiniteLoss as error:
        if not error.history.rows:
            raise
        failure, history = error, error.history
    network.eval()
    return Run(history, failure)


def make_network(make: Callable[[], nn.Module], seed: int) -> Any:
    """Return a network that is not trained, its weights drawn by a seed.

    Raises:
        NotEnoughMemory: it would not fit into the memory of this machine.
    """
    with torch.random.fork_rng(), enough_memory():
        try:
            return _drawn(make, seed, _LARGE)
        except _LargeNetwork:
            _check_shapes(make)
        return _drawn(make, seed, math.inf)


def _drawn(make: Callable[[], nn.Module], seed: int, most: float) -> Any:
    torch.manual_seed(seed)
    with _Counted(most):
        return make()


def _check_shapes(make: Callable[[], nn.Module]) -> None:
    """Refuse a network by the shapes of its weights alone; only of large ones, as these take seconds at first."""
    try:
        with torch.device("meta"):
            shapes = make()
    except Exception:  # noqa: BLE001  (whatever is wrong is said when it is made; and some cells need real numbers)
        return
    check_memory(shapes)


class _LargeNetwork(Exception):
    """There are more weights than are drawn unseen."""


class _Counted(TorchFunctionMode):
    """Stops the making of a network as its weights are allocated, before gigabytes of them are drawn."""

    def __init__(self, most: float) -> None:
        super().__init__()
        self.bytes, self.most, self.there = 0, most, _memory()

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = func(*args, **(kwargs or {}))
        if func is torch.empty:  # no page of it is touched yet
            self.bytes += made.numel() * made.element_size()
            _require(_COPIES * self.bytes, self.there)
            if self.bytes > self.most:
                raise _LargeNetwork
        return made


def check_memory(network: nn.Module) -> None:
    """Refuse a network that cannot be trained in the memory of this machine.

    Raises:
        NotEnoughMemory: it has too many weights.
    """
    _require(
        _COPIES * sum(parameter.numel() * parameter.element_size() for parameter in network.parameters()), _memory()
    )


def _require(needed: int, there: int) -> None:
    if there and needed > there:
        raise NotEnoughMemory(
            f"there is not enough memory ({needed / 2**30:,.0f} GiB to train, of {there / 2**30:,.0f} GiB); "
            "choose a smaller hidden_size, embedding_size, vocabulary_size or num_layers"
        )


def _memory() -> int:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):  # Windows has none of these
        return 0
