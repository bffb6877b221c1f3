"""What `benchmarks/sizes.py` compares at every size: layers beside `torch.nn`, cells beside their Python loop.

A kind makes two steps of one size, ours and theirs, with the same weights and inputs. Options have names that follow
that of a layer: `gru-lengths`, `lstm-stack`, `rnn-double`. `cell:NAME` is a cell of the catalogue.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence

import ostinato
from engine_cells import SLSTM, LayerNormLSTM, Size, walk
from ostinato.cells import CATALOGUE, PLAIN
from ostinato.engine import initial_state

Step = Callable[[], list[Tensor]]


class MinimalGatedCell(nn.Module):
    """One gate for all (G.-B. Zhou et al., "Minimal gated unit for recurrent neural networks", 2016, section 3)."""

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__()
        self.gate = nn.Linear(input_size + hidden_size, hidden_size)
        self.candidate = nn.Linear(input_size + hidden_size, hidden_size)
        self.hidden_size = hidden_size

    def initial_state(self, x: Tensor) -> Tensor:
        """Return zeros."""
        return x.new_zeros((x.shape[0], self.hidden_size))

    def forward(self, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        """Advance one step."""
        f = torch.sigmoid(self.gate(torch.cat([x, h], -1)))
        n = torch.tanh(self.candidate(torch.cat([x, f * h], -1)))
        h = (1 - f) * h + f * n
        return h, h


@dataclass(frozen=True)
class Kind:
    """What is compared at every size."""

    name: str
    least: float | None
    """What every ratio has to reach, if that is asked for."""
    mean: float
    """What the geometric mean has to reach."""
    pair: Callable[[Size, bool], tuple[Step, Step]]
    tolerance: float = 1e-3
    """How far outputs and gradients may lie apart, in parts of their size."""


@dataclass(frozen=True)
class Option:
    """How a layer is made and called."""

    said: str = ""
    stacked: bool = False
    """Two layers, both directions, the batch first."""
    lengths: bool = False
    """Packed rows, whose lengths run from a tenth to all of the steps."""
    dtype: torch.dtype = torch.float32
    half: bool = False
    """Under autocast to bfloat16."""
    x_gradient: bool = False
    frozen: bool = False
    """Weights want no gradients; the sequences do."""
    view: bool = False
    """Sequences are a part of wider ones, and the batch comes first where the layer wants the time first."""
    inference: bool = False
    """Under `torch.inference_mode`; without gradients."""
    compiled: bool = False
    """Within a function that `torch.compile` compiles."""


OPTIONS = {
    "": Option(),
    "-lengths": Option("lengths 10-100 %", lengths=True),
    "-stack": Option("2 layers, both directions, batch first", stacked=True),
    "-stack-lengths": Option("2 layers, both directions, lengths", stacked=True, lengths=True),
    "-double": Option("float64", dtype=torch.float64),
    "-half": Option("autocast to bfloat16", half=True),
    "-x": Option("x wants gradients", x_gradient=True),
    "-frozen": Option("frozen weights", x_gradient=True, frozen=True),
    "-view": Option("x a view", view=True),
    "-inference": Option("inference mode", inference=True),
    "-compiled": Option("in a compiled function", compiled=True),
}


def layers(mode: str, option: Option, size: Size, backward: bool) -> tuple[Step, Step]:
    """Return steps of a drop-in and of its namesake with the same weights."""
    made = {"num_layers": 2, "bidirectional": True, "batch_first": True} if option.stacked else {}
    theirs = getattr(nn, mode)(size.inputs, size.hidden, dtype=option.dtype, **made)
    ours = getattr(ostinato.nn, mode)(size.inputs, size.hidden, dtype=option.dtype, **made)
    ours.load_state_dict(theirs.state_dict())
    xs = sequences(size, option)
    lengths = torch.randint(max(1, size.steps // 10), size.steps + 1, (size.batch,))
    lengths[0] = size.steps

    def run(layer: nn.Module) -> Tensor:
        with autocast(option):
            if option.lengths:
                packed = pack_padded_sequence(xs, lengths, batch_first=option.stacked, enforce_sorted=False)
                found: Tensor = layer(packed)[0].data
            else:
                found = layer(xs)[0]
        return found

    def one(layer: nn.Module) -> Step:
        layer.requires_grad_(not option.frozen)
        call = partial(run, layer)
        return step(layer, torch.compile(call) if option.compiled else call, backward, xs, option.inference)

    return one(ours), one(theirs)


def sequences(size: Size, option: Option) -> Tensor:
    """Return sequences as an option wants them."""
    if option.view:
        wide = torch.randn(size.batch, size.steps, size.inputs + 3, dtype=option.dtype)
        return wide[..., 1:-2].transpose(0, 1)
    first = (size.batch, size.steps) if option.stacked else (size.steps, size.batch)
    return torch.randn(*first, size.inputs, dtype=option.dtype, requires_grad=option.x_gradient)


def autocast(option: Option) -> AbstractContextManager[object]:
    """Return what calls run under."""
    return torch.autocast("cpu", torch.bfloat16) if option.half else nullcontext()


def cells(kind: Callable[[int, int], nn.Module], size: Size, backward: bool) -> tuple[Step, Step]:
    """Return steps of a cell by `scan` and by its Python loop."""
    cell = kind(size.inputs, size.hidden)
    xs = torch.randn(size.steps, size.batch, size.inputs)
    return beside_loop(cell, xs, backward)


def frames(kind: type[nn.Module], size: Size, backward: bool) -> tuple[Step, Step]:
    """Return steps of a convolutional cell: a twentieth of the inputs and units are channels of 8 x 8 frames."""
    channels, hidden = (max(1, number // 20) for number in (size.inputs, size.hidden))
    cell = kind(channels, hidden)
    xs = torch.randn(size.steps, size.batch, channels, 8, 8)
    return beside_loop(cell, xs, backward)


def beside_loop(cell: nn.Module, xs: Tensor, backward: bool) -> tuple[Step, Step]:
    """Return steps by `scan` and by the Python loop."""
    start = initial_state(cell, xs[0])
    return (
        step(cell, lambda: ostinato.scan(cell, xs)[0], backward),
        step(cell, lambda: walk(cell, xs, start), backward),
    )


def step(
    module: nn.Module, run: Callable[[], Tensor], backward: bool, xs: Tensor | None = None, inference: bool = False
) -> Step:
    """Return a step that gives outputs and gradients; the gradient of the outputs is made once."""
    wanted = [parameter for parameter in module.parameters() if parameter.requires_grad]
    wanted += [] if xs is None or not xs.requires_grad else [xs]
    cotangents: list[Tensor] = []

    def train() -> list[Tensor]:
        for tensor in wanted:
            tensor.grad = None
        ys = run()
        if not cotangents:
            cotangents.append(torch.randn(ys.shape, generator=torch.Generator().manual_seed(1)).to(ys.dtype))
        ys.backward(cotangents[0])
        return [ys, *(tensor.grad for tensor in wanted if tensor.grad is not None)]

    def infer() -> list[Tensor]:
        with torch.inference_mode() if inference else torch.no_grad():
            return [run()]

    return train if backward and not inference else infer


_ASKED = {"LSTM": (0.97, 1.35), "GRU": (1.0, 3.0), "RNN": (1.0, 2.5)}
"""Least and mean."""
_OWN = {"layer-norm": ("layer-norm LSTM", LayerNormLSTM), "slstm": ("sLSTM", SLSTM),
        "mgu": ("minimal gated unit", MinimalGatedCell)}  # fmt: skip
BESIDE_LOOP = 8.0
"""The mean asked of cells beside their Python loop."""


def kind_of(name: str) -> Kind:
    """Return a kind by its name.

    Raises:
        KeyError: there is none.
    """
    if name.startswith("cell:"):
        cell = CATALOGUE[name[5:]]
        pair = partial(frames if name[5:].startswith("conv") else cells, cell)
        return Kind(name[5:], 1.0, BESIDE_LOOP, pair)
    if name in _OWN:
        said, made = _OWN[name]
        return Kind(said, None, BESIDE_LOOP, partial(cells, made))
    mode, dash, rest = name.partition("-")
    mode, option = mode.upper(), OPTIONS[dash + rest]
    least, mean = _ASKED[mode]
    said = f"{mode}, {option.said}" if option.said else mode
    loose = 0.1 if option.half else 1e-3
    if option.lengths:
        return Kind(said, None, 4.0, partial(layers, mode, option), loose)
    return Kind(said, least, mean if not rest else 1.0, partial(layers, mode, option), loose)


USUAL = ("lstm", "gru", "rnn", "lstm-lengths", "gru-lengths", "layer-norm", "slstm", "mgu")


def drawn_cells(seed: int, count: int) -> Sequence[str]:
    """Return kinds of so many cells drawn from a seed, of those that `torch.nn` has not and that learn."""
    names = [name for name in PLAIN if name not in ("lstm", "gru", "rnn", "irnn", "echo-state")]
    order = torch.randperm(len(names), generator=torch.Generator().manual_seed(seed))
    return [f"cell:{names[place]}" for place in order[:count]]
