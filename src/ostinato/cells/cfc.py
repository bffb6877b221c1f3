"""Closed-form continuous time (Hasani et al., 2022): a liquid network without a solver."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ostinato.cells.initialisation import glorot_blocks_


class CfCCell(nn.Module):
    """One step of a CfC; the last feature of `x` is `t`, the time since the step before.

        v  = 1.7159 tanh(2/3 (W [x, h] + b))           (x without its last feature)
        g  = tanh(W_g v + b_g)
        k  = tanh(W_k v + b_k)
        s  = sigmoid((W_a v + b_a) * t + W_b v + b_b)
        h' = (1 - s) * g + s * k

    Shapes: `x` is `(batch, input_size)`, its last feature the time gap, in any unit, 1 for a regular series; `state`
    and the output are `(batch, hidden_size)`.

    Args:
        input_size: number of features of a step, the time gap included; two or more.
        hidden_size: number of units.
        backbone_size: size of `v`; `hidden_size` if not given.

    Raises:
        ValueError: there is no feature beside the time gap.

    Use it for control and sensors sampled at uneven times; scale the gaps so that a usual one is about 1.

    Source: R. Hasani et al., "Closed-form continuous-time neural networks", Nature Machine Intelligence 4, 2022;
    the gate with a product and a sum is that of the authors' program.

    >>> import torch
    >>> cell = CfCCell(3, 5)
    >>> y, h = cell(torch.ones(2, 3), torch.zeros(2, 5))
    >>> tuple(y.shape)
    (2, 5)
    """

    def __init__(self, input_size: int, hidden_size: int, backbone_size: int | None = None) -> None:
        super().__init__()
        if input_size < 2:
            raise ValueError(f"input_size is {input_size}; expected two or more, the last feature being the time gap")
        self.input_size, self.hidden_size = input_size, hidden_size
        self.backbone_size = hidden_size if backbone_size is None else backbone_size
        self.backbone = nn.Linear(input_size - 1 + hidden_size, self.backbone_size)
        self.heads = nn.Linear(self.backbone_size, 4 * hidden_size)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Initialise: Glorot weights, zero biases."""
        glorot_blocks_(self.backbone, 1)
        glorot_blocks_(self.heads, 4)

    def forward(self, x: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """Advance one step; return the output and the new hidden state, which are the same tensor."""
        features, t = x[:, :-1], x[:, -1:]
        v = 1.7159 * (2.0 / 3.0 * self.backbone(torch.cat([features, state], -1))).tanh()
        g, k, a, b = self.heads(v).chunk(4, -1)
        s = (a * t + b).sigmoid()
        h = (1 - s) * g.tanh() + s * k.tanh()
        return h, h
