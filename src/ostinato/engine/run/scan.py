"""`scan`: any recurrent cell over a batch of sequences, and the one place that chooses how it runs."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from functools import partial
from typing import Any, Literal, TypeAlias, overload

import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ostinato.engine.front.shell import shell_of
from ostinato.engine.front.state import State, check_cell, initial_state, leaves, map_state, zeros_known
from ostinato.engine.front.watch import Look, look_now, watched_by_all_modules
from ostinato.engine.plan.graph import Unsupported
from ostinato.engine.run.carrying import Carrying, unpacked
from ostinato.engine.run.checkpoint import Scene, scan_pieces, scan_pieces_eagerly
from ostinato.engine.run.compiled import Ready, Request, find, mixed_now, scan_compiled, suits, warn_once
from ostinato.engine.run.drawn import Drawn
from ostinato.engine.run.operator import version
from ostinato.engine.run.reference import scan_eagerly
from ostinato.engine.run.repeated import run_again, wanted_of
from ostinato.engine.run.schedule import Checkpoint, Costs, pieces_for
from ostinato.engine.run.transforms import transformed
from ostinato.errors import ShapeError, UsageError

Lengths: TypeAlias = "Tensor | Sequence[int] | NDArray[Any]"


@overload
def scan(
    cell: nn.Module,
    xs: Tensor,
    state: State | None = None,
    *,
    lengths: Lengths | None = None,
    reverse: bool = False,
    batch_first: bool = False,
    resets: Tensor | None = None,
    return_states: Literal[False] = False,
    checkpoint: Checkpoint = None,
) -> tuple[Tensor, State]: ...


@overload
def scan(
    cell: nn.Module,
    xs: Tensor,
    state: State | None = None,
    *,
    lengths: Lengths | None = None,
    reverse: bool = False,
    batch_first: bool = False,
    resets: Tensor | None = None,
    return_states: Literal[True],
    checkpoint: Checkpoint = None,
) -> tuple[Tensor, State, State]: ...


def scan(
    cell: nn.Module,
    xs: Tensor,
    state: State | None = None,
    *,
    lengths: Lengths | None = None,
    reverse: bool = False,
    batch_first: bool = False,
    resets: Tensor | None = None,
    return_states: bool = False,
    checkpoint: Checkpoint = None,
) -> tuple[Tensor, State] | tuple[Tensor, State, State]:
    """Run a cell over time: in one compiled loop on the CPU where the engine takes the cell, else step by step.

    Gradients flow to `xs`, `state` and the parameters of the cell; gradients of gradients go through the eager loop.
    Under autocast a scan runs in the precision of the cell's parameters; to bfloat16, on a processor with instructions
    for it, its products of matrices round their operands to that and sum in float32, forward and backward.

    Args:
        cell: a module whose `forward(x, state)` returns `(output, new_state)`, the state being a tensor or a tuple of
            tensors whose first dimension is the batch; or one like `torch.nn.LSTMCell` that returns only the state.
        xs: the sequences, `(time, batch, features)`, or `(batch, time, features)` with `batch_first`.
        state: where to start, each tensor `(batch, ...)`; `None` for the cell's own `initial_state(x)` or zeros.
        lengths: whole numbers `(batch,)` between 0 and `time`, a tensor, an array or a list: the steps that each row
            really has. A row's outputs after its length are zero and its last state is the one at its last real step.
        reverse: walk each row from its own last step to its first; outputs stay in the order of `xs`.
        batch_first: whether the first dimension of `xs`, `resets` and of the outputs is the batch.
        resets: boolean `(time, batch)`: before a marked step the row goes back to `state`. It is how several sequences
            are put one after the other in a row.
        return_states: whether the states after every step are returned as well.
        checkpoint: for long sequences: how many steps are run together and their inner values forgotten until the
            backward pass, which runs them again: about a third more time, and memory for so many steps and a state for
            each piece. `"auto"` or `"sqrt"` for the square root of the steps, `"log"` for memory that grows with their
            logarithm, `"disk"` for inner values in a file, or `ostinato.engine.Checkpointing` for a limit in bytes or a
            folder for what is kept. The cell's tensors must stay as they are until then.

    Returns:
        The outputs, `(time, batch, output features)`, and the last state; with `return_states` also all states, each
        tensor `(time, batch, ...)`, zero past a row's length. All are differentiable. As with other operations of
        PyTorch, outputs that are needed for gradients must not be changed in place; PyTorch refuses the backward pass.

    Raises:
        ShapeError: `xs`, `state`, `lengths` or `resets` have shapes that do not fit.
        UsageError: the cell is none, or breaks the contract, or its initial state cannot be found; `checkpoint` is none
            of these, stands with `resets`, or its limit is too small.

    >>> import torch, ostinato
    >>> cell = torch.nn.GRUCell(3, 5)
    >>> ys, last = scan(cell, torch.randn(7, 2, 3), lengths=torch.tensor([7, 4]))
    >>> tuple(ys.shape), bool((ys[4:, 1] == 0).all()), bool((ys[3, 1] == last[1]).all())
    ((7, 2, 5), True, True)
    """
    check_cell(cell)
    if not isinstance(xs, Tensor):
        raise UsageError(f"xs is of type {type(xs).__name__}; expected a tensor (time, batch, features)")
    if xs.dim() < 3:
        raise ShapeError(f"xs has shape {tuple(xs.shape)}; expected three dimensions, (time, batch, features)")
    if batch_first:
        xs = xs.transpose(0, 1)
    if lengths is not None:
        lengths = _as_lengths(lengths, xs)
    if resets is not None:
        resets = _checked_resets(resets.transpose(0, 1) if batch_first else resets, xs)
    seen, autocast = look_now(cell), _autocast(xs)
    if autocast:
        xs = _in_precision_of(seen, xs)
    zeros = None if state is not None else zeros_known(cell, xs.shape[2:], seen.fingerprint)
    if state is None and zeros is None:
        state = _start_of(cell, xs, seen)
    if autocast and state is not None:  # a start that was made there, by a step or from sequences of halves
        state = map_state(lambda leaf: leaf.to(xs.dtype) if leaf.is_floating_point() else leaf, state)
    mixed, begin = mixed_now(xs) if autocast else None, zeros if state is None else state
    assert begin is not None
    result = None
    if checkpoint is None and not torch.compiler.is_compiling():
        wanted = wanted_of(xs, begin, lengths, resets, reverse, mixed=mixed, states=return_states)
        result = run_again(seen, wanted.from_zeros() if state is None else wanted)
    if result is None:
        if state is None:
            state = _start_of(cell, xs, seen)
        if lengths is not None:
            _check_range(lengths, xs)
        _check_state(state, xs)
        request = Request(xs.resolve_neg() if xs.is_neg() else xs, state, lengths, resets, reverse, mixed=mixed)
        stepped = Carrying(cell) if return_states else cell
        if checkpoint is None:
            result = _dispatch(cell, stepped, request, seen)
        else:
            result = _in_pieces(cell, stepped, request, seen, checkpoint)
    ys, last = result
    if not return_states:
        return (ys.transpose(0, 1) if batch_first else ys), last
    ys, states = unpacked(cell, ys, xs, begin, seen)
    if batch_first:
        ys, states = ys.transpose(0, 1), map_state(lambda leaf: leaf.transpose(0, 1), states)
    return ys, last, states


def scan_checked(
    cell: nn.Module, xs: Tensor, state: State, *, lengths: Tensor | None, reverse: bool, apart: bool
) -> tuple[Tensor, State]:
    """Run a layer's own step on arguments that are known to fit.

    The outputs may be changed in place if they are kept `apart`. Hooks on all modules see the layer, not its steps.
    """
    given = xs.resolve_neg() if xs.is_neg() else xs
    request = Request(given, state, lengths, None, reverse, apart, mixed_now(given) if _autocast(given) else None)
    return _dispatch(cell, cell, request, look_now(cell), inner=True)


def _dispatch(
    owner: nn.Module, cell: nn.Module, request: Request, seen: Look, *, inner: bool = False
) -> tuple[Tensor, State]:
    """Choose who runs the loop: the compiled engine, or the reference for what it does not take.

    Steps that are `inner`, a layer's own, are not for hooks on all modules to see.
    """
    xs, state, lengths, resets, reverse, *_ = request
    with torch.autocast(xs.device.type, enabled=False) if _autocast(xs) else nullcontext():
        if seen.draws:
            if cell is not owner:
                return scan_eagerly(Drawn(cell), xs, state, lengths, reverse, resets)
            cell = Drawn(cell)
        if not suits(xs, state):
            return scan_eagerly(cell, xs, state, lengths, reverse, resets)
        done: tuple[Tensor, State] | Unsupported
        if not inner and watched_by_all_modules(names_alone=False):
            done = Unsupported("hooks on all modules, which must run at every step")
        else:
            done = scan_compiled(owner, cell, request, seen)
        if isinstance(done, Unsupported):
            result = scan_eagerly(cell, xs, state, lengths, reverse, resets)
            # not before: a cell that breaks the contract has just raised what is wrong with it
            warn_once(owner, done)
            return result
        return done


def _in_pieces(
    owner: nn.Module, cell: nn.Module, request: Request, seen: Look, checkpoint: Checkpoint
) -> tuple[Tensor, State]:
    """Run a scan whose inner values are forgotten, or kept elsewhere, until the backward pass."""
    if request.resets is not None:
        # a marked row returns to where the whole scan started, not to where its piece did
        raise UsageError("checkpoint and resets were given together; leave one of them out")
    xs, start, mixed = request.xs, request.state, bool(request.mixed)
    ready = find(owner, cell, xs, start, mixed=mixed) if suits(xs, start) else None
    plan = ready.executable.plan if isinstance(ready, Ready) else None
    pieces = pieces_for(checkpoint, request.xs.shape[0], lambda: Costs.of(plan, request.xs, leaves(request.state)))
    if pieces is None or not torch.is_grad_enabled() or transformed():
        return _dispatch(owner, cell, request, seen)
    if request.xs.device.type != "cpu" and (pieces.disk or pieces.folder is not None):
        raise UsageError(
            f"checkpoint keeps values in files and the sequences are on {request.xs.device}; files are for tensors in "
            "memory: leave folder and disk out"
        )
    if seen.draws:
        raise UsageError(
            "checkpoint was given for a cell whose weights are drawn at random for each call; leave it out"
        )
    tensors = tuple(tensor for tensor in seen.tensors.values() if tensor.requires_grad)

    def run_with(part: Request, others: Sequence[Tensor]) -> tuple[Tensor, State]:
        bound = shell_of(cell, {id(old): new for old, new in zip(tensors, others, strict=True)}, None)
        return _dispatch(bound, bound, part, look_now(bound))

    if request.lengths is not None:  # they may be changed until the backward pass
        request = request._replace(lengths=request.lengths.clone())
    others = tuple((tensor, version(tensor)) for tensor in seen.tensors.values() if not tensor.requires_grad)
    scene = Scene(partial(_dispatch, owner, cell, seen=seen), run_with, tensors, request, pieces, others)
    return scan_pieces(scene) if plan is not None else scan_pieces_eagerly(scene)


def _start_of(cell: nn.Module, xs: Tensor, seen: Look) -> State:
    """Return the state that a cell starts from when none is given."""
    return initial_state(cell, xs[0] if xs.shape[0] else xs.new_zeros(xs.shape[1:]), seen.fingerprint)


def _in_precision_of(seen: Look, xs: Tensor) -> Tensor:
    """Under autocast, bring half-precision sequences back to the precision of the cell: it runs in that throughout."""
    like = next((tensor for tensor in seen.tensors.values() if isinstance(tensor, nn.Parameter)), xs)
    return xs.to(like.dtype) if like.is_floating_point() else xs


def _autocast(xs: Tensor) -> bool:
    return xs.device.type != "meta" and torch.is_autocast_enabled(xs.device.type)


def _checked_resets(resets: Tensor, xs: Tensor) -> Tensor:
    if resets.dtype is not torch.bool or resets.shape != xs.shape[:2]:
        raise ShapeError(
            f"resets has shape {tuple(resets.shape)} and type {resets.dtype}; expected booleans (time, batch), "
            f"{tuple(xs.shape[:2])} as in xs"
        )
    return resets.to(xs.device)


def _as_lengths(lengths: Lengths, xs: Tensor) -> Tensor:
    batch = xs.shape[1]
    if not isinstance(lengths, Tensor):
        lengths = _as_tensor(lengths)
    if lengths.dim() != 1 or lengths.shape[0] != batch or lengths.is_floating_point() or lengths.dtype is torch.bool:
        raise ShapeError(
            f"lengths has shape {tuple(lengths.shape)} and type {lengths.dtype}; expected whole numbers, ({batch},), "
            f"one for each row of xs {tuple(xs.shape)}"
        )
    return lengths.to(xs.device)


def _check_range(lengths: Tensor, xs: Tensor) -> None:
    time, batch = xs.shape[:2]
    if batch and (int(lengths.min()) < 0 or int(lengths.max()) > time):
        raise ShapeError(
            f"lengths run from {int(lengths.min())} to {int(lengths.max())}; expected 0 to {time}, the steps of xs"
        )


def _as_tensor(lengths: Any) -> Tensor:
    try:
        found = torch.as_tensor(lengths)
        return found if found.numel() else found.long()  # of an empty list PyTorch makes none of whole numbers
    except (TypeError, ValueError, RuntimeError) as error:
        raise UsageError(f"lengths is {lengths!r:.80}; expected whole numbers, one for each row of xs") from error


def _check_state(state: State, xs: Tensor) -> None:
    for leaf in leaves(state):
        if leaf.dim() == 0 or leaf.shape[0] != xs.shape[1]:
            raise ShapeError(
                f"a tensor of the state has shape {tuple(leaf.shape)}; its first dimension must be the batch, "
                f"{xs.shape[1]} rows as in xs {tuple(xs.shape)}"
            )
