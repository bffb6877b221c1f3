"""`RNNCell`, `LSTMCell` and `GRUCell` as in `torch.nn`: one step a call, so PyTorch's own operation runs it.

A single step is not worth the engine: to enter it takes 80 microseconds, PyTorch's operation 13 to 60 (64 units, up to
32 rows, one thread). A loop over steps is what it makes faster: `ostinato.scan(cell, xs)` instead of calling the cell.
"""

from __future__ import annotations

from torch import nn

from ostinato.nn.dropin.restored import Restored


class RNNCell(Restored, nn.RNNCell):
    """`torch.nn.RNNCell`, arguments and all; `ostinato.scan` runs it over whole sequences.

    >>> import torch, ostinato
    >>> cell = ostinato.nn.RNNCell(3, 5, nonlinearity="relu")
    >>> ys, last = ostinato.scan(cell, torch.randn(7, 2, 3))
    >>> tuple(ys.shape), torch.equal(last, ys[-1])
    ((7, 2, 5), True)
    """


class LSTMCell(Restored, nn.LSTMCell):
    """`torch.nn.LSTMCell`, arguments and all; `ostinato.scan` runs it over whole sequences.

    >>> import torch, ostinato
    >>> cell = ostinato.nn.LSTMCell(3, 5)
    >>> ys, (h, c) = ostinato.scan(cell, torch.randn(7, 2, 3))
    >>> tuple(ys.shape), torch.equal(h, ys[-1])
    ((7, 2, 5), True)
    """


class GRUCell(Restored, nn.GRUCell):
    """`torch.nn.GRUCell`, arguments and all; `ostinato.scan` runs it over whole sequences.

    >>> import torch, ostinato
    >>> cell = ostinato.nn.GRUCell(3, 5)
    >>> ys, h = ostinato.scan(cell, torch.randn(7, 2, 3))
    >>> tuple(ys.shape), torch.equal(h, ys[-1])
    ((7, 2, 5), True)
    """
