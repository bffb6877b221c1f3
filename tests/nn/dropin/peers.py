"""What the tests of the drop-ins share: a layer of torch.nn and its drop-in side by side."""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

import ostinato

LAYERS = {nn.RNN: ostinato.nn.RNN, nn.LSTM: ostinato.nn.LSTM, nn.GRU: ostinato.nn.GRU}
CELLS = {nn.RNNCell: ostinato.nn.RNNCell, nn.LSTMCell: ostinato.nn.LSTMCell, nn.GRUCell: ostinato.nn.GRUCell}
BOTH = LAYERS | CELLS


def pair(kind: type[nn.Module], *args: Any, **kwargs: Any) -> tuple[nn.Module, nn.Module]:
    """Return a module of torch.nn and its drop-in with the same weights."""
    theirs, ours = kind(*args, **kwargs), BOTH[kind](*args, **kwargs)
    ours.load_state_dict(theirs.state_dict())
    return theirs, ours


def tensors(value: Any) -> Iterator[Tensor]:
    """Yield the floating-point tensors in arguments or results."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, PackedSequence):
        yield value.data
    elif isinstance(value, (tuple, list)):
        for part in value:
            yield from tensors(part)


def fresh(value: Any) -> Any:
    """Return arguments whose tensors are new leaves that want a gradient."""
    if isinstance(value, PackedSequence):
        return value._replace(data=fresh(value.data))
    if isinstance(value, Tensor):
        return value.detach().clone().requires_grad_()
    return type(value)(fresh(part) for part in value) if isinstance(value, (tuple, list)) else value


def assert_same_call(theirs: nn.Module, ours: nn.Module, *args: Any) -> None:
    """Call both with copies of the same arguments and random numbers: equal results, layouts and gradients."""
    found = []
    for module in (theirs, ours):
        given = fresh(args)
        torch.manual_seed(11)
        result = module(*given)
        outputs = list(tensors(result))
        # other weights for each output, so that no gradient hides behind another
        loss = sum((out * (1 + torch.arange(out.numel()).reshape(out.shape) % 7)).sum() for out in outputs)
        module.zero_grad()
        loss.backward()
        gradients = [tensor.grad for tensor in (*tensors(given), *module.parameters())]
        found.append((result, outputs, gradients))
    (their_result, their_outputs, their_gradients), (our_result, our_outputs, our_gradients) = found
    assert type(our_result) is type(their_result)
    assert [out.stride() for out in our_outputs] == [out.stride() for out in their_outputs]
    torch.testing.assert_close(our_outputs, their_outputs)
    torch.testing.assert_close(our_gradients, their_gradients, atol=1e-4, rtol=1e-4)
    if isinstance(their_result, tuple) and isinstance(their_result[0], PackedSequence):
        for mine, other in zip(our_result[0][1:], their_result[0][1:], strict=True):
            assert (mine is None and other is None) or torch.equal(mine, other)
