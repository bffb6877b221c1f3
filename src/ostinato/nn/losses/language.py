"""What language models report, and what regularises them: perplexity, bits a character, AR and TAR."""

from __future__ import annotations

import math
from typing import TypeVar

import torch
from torch import Tensor

from ostinato.errors import UsageError
from ostinato.nn.losses.masking import Reduction, check_steps, checked_lengths, fill_padding, real_steps, reduce

Number = TypeVar("Number", float, Tensor)


def perplexity(nats: Number) -> Number:
    """Return the perplexity, `exp(nats)`, of a mean cross-entropy in nats a token.

    Args:
        nats: a number or a tensor of any shape, as `cross_entropy` returns.

    Returns:
        The same type; infinity if it is too large to hold.

    Source: F. Jelinek et al., "Perplexity: a measure of the difficulty of speech recognition tasks", 1977.

    >>> round(perplexity(math.log(50.0)), 6)
    50.0
    """
    if isinstance(nats, Tensor):
        return torch.exp(nats)
    try:
        return math.exp(nats)
    except OverflowError:
        return math.inf


def bits_per_character(nats: Number, tokens_per_character: float = 1.0) -> Number:
    """Return bits a character of a mean cross-entropy in nats a token.

    Args:
        nats: a number or a tensor of any shape.
        tokens_per_character: how many tokens a character makes in the text measured; 1 for character models. It makes
            models over words or pieces comparable with them.

    Raises:
        UsageError: `tokens_per_character` is not above 0.

    Source: A. Graves, "Generating sequences with recurrent neural networks", 2013, section 3.1.

    >>> round(bits_per_character(math.log(2.0)), 6)
    1.0
    """
    if not tokens_per_character > 0:
        raise UsageError(f"tokens_per_character is {tokens_per_character}; expected a number above 0")
    return nats * (tokens_per_character / math.log(2.0))


def activation_regularisation(
    outputs: Tensor, lengths: Tensor | None = None, *, scale: float = 2.0, reduction: Reduction = "mean"
) -> Tensor:
    """Return AR, `scale` times the squared outputs: it keeps activations small.

    Args:
        outputs: `(time, batch, features)`: the last layer's outputs, after dropout.
        lengths: `(batch,)`; `None` if all steps are real.
        scale: alpha in the paper, where it is 2.
        reduction: "mean" divides by the number of real values, "sum", or "none", the shape of `outputs`.

    Raises:
        ShapeError: shapes do not fit.

    Source: S. Merity, N. S. Keskar and R. Socher, "Regularizing and optimizing LSTM language models", 2018,
    section 4.6.

    >>> import torch
    >>> activation_regularisation(torch.full((4, 2, 3), 0.5)).item()
    0.5
    """
    check_steps(outputs, 3, "(time, batch, features)", "outputs")
    steps, batch, features = outputs.shape
    real = real_steps(checked_lengths(lengths, steps, batch, outputs.device), steps)
    return reduce(scale * fill_padding(outputs, real).square(), real.sum() * features, reduction)


def temporal_activation_regularisation(
    outputs: Tensor, lengths: Tensor | None = None, *, scale: float = 1.0, reduction: Reduction = "mean"
) -> Tensor:
    """Return TAR, `scale` times the squared change from each step to the next: it keeps outputs slow.

    Args:
        outputs: `(time, batch, features)`: the last layer's outputs, before dropout.
        lengths: `(batch,)`; `None` if all steps are real.
        scale: beta in the paper, where it is 1.
        reduction: "mean" divides by the number of values in real pairs of steps (0 without any), "sum", or "none",
            `(time - 1, batch, features)`.

    Raises:
        ShapeError: shapes do not fit.

    Source: S. Merity, N. S. Keskar and R. Socher, "Regularizing and optimizing LSTM language models", 2018,
    section 4.6.

    >>> import torch
    >>> temporal_activation_regularisation(torch.arange(4.0).reshape(4, 1, 1)).item()
    1.0
    """
    check_steps(outputs, 3, "(time, batch, features)", "outputs")
    steps, batch, features = outputs.shape
    real = real_steps(checked_lengths(lengths, steps, batch, outputs.device), steps)
    changes = fill_padding(outputs, real).diff(dim=0)
    losses = scale * fill_padding(changes, real[1:]).square()
    return reduce(losses, real[1:].sum() * features, reduction)
