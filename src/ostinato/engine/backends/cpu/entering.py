"""Kernels entered into a program of jobs: their argument blocks, the packing of their weights, the parts they have."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from ostinato.engine.backends.cpu import launch
from ostinato.engine.backends.cpu.drive import PACK
from ostinato.engine.backends.cpu.jobs import LINE, NOTHING, Program, Ref, Walk
from ostinato.engine.backends.cpu.kernels import Kernel, size_of
from ostinato.engine.backends.cpu.layout import HEADER, round_up
from ostinato.engine.plan.graph import Node, Unsupported
from ostinato.engine.plan.views import locate

if TYPE_CHECKING:
    from ostinato.engine.backends.cpu.executable import Parts

BLOCK = 256
"""Rows that go through products together where no state passes through."""


class Places(NamedTuple):
    """Where everything lies that a kernel reads and writes."""

    views: Mapping[Any, Any]
    """Address, time stride and batch stride of each."""
    streams: Mapping[Any, Ref]
    carries: Sequence[tuple[int | Ref, int | Ref, int | Ref]]
    """Where each starts, where its end goes, and where, backward, what resets cut off is added."""
    totals: Mapping[int, Ref]
    seed: Ref
    """Of random numbers."""
    ends: int | Ref = 1
    """Whether anybody reads where the carries end."""

    def part(self, kernel: Kernel, start: int, batch: int) -> Places:
        """Return the same from a position on, for rows of which there are so many at a time and no state."""
        program, size = kernel.schedule.program, kernel.layout.element_bytes

        def width(kind: str, index: int) -> int:
            if kind == "out":
                return next(sink.node.size for sink in program.of("stream") if sink.index == index)
            return program.inputs(kind)[index].size

        def moved(place: Ref, width: int) -> Ref:
            return place.plus(start * width * size)

        views = {
            key: (moved(self.views[key][0], width(*key)), batch * width(*key), width(*key))
            for key in kernel.layout.views
        }
        streams = {key: moved(self.streams[key], width(*key)) for key in kernel.layout.streams}
        return Places(views, streams, (), self.totals, self.seed)


class Entry(NamedTuple):
    """A walk that is entered into a program, forward, or the other way for gradients."""

    program: Program
    walk: Walk
    reverse: bool

    def whole(self, kernel: Kernel, parts: Parts | None, places: Places) -> None:
        """Add a kernel over all rows and steps, or the parts of one: before the loop, in it and after it."""
        program = self.program
        steps, batch, *_ = program.shape
        if parts is None:
            self.kernel(kernel, places, steps, batch, marked=program.shape.resets)
            return
        before, core, after = parts.kernels
        assert core is not None
        size, total, split = kernel.layout.element_bytes, steps * batch, parts.split
        early = [program.room(total * node.size * size) for node in split.early]
        streams = dict(places.streams)
        streams |= {("early", index): place for index, place in enumerate(early)}
        streams |= {("out", index): program.room(total * node.size * size) for index, node in split.late}
        if before is not None:
            made = {("out", index + 1): place for index, place in enumerate(early)}
            self._at_once(before, places._replace(streams=streams | made), total)
        self.kernel(core, places._replace(streams=streams), steps, batch, marked=program.shape.resets)
        if after is not None:
            read = {("late", index): stream for (kind, index), stream in streams.items() if kind == "out"}
            self._at_once(after, places._replace(streams=streams | read), total)

    def _at_once(self, kernel: Kernel, places: Places, total: int) -> None:
        """Add a kernel that no state passes through, over all rows and steps, in blocks that fill its tiles."""
        whole = total // BLOCK * BLOCK
        for start, stop in ((0, whole), (whole, total)):
            if start < stop:
                batch = min(BLOCK, stop - start)
                self.kernel(kernel, places.part(kernel, start, batch), (stop - start) // batch, batch)

    def kernel(self, kernel: Kernel, places: Places, steps: int, batch: int, *, marked: bool = False) -> None:
        """Add what lays out a kernel's weights, and the call of the kernel over so many steps of so many rows.

        Steps may be `marked` for rows to return to their start.
        """
        layout, program = kernel.layout, self.program
        threads = min(program.shape.threads, batch) if kernel.work * steps * batch > launch.SMALL else 1
        shares = max(threads, -(-batch // launch.SHARE))
        share = -(-batch // shares)
        per_share = round_up(layout.scratch_bytes(share), LINE)
        block: list[int | Ref] = [0] * layout.words
        ragged = program.shape.ragged
        rows: Sequence[Any] = [program.ref(name) if ragged else 0 for name in ("order", "lengths", "starts")]
        block[: len(HEADER)] = [
            steps, batch, int(self.reverse), *rows, 1 if ragged else batch,
            program.room(shares * per_share), per_share, places.seed, program.ref("resets") if marked else 0,
            0 if ragged else share, shares, Ref(NOTHING), places.ends,
        ]  # fmt: skip
        for key, word in layout.views.items():
            block[word : word + 3] = places.views[key]
        for key, word in layout.streams.items():
            block[word] = places.streams[key]
        for word, carry in zip(layout.carries, places.carries, strict=True):
            block[word : word + 3] = carry
        for index, word in layout.totals.items():
            block[word] = places.totals[index]
        for index, word in layout.constants.items():
            block[word] = self._constant(index, in_order=True)[0]
        for word, panel in self._packed(kernel, places.ends if steps == 1 else 1).items():
            block[word] = panel
        program.enter(kernel, kernel.address, block, threads)

    def _packed(self, kernel: Kernel, ends: int | Ref) -> dict[int, Ref]:
        """Return where the weights of a kernel's products lie, packed; the first time, add what packs them.

        Those that only make the ends of carries are packed if `ends`, which may be known at a call only, is not 0.
        """
        program, key = self.program, (self.walk.first, id(kernel))
        if key in program.packed:
            return program.packed[key]
        found = program.packed[key] = {}
        layout, size = kernel.layout, kernel.layout.element_bytes
        panels = program.room(kernel.packed_elements * size)
        for job in kernel.packing:
            weights, strides = self._weights(job.weights)
            target = found[job.word] = panels.plus(job.offset * size)
            step = job.depth * round_up(job.cols, layout.width) * size
            wanted = ends if job.product in kernel.schedule.for_ends else 1
            for head in range(job.heads):
                source = weights.plus(head * strides[0] * size if job.heads > 1 else 0)
                goal = target.plus(head * step)
                program.job(PACK, job.depth, job.cols, source, strides[-2], strides[-1], goal, wanted)
        return found

    def _weights(self, weights: Node) -> tuple[Ref, Sequence[int]]:
        if weights.op == "const":
            return self._constant(weights.attr[0], in_order=False)
        view = locate(weights)
        found, _ = self._constant(view.base.attr[0], in_order=True)
        return found.plus(view.offset * size_of(self.walk.executable._name)), view.strides

    def _constant(self, index: int, *, in_order: bool) -> tuple[Ref, Sequence[int]]:
        """Return where a constant lies, in the memory of a parameter, and its strides."""
        walk = self.walk
        if walk.first not in self.program.constants:
            self.program.constants[walk.first] = walk.executable.constant_places
        found = self.program.constants[walk.first][index]
        if in_order and not found.in_order:
            raise Unsupported("a matrix that lies otherwise than it is read")
        offset = found.offset * size_of(walk.executable._name)
        return self.program.ref(("parameter", walk.first + found.parameter), offset), found.strides
