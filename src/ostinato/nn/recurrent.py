"""`Recurrent`: any cell as a layer, stacked, in one direction or both."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Literal, TypeAlias, cast

import torch
from torch import Tensor, nn

from ostinato.engine import State, call_cell, initial_state, scan
from ostinato.errors import UsageError
from ostinato.nn.building import make_cells, output_size
from ostinato.nn.dropout import VariationalDropout
from ostinato.nn.norms import SequenceBatchNorm, steps_mask
from ostinato.nn.projected import scan_rows
from ostinato.nn.rebuild import CellFactory
from ostinato.nn.rows import Rows
from ostinato.nn.skips import HighwaySkip, ResidualSkip
from ostinato.nn.starts import LearnedStarts

LayerStates: TypeAlias = "tuple[State, ...]"
Merge = Literal["concat", "sum", "mean"]
Skip = Literal["residual", "highway"]
Norm = Literal["layer", "batch"]
_CHOICES = {
    "merge": ("concat", "sum", "mean"),
    "skip": (None, "residual", "highway"),
    "norm": (None, "layer", "batch"),
}


class Recurrent(nn.Module):
    """A stack of recurrent layers of any cell.

    Layer `l` reads `z = dropout(norm(x))` and gives `skip(x, merge(cells(z)))`; the first layer reads `x` itself.

    Args:
        cell: a cell (used as the first layer; further layers and directions are new cells of the same settings), or a
            function `input_size -> cell`; or a list of these with one for each layer.
        num_layers: how many layers; each reads the outputs of the one before. As many as are listed, else one.
        input_size: features of a step; needed only when `cell` is a function.
        bidirectional: also walk each sequence from its end.
        merge: how the outputs of two directions become one: concatenated, forward first; their sum; their mean.
        dropout: share of each layer's outputs set to zero in training before the next layer reads them (0 to 1).
        variational: draw the mask of that once for each sequence and call, rather than at every step.
        norm: normalise what a layer reads from the one before: each step over its features (`"layer"`), or each feature
            over all real steps of the batch (`"batch"`, see `SequenceBatchNorm`).
        skip: lead what a layer reads around it: `"residual"` or `"highway"`; around the first only if its input and
            output are equally wide.
        tie: make all layers the same cells, with the same weights.
        learn_initial_state: start from parameters, which begin at the cells' own starts.
        batch_first: whether inputs and outputs are `(batch, time, features)` rather than `(time, batch, features)`.

    Raises:
        UsageError: an argument is out of range, or more cells like the given one cannot be made.

    Sources: M. Schuster and K. Paliwal, "Bidirectional recurrent neural networks", 1997; dropout between layers as in
    W. Zaremba, I. Sutskever and O. Vinyals, "Recurrent neural network regularization", 2014; the others with the
    modules of their names.

    >>> import torch, ostinato
    >>> layer = ostinato.nn.Recurrent(ostinato.cells.GRUCell(3, 5), num_layers=2, bidirectional=True)
    >>> ys, last = layer(torch.randn(7, 2, 3))
    >>> tuple(ys.shape), len(last)
    ((7, 2, 10), 4)
    """

    def __init__(
        self,
        cell: nn.Module | CellFactory | Sequence[nn.Module | CellFactory],
        num_layers: int | None = None,
        *,
        input_size: int | None = None,
        bidirectional: bool = False,
        merge: Merge = "concat",
        dropout: float = 0.0,
        variational: bool = False,
        norm: Norm | None = None,
        skip: Skip | None = None,
        tie: bool = False,
        learn_initial_state: bool = False,
        batch_first: bool = False,
    ) -> None:
        super().__init__()
        self.num_layers = _layer_count(cell, num_layers)
        if not 0.0 <= dropout <= 1.0:
            raise UsageError(f"dropout is {dropout}; expected a share from 0 to 1")
        for name, value in (("merge", merge), ("skip", skip), ("norm", norm)):
            if value not in _CHOICES[name]:
                raise UsageError(f"{name} is {value!r}; expected one of {', '.join(map(repr, _CHOICES[name]))}")
        self.bidirectional, self.batch_first, self.merge = bidirectional, batch_first, merge
        self.dropout = VariationalDropout(dropout) if variational else nn.Dropout(dropout)
        ways = 2 if bidirectional else 1
        widened = ways if merge == "concat" else 1
        cells = make_cells(cell, self.num_layers, ways, input_size, widened=widened, tie=tie)
        self.cells = nn.ModuleList(cells)
        self.norms, self.skips = nn.ModuleList(), nn.ModuleDict()
        if norm or skip:
            self._add_norms_and_skips(norm, skip, input_size, widened)
        self.starts = LearnedStarts(cells, input_size) if learn_initial_state else None

    def _add_norms_and_skips(self, norm: Norm | None, skip: Skip | None, input_size: int | None, widened: int) -> None:
        ways = 2 if self.bidirectional else 1
        width = getattr(self.cells[0], "input_size", input_size)
        if not isinstance(width, int):
            raise UsageError(f"the input size of {type(self.cells[0]).__name__} is not known; pass input_size=...")
        like = next(self.cells.parameters(), torch.zeros(()))
        for index in range(self.num_layers):
            if norm and index:
                made = nn.LayerNorm(width) if norm == "layer" else SequenceBatchNorm(width)
                self.norms.append(made.to(like.device, like.dtype))
            given = output_size(self.cells, ways, index, width, widened)  # type: ignore[arg-type]
            if skip and given == width:
                made_skip = ResidualSkip() if skip == "residual" else HighwaySkip(width).to(like.device, like.dtype)
                self.skips[str(index)] = made_skip
            elif skip and index:
                raise UsageError(
                    f'skip="{skip}" leads what layer {index} reads, {width} features, around it, but it gives {given}; '
                    "make them equal"
                )
            width = given

    def forward(
        self, xs: Tensor | Rows, state: LayerStates | None = None, *, lengths: Tensor | None = None
    ) -> tuple[Tensor, LayerStates]:
        """Run the stack over time.

        Args:
            xs: `(time, batch, features)`, or `(batch, time, features)` with `batch_first`; or `Rows` of a table, which
                the first layer's cells multiply once for equal steps.
            state: one state for each cell, in the order that `last` has them; `None` for the initial ones.
            lengths: `(batch,)`; see `ostinato.scan`.

        Returns:
            The last layer's outputs, `(time, batch, output features)`, and the last states: a tuple of layer 0 forward,
            layer 0 backward, layer 1 forward, and so on.
        """
        read = self._opened(xs)
        states = self._starts(state, read)
        last: list[State] = []
        for index, directions in enumerate(self._layers()):
            given = read if isinstance(read, Rows) else self._read(index, read, lengths)
            runs = self._walked(directions, given, states, lengths)
            ys = self._merged([ys for ys, _ in runs])
            read = ys if isinstance(read, Rows) else self._around(index, read, ys, lengths)
            last += [final for _, final in runs]
        outputs = cast("Tensor", read)  # there is a layer at least
        return (outputs.transpose(0, 1) if self.batch_first else outputs), tuple(last)

    def _opened(self, xs: Tensor | Rows) -> Tensor | Rows:
        """Return what the first layer reads, time first; rows of a table only if nothing else needs their vectors."""
        if isinstance(xs, Rows):
            rows = xs.transpose() if self.batch_first else xs
            return rows.dense() if "0" in self.skips else rows
        return xs.transpose(0, 1) if self.batch_first else xs

    def _walked(
        self, directions: list[nn.Module], read: Tensor | Rows, states: Iterator[State | None], lengths: Tensor | None
    ) -> list[tuple[Tensor, State]]:
        """Run the cells of a layer, one for each direction."""
        ways = list(enumerate(directions))
        if isinstance(read, Rows):
            return [scan_rows(cell, read, next(states), lengths=lengths, reverse=way == 1) for way, cell in ways]
        return [scan(cell, read, next(states), lengths=lengths, reverse=way == 1) for way, cell in ways]

    def step(self, x: Tensor, state: LayerStates) -> tuple[Tensor, LayerStates]:
        """Advance the stack one step: `x` is `(batch, features)`.

        In training, dropout draws again at every step; batch normalisation needs two rows or more.

        Raises:
            UsageError: the stack is bidirectional, so that its first output needs the whole sequence.
        """
        if self.bidirectional:
            raise UsageError("a bidirectional stack cannot run step by step: its outputs need the end of the sequence")
        new_states: list[State] = []
        for index, cell in enumerate(self.cells):
            y, new_state = call_cell(cell, self._read(index, x, None), state[index])
            x = self._around(index, x, y, None)
            new_states.append(new_state)
        return x, tuple(new_states)

    def initial_state(self, x: Tensor) -> LayerStates:
        """Return the states that the stack starts from, for one step `x` of shape `(batch, features)`."""
        if self.starts is not None:
            learned: LayerStates = self.starts(x.shape[0])
            return learned
        states: list[State] = []
        for directions in self._layers():
            starts = [initial_state(cell, x) for cell in directions]
            with torch.no_grad():
                outputs = [call_cell(cell, x, start)[0] for cell, start in zip(directions, starts, strict=True)]
            x = self._merged(outputs)
            states += starts
        return tuple(states)

    def _read(self, index: int, xs: Tensor, lengths: Tensor | None) -> Tensor:
        """Return what a layer reads."""
        if index == 0:
            return xs
        if self.norms:
            norm = self.norms[index - 1]
            xs = norm(xs, lengths) if isinstance(norm, SequenceBatchNorm) else norm(xs)
        dropped: Tensor = self.dropout(xs)
        return dropped

    def _merged(self, outputs: list[Tensor]) -> Tensor:
        if len(outputs) == 1:
            return outputs[0]
        if self.merge == "concat":
            return torch.cat(outputs, -1)
        total = outputs[0] + outputs[1]
        return total / 2 if self.merge == "mean" else total

    def _around(self, index: int, xs: Tensor, ys: Tensor, lengths: Tensor | None) -> Tensor:
        """Return a layer's output with its input led around it."""
        if str(index) not in self.skips:
            return ys
        if index == 0 and (real := steps_mask(xs, lengths)) is not None:
            xs = xs.masked_fill(~real[..., None], 0.0)  # outputs past a row's length stay zero, whatever was there
        joined: Tensor = self.skips[str(index)](xs, ys)
        return joined

    def _layers(self) -> Iterator[list[nn.Module]]:
        width = 2 if self.bidirectional else 1
        bounds = range(0, len(self.cells) + 1, width)
        return ([self.cells[i] for i in range(a, b)] for a, b in pairwise(bounds))

    def _starts(self, state: LayerStates | None, xs: Tensor | Rows) -> Iterator[State | None]:
        if state is None:
            return iter([None] * len(self.cells) if self.starts is None else self.starts(xs.shape[1]))
        if not isinstance(state, tuple) or len(state) != len(self.cells):
            found = f"{len(state)} states" if isinstance(state, tuple) else type(state).__name__
            raise UsageError(
                f"state is {found}; expected a tuple of {len(self.cells)} states, one for each layer and direction"
            )
        return iter(state)


def _layer_count(cell: object, num_layers: int | None) -> int:
    listed = len(cell) if isinstance(cell, Sequence) else None
    if listed == 0:
        raise UsageError("the list of cells is empty; expected one for each layer")
    if listed is not None and num_layers not in (None, listed):
        raise UsageError(f"num_layers is {num_layers}, but {listed} cells are listed; leave num_layers out")
    count = listed or (1 if num_layers is None else num_layers)
    if count < 1:
        raise UsageError(f"num_layers is {count}; expected one or more")
    return count
