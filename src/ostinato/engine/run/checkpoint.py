"""A scan in pieces: their inner values are forgotten and computed again when the backward pass comes to them.

It is one operation for autograd, however many pieces there are. What is kept, and in which order pieces run again, is
in `schedule`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeAlias

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint as run_again

from ostinato.engine.front.state import State, built, leaves, structure
from ostinato.engine.run.batches import is_batched
from ostinato.engine.run.compiled import Request
from ostinato.engine.run.gradients import gradients_of
from ostinato.engine.run.operator import version
from ostinato.engine.run.schedule import Pieces
from ostinato.engine.run.shelf import Shelf, back_over, drawn_again, mapped

Run: TypeAlias = Callable[[Request], tuple[Tensor, State]]


@dataclass(frozen=True)
class Scene:
    """A scan that is run in pieces."""

    run: Run
    """Runs a request with the cell as it is."""
    run_with: Callable[[Request, Sequence[Tensor]], tuple[Tensor, State]]
    """Runs a request with other tensors in the place of `tensors`."""
    tensors: tuple[Tensor, ...]
    """Those of the cell that gradients may be asked for."""
    request: Request
    pieces: Pieces
    others: tuple[tuple[Tensor, int], ...] = ()
    """Those of which none are wanted, each with how often it had been changed in place."""

    def check_unchanged(self) -> None:
        """Refuse tensors of the cell that pieces are to be run again with and that autograd does not watch.

        Raises:
            RuntimeError: one has been changed.
        """
        for tensor, before in self.others:
            if version(tensor) != before:
                raise RuntimeError(
                    f"a scan with checkpoint runs its steps again for gradients, and a tensor {tuple(tensor.shape)} of "
                    "its cell has been modified by an inplace operation since; change it after the backward pass, or a "
                    "copy of it"
                )

    def part(self, number: int, xs: Tensor, state: State) -> Request:
        """Return the request of one piece, counted in the order in which they are walked."""
        lengths = self.request.lengths
        start, stop = self.bounds(number)
        # how many of its steps each row has
        lengths = None if lengths is None else (lengths - start).clamp(0, stop - start)
        return self.request._replace(xs=xs[start:stop], state=state, lengths=lengths)

    def bounds(self, number: int) -> tuple[int, int]:
        """Return the first step of a piece, and the one after its last."""
        place = self.pieces.count - 1 - number if self.request.reverse else number
        start = place * self.pieces.steps
        return start, min(start + self.pieces.steps, self.request.xs.shape[0])


def scan_pieces(scene: Scene) -> tuple[Tensor, State]:
    """Run a scan piece by piece."""
    request = scene.request
    ys, *last = _InPieces.apply(scene, request.xs, *leaves(request.state), *scene.tensors)  # type: ignore[no-untyped-call]
    return ys, built(structure(request.state), iter(last))


class _InPieces(torch.autograd.Function):
    """A scan in pieces; tensors come flat: sequences, states, then those of the cell."""

    @staticmethod
    def forward(ctx: Any, scene: Scene, xs: Tensor, *tensors: Tensor) -> tuple[Tensor, ...]:
        """Run all pieces, and keep states."""
        states = len(leaves(scene.request.state))
        walk = _Walk(scene, xs, tensors[:states])
        ys, last = walk.forward()
        ctx.set_materialize_grads(False)
        ctx.walk, ctx.states = walk, states
        ctx.save_for_backward(xs, *tensors)
        # a last state may be a state that was given, where no row has a step
        return ys, *(leaf.clone() if any(leaf is given for given in tensors) else leaf for leaf in last)

    @staticmethod
    def backward(ctx: Any, dy: Tensor | None, *dlast: Tensor | None) -> tuple[Tensor | None, ...]:
        """Go back piece by piece; all at once if the gradients are to be differentiated, or are a batch of them."""
        xs, *tensors = ctx.saved_tensors
        if not ctx.walk.graphs:
            ctx.walk.scene.check_unchanged()
        if torch.is_grad_enabled() or any(grad is not None and is_batched(grad) for grad in (dy, *dlast)):
            return (None, *_differentiable(ctx.walk.scene, xs, tensors, ctx.states, [dy, *dlast], ctx.needs_input_grad))
        dx, dstate, dtensors = ctx.walk.backward(xs, tensors[: ctx.states], dy, dlast, ctx.needs_input_grad[1:])
        return (None, dx, *dstate, *dtensors)


class _Walk:
    """The pieces of one scan, forward and back."""

    def __init__(self, scene: Scene, xs: Tensor, state: Sequence[Tensor]) -> None:
        self.scene, self.pieces = scene, scene.pieces
        self.shape = structure(scene.request.state)
        self.first = list(state)
        self.kept = set() if self.pieces.disk else self.pieces.first_kept()
        self.shelf = Shelf(sorted(self.kept), self.pieces.folder)
        self.graphs: dict[int, tuple[Tensor, list[Tensor], list[Tensor], list[Tensor]]] = {}
        self.random: list[Tensor] = []
        self.files = _Files(scene, xs)

    def forward(self) -> tuple[Tensor, list[Tensor]]:
        """Run all pieces; returns outputs and last states."""
        xs, total = self.scene.request.xs.detach(), self.scene.request.xs.shape[0]
        state = [leaf.detach() for leaf in self.first]
        ys: Tensor | None = None
        for number in range(self.pieces.count):
            if number in self.kept:
                self.shelf.put(number, state)
            before = torch.get_rng_state()
            if self.random or number == 0:
                self.random.append(before)
            if self.pieces.disk:
                part, state = self._recorded(number, xs, state)
            else:
                part, state = self._run(number, xs, state)
            if number == 0 and torch.equal(before, torch.get_rng_state()):
                self.random.clear()
            if ys is None:
                ys = self._allocate((total, *part.shape[1:]), part)
            start, stop = self.scene.bounds(number)
            ys[start:stop] = part
        assert ys is not None
        return ys, state

    def _allocate(self, shape: Sequence[int], like: Tensor) -> Tensor:
        if self.pieces.folder is None:
            return like.new_empty(tuple(shape))
        return mapped(shape, like.dtype, self.pieces.folder)

    def _run(self, number: int, xs: Tensor, state: Sequence[Tensor]) -> tuple[Tensor, list[Tensor]]:
        with torch.no_grad():
            ys, last = self.scene.run(self.scene.part(number, xs, built(self.shape, iter(state))))
        return ys, leaves(last)

    def _recorded(self, number: int, xs: Tensor, state: Sequence[Tensor]) -> tuple[Tensor, list[Tensor]]:
        """Run a piece for gradients, its inner values in files."""
        with torch.enable_grad(), self.files.kept():
            graph = self._graph(number, xs, state)
        self.graphs[number] = graph
        return graph[0].detach(), [leaf.detach() for leaf in graph[1]]

    def _graph(
        self, number: int, xs: Tensor, state: Sequence[Tensor]
    ) -> tuple[Tensor, list[Tensor], list[Tensor], list[Tensor]]:
        """Run a piece so that it can be differentiated; returns outputs, last states, its sequences and states."""
        request = self.scene.part(number, xs.detach(), ())
        read = request.xs.requires_grad_(self.scene.request.xs.requires_grad)
        starts = [leaf.detach().requires_grad_() for leaf in state]
        ys, last = self.scene.run(request._replace(xs=read, state=built(self.shape, iter(starts))))
        return ys, leaves(last), [read], starts

    def _again(self, number: int) -> Any:
        """Draw the random numbers that a piece drew."""
        return drawn_again(self.random[number] if self.random else None)

    def backward(
        self, xs: Tensor, state: Sequence[Tensor], dy: Tensor | None, dlast: Sequence[Tensor | None],
        needed: Sequence[bool],
    ) -> tuple[Tensor | None, list[Tensor | None], list[Tensor | None]]:  # fmt: skip
        """Go back over all pieces; returns the gradients of sequences, states and tensors of the cell."""
        asked = list(needed[1 + len(state) :])
        totals: list[Tensor | None] = [None] * len(asked)
        dx = self._allocate(xs.shape, xs) if needed[0] else None
        dstate = list(dlast)
        for number, start in self._back(xs, state):
            with self._again(number), torch.enable_grad():
                graph = self.graphs.pop(number, None) or self._graph(number, xs, start)
            dstate, part, found = self._piece(number, graph, dy, dstate, asked)
            for place, grad in enumerate(found):
                old = totals[place]
                if grad is not None:  # two tensors may have one gradient, so the first is copied
                    totals[place] = grad.clone() if old is None else old.add_(grad)
            if dx is not None:
                first, last = self.scene.bounds(number)
                dx[first:last] = 0 if part is None else part
            del graph, part, found  # before the next piece has its own
        return dx, [grad if needs else None for grad, needs in zip(dstate, needed[1:], strict=False)], totals

    def _piece(
        self, number: int, graph: Any, dy: Tensor | None, dstate: Sequence[Tensor | None], asked: Sequence[bool]
    ) -> tuple[list[Tensor | None], Tensor | None, list[Tensor | None]]:
        """Go back over one piece; returns the gradients of its states, its sequences and the cell's tensors."""
        ys, last, read, starts = graph
        first, stop = self.scene.bounds(number)
        grads = [None if dy is None else dy[first:stop], *dstate]
        # one may have been frozen since: it was then not wanted after all
        asked = [needs and tensor.requires_grad for tensor, needs in zip(self.scene.tensors, asked, strict=True)]
        tensors = [tensor for tensor, needs in zip(self.scene.tensors, asked, strict=True) if needs]
        inputs = [*(each for each in read if each.requires_grad), *starts, *tensors]
        found = gradients_of([ys, *last], grads, inputs, recorded=False)
        dx = found.pop(0) if read[0].requires_grad else None
        rest = iter(found[len(starts) :])
        return found[: len(starts)], dx, [next(rest) if needs else None for needs in asked]

    def _back(self, xs: Tensor, state: Sequence[Tensor]) -> Iterator[tuple[int, list[Tensor]]]:
        """Return the pieces, the last first, each with the state before it."""
        if self.graphs:
            return ((number, []) for number in reversed(range(self.pieces.count)))
        start = [leaf.detach() for leaf in state]
        return back_over(self.pieces, self.shelf, start, partial(self._advanced, xs))

    def _advanced(self, xs: Tensor, first: int, last: int, state: list[Tensor]) -> list[Tensor]:
        for number in range(first, last):
            with self._again(number):
                _, state = self._run(number, xs.detach(), state)
        return state


