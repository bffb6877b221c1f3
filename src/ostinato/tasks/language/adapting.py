"""Dynamic evaluation: a model that keeps learning from the text that it has just been scored on."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ostinato.errors import UsageError
from ostinato.tasks.language.network import LanguageNetwork


@dataclass(frozen=True)
class DynamicEvaluation:
    """How a model is adapted to what it has read.

    After each piece of the text, once it is scored, the weights go a step down the gradient of its loss, each number
    scaled by the root of the mean square of its gradients so far, and a step back to the trained weights:

        w <- w - rate * g / (rms + epsilon) + decay * min(rms / mean(rms), 1 / decay) * (w0 - w)

    The original gathers these squares over the training text; a model that is loaded has none at hand, and gathers them
    over the text it reads.

    Args:
        learning_rate: of the step down.
        decay: of the step back; 0: none.
        steps: tokens of a piece.
        epsilon: keeps the first steps of weights with small gradients small.

    Raises:
        UsageError: a number is out of range.

    Source: B. Krause, E. Kahembwe, I. Murray and S. Renals, "Dynamic evaluation of neural sequence models", ICML 2018,
    equations 4 to 8.
    """

    learning_rate: float = 1e-4
    decay: float = 1e-3
    steps: int = 20
    epsilon: float = 1e-4

    def __post_init__(self) -> None:
        for name in ("learning_rate", "epsilon"):
            if not getattr(self, name) > 0:
                raise UsageError(f"{name} is {getattr(self, name)}; expected more than 0")
        if not 0 <= self.decay < 1:
            raise UsageError(f"decay is {self.decay}; expected a share from 0 to 1, 1 excluded")
        if self.steps < 1:
            raise UsageError(f"steps is {self.steps}; expected one or more")


class Adapter:
    """The weights of a network on their way, changed in place; see `DynamicEvaluation`."""

    def __init__(self, network: LanguageNetwork, how: DynamicEvaluation) -> None:
        self.how = how
        self.weights = [weight for weight in network.parameters() if weight.requires_grad]
        self.trained = [weight.detach().clone() for weight in self.weights]
        self.squares = [torch.zeros_like(weight) for weight in self.weights]
        self.pieces = 0

    def learn(self, loss: Tensor) -> None:
        """Take a step, for the loss of a piece that has been scored."""
        gradients = torch.autograd.grad(loss, self.weights, allow_unused=True)
        self.pieces += 1
        with torch.no_grad():
            for square, gradient in zip(self.squares, gradients, strict=True):
                if gradient is not None:
                    square.addcmul_(gradient, gradient)
            scales = [square.div(self.pieces).sqrt_() for square in self.squares]
            count = sum(scale.numel() for scale in scales)
            mean = max(float(sum(scale.sum(dtype=torch.float64) for scale in scales)) / count, 1e-30)
            for weight, start, scale, gradient in zip(self.weights, self.trained, scales, gradients, strict=True):
                if self.how.decay:
                    back = (scale * (self.how.decay / mean)).clamp_(max=1.0)
                    weight.addcmul_(start - weight, back)
                if gradient is not None:
                    weight.addcdiv_(gradient, scale.add_(self.how.epsilon), value=-self.how.learning_rate)
