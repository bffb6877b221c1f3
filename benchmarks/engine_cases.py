"""What the engine's benchmark compares: for each row of the table, how ours and its peers compute a training step."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

import ostinato
from engine_cells import SLSTM, LayerNormLSTM, ProjectedLSTM, Size, torch_twin, walk, walk_torch, weights
from engine_jax import as_tensors, jax_step
from engine_timing import Step
from ostinato.cells import GRUCell, LSTMCell, RNNCell

SIZES = (
    Size(1, 100, 16, 32),
    Size(32, 100, 16, 64),
    Size(32, 100, 64, 128),
    Size(64, 100, 128, 256),
    Size(64, 50, 512, 512),
    Size(32, 1000, 16, 64),
)
COMPILE_SIZE = Size(32, 100, 16, 64)

CELLS: dict[str, type[nn.Module]] = {"gru": GRUCell, "rnn": RNNCell, "lstm": LSTMCell}
NAMES = {"rnn": "RNN", "lstm": "LSTM", "gru": "GRU"}
# every kind of cell that torch.nn steps; without biases the LSTM and the GRU are other graphs
STEPPED: dict[str, Callable[[int, int], nn.Module]] = {
    "RNNCell, tanh": nn.RNNCell,
    "RNNCell, relu": partial(nn.RNNCell, nonlinearity="relu"),
    "LSTMCell": nn.LSTMCell,
    "GRUCell": nn.GRUCell,
    "LSTMCell without bias": partial(nn.LSTMCell, bias=False),
    "GRUCell without bias": partial(nn.GRUCell, bias=False),
}


@dataclass(frozen=True)
class Peer:
    """One that ours is measured against. `make` is called once, `target` is the ratio of times that is asked for."""

    name: str
    make: Callable[[], Step]
    target: float | None = None
    same: bool = True  # whether its results must be ours
    read: Callable[[Any], Sequence[Tensor]] = list  # what a step returns, as tensors


@dataclass(frozen=True)
class Case:
    """One cell at one size. `make` returns our training step and the peers, which share its weights and inputs."""

    key: str
    what: str
    size: Size
    make: Callable[[], tuple[Step, list[Peer]]]
    kinks: float = 0.0


@dataclass
class Problem:
    """The data of a case: inputs, and the cotangent that stands for the rest of a model."""

    size: Size
    outputs: int
    xs: Tensor = field(init=False)
    cotangent: Tensor = field(init=False)
    lengths: Tensor = field(init=False)

    def __post_init__(self) -> None:
        steps, batch = self.size.steps, self.size.batch
        self.xs = torch.randn(steps, batch, self.size.inputs, requires_grad=True)
        self.cotangent = torch.randn(steps, batch, self.outputs)
        self.lengths = torch.randint(max(1, steps // 10), steps + 1, (batch,))

    def training(self, forward: Callable[[Tensor], Tensor], parameters: Sequence[Tensor]) -> Step:
        """Return a step that gives the outputs and the gradients of the inputs and the parameters."""
        wanted = [self.xs, *parameters]

        def step() -> list[Tensor]:
            ys = forward(self.xs)
            return [ys.detach(), *torch.autograd.grad(ys, wanted, self.cotangent)]

        return step


def all_cases(sizes: Sequence[Size], compile_steps: int) -> Iterator[Case]:
    """Yield every case, torch.compile's first: its compilation is best done before JAX has started its threads."""
    yield from _compiled(compile_steps)
    for size in sizes:
        for kind in CELLS:
            yield Case(kind, NAMES[kind], size, partial(_plain, kind, size))
        for kind in ("lstm", "gru"):
            what = f"{NAMES[kind]}, lengths 10-100 %"
            yield Case(f"{kind}-lengths", what, size, partial(_variable, kind, size))
        yield Case("lstm-projected", "projected LSTM", size, partial(_projected, size))
        yield Case("gru-bidirectional", "bidirectional 2-layer GRU", size, partial(_bidirectional, size))
        for name, kind_of in STEPPED.items():
            # at most one element in ten thousand lies on the kink of the ReLU
            kinks = 1e-4 if "relu" in name else 0.0
            yield Case("stepped", f"torch.nn.{name}", size, partial(_stepped, kind_of, size), kinks)
        yield Case("layernorm", "layer-norm LSTM", size, partial(_own, LayerNormLSTM, size))
        yield Case("slstm", "sLSTM", size, partial(_own, SLSTM, size))


def ours_plain(problem: Problem, cell: nn.Module) -> Step:
    """Return our training step of a cell that `weights` knows."""
    return problem.training(lambda xs: ostinato.scan(cell, xs)[0], weights(cell))


def theirs_plain(problem: Problem, layer: nn.RNNBase) -> Step:
    """Return the training step of a layer of `torch.nn`."""
    return problem.training(lambda xs: layer(xs)[0], list(layer.parameters()))


