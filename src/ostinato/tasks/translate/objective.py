"""What a translator is trained by."""

from __future__ import annotations

from typing import Any

from torch import nn

from ostinato.training.objective import Carry, Step


class TranslationObjective:
    """Cross-entropy of a translation's tokens, in training with smoothed labels.

    Args:
        label_smoothing: the share of each target that goes to all tokens alike (C. Szegedy et al., 2016, section 7).
    """

    def __init__(self, label_smoothing: float = 0.0) -> None:
        self.label_smoothing = label_smoothing

    def __call__(self, module: nn.Module, batch: Any, carry: Carry | None) -> Step:  # noqa: ARG002
        """Read a batch."""
        loss, tokens = module(*batch, label_smoothing=self.label_smoothing if module.training else 0.0)
        return Step(loss, tokens)
