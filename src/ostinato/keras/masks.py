"""Keras's masks, `(batch, time)`, as lengths for `scan`: masked steps are left out, and filled in afterwards.

Keras holds the state over a masked step and gives the output of the last real step there, or zero if there has been
none, or if `zero_output_for_mask`. So the real steps of a row can be walked alone: padding on the right is a length,
and any other mask is one too after the real steps have been moved to the front.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Steps:
    """Which steps are real, and where they stand in what is walked.

    Args:
        real: boolean `(time, batch)`.
        lengths: `(batch,)`, the real steps of each row.
        order: `(time, batch)`, the steps in the order in which they are walked, real ones first; `None` if they are in
            order as they are.
    """

    real: Tensor
    lengths: Tensor
    order: Tensor | None

    def walked(self, xs: Tensor) -> Tensor:
        """Return what is walked of `(time, batch, ...)`."""
        return xs if self.order is None else _rows(xs, self.order)

    def outputs(self, ys: Tensor, reverse: bool, zero: bool) -> Tensor:
        """Return the outputs of all steps, `(time, batch, ...)`, of those that were walked.

        Args:
            ys: of `scan`: zero past a row's length.
            reverse: whether rows were walked from their own ends.
            zero: whether masked steps have zero outputs, or else the output of the real step before, in the order of
                the walk.
        """
        if self.order is None and (zero or reverse):
            return ys
        # of the real steps, counted from the front, the one that was walked last when the walk has come to each step
        count = self.real.long().cumsum(0)
        places = count - self.real.long() if reverse else count - 1
        wanted = self.real if zero else (places < self.lengths if reverse else places >= 0)
        filled = _rows(ys, places.clamp(0, len(ys) - 1))
        return filled.masked_fill(~_wide(wanted, filled), 0)

    def last(self, ys: Tensor, reverse: bool, zero: bool) -> Tensor:
        """Return the output of the step that is walked last, `(batch, ...)`."""
        places = torch.zeros_like(self.lengths) if reverse else self.lengths - 1
        wanted = self.lengths > 0
        if zero:
            wanted = wanted & self.real[0 if reverse else -1]
        filled = _rows(ys, places.clamp(min=0)[None])[0]
        return filled.masked_fill(~_wide(wanted, filled), 0)


def steps_of(mask: Tensor) -> Steps | None:
    """Return the real steps of a mask, boolean `(batch, time)`, or `None` if all are."""
    if bool(mask.all()):
        return None
    real, lengths = mask.transpose(0, 1), mask.sum(1)
    if bool((mask[:, 1:] <= mask[:, :-1]).all()):
        return Steps(real, lengths, None)
    order = torch.argsort((~real).to(torch.uint8), dim=0, stable=True)
    return Steps(real, lengths, order)


def _rows(xs: Tensor, places: Tensor) -> Tensor:
    """Return `xs[places[k, b], b]` for all k and b."""
    batch = xs.shape[1]
    flat = (places * batch + torch.arange(batch, device=places.device)).flatten()
    return xs.reshape(-1, *xs.shape[2:]).index_select(0, flat).reshape(*places.shape, *xs.shape[2:])


def _wide(mask: Tensor, like: Tensor) -> Tensor:
    return mask.reshape(*mask.shape, *[1] * (like.dim() - mask.dim()))