def _plain(kind: str, size: Size) -> tuple[Step, list[Peer]]:
    cell = CELLS[kind](size.inputs, size.hidden)
    problem = Problem(size, size.hidden)
    return ours_plain(problem, cell), [
        Peer("torch.nn", lambda: theirs_plain(problem, torch_twin([cell])), 1.5 if kind == "lstm" else 4.0),
        Peer("eager cell", lambda: problem.training(lambda xs: walk(cell, xs), weights(cell))),
        Peer(
            "jax.lax.scan",
            lambda: jax_step(cell, problem.xs, problem.cotangent),
            None if kind == "rnn" else 2.0,
            read=as_tensors,
        ),
    ]


def _variable(kind: str, size: Size) -> tuple[Step, list[Peer]]:
    cell = CELLS[kind](size.inputs, size.hidden)
    problem = Problem(size, size.hidden)
    twin = torch_twin([cell])

    def packed(xs: Tensor) -> Tensor:
        rows = pack_padded_sequence(xs, problem.lengths, enforce_sorted=False)
        return pad_packed_sequence(twin(rows)[0], total_length=size.steps)[0]

    ours = problem.training(lambda xs: ostinato.scan(cell, xs, lengths=problem.lengths)[0], weights(cell))
    return ours, [
        Peer("torch.nn, packed", lambda: problem.training(packed, list(twin.parameters())), 5.0),
        Peer("ours, padded", lambda: ours_plain(problem, cell), 1.0, same=False),
    ]


def _projected(size: Size) -> tuple[Step, list[Peer]]:
    cell = ProjectedLSTM(size.inputs, size.hidden, size.hidden // 2)
    problem = Problem(size, size.hidden // 2)
    twin = torch_twin([cell])
    # torch's own order has the second bias, which ours has not, before the projection
    theirs = [twin.weight_ih_l0, twin.weight_hh_l0, twin.bias_ih_l0, twin.weight_hr_l0, twin.bias_hh_l0]
    return ours_plain(problem, cell), [Peer("torch.nn", lambda: problem.training(lambda xs: twin(xs)[0], theirs), 3.0)]


def _bidirectional(size: Size) -> tuple[Step, list[Peer]]:
    layer = ostinato.nn.Recurrent(GRUCell(size.inputs, size.hidden), num_layers=2, bidirectional=True)
    problem = Problem(size, 2 * size.hidden)
    twin = torch_twin(list(layer.cells), bidirectional=True)
    parameters = [own for cell in layer.cells for own in weights(cell)]
    return problem.training(lambda xs: layer(xs)[0], parameters), [
        Peer("torch.nn", lambda: theirs_plain(problem, twin), 3.0)
    ]


def _stepped(kind_of: Callable[[int, int], nn.Module], size: Size) -> tuple[Step, list[Peer]]:
    cell = kind_of(size.inputs, size.hidden)
    problem = Problem(size, size.hidden)
    parameters = list(cell.parameters())
    return problem.training(lambda xs: ostinato.scan(cell, xs)[0], parameters), [
        Peer("Python loop", lambda: problem.training(lambda xs: walk_torch(cell, xs), parameters), 3.0)
    ]


def _own(kind_of: type[nn.Module], size: Size) -> tuple[Step, list[Peer]]:
    cell = kind_of(size.inputs, size.hidden)
    problem = Problem(size, size.hidden)
    parameters = list(cell.parameters())
    return problem.training(lambda xs: ostinato.scan(cell, xs)[0], parameters), [
        Peer("eager cell", lambda: problem.training(lambda xs: walk(cell, xs), parameters), 10.0)
    ]


def _compiled(steps: int) -> Iterator[Case]:
    """Yield the cases for torch.compile of the unrolled loop, which takes minutes for a hundred steps."""
    if not steps:
        return
    size = Size(COMPILE_SIZE.batch, steps, COMPILE_SIZE.inputs, COMPILE_SIZE.hidden)
    kinds = {"LSTM": LSTMCell, "layer-norm LSTM": LayerNormLSTM, "sLSTM": SLSTM}
    for what, kind_of in kinds.items():
        yield Case("compile", f"{what}, unrolled", size, partial(_unrolled, kind_of, size))


def _unrolled(kind_of: type[nn.Module], size: Size) -> tuple[Step, list[Peer]]:
    cell = kind_of(size.inputs, size.hidden)
    problem = Problem(size, size.hidden)
    parameters = list(cell.parameters())

    def compiled() -> Step:
        torch.compiler.reset()
        return problem.training(torch.compile(lambda xs: walk(cell, xs)), parameters)

    return problem.training(lambda xs: ostinato.scan(cell, xs)[0], parameters), [
        Peer("torch.compile", compiled, None if kind_of is LSTMCell else 4.0)
    ]
