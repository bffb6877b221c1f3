"""The linear recurrent unit (Orvieto et al., 2023): a diagonal complex recurrence inside the unit circle."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

LRUState = tuple[Tensor, Tensor]


class LRUCell(nn.Module):
    """One step of an LRU; the complex state is kept as real and imaginary parts, `s = a + ib`.

        l  = exp(-exp(nu) + i exp(theta))
        s' = l * s + exp(gamma) * (B x)
        y  = Re(C s') + D x

    B, C are complex matrices, D a real one. Linear in `s`, and stable whatever is learned: `|l| < 1`.

    Shapes: `x` is `(batch, input_size)`; `state` is `(a, b)`, each `(batch, hidden_size)`; the output is `y`,
    `(batch, hidden_size)`.

    Args:
        input_size: number of features of a step.
        hidden_size: number of complex units, and of outputs.
        r_min: smallest absolute value of `l` at the start.
        r_max: largest absolute value of `l` at the start, below one.
        max_phase: largest angle of `l` at the start, in radians.

    Raises:
        ValueError: not `0 <= r_min < r_max < 1`.

    Use it for dependencies over thousands of steps, as one layer of a block: it is linear, so put a nonlinear layer
    after it.

    Source: A. Orvieto, S. L. Smith, A. Gu, A. Fernando, C. Gulcehre, R. Pascanu and S. De, "Resurrecting recurrent
    neural networks for long sequences", ICML 2023, section 3; `l` starts evenly on a ring (lemma 3.2).

    >>> import torch
    >>> cell = LRUCell(3, 5)
    >>> y, (a, b) = cell(torch.zeros(2, 3), (torch.zeros(2, 5), torch.zeros(2, 5)))
    >>> tuple(y.shape)
    (2, 5)
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        r_min: float = 0.9,
        r_max: float = 0.999,
        max_phase: float = 2 * math.pi,
    ) -> None:
        super().__init__()
        if not 0.0 <= r_min < r_max < 1.0:
            raise ValueError(f"r_min is {r_min} and r_max {r_max}; expected 0 <= r_min < r_max < 1")
        self.input_size, self.hidden_size = input_size, hidden_size
        self.r_min, self.r_max, self.max_phase = r_min, r_max, max_phase
        self.nu = nn.Parameter(torch.empty(hidden_size))
        self.theta = nn.Parameter(torch.empty(hidden_size))
        self.gamma = nn.Parameter(torch.empty(hidden_size))
        self.input = nn.Linear(input_size, 2 * hidden_size, bias=False)  # B: real part, then imaginary
        self.output = nn.Linear(2 * hidden_size, hidden_size, bias=False)  # C: real part, then minus the imaginary
        self.skip = nn.Linear(input_size, hidden_size, bias=False)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Initialise: `l` evenly on the ring, the input scaled so that the state keeps its variance, Glorot B and C."""
        inner, outer = self.r_min**2, self.r_max**2
        with torch.no_grad():
            squared = torch.empty_like(self.nu).uniform_(inner, outer).clamp(min=1e-8)
            self.nu.copy_(torch.log(-0.5 * torch.log(squared)))
            self.theta.uniform_(1e-3 * self.max_phase, self.max_phase).log_()
            self.gamma.copy_(0.5 * torch.log1p(-squared))
        nn.init.normal_(self.input.weight, std=math.sqrt(0.5 / self.input_size))
        nn.init.normal_(self.output.weight, std=math.sqrt(1.0 / self.hidden_size))
        nn.init.xavier_uniform_(self.skip.weight)

    def forward(self, x: Tensor, state: LRUState) -> tuple[Tensor, LRUState]:
        """Advance one step; return the output and the new `(a, b)`."""
        a, b = state
        size, angle = torch.exp(-torch.exp(self.nu)), torch.exp(self.theta)
        real, imaginary = size * angle.cos(), size * angle.sin()
        x_a, x_b = self.input(x).chunk(2, -1)
        scale = torch.exp(self.gamma)
        a, b = real * a - imaginary * b + scale * x_a, real * b + imaginary * a + scale * x_b
        y = self.output(torch.cat([a, b], -1)) + self.skip(x)
        return y, (a, b)
