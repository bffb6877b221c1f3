"""How a kernel's text has values: loaded from memory and slots, kept in registers, in the columns of one program."""

from __future__ import annotations

import math
from dataclasses import dataclass

from ostinato.engine.backends.triton.phases import Phases
from ostinato.engine.backends.triton.reads import Read, in_order
from ostinato.engine.backends.triton.tiles import LEAST, Tiling
from ostinato.engine.plan.graph import Node, Shape


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

    def packing(self, memory: str) -> str:
        """Return how the numbers of a memory are packed where programs pass them on: see `words`."""
        if self.computed == "float64":
            return "f64"
        if memory == "operands" and self.operand != "float32":
            return "half"
        return "tf32" if memory == "operands" and self.precision == "tf32" else "f32"


class Values:
    """Collects what goes before the loop, into it and behind it, and names the values in it."""

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
        self.parts: dict[Node, list[str]] = {}
        """What all programs have of reductions: a tile, or a number each."""
        self.own: dict[Node, str] = {}
        """What this program has of them."""
        self.count = 0

    @property
    def _type(self) -> str:
        return f"tl.{self.form.computed}"

    def _name(self, prefix: str) -> str:
        self.count += 1
        return f"{prefix}{self.count}"

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
        # made wide when it is used: now it would have to be here
        self.fetched.append((f"p{name}", f"tl.load({where}, mask={mask}, other=0.0)"))
        return name

    def _full(self, text: str, shape: Shape) -> str:
        return f"tl.broadcast_to({text}, [{self.tiling.rows}, {self._block(math.prod(shape))}])"

    # --- places -------------------------------------------------------------------------------------------------

    def _block(self, size: int) -> int:
        return self.tiling.block(size)

    def _width(self, size: int) -> int:
        """Return the columns of a product's tile: of a single number there are more, all but one zero."""
        return LEAST if size == 1 else self._block(size)

    def _index(self, size: int) -> str:
        """Return the columns of a value that this program has."""
        if size == 1:
            return "0"
        if f"n{size}" not in self.defined:
            self.defined.add(f"n{size}")
            block = self._block(size)
            self.head.append(f"n{size} = pid * {block} + tl.arange(0, {block})[None, :]")
            whole = block * self.tiling.columns == size  # Triton leaves masks out that it knows to be true
            self.head.append(f"m{size} = {f'tl.full([1, {block}], True, tl.int1)' if whole else f'n{size} < {size}'}")
        return f"n{size}"

    def _mask(self, size: int, rows: str) -> str:
        return rows if size == 1 else f"{rows} & m{size}"

    def _place(self, read: Read) -> str:
        """Return where the columns of this program lie in what is read."""
        size = math.prod(read.shape)
        return place_of(read, self._index(size))


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
