"""The peers in JAX: `lax.scan` under `jit`, forward and backward, with the weights of our cells. Needs JAX.

The input product is hoisted out of the scan, as one who writes for speed does; XLA does not do that alone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from engine_cells import weights
from engine_timing import Step
from ostinato.cells import GRUCell, LSTMCell, RNNCell


def jax_step(cell: nn.Module, xs: Tensor, cotangent: Tensor) -> Step:
    """Return a training step: outputs, and the gradients of the inputs and of `weights(cell)`.

    What it returns are arrays on which the computation has ended; `as_tensors` makes them torch's.

    Raises:
        ImportError: JAX is not installed.
    """
    import jax

    forward = _forwards()[type(cell)]
    parameters = [jax.numpy.asarray(own.detach().numpy()) for own in weights(cell)]
    inputs, back = (jax.numpy.asarray(own.detach().numpy()) for own in (xs, cotangent))

    @jax.jit
    def train(xs: Any, parameters: Any, back: Any) -> Any:
        ys, pull = jax.vjp(lambda xs, parameters: forward(xs, *parameters), xs, parameters)
        gradients = pull(back)
        return [ys, gradients[0], *gradients[1]]

    return lambda: jax.block_until_ready(train(inputs, parameters, back))


def as_tensors(arrays: Sequence[Any]) -> list[Tensor]:
    """Return arrays of JAX as tensors."""
    return [torch.from_numpy(np.array(own)) for own in arrays]


def _forwards() -> dict[type[nn.Module], Callable[..., Any]]:
    import jax
    from jax import lax, nn
    from jax import numpy as jnp

    def rnn(xs: Any, w: Any, u: Any, b: Any) -> Any:
        def step(h: Any, x: Any) -> Any:
            h = jnp.tanh(x + h @ u.T)
            return h, h

        return lax.scan(step, jnp.zeros((xs.shape[1], u.shape[1])), xs @ w.T + b)[1]

    def lstm(xs: Any, w: Any, u: Any, b: Any) -> Any:
        def step(state: Any, x: Any) -> Any:
            h, c = state
            i, f, g, o = jnp.split(x + h @ u.T, 4, -1)
            c = nn.sigmoid(f) * c + nn.sigmoid(i) * jnp.tanh(g)
            h = nn.sigmoid(o) * jnp.tanh(c)
            return (h, c), h

        zeros = jnp.zeros((xs.shape[1], u.shape[1]))
        return lax.scan(step, (zeros, zeros), xs @ w.T + b)[1]

    def gru(xs: Any, w: Any, u: Any, b: Any, b_u: Any) -> Any:
        def step(h: Any, x: Any) -> Any:
            x_r, x_z, x_n = jnp.split(x, 3, -1)
            h_r, h_z, h_n = jnp.split(h @ u.T + b_u, 3, -1)
            r, z = nn.sigmoid(x_r + h_r), nn.sigmoid(x_z + h_z)
            n = jnp.tanh(x_n + r * h_n)
            h = n + z * (h - n)
            return h, h

        return lax.scan(step, jnp.zeros((xs.shape[1], u.shape[1])), xs @ w.T + b)[1]

    jax.config.update("jax_default_matmul_precision", "highest")
    return {RNNCell: rnn, LSTMCell: lstm, GRUCell: gru}
