"""The derivative of a cell's step along a direction, as a cell of its own.

Forward-mode derivatives of a scan are a scan of this cell, and so are second derivatives: what the gradient of a scan
is differentiated to, along a direction, is the gradient of what this cell gives (B. Pearlmutter, "Fast exact
multiplication by the Hessian", 1994). It is an ordinary cell, so whatever runs cells runs it, and its own derivative
cell gives the third ones.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from ostinato.engine.front.shell import shell_of
from ostinato.engine.front.state import State, built, call_cell, leaves


class Tangent(nn.Module):
    """A step of a cell and its derivative along a direction.

    Its state has the leaves of the cell's and then their tangents, flat; its output is the tangent of the cell's. Where
    `x` is moved, a step has the features of the cell's step and then as many of its tangent, flat.

    Args:
        cell: the cell, on tensors that are replaced before each call.
        moved: those of its tensors that are moved.
        directions: for each of `moved`, what stands for its tangent until it is replaced.
        features: shape of a step, if `x` is moved.
        shape: how the state is nested.
        states: how many leaves it has.
        names: the attributes that the cell's code reads; see `shell_of`.
    """

    def __init__(
        self, cell: nn.Module, moved: Sequence[Tensor], directions: Sequence[Tensor],
        features: tuple[int, ...] | None, shape: Any, states: int, names: frozenset[str] | None,
    ) -> None:  # fmt: skip
        super().__init__()
        self.cell = cell
        self.count, self.features, self.shape, self.states = len(moved), features, shape, states
        self.names = names
        # plain attributes, so that a shell puts its own tensors here as it does in the cell
        self.__dict__ |= {f"moved_{index}": tensor for index, tensor in enumerate(moved)}
        self.__dict__ |= {f"direction_{index}": tensor for index, tensor in enumerate(directions)}

    def forward(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        """Advance one step.

        The derivative along a direction is that of the vector-Jacobian product, which is linear in its vector, by the
        vector (J. Townsend, "A new trick for calculating Jacobian vector products", 2017). So every operation that has
        a second derivative has one here, those that users define included.
        """
        recording = torch.is_grad_enabled()
        flat = leaves(state)
        with torch.enable_grad():
            moved = [self.__dict__[f"moved_{index}"] for index in range(self.count)]
            directions = [self.__dict__[f"direction_{index}"] for index in range(self.count)]
            names = [_renamed(tensor) for tensor in moved]
            cell = shell_of(self.cell, {id(old): new for old, new in zip(moved, names, strict=True)}, self.names)
            step = x
            if self.features is not None:
                size = math.prod(self.features)
                step = _renamed(x[:, :size].reshape(-1, *self.features))
                names.append(step)
                directions.append(x[:, size:].reshape(-1, *self.features))
            starts = [_renamed(leaf) for leaf in flat[: self.states]]
            with _Elementary():
                output, new_state = call_cell(cell, step, built(self.shape, iter(starts)))
            results = [output, *leaves(new_state)]
            tangents = _along(results, [*names, *starts], [*directions, *flat[self.states :]], recording=recording)
        found = [*results[1:], *tangents]
        if not recording:
            found = [tensor.detach() for tensor in found]
        return found[self.states], (*found[: self.states], *found[self.states + 1 :])


def _renamed(tensor: Tensor) -> Tensor:
    """Return a tensor under another name: derivatives by it are those of this step alone."""
    return tensor.view_as(tensor) if tensor.requires_grad else tensor.detach().requires_grad_()


def _along(
    results: Sequence[Tensor], inputs: Sequence[Tensor], directions: Sequence[Tensor], *, recording: bool
) -> list[Tensor]:
    """Return the derivatives of results along directions of the inputs; zeros where they do not depend on them."""
    moving = [place for place, result in enumerate(results) if result.requires_grad]
    vectors = [torch.zeros_like(results[place]).requires_grad_() for place in moving]
    outputs = [results[place] for place in moving]
    found: Sequence[Tensor | None] = []
    if moving:
        found = torch.autograd.grad(outputs, inputs, vectors, create_graph=True, allow_unused=True)
    pairs = [(grad, way) for grad, way in zip(found, directions, strict=False) if grad is not None]
    pairs = [(grad, way) for grad, way in pairs if grad.requires_grad]
    tangents: Sequence[Tensor | None] = [None] * len(moving)
    if pairs:
        tangents = torch.autograd.grad(
            [grad for grad, _ in pairs], vectors, [way for _, way in pairs], create_graph=recording, allow_unused=True
        )
    known = {place: tangent for place, tangent in zip(moving, tangents, strict=True) if tangent is not None}
    return [known[place] if place in known else torch.zeros_like(result) for place, result in enumerate(results)]


def _normalised(x: Tensor, axes: Sequence[int], eps: float | None, *, centred: bool) -> Tensor:
    eps = torch.finfo(x.dtype).eps if eps is None else eps
    if centred:
        x = x - x.mean(list(axes), keepdim=True)
    return x * torch.rsqrt((x * x).mean(list(axes), keepdim=True) + eps)


def _layer_norm(
    x: Tensor, normalized_shape: Sequence[int], weight: Tensor | None = None, bias: Tensor | None = None,
    eps: float = 1e-5, cudnn_enable: bool = True,
) -> Tensor:  # fmt: skip
    del cudnn_enable
    x = _normalised(x, range(-len(normalized_shape), 0), eps, centred=True)
    x = x if weight is None else x * weight
    return x if bias is None else x + bias


def _rms_norm(
    x: Tensor, normalized_shape: Sequence[int], weight: Tensor | None = None, eps: float | None = None
) -> Tensor:
    x = _normalised(x, range(-len(normalized_shape), 0), eps, centred=False)
    return x if weight is None else x * weight


def _group_norm(
    x: Tensor, num_groups: int, weight: Tensor | None = None, bias: Tensor | None = None, eps: float = 1e-5,
    cudnn_enabled: bool = True,
) -> Tensor:  # fmt: skip
    del cudnn_enabled
    groups = x.reshape(x.shape[0], num_groups, x.shape[1] // num_groups, *x.shape[2:])
    y = _normalised(groups, range(2, groups.dim()), eps, centred=True).flatten(1, 2)
    wide = (1, -1, *[1] * (x.dim() - 2))
    y = y if weight is None else y * weight.reshape(wide)
    return y if bias is None else y + bias.reshape(wide)


_ELEMENTARY: dict[Any, Callable[..., Tensor]] = {
    functional.layer_norm: _layer_norm,
    torch.layer_norm: _layer_norm,
    functional.rms_norm: _rms_norm,
    torch.rms_norm: _rms_norm,
    functional.group_norm: _group_norm,
    torch.group_norm: _group_norm,
}


class _Elementary(TorchFunctionMode):
    """Runs normalisations as the arithmetic that they are.

    PyTorch's formula for the second derivative of a normalisation takes the mean and the scale that the forward pass
    kept for constants: it is right, but what it is differentiated to is not.
    """

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run one function."""
        rule = _ELEMENTARY.get(func)
        return (rule or func)(*args, **(kwargs or {}))
