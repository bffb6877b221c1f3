"""One program of the plan as the source of a Triton kernel: a loop over steps around the phases of one step.

Weights are loaded before the loop, the sequences of a step during the one before it. Between phases, and where a step
reads from memory what the one before has written there, programs of a tile meet at a barrier; those of one row wait for
each word by itself instead, and meet at most once, at the end of a step.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from ostinato.engine.backends.triton.expressions import expression
from ostinato.engine.backends.triton.phases import Phases, all_reads, by_heads, is_partial, sink_reads
from ostinato.engine.backends.triton.products import Products, indented
from ostinato.engine.backends.triton.reads import REDUCTIONS, Read, read_of
from ostinato.engine.backends.triton.tiles import padded
from ostinato.engine.backends.triton.values import Form
from ostinato.engine.plan.graph import Node
from ostinato.engine.plan.plan import Sink

_GOLDEN = 0x9E3779B97F4A7C15


@dataclass(frozen=True)
class Source:
    """A kernel as text."""

    text: str
    arguments: tuple[str, ...]
    inputs: tuple[tuple[str, int], ...]
    """Tensors of the call that it reads, by kind and index."""
    constants: tuple[int, ...]


def write(phases: Phases, form: Form) -> Source:
    """Write a kernel."""
    return _Writer(phases, form).write()


class _Writer(Products):
    """Writes the whole: what comes before the loop, the phases of a step, how states move on."""

    # --- the whole ----------------------------------------------------------------------------------------------

    def write(self) -> Source:
        """Return the text, all phases in order."""
        count = self.phases.count
        for number in range(count) if self.form.only is None else [self.form.only]:
            self._phase(number)
            if number + 1 < count:
                self._meet(f"s * {count} + {number + 2}")
        self._after_step()
        self._move_on()
        passed = self.phases.waits_after_step
        if passed:
            self._meet(f"s * {count} + {count + 1}")
        carries = range(len(self.phases.prepared.carries))
        arguments = [
            *(f"{kind}{index}{part}" for kind, index in self.inputs for part in ("", "_t", "_b")),
            *(f"c{index}" for index in self.constants),
            *(f"out{index}" for index in self.streams),
            *(f"{name}{index}" for index in carries for name in ("start", "last", "cut")),
            "values", "operands", "words", "flags", "lengths", "resets", "seeds", "T", "B", "first", "S0", "S1",
        ]  # fmt: skip
        lines = [f"def kernel({', '.join(arguments)}):", *indented(self._opening()), *indented(self.head)]
        lines += indented([f"{name} = {text}" for name, text in self.fetched], 1)
        if passed and self._meeting("1"):
            lines.append(f"    {self._meeting('1')}")
        lines += ["    for s in range(S0, S1):", *indented(self._step(), 2)]
        lines += indented(self._fetch_next(), 2)
        lines += [*indented(self.body, 2), *indented(self.tail)]
        return Source("\n".join(lines) + "\n", tuple(arguments), tuple(self.inputs), tuple(self.constants))

    def _opening(self) -> Iterator[str]:
        yield f"r = (tl.program_id(0) + first) * {self.tiling.rows} + tl.arange(0, {self.tiling.rows})[:, None]"
        yield "rm = r < B" if self.tiling.rows > 1 else "rm = tl.full([1, 1], True, tl.int1)"
        yield "long = tl.zeros([1, 1], tl.int64)"
        yield "group = tl.program_id(0)"
        yield "pid = tl.program_id(1)"
        yield f"P = (B + {self.tiling.rows - 1}) // {self.tiling.rows} * {self.tiling.rows}"
        yield "steps = tl.load(lengths + r, mask=rm, other=0)" if self.form.lengths else "steps = T"
        yield from self._time("S0", "")

    def _time(self, step: str, suffix: str) -> Iterator[str]:
        """Write the place of a step in the sequences, and which rows have it."""
        yield f"t{suffix} = {'steps - 1 - ' if self.form.reverse else ''}{step} + long"
        if self.form.lengths:
            yield f"live{suffix} = rm & ({step} + long < steps)"
        else:
            yield f"live{suffix} = rm"
        yield f"at{suffix} = t{suffix} * B + r"

    def _step(self) -> Iterator[str]:
        yield from self._time("s", "")
        yield "now = s % 2"
        yield "then = 1 - now"
        yield "tag = s + 1"
        for name, _ in self.fetched:
            yield f"{name[1:]} = {name}.to({self._type})"

    def _fetch_next(self) -> Iterator[str]:
        if self.fetched or self._resets_before:
            yield "s_next = tl.minimum(s + 1, T - 1)"
            yield from self._time("s_next", "_next")
        for name, text in self.fetched:
            yield f"{name} = {_next(text)}"

    @property
    def _resets_before(self) -> bool:
        return self.form.resets == "before" and bool(self.phases.prepared.carries)

    def _meeting(self, value: str) -> str:
        """Return how those that share a tile wait for one another, `value` being one more each time; empty if not."""
        if self.form.only is not None or self._packed:
            return ""
        if self.phases.columns == 1:
            return "tl.debug_barrier()"
        return f"barrier(flags, group, pid, {value}, {self.phases.columns}, {padded(self.phases.columns, 1)})"

    def _meet(self, value: str) -> None:
        if line := self._meeting(value):
            self.body.append(line)

    def _after_step(self) -> None:
        """Keep programs that pass words with marks to one another within a step of each other.

        What is passed on at a step is overwritten two steps later. By then all have read it: each program's threads
        have met here, and each program has read something of every other one that these sent after they had met.
        """
        if self.form.only is not None or not self._packed:
            return
        if self.phases.in_step:
            self.body.append("tl.debug_barrier()")
        else:
            width = padded(self.phases.columns, 1)
            self.body.append(f"barrier(flags, group, pid, tag, {self.phases.columns}, {width})")

    # --- one phase ----------------------------------------------------------------------------------------------

    def _phase(self, number: int) -> None:
        for node in _by_exchanges(self.phases.nodes[number], self.phases.columns):
            self._compute(node)
        if number + 1 < self.phases.count:
            for node in self.phases.nodes[number + 1]:
                if is_partial(node, self.phases.columns):
                    self._partial(node)
        for sink in self.phases.sinks[number]:
            self._sink(sink)

    def _compute(self, node: Node) -> None:
        if node.op == "cat":
            for read, start in zip([read_of(part, part.shape) for part in node.inputs], node.attr[0], strict=True):
                for purpose in ("value", "operand"):
                    self._keep(node, purpose, self._value(read), read.base.boolean, read.shape, start)
            return
        if by_heads(node):
            self._product_by_heads(node)
            return
        name = self._name("v")
        if node.op == "matmul":
            self.body.append(f"{name} = {self._product(node)}")
        elif node.op in REDUCTIONS:
            self._reduce(node, name)
        elif node.op == "random":
            stream = node.attr[0] * _GOLDEN % (1 << 64)
            drawn = f"uniform(seed, {stream}, r, t, {self._index(node.size)})"
            self.body.append(f"{name} = {drawn}.to({self._type})")
        else:
            operands = [self._value(read) for read, _ in all_reads(node, self.phases.columns)]
            self.body.append(f"{name} = {expression(node, operands, self._type)}")
        if node.op == "random" and "seed" not in self.defined:
            self.defined.add("seed")
            self.head.append("seed = tl.load(seeds)")
        self.names[node] = name
        for purpose in ("value", "operand", "kept"):
            if purpose != "kept" or self.form.only is not None:
                self._keep(node, purpose, name, node.boolean, node.shape, 0)

    def _sink(self, sink: Sink) -> None:
        if sink.kind == "carry":
            (read, _), *_ = sink_reads(sink)
            self.moved.append((sink.index, self._full(self._value(read, number=False), read.shape)))
            return
        size = sink.node.size
        self.streams[sink.index] = None
        for read, start in sink_reads(sink):
            columns, value = math.prod(read.shape), self._stored(read)
            where = f"out{sink.index} + at * {size} + {start} + {self._index(columns)}"
            self.body.append(f"tl.store({where}, {value}, mask={self._mask(columns, 'live')})")

    def _stored(self, read: Read) -> str:
        text = self._value(read, number=False)
        return f"({text}).to({self._type})" if read.base.boolean else text

    def _move_on(self) -> None:
        """Write the states after the step: old where a row has ended, the first again where it is reset."""
        for index, new in self.moved:
            size = math.prod(self.phases.prepared.carries[index])
            where, mask = f"r * {size} + {self._index(size)}", self._mask(size, "rm")
            self._load_state(index)
            self.body.append(
                f"s{index} = tl.where(live, {new}, s{index})" if self.form.lengths else f"s{index} = {new}"
            )
            if self.form.resets == "after":
                self.head.append(
                    f"cut_{index} = {self._full(f'tl.load(cut{index} + {where}, mask={mask}, other=0.0)', (size,))}"
                )
                self.body.append("again = (tl.load(resets + at, mask=live, other=0) != 0)")
                self.body.append(f"cut_{index} += tl.where(again, s{index}, 0.0)")
                self.body.append(f"s{index} = tl.where(again, 0.0, s{index})")
                once = f"{mask} & (r * 0 + pid == 0)" if size == 1 else mask  # all programs have it
                self.tail.append(f"tl.store(cut{index} + {where}, cut_{index}, mask={once})")
            elif self._resets_before:
                self.head.append(
                    f"z{index} = {self._full(f'tl.load(start{index} + {where}, mask={mask}, other=0.0)', (size,))}"
                )
                more = "live_next & (s + 1 + long < steps)"
                self.body.append(f"again = (tl.load(resets + at_next, mask={more}, other=0) != 0)")
                self.tail.append(f"tl.store(last{index} + {where}, l{index}, mask={mask})")
                self.body.append(f"l{index} = s{index}")
                self.head.append(f"l{index} = s{index}")
                self.body.append(f"s{index} = tl.where(again, z{index}, s{index})")
            if not self._resets_before:
                self.tail.append(f"tl.store(last{index} + {where}, s{index}, mask={mask})")
            self._store_state(index)


def _by_exchanges(nodes: list[Node], columns: int) -> list[Node]:
    """Return values in an order in which sums and products that need not wait for one another come together."""
    rounds: dict[Node, int] = {}
    for node in nodes:
        below = (read.base for read, _ in all_reads(node, columns))
        waits = (rounds[child] + _is_exchange(child) for child in below if child in rounds)
        rounds[node] = max(waits, default=0)
    return sorted(nodes, key=lambda node: (rounds[node], _is_exchange(node)))


def _is_exchange(node: Node) -> bool:
    """Tell whether a value needs what other threads have."""
    return node.op in REDUCTIONS or node.op == "matmul"


def _next(text: str) -> str:
    """Return a load of the next step in place of one of this step."""
    return text.replace(" t * ", " t_next * ").replace("mask=live", "mask=live_next")
