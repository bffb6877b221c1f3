"""The progress bar: loss, validation loss, steps per second, time left."""

from __future__ import annotations

import math
import sys
from typing import Literal

from ostinato.training.history import EpochRow


class Bar:
    """A bar over all steps of a run on stderr, or nothing."""

    def __init__(self, shown: bool | Literal["auto"], epochs: int, steps: int, first: int) -> None:
        from tqdm import tqdm

        visible = sys.stderr.isatty() if shown == "auto" else shown
        self.epochs, self.validation = epochs, ""
        self._bar = tqdm(
            total=epochs * steps,
            initial=first,
            disable=not visible,
            unit="step",
            dynamic_ncols=True,
            mininterval=0.2,
            file=sys.stderr,
            leave=True,
        )

    def step(self, epoch: int, loss: float) -> None:
        """Move on by one step; `loss` is the epoch's mean so far."""
        self._bar.update()
        if not self._bar.disable:
            self._bar.set_description_str(f"epoch {epoch + 1}/{self.epochs}", refresh=False)
            self._bar.set_postfix_str(f"loss {loss:.4g}{self.validation}", refresh=False)

    def expect(self, steps: int) -> None:
        """Take note of how many steps there are going to be in all."""
        self._bar.total = steps

    def epoch(self, row: EpochRow) -> None:
        """Show an epoch's validation loss from now on."""
        if not math.isnan(row.validation_loss):
            self.validation = f", validation {row.validation_loss:.4g}"

    def close(self) -> None:
        """Leave the bar as it is."""
        self._bar.close()