class _Files:
    """Hooks of autograd that put what pieces keep into files."""

    def __init__(self, scene: Scene, xs: Tensor) -> None:
        self.folder = scene.pieces.folder
        self.given = {tensor.untyped_storage().data_ptr() for tensor in (xs, *scene.tensors)}

    def kept(self) -> torch.autograd.graph.saved_tensors_hooks:
        """Return what catches tensors that are kept."""
        return torch.autograd.graph.saved_tensors_hooks(self._pack, self._unpack)

    def _pack(self, tensor: Tensor) -> tuple[Tensor, bool]:
        # weights and the sequences are there anyway
        if not tensor.numel() or tensor.untyped_storage().data_ptr() in self.given:
            return tensor, False
        file = mapped(tensor.shape, tensor.dtype, self.folder)
        file.copy_(tensor)
        return file, True

    def _unpack(self, packed: tuple[Tensor, bool]) -> Tensor:
        tensor, filed = packed
        return tensor.clone() if filed else tensor


def _differentiable(
    scene: Scene, xs: Tensor, tensors: Sequence[Tensor], states: int, grads: Sequence[Tensor | None],
    needed: Sequence[bool],
) -> list[Tensor | None]:  # fmt: skip
    """Return the gradients so that they can be differentiated, or for a batch of them; everything is kept for that."""
    # other names: one may have been computed from another, and its gradient goes that way
    with torch.enable_grad():
        names = [tensor.view_as(tensor) if tensor.requires_grad else tensor for tensor in (xs, *tensors)]
    state = built(structure(scene.request.state), iter(names[1 : 1 + states]))
    with torch.enable_grad():
        ys, last = scene.run_with(scene.request._replace(xs=names[0], state=state), names[1 + states :])
    moving = [name for name, needs in zip(names, needed[1:], strict=True) if needs]
    found = gradients_of([ys, *leaves(last)], grads, moving, recorded=torch.is_grad_enabled())
    known = {id(name): grad for name, grad in zip(moving, found, strict=True)}
    return [known.get(id(name)) for name in names]


def scan_pieces_eagerly(scene: Scene) -> tuple[Tensor, State]:
    """Run a scan piece by piece with PyTorch's own means, which find tensors that only the cell's code knows of."""
    xs, state = scene.request.xs, scene.request.state
    found: list[Tensor] = []
    for number in range(scene.pieces.count):
        ys, *flat = run_again(partial(_piece, scene, number), xs, *leaves(state), use_reentrant=False)
        state = built(structure(state), iter(flat))
        found.append(ys)
    return torch.cat(found[::-1] if scene.request.reverse else found), state


def _piece(scene: Scene, number: int, xs: Tensor, *flat: Tensor) -> tuple[Tensor, ...]:
    state = built(structure(scene.request.state), iter(flat))
    ys, last = scene.run(scene.part(number, xs, state))
    return ys, *leaves(last)
