"""What happens inside the recurrence: gradients through its steps, and hidden states."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ostinato.data import Panel
from ostinato.nn import LayerStates, TransformerStack
from ostinato.tasks.backflow import gradient_norms, watched_steps
from ostinato.tasks.forecast.batches import ForecastObjective
from ostinato.tasks.forecast.fitted import Fitted
from ostinato.tasks.forecast.inputs import Inputs
from ostinato.tasks.forecast.network import ForecastNetwork
from ostinato.tasks.record import Diagnostics

_WINDOWS = 32


def diagnose(fitted: Fitted, panel: Panel, origins: NDArray[np.int64]) -> Diagnostics:
    """Measure the gradient of the loss by the state after each recurrent step, on some windows of a panel.

    The state's norm is taken over all its parts in the top layer, and averaged over windows.
    """
    chosen = origins[np.linspace(0, len(origins) - 1, min(_WINDOWS, len(origins))).round().astype(np.int64)]
    inputs = fitted.maker(panel)(fitted.windows(panel, chosen).gather(np.arange(len(chosen))))
    network = fitted.network
    if isinstance(network.recurrent, TransformerStack):  # nothing is passed on from step to step
        return Diagnostics(np.zeros(0), np.zeros((0, 0)), _label(fitted))
    steps = network.context_steps(inputs).detach()
    state = network.recurrent.initial_state(inputs.history.new_zeros((len(inputs.history), steps.shape[2])))
    _, state, seen = watched_steps(network.recurrent, steps, state)
    if not seen:
        return Diagnostics(np.zeros(0), np.zeros((0, 0)), _label(fitted))
    objective = ForecastObjective(network)
    loss = objective(_Decoder(network, state), inputs, None).loss
    torch.autograd.backward(loss)
    norms = gradient_norms(reversed(seen))
    network.zero_grad(set_to_none=True)
    # the first target of the newest window
    row = -fitted.settings.targets
    hidden = np.stack([parts[0][row].detach().flatten().double().numpy() for parts in seen])
    return Diagnostics(norms, hidden, _label(fitted))


class _Decoder(nn.Module):
    """The network from the state on, called as the network is."""

    def __init__(self, network: ForecastNetwork, state: LayerStates) -> None:
        super().__init__()
        self.network, self.state = network, state

    def forward(self, inputs: Inputs) -> Tensor:
        return self.network.decode(self.state, inputs)


def _label(fitted: Fitted) -> str:
    segment, frequency = fitted.settings.segment, fitted.frequency
    if segment == 1:
        return frequency.describe()
    if frequency.unit == "business":
        return f"{segment} business days, one segment"
    return f"{replace(frequency, step=frequency.step * segment).describe()}, one segment"
