"""One program of the plan as the source of a Triton kernel: a loop over steps around the phases of one step."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from ostinato.engine import graph as g
from ostinato.engine.backends.triton.expressions import expression, literal
from ostinato.engine.backends.triton.phases import (
    Phases,
    Slot,
    all_reads,
    by_heads,
    gathered_read,
    is_partial,
    is_row_reduction,
    operand_read,
    sink_reads,
    state_slots,
)
from ostinato.engine.backends.triton.reads import Read, in_order, is_state, operands_of, read_of
from ostinato.engine.backends.triton.tiles import LEAST, Tiling, chunks, padded
from ostinato.engine.cpu.schedule import locate
from ostinato.engine.graph import Node, Shape
from ostinato.engine.plan import Sink


@dataclass(frozen=True)
class Form:
    """What a kernel is written for, beside the program."""

    tiling: Tiling
    computed: str
    """Type of all values in registers: `float32` or `float64`."""
    operand: str
    """Type of both sides of products."""
    precision: str
    """Of products of float32: `ieee` or `tf32`."""
    lengths: bool
    resets: str
    """`before` a step the state is the first one again, `after` it the gradient goes to the first one; or empty."""
    reverse: bool
    widened: bool = False
    """Whether operands are rounded and made wide again, for an interpreter that cannot multiply narrow ones."""
    only: int | None = None
    """The one phase that this kernel does, of one step; none for all phases of all steps."""


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


class _Writer:
    """Collects what goes before the loop and what goes into it."""

    def __init__(self, phases: Phases, form: Form) -> None:
        self.phases, self.form, self.tiling = phases, form, form.tiling
        self.head: list[str] = []
        self.body: list[str] = []
        self.tail: list[str] = []
        self.defined: set[str] = set()
        self.names: dict[Node, str] = {}
        self.loaded: dict[tuple[object, ...], str] = {}
        self.fetched: list[tuple[str, str]] = []
        """Tiles of the call's sequences, each with how it is loaded: one step ahead."""
        self.inputs: dict[tuple[str, int], None] = {}
        self.constants: dict[int, None] = {}
        self.streams: dict[int, None] = {}
        self.moved: list[tuple[int, str]] = []
        """States that this kernel moves on, each with its new value."""
        self.sums: dict[Node, str] = {}
        """Products without their biases."""
        self.count = 0

    # --- the whole ----------------------------------------------------------------------------------------------

    def write(self) -> Source:
        """Return the text, all phases in order."""
        count = self.phases.count
        for number in range(count) if self.form.only is None else [self.form.only]:
            self.loaded = {key: name for key, name in self.loaded.items() if key[0] != "shared"}
            self._phase(number)
            if number + 1 < count and self.form.only is None:
                self._barrier(f"(s * {count} + {number + 1})")
        self._move_on()
        if self.phases.waits_after_step and self.form.only is None:
            self._barrier(f"(s * {count} + {count})")
        carries = range(len(self.phases.prepared.carries))
        arguments = [
            *(f"{kind}{index}{part}" for kind, index in self.inputs for part in ("", "_t", "_b")),
            *(f"c{index}" for index in self.constants),
            *(f"out{index}" for index in self.streams),
            *(f"{name}{index}" for index in carries for name in ("start", "last", "cut")),
            "values", "operands", "flags", "lengths", "resets", "seeds", "T", "B", "first", "S0", "S1",
        ]  # fmt: skip
        lines = [f"def kernel({', '.join(arguments)}):", *_indented(self._opening()), *_indented(self.head)]
        lines += _indented([f"{name} = {text}" for name, text in self.fetched], 1)
        lines += ["    for s in range(S0, S1):", *_indented(self._step(), 2)]
        lines += _indented(self._fetch_next(), 2)
        lines += [*_indented(self.body, 2), *_indented(self.tail)]
        return Source("\n".join(lines) + "\n", tuple(arguments), tuple(self.inputs), tuple(self.constants))

    def _opening(self) -> Iterator[str]:
        yield f"r = (tl.program_id(0) + first) * {self.tiling.rows} + tl.arange(0, {self.tiling.rows})[:, None]"
        yield "rm = r < B"
        yield "long = tl.zeros([1, 1], tl.int64)"
        yield "group = tl.program_id(0)"
        yield "pid = tl.program_id(1)"
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
        for name, _ in self.fetched:
            yield f"{name[1:]} = {name}"

    def _fetch_next(self) -> Iterator[str]:
        if self.fetched or self._resets_before:
            yield "s_next = tl.minimum(s + 1, T - 1)"
            for line in self._time("s_next", "_next"):
                yield line
        for name, text in self.fetched:
            yield f"{name} = {_next(text)}"

    @property
    def _resets_before(self) -> bool:
        return self.form.resets == "before" and bool(self.phases.prepared.carries)

    def _barrier(self, value: str) -> None:
        if self.phases.columns == 1:
            self.body.append("tl.debug_barrier()")
        else:
            width = padded(self.phases.columns, 1)
            self.body.append(f"barrier(flags, group, pid, {value}, {self.phases.columns}, {width})")

    # --- one phase ----------------------------------------------------------------------------------------------

    def _phase(self, number: int) -> None:
        for node in self.phases.nodes[number]:
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
        elif node.op in g.REDUCTIONS:
            self._reduce(node, name)
        elif node.op == "random":
            self.body.append(f"{name} = uniform(seed, {node.attr[0]}, r, t, {self._index(node.size)}).to({self._type})")
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
            kept = self._slot_of_state(index)
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
            for slot in state_slots(self.phases, index):
                if slot is not kept or self.form.only is not None:
                    self._store_slot(slot, "then", f"s{index}", self._index(size), size, 0)

    def _slot_of_state(self, index: int) -> Slot:
        return next(
            slot
            for (node, purpose), slot in self.phases.slots.items()
            if is_state(node) and node.attr[1] == index and purpose == "kept"
        )

    # --- values -------------------------------------------------------------------------------------------------

    @property
    def _type(self) -> str:
        return f"tl.{self.form.computed}"

    def _name(self, prefix: str) -> str:
        self.count += 1
        return f"{prefix}{self.count}"

    def _value(self, read: Read, *, number: bool = True, purpose: str = "value") -> str:
        """Return a value as a reader has it: a tile, or one that broadcasts to it."""
        if read.kind == "number":
            text = literal(read.base)
            if number and self.form.computed == "float32":
                return text  # beside float64, Triton takes a number as float32
            kind = "tl.int1" if read.base.boolean else self._type
            return f"tl.full([{self.tiling.rows}, 1], {text}, {kind})"
        if read.kind == "register":
            return self._register(read.base)
        text = self._from_memory(read) if read.kind == "memory" else self._from_slot(read, purpose)
        return f"({text} != 0)" if read.base.boolean else text

    def _register(self, node: Node) -> str:
        if is_state(node):
            self._load_state(node.attr[1])
            return f"s{node.attr[1]}"
        if node not in self.names:
            assert self.form.only is not None, "a value is used before it is computed"
            slot = self.phases.slots[node, "kept"]
            name = self.names[node] = self._name("v")
            text = self._load("values", slot, "now", self._index(node.size), node.size)
            self.body.append(f"{name} = {f'({text} != 0)' if node.boolean else text}")
        return self.names[node]

    def _load_state(self, index: int) -> None:
        """Load a state before the loop."""
        if f"s{index}" in self.defined:
            return
        self.defined.add(f"s{index}")
        slot = self._slot_of_state(index)
        text = self._load("values", slot, "(S0 % 2)", self._index(slot.size), slot.size)
        self.head.append(f"s{index} = {self._full(text, (slot.size,))}")

    def _from_memory(self, read: Read) -> str:
        key = ("memory", read.base, read.offset, read.strides, read.shape)
        if key not in self.loaded:
            self.loaded[key] = self._constant(read) if read.base.op == "const" else self._sequence(read)
        return self.loaded[key]

    def _constant(self, read: Read) -> str:
        index, name = read.base.attr[0], self._name("k")
        self.constants[index] = None
        place = self._place(read)
        mask = f", mask=m{math.prod(read.shape)}, other=0.0" if "n" in place else ""
        self._index(math.prod(read.shape))
        self.head.append(f"{name} = tl.load(c{index} + {place}{mask}).to({self._type})")
        return name

    def _sequence(self, read: Read) -> str:
        kind, index = read.base.attr
        self.inputs[kind, index] = None
        name, size = self._name("x"), math.prod(read.shape)
        place = self._place(read)
        mask = self._mask(size, "live") if "n" in place else "live"
        where = f"{kind}{index} + t * {kind}{index}_t + r * {kind}{index}_b + {place}"
        self.fetched.append((f"p{name}", f"tl.load({where}, mask={mask}, other=0.0).to({self._type})"))
        return name

    def _from_slot(self, read: Read, purpose: str) -> str:
        key = ("shared", read.base, purpose, read.offset, read.strides, read.shape)
        if key not in self.loaded:
            slot, name = self.phases.slots[read.base, purpose], self._name("v")
            size = math.prod(read.shape)
            self.body.append(f"{name} = {self._load('values', slot, 'now', self._place(read), size)}")
            self.loaded[key] = name
        return self.loaded[key]

    def _full(self, text: str, shape: Shape) -> str:
        return f"tl.broadcast_to({text}, [{self.tiling.rows}, {self._block(math.prod(shape))}])"

    # --- places -------------------------------------------------------------------------------------------------

    def _block(self, size: int) -> int:
        return self.tiling.block(size)

    def _index(self, size: int) -> str:
        """Return the columns of a value that this program has."""
        if size == 1:
            return "0"
        if f"n{size}" not in self.defined:
            self.defined.add(f"n{size}")
            block = self._block(size)
            self.head.append(f"n{size} = pid * {block} + tl.arange(0, {block})[None, :]")
            self.head.append(f"m{size} = n{size} < {size}")
        return f"n{size}"

    def _mask(self, size: int, rows: str) -> str:
        return rows if size == 1 else f"{rows} & m{size}"

    def _place(self, read: Read) -> str:
        """Return where the columns of this program lie in what is read."""
        size = math.prod(read.shape)
        return place_of(read, self._index(size))

    def _load(self, memory: str, slot: Slot, parity: str, place: str, size: int) -> str:
        mask = self._mask(size, "rm") if "n" in place else "rm"
        where = self._in_slot(memory, slot, parity)
        return f'tl.load({where} + {place}, mask={mask}, other=0.0, cache_modifier=".cg").to({self._type})'

    def _in_slot(self, memory: str, slot: Slot, parity: str) -> str:
        return f"{memory} + ({2 * slot.start} + {parity} * {slot.size}) * B + r * {slot.size}"

    def _store_slot(self, slot: Slot, parity: str, value: str, place: str, size: int, start: int) -> None:
        memory = "operands" if slot.operand else "values"
        mask = self._mask(size, "rm")
        self.body.append(f"tl.store({self._in_slot(memory, slot, parity)} + {start} + {place}, {value}, mask={mask})")

    def _keep(self, node: Node, purpose: str, value: str, boolean: bool, shape: Shape, start: int) -> None:
        slot = self.phases.slots.get((node, purpose))
        if slot is not None:
            size = math.prod(shape)
            text = f"({value}).to({self._type})" if boolean else value
            self._store_slot(slot, "now", text, self._index(size), size, start)

    # --- sums ---------------------------------------------------------------------------------------------------

    def _reduce(self, node: Node, name: str) -> None:
        if is_partial(node, self.phases.columns):
            slot, width = self.phases.slots[node, "partial"], padded(self.phases.columns, 1)
            lanes = f"tl.arange(0, {width})[None, :]"
            other = _neutral(node.op)
            where = self._in_slot("values", slot, "now")
            mask = f"rm & ({lanes} < {self.phases.columns})"
            self.body.append(
                f'{name} = {_REDUCE[node.op]}(tl.load({where} + {lanes}, mask={mask}, other={other}, cache_modifier=".cg"))'
            )
        elif is_row_reduction(node):
            self.body.append(f"{name} = {self._row_sum(node)}")
        else:
            self.body.append(f"{name} = {self._gathered(node)}")

    def _row_sum(self, node: Node) -> str:
        """Return the reduction of the columns that this program has."""
        child = node.inputs[0]
        text = self._value(read_of(child, child.shape), number=False)
        if child.size == 1:
            return text
        whole = self._full(text, child.shape)
        masked = f"tl.where({self._mask_of(child.size)}, {whole}, {_neutral(node.op)})"
        return f"{_REDUCE[node.op]}({masked})"

    def _mask_of(self, size: int) -> str:
        self._index(size)
        return f"m{size}"

    def _partial(self, node: Node) -> None:
        slot = self.phases.slots[node, "partial"]
        value = self._row_sum(node)
        where = self._in_slot("values", slot, "now")
        self.body.append(f"tl.store({where} + pid, {value}, mask=rm)")

    def _gathered(self, node: Node) -> str:
        """Return reductions of rows of rows, read from memory row by row."""
        child = node.inputs[0]
        read = gathered_read(read_of(child, child.shape))
        length, outer = child.shape[-1], node.size
        width = padded(length, 1)
        first = f"{self._index(outer)}[:, :, None]"
        lanes = f"tl.arange(0, {width})[None, None, :]"
        if read.kind == "number":
            inner = f"tl.full([{self.tiling.rows}, {self._block(outer)}, {width}], {literal(read.base)}, {self._type})"
            return f"{_REDUCE[node.op]}_last(tl.where({lanes} < {length}, {inner}, {_neutral(node.op)}))"
        place = place_of(read, f"({first} * {length} + {lanes})")
        mask = f"(rm & m{outer})[:, :, None] & ({lanes} < {length})"
        if read.kind == "memory" and read.base.op == "const":
            self.constants[read.base.attr[0]] = None
            where = f"c{read.base.attr[0]} + r[:, :, None] * 0 + {place}"
        elif read.kind == "memory":
            kind, index = read.base.attr
            self.inputs[kind, index] = None
            where = f"{kind}{index} + (t * {kind}{index}_t + r * {kind}{index}_b)[:, :, None] + {place}"
            mask = f"(live & m{outer})[:, :, None] & ({lanes} < {length})"
        else:
            slot = self.phases.slots[read.base, "value"]
            where = f"values + (({2 * slot.start} + now * {slot.size}) * B + r * {slot.size})[:, :, None] + {place}"
        loaded = f'tl.load({where}, mask={mask}, other={_neutral(node.op)}, cache_modifier=".cg").to({self._type})'
        return f"{_REDUCE[node.op]}_last({loaded})"

    # --- products -----------------------------------------------------------------------------------------------

    def _product(self, node: Node) -> str:
        """Return a product; those of the same rows are made together, and each takes its own columns."""
        if node not in self.sums:
            group = self._group(node)
            total = self._products(group)
            if len(group) == 1:
                self.sums[node] = f"row_sum({total})" if node.size == 1 else total
            else:
                for member, name in zip(group, self._apart(total, len(group), self._block(node.size)), strict=False):
                    self.sums[member] = name
        pairs = len(node.inputs) - node.attr[0]
        biases = [self._value(read_of(bias, node.shape)) for bias in node.inputs[pairs:]]
        return " + ".join([self.sums[node], *biases])

    def _group(self, node: Node) -> list[Node]:
        """Return the products that read the same rows as this one does, with as many columns."""
        if node.size == 1:
            return [node]
        number = self.phases.phase[node]
        same = [
            other
            for other in self.phases.nodes[number]
            if other.op == "matmul" and other.shape == node.shape and _rows(other) == _rows(node)
        ]
        return same[:_MOST_TOGETHER] if node in same[:_MOST_TOGETHER] else [node]

    def _apart(self, total: str, count: int, block: int) -> list[str]:
        """Take a tile of several products apart; neighbours in it lie in one thread, so nothing moves."""
        rows, together = self.tiling.rows, padded(count, 1)
        names = [self._name("d") for _ in range(together)]
        if together == 2:
            self.body.append(f"{names[0]}, {names[1]} = tl.split(tl.reshape({total}, [{rows}, {block}, 2]))")
            return names
        moved = f"tl.permute(tl.reshape({total}, [{rows}, {together // 2}, {block}, 2]), [0, 2, 1, 3])"
        halves = [self._name("d"), self._name("d")]
        self.body.append(f"{halves[0]}, {halves[1]} = tl.split({moved})")
        for parity, half in enumerate(halves):
            parts = names[parity::2]
            if together == 4:
                self.body.append(f"{parts[0]}, {parts[1]} = tl.split({half})")
            else:
                quarters = [self._name("d"), self._name("d")]
                self.body.append(
                    f"{quarters[0]}, {quarters[1]} = tl.split(tl.reshape({half}, [{rows}, {block}, 2, 2]))"
                )
                self.body.append(f"{parts[0]}, {parts[2]} = tl.split({quarters[0]})")
                self.body.append(f"{parts[1]}, {parts[3]} = tl.split({quarters[1]})")
        return names

    def _products(self, group: list[Node]) -> str:
        """Write the products of a group as one."""
        total, first = "", group[0]
        reads = [operand_read(read, self.phases.columns) for read, _ in operands_of(first)]
        lanes = self._lanes(reads, padded(len(group), 1) * self._block(first.size))
        if lanes > 1:
            return self._products_by_lanes(group, reads, lanes)
        for place, read in enumerate(reads):
            matrices = [operands_of(member)[place][1] for member in group]
            for rows, matrix in self._pairs(read, matrices, first.size):
                name = self._name("d")
                self.body.append(f"{name} = {self._dot(rows, matrix, total)}")
                total = name
        return total

    def _lanes(self, reads: list[Read], width: int) -> int:
        """Return in how many parts rows are multiplied at the same time, by different warps, and summed after.

        A tile of few columns has no work for all warps else: they would all do the same.
        """
        alike = all(
            read.kind == "shared" and read.offset == 0 and in_order(read.strides, read.shape)
            and read.base.size == math.prod(read.shape) == math.prod(reads[0].shape)
            for read in reads
        )  # fmt: skip
        return max(1, self.tiling.warps * 8 // width) if alike else 1

    def _products_by_lanes(self, group: list[Node], reads: list[Read], lanes: int) -> str:
        """Write products whose rows, one after the other, are dealt to lanes."""
        depth = math.prod(reads[0].shape)
        share = -(-depth * len(reads) // (lanes * LEAST)) * LEAST
        total = ""
        for start, width in chunks(share):
            key = ("shared", "lanes", *(read.base for read in reads), start, lanes)
            if key not in self.loaded:
                self.loaded[key] = self._name("a")
                self.body.append(f"{self.loaded[key]} = {self._rows_by_lanes(reads, start, width, share, lanes)}")
            name = self._name("d")
            matrix = self._weights_by_lanes(group, start, width, share, lanes)
            self.body.append(f"{name} = {self._dot(self.loaded[key], matrix, total)}")
            total = name
        return f"tl.sum({total}, 0)"

    def _places_by_lanes(self, start: int, width: int, share: int, lanes: int, total: int) -> tuple[str, str]:
        """Return the places in rows of each lane's part, `(lanes, width)`, and which are in it."""
        name = f"q{start}_{width}_{share}_{lanes}_{total}"
        if name not in self.defined:
            self.defined.add(name)
            part = f"{start} + tl.arange(0, {width})[None, :]"
            self.head.append(f"{name} = tl.arange(0, {lanes})[:, None] * {share} + {part}")
            self.head.append(f"i{name} = ({name} < {total}) & ({part} < {share})")
        return name, f"i{name}"

    def _rows_by_lanes(self, reads: list[Read], start: int, width: int, share: int, lanes: int) -> str:
        depth = math.prod(reads[0].shape)
        place, inside = self._places_by_lanes(start, width, share, lanes, depth * len(reads))
        slots = [self.phases.slots[read.base, "operand"] for read in reads]
        first = str(slots[0].start)
        for index, slot in enumerate(slots[1:], 1):
            first = f"tl.where({place} >= {index * depth}, {slot.start}, {first})"
        name = f"f{'_'.join(str(slot.start) for slot in slots)}_{place}"
        if name not in self.defined:
            self.defined.add(name)
            column = place if len(reads) == 1 else f"({place} % {depth})"
            self.head.append(f"{name} = ({first}) * 2 * B + {column}")
        where = f"operands + ({name} + now * {depth} * B)[:, None, :] + (r * {depth})[None, :, :]"
        mask = f"rm[None, :, :] & {inside}[:, None, :]"
        return self._as_operand(f'tl.load({where}, mask={mask}, other=0.0, cache_modifier=".cg")')

    def _weights_by_lanes(self, group: list[Node], start: int, width: int, share: int, lanes: int) -> str:
        pairs = [matrix for _, matrix in operands_of(group[0])]
        depth, size = pairs[0].shape[0], group[0].size
        views = [[locate(matrix) for _, matrix in operands_of(member)] for member in group]
        key = ("lanes", *((view.base, view.offset, view.strides) for line in views for view in line), start, lanes)
        if key in self.loaded:
            return self.loaded[key]
        name = self.loaded[key] = self._name("w")
        place, inside = self._places_by_lanes(start, width, share, lanes, depth * len(pairs))
        self._columns_together(len(group), size)
        parts = []
        for member, line in enumerate(views):
            for pair, view in enumerate(line):
                self.constants[view.base.attr[0]] = None
                row = f"({place} - {pair * depth})[:, :, None]"
                where = f"c{view.base.attr[0]} + {view.offset} + {row} * {view.strides[0]} + column[None] * {view.strides[1]}"
                mask = f"((which == {member}) & (column < {size}))[None] & {inside}[:, :, None]"
                mask += f" & ({row} >= 0) & ({row} < {depth})"
                parts.append(f"tl.load({where}, mask={mask}, other=0.0)")
        self.head.append(f"{name} = {parts[0]}")
        self.head += [f"{name} += {part}" for part in parts[1:]]
        self.head.append(f"{name} = {self._as_operand(name)}")
        return name

    def _columns_together(self, count: int, size: int) -> None:
        """Write which product, and which column of it, each column of several products together is."""
        together, block = padded(count, 1), self._block(size)
        self.head.append(f"place = tl.arange(0, {together * block})[None, :]")
        # see `_apart`: first pairs of products, then columns, then which of the pair
        which = f"place // {2 * block} * 2 + place % 2" if together > 1 else "place * 0"
        self.head.append(f"which = {which}")
        self.head.append(f"column = pid * {block} + {f'place // 2 % {block}' if together > 1 else 'place'}")

    def _dot(self, rows: str, matrix: str, total: str) -> str:
        start = f", acc={total}" if total else ""
        return f'tl.dot({rows}, {matrix}{start}, input_precision="{self.form.precision}", out_dtype={self._type})'

    def _pairs(self, read: Read, matrices: list[Node], size: int) -> Iterator[tuple[str, str]]:
        depth = matrices[0].shape[0]
        if read.kind == "register":
            tile = self._full(self._register(read.base), read.shape)
            if self._block(depth) != depth:
                tile = f"tl.where({self._mask_of(depth)}, {tile}, 0.0)"
            yield self._as_operand(tile), self._weights(matrices, 0, self._block(depth), size)
            return
        for start, width in chunks(depth):
            key = ("shared", "operand", read.base, read.offset, read.strides, read.shape, start)
            if key not in self.loaded:
                self.loaded[key] = self._name("a")
                self.body.append(f"{self.loaded[key]} = {self._operand(read, start, width, depth)}")
            yield self.loaded[key], self._weights(matrices, start, width, size)

    def _operand(self, read: Read, start: int, width: int, depth: int, first: int = 0) -> str:
        """Return a part of a row, all columns of it, as a product takes it."""
        lanes = f"({start} + tl.arange(0, {width})[None, :])"
        mask = "" if start + width <= depth else f" & ({lanes} < {depth})"
        kind = f"tl.{self.form.operand}"
        if read.kind == "number":
            return f"tl.full([{self.tiling.rows}, {width}], {literal(read.base)}, {kind})"
        place = place_of(read, f"({first} + {lanes})" if first else lanes)
        if read.kind == "memory":
            source, index = read.base.attr if read.base.op == "input" else ("c", read.base.attr[0])
            if source == "c":
                self.constants[index] = None
                where = f"c{index} + r * 0 + {place}"
            else:
                self.inputs[source, index] = None
                where = f"{source}{index} + t * {source}{index}_t + r * {source}{index}_b + {place}"
            return self._as_operand(f"tl.load({where}, mask=live{mask}, other=0.0)")
        slot = self.phases.slots[read.base, "operand"]
        where = f"{self._in_slot('operands', slot, 'now')} + {place}"
        return self._as_operand(f'tl.load({where}, mask=rm{mask}, other=0.0, cache_modifier=".cg")')

    def _as_operand(self, text: str) -> str:
        """Return a tile in the precision of products; Triton's interpreter multiplies the bits of a bfloat16."""
        narrow = f"({text}).to(tl.{self.form.operand})"
        return f"{narrow}.to(tl.float32)" if self.form.widened else narrow

    def _weights(self, matrices: list[Node], start: int, width: int, size: int) -> str:
        """Return the columns of this program of several matrices, loaded before the loop."""
        views = [locate(matrix) for matrix in matrices]
        key = ("weights", *((view.base, view.offset, view.strides) for view in views), start, width, size)
        if key in self.loaded:
            return self.loaded[key]
        name = self.loaded[key] = self._name("w")
        self._index(size)
        if len(matrices) == 1:
            view = views[0]
            self.head += self._matrix(
                name, matrices[0], view.offset, view.strides, start, width, self._index(size), f"m{size}"
            )
            return name
        self._columns_together(len(matrices), size)
        for index, (matrix, view) in enumerate(zip(matrices, views, strict=True)):
            mask = f"(which == {index}) & (column < {size})"
            part = f"{name}_{index}" if index else name
            self.head += self._matrix(part, matrix, view.offset, view.strides, start, width, "column", mask)
            if index:
                self.head.append(f"{name} = {name} + {part}")
        return name

    def _matrix(
        self, name: str, weights: Node, offset: int, strides: tuple[int, ...], start: int, width: int, columns: str,
        mask: str,
    ) -> list[str]:  # fmt: skip
        base = locate(weights).base
        depth = weights.shape[-2]
        lanes = f"({start} + tl.arange(0, {width})[:, None])"
        self.constants[base.attr[0]] = None
        where = f"c{base.attr[0]} + {offset} + {lanes} * {strides[-2]} + {columns} * {strides[-1]}"
        if weights.shape[-1] == 1:
            columns, mask = "tl.arange(0, 16)[None, :]", "(tl.arange(0, 16)[None, :] < 1)"
            where = f"c{base.attr[0]} + {offset} + {lanes} * {strides[-2]} + {columns}"
        inside = f" & ({lanes} < {depth})" if start + width > depth else ""
        return [f"{name} = {self._as_operand(f'tl.load({where}, mask={mask}{inside}, other=0.0)')}"]

    def _product_by_heads(self, node: Node) -> None:
        """Write a product with a block of weights for each head; programs take heads in turn."""
        heads, size = node.shape
        slots = [self.phases.slots[key] for key in ((node, "value"), (node, "operand")) if key in self.phases.slots]
        width = padded(size)
        columns = f"tl.arange(0, {width})[None, :]"
        pairs = len(node.inputs) - node.attr[0]
        for head in range(heads):
            lines, self.body = self.body, []
            total = ""
            for read, weights in operands_of(node):
                depth, view = weights.shape[-2], locate(weights)
                for start, part in chunks(depth):
                    rows, matrix, name = self._name("a"), self._name("w"), self._name("d")
                    operand = operand_read(read, 2)
                    self.body.append(f"{rows} = {self._operand_of_head(operand, start, part, depth, head)}")
                    self.body += self._matrix(
                        matrix, weights, view.offset + head * view.strides[0], view.strides, start, part, columns,
                        f"({columns} < {size})",
                    )  # fmt: skip
                    self.body.append(f"{name} = {self._dot(rows, matrix, total)}")
                    total = name
            for bias in node.inputs[pairs:]:
                read = read_of(bias, node.shape)
                place = place_of(read, f"({head * size} + {columns})")
                self.constants[read.base.attr[0]] = None
                self.body.append(
                    f"{total} += tl.load(c{read.base.attr[0]} + {place}, mask={columns} < {size}, other=0.0)"
                )
            for slot in slots:
                memory = "operands" if slot.operand else "values"
                where = f"{self._in_slot(memory, slot, 'now')} + {head * size} + {columns}"
                self.body.append(f"tl.store({where}, {total}, mask=rm & ({columns} < {size}))")
            inner, self.body = self.body, lines
            if self.phases.columns == 1:
                self.body += inner
            else:
                self.body += [f"if pid == {head % self.phases.columns}:", *_indented(inner)]

    def _operand_of_head(self, read: Read, start: int, width: int, depth: int, head: int) -> str:
        return self._operand(read, start, width, depth, head * depth)


_MOST_TOGETHER = 8
"""Products that are made as one."""


def _rows(node: Node) -> list[Node]:
    pairs = len(node.inputs) - node.attr[0]
    return list(node.inputs[:pairs:2])


_REDUCE = {"sum": "row_sum", "amax": "row_max", "amin": "row_min"}


def _neutral(op: str) -> str:
    return {"sum": "0.0", "amax": 'float("-inf")', "amin": 'float("inf")'}[op]


def place_of(read: Read, columns: str) -> str:
    """Return where numbers lie in what is read, given their places in the shape of the reader."""
    strides, shape = read.strides, read.shape
    if all(stride == 0 or size == 1 for stride, size in zip(strides, shape, strict=True)):
        return str(read.offset)
    if in_order(strides, shape):
        return f"{read.offset} + {columns}" if read.offset else columns
    parts = [str(read.offset)] if read.offset else []
    inner = math.prod(shape)
    for stride, size in zip(strides, shape, strict=True):
        inner //= size
        if stride and size > 1:
            quotient = f"{columns} // {inner}" if inner > 1 else columns
            parts.append(
                f"({quotient}) % {size} * {stride}" if inner * size != math.prod(shape) else f"({quotient}) * {stride}"
            )
    return " + ".join(parts)


def _next(text: str) -> str:
    """Return a load of the next step in place of one of this step."""
    return text.replace(" t * ", " t_next * ").replace("mask=live", "mask=live_next")


def _indented(lines: Iterator[str] | list[str], levels: int = 1) -> list[str]:
    return ["    " * levels + line for line in lines]
