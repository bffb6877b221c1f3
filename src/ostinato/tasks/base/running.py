"""A training run, and the network that it trains."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ostinato.errors import NonFiniteLoss, UsageError
from ostinato.files import make_folder
from ostinato.training import BatchSource, History, Objective, TrainingConfig, train

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
        UsageError: it would not fit into the memory of this machine.
    """
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        try:
            return make()
        except (MemoryError, RuntimeError, OverflowError) as error:
            if isinstance(error, RuntimeError) and "alloc" not in str(error) and "memory" not in str(error):
                raise
            raise _too_large("more numbers than a tensor can have") from error


def check_memory(network: nn.Module) -> None:
    """Refuse a network that cannot be trained in the memory of this machine.

    Raises:
        UsageError: it has too many weights.
    """
    needed = _COPIES * sum(own.numel() * own.element_size() for own in network.parameters())
    there = _memory()
    if there and needed > there:
        raise _too_large(f"{needed / 2**30:,.0f} GiB to train, of {there / 2**30:,.0f} GiB")


def _too_large(what: str) -> UsageError:
    return UsageError(
        f"the network is too large for this machine: its weights need {what}; choose a smaller hidden_size, "
        "embedding_size, vocabulary_size or num_layers"
    )


def _memory() -> int:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):  # Windows has none of these
        return 0
