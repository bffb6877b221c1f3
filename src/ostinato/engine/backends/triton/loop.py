"""One program of a plan, run over calls of one kind: what is looked up once, and what is left to do at each call."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor

from ostinato.engine.backends.calls import dense
from ostinato.engine.backends.triton import batched
from ostinato.engine.backends.triton.batched import Batched, Name
from ostinato.engine.backends.triton.kernels import (
    Kernel,
    Launch,
    interpreted,
    launch,
    make_kernel,
    out_of_resources,
    split_by_phase,
)
from ostinato.engine.backends.triton.phases import order
from ostinato.engine.backends.triton.tiles import Limits, tilings
from ostinato.engine.backends.triton.values import Form

if TYPE_CHECKING:
    from ostinato.engine.backends.triton.executable import TritonExecutable
    from ostinato.engine.plan.formulas import Formulas


class Kind(NamedTuple):
    """What calls differ by for which another kernel, or another of its forms, is wanted."""

    which: str
    """The program: `infer`, `forward` or `backward`."""
    batch: int
    lengths: bool
    resets: bool
    reverse: bool
    precision: str
    device: torch.device


class Given(NamedTuple):
    """What a program is run on."""

    parameters: Sequence[Tensor]
    """All tensors of the cell."""
    inputs: dict[Name, Tensor]
    """`(time, batch, ...)` each, the features dense."""
    steps: int
    start: Sequence[Tensor | None]
    """The carries before the first step, `(batch, ...)` each; none for zeros."""
    lengths: Tensor | None
    """Whole numbers of 32 bits."""
    resets: Tensor | None
    """Bytes, `(time, batch)`."""
    seed: int


class Found(NamedTuple):
    """What a program gives."""

    streams: dict[int, Tensor]
    """`(time, batch, ...)` each; terms of totals as `-1 - index`."""
    last: list[Tensor]
    """The carries after the last step, in the type of the sequences."""


@dataclass(frozen=True)
class _Stream:
    index: int
    shape: tuple[int, ...]
    kind: torch.dtype
    make: Any


class Constants:
    """The constants of a plan that somebody reads, made of the parameters as they are at the call.

    They are made at every call, and nothing of them is kept: parameters can change unseen, through `.data` or in a
    captured graph. Most are parameters seen in another way, which costs nothing outside of kernels.

    Args:
        formulas: that give them, on the device.
        read: those that are read.
        dense: those that must be dense.
        computed: the type of those that are computed, and of those that are no floating-point numbers.
    """

    def __init__(self, formulas: Formulas, read: set[int], dense: set[int], computed: torch.dtype) -> None:
        self._read, self._dense, self._computed = sorted(read), dense, computed
        views = {place for place in read if formulas.is_view(place)}
        self._views = formulas.only(views).run if views else None
        rest = formulas.only(read - views)
        self._rest = rest.run if read - views else None
        self._behind = rest.behind(None)

    def of(self, parameters: Sequence[Tensor]) -> dict[int, Tensor]:
        """Return the constants by number."""
        seen = [] if self._views is None else self._views(*parameters)
        made = [] if self._rest is None else self._rest(*self._widened(parameters))
        found = {}
        for place in self._read:
            value = made[place] if made and made[place] is not None else seen[place]
            if not value.is_floating_point():
                value = value.to(self._computed)
            found[place] = value.contiguous() if place in self._dense else value
        return found

    def _widened(self, parameters: Sequence[Tensor]) -> list[Tensor]:
        return [
            value.to(self._computed) if place in self._behind and value.is_floating_point() else value
            for place, value in enumerate(parameters)
        ]


class Loop:
    """A program, its kernels, and what it does before and after them."""

    def __init__(self, executable: TritonExecutable, kind: Kind) -> None:
        parts = executable.parts_of(kind.which)
        self.kind, self.core = kind, parts.core
        self._dtype, self._computed = executable.dtype, executable.computed
        types = executable.dtype, executable.computed
        self._before = None if parts.split.before is None else Batched(parts.split.before, *types)
        self._after = None if parts.split.after is None else Batched(parts.split.after, *types, executable.dtype)
        self._early = [] if parts.split.before is None else [sink.index - 1 for sink in parts.split.before.sinks]
        self._late = [] if parts.split.after is None else [sink.index for sink in parts.split.after.sinks]
        self._limits = Limits.of(kind.device)
        resets = ("after" if kind.which == "backward" else "before") if kind.resets else ""
        self._forms = [
            Form(
                tiling, _text(self._computed), _text(self._dtype), kind.precision, kind.lengths, resets, kind.reverse,
                widened=interpreted() and executable.half,
            )
            for tiling in tilings(order(self.core, 1), kind.batch, self._dtype.itemsize, self._limits)
        ]  # fmt: skip
        self._formulas = executable.plan.constants.on(kind.device)
        # terms that are kept for nothing else are summed as they were computed
        totals = set(self.core.totals.values()) - {sink.index for sink in parts.split.core.of("stream")}
        self._streams = [
            _Stream(
                sink.index, sink.node.shape, self._computed if sink.index in totals else self._dtype,
                torch.zeros if kind.lengths else batched.memory(sink.node),
            )
            for sink in self.core.sinks
            if sink.kind == "stream"
        ]  # fmt: skip
        self._use(self._forms[0])

    def _use(self, form: Form) -> None:
        """Take a form: its kernels, and the constants that they read."""
        phases = order(self.core, form.tiling.columns)
        apart = interpreted() and form.tiling.columns > 1
        self._kernels: list[Kernel] = split_by_phase(phases, form) if apart else [make_kernel(phases, form)]
        dense = {index for kernel in self._kernels for index in kernel.source.constants}
        read = set(dense)
        for part in (self._before, self._after):
            if part is not None:
                dense |= part.read_by_kernels()
                read |= part.constants
        self._constants = Constants(self._formulas, read | dense, dense, self._computed)

    def run(self, given: Given, into: dict[int, Tensor]) -> Found:
        """Run the program.

        Args:
            given: what it is run on.
            into: memory for some of the streams; the others get their own. With lengths it is zero.
        """
        with alone():
            return self._run(given, into)

    def _run(self, given: Given, into: dict[int, Tensor]) -> Found:
        constants = self._constants.of(given.parameters)
        inputs = given.inputs
        if self._before is not None:
            made = self._before.run(inputs, constants)
            inputs = inputs | {("early", index): dense(value) for index, value in zip(self._early, made, strict=True)}
        outputs = self._memory(given.steps, into)
        last = self._looped(given, inputs, constants, outputs)
        streams = dict(outputs)
        if self._after is not None:
            late = {("late", index): stream for index, stream in outputs.items()}
            for index, value in zip(self._late, self._after.run(inputs | late, constants), strict=True):
                streams[index] = masked(value, given.lengths)
        for index, terms in self.core.totals.items():
            streams[-1 - index] = outputs[terms]
        return Found(streams, last)

    def _memory(self, steps: int, into: dict[int, Tensor]) -> dict[int, Tensor]:
        """Return memory for all streams of the loop, that which is given among it."""
        found = {}
        for stream in self._streams:
            memory = into.get(stream.index)
            if memory is None:
                shape = (steps, self.kind.batch, *stream.shape)
                memory = stream.make(shape, dtype=stream.kind, device=self.kind.device)
            found[stream.index] = memory
        return found

    def _looped(
        self, given: Given, inputs: dict[Name, Tensor], constants: dict[int, Tensor], outputs: dict[int, Tensor]
    ) -> list[Tensor]:  # fmt: skip
        """Run the loop over steps; returns the carries after it."""
        kind = self.kind
        cuts = kind.resets and kind.which == "backward"
        last = self._carries(torch.empty, self._computed if cuts else self._dtype)
        cut = self._carries(torch.zeros, self._computed) if cuts else []
        if given.steps and kind.batch:
            on = Launch(
                inputs, constants, outputs, given.start, last, cut or [None] * len(last), given.lengths, given.resets,
                given.seed, given.steps, kind.batch, kind.device,
            )  # fmt: skip
            self._launch(on, given.parameters)
        return [end.add_(part).to(self._dtype) for end, part in zip(last, cut, strict=True)] if cuts else last

    def _carries(self, make: Any, kind: torch.dtype) -> list[Tensor]:
        batch, device = self.kind.batch, self.kind.device
        return [make((batch, *shape), dtype=kind, device=device) for shape in self.core.carries]

    def _launch(self, on: Launch, parameters: Sequence[Tensor]) -> None:
        """Run the loop with the first form that the device takes."""
        while True:
            try:
                launch(self._kernels, on, self._limits.programs)
                return
            except out_of_resources() as error:
                if len(self._forms) == 1:
                    raise RuntimeError(self._not_started(error)) from error
                self._forms = self._forms[1:]
                self._use(self._forms[0])
                on = replace(on, constants=self._constants.of(parameters))
            except Exception as error:
                raise RuntimeError(self._not_started(error)) from error

    def _not_started(self, error: BaseException) -> str:
        reason = (str(error).splitlines() or [""])[0][:200]
        return (
            f"the kernel of the {self.kind.which} program did not run on {self.kind.device} ({type(error).__name__}: "
            f"{reason}); set OSTINATO_ENGINE=off in the environment to run the eager loop"
        )


def alone() -> AbstractContextManager[Any]:
    """Return a context in which nothing is recorded, and no precision chosen by PyTorch."""
    return _alone_in_autocast() if torch.is_autocast_enabled("cuda") else torch.no_grad()


@contextmanager
def _alone_in_autocast() -> Iterator[None]:
    with torch.no_grad(), torch.autocast("cuda", enabled=False):
        yield


def masked(stream: Tensor, lengths: Tensor | None) -> Tensor:
    """Return a stream `(time, batch, ...)` with zeros past each row's length."""
    if lengths is None:
        return stream
    real = torch.arange(stream.shape[0], device=stream.device)[:, None] < lengths
    return torch.where(real.reshape(*real.shape, *[1] * (stream.dim() - 2)), stream, 0)


def spread(rows: Sequence[Tensor], x: Tensor) -> list[Tensor]:
    """Return the tensors of a cell that have one row for each sequence, the same at every step."""
    return [row.to(x.dtype).contiguous().expand(x.shape[0], *row.shape) for row in rows]


def _text(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
