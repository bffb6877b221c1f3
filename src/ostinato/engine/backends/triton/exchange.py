"""How a kernel's text has values that pass from thread to thread, program to program, or phase to phase.

One program alone writes them to memory and reads them after a barrier of its threads. Programs that share the columns
of a tile pass each number on in one word with the step that it belongs to, and whoever needs it asks until the word has
the step's mark: nobody waits for a barrier of all programs, and the order of writes does not matter, since a word is
written as a whole. What a number leaves free of its word holds the mark: 16 bits beside a half, the 13 bits of a
float32 that a product in TF32 does not look at, else a second half of 64 bits (the protocol "LL" of NCCL).
"""

from __future__ import annotations

import math
import os
from collections.abc import Sequence

from ostinato.engine.backends.triton.expressions import literal
from ostinato.engine.backends.triton.phases import Slot, state_slots
from ostinato.engine.backends.triton.reads import Read, is_state
from ostinato.engine.backends.triton.values import Values, place_of
from ostinato.engine.plan.graph import Node, Shape

ANCHOR = os.environ.get("OSTINATO_ANCHOR", "word")
_MARKS = {"half": 0xFFFF, "tf32": 0x1FFF}
"""Which bits of a word are its mark; of all others the lower half of 64."""
_MOST_WORDS = int(os.environ.get("OSTINATO_MOST", "64"))
"""Words that a thread asks for at a time."""


class Exchange(Values):
    """Writes reads and writes of slots."""

    @property
    def _packed(self) -> bool:
        """Whether several programs share the columns of a tile."""
        return self.phases.columns > 1

    # --- values as others read them -----------------------------------------------------------------------------

    def _value(self, read: Read, *, number: bool = True) -> str:
        """Return a value as a reader has it: a tile, or one that broadcasts to it."""
        if read.kind == "number":
            text = literal(read.base)
            if number and self.form.computed == "float32":
                return text  # beside float64, Triton takes a number as float32
            kind = "tl.int1" if read.base.boolean else self._type
            return f"tl.full([{self.tiling.rows}, 1], {text}, {kind})"
        if read.kind == "register":
            return self._register(read.base)
        text = self._from_memory(read) if read.kind == "memory" else self._from_slot(read)
        return f"({text} != 0)" if read.base.boolean else text

    def _register(self, node: Node) -> str:
        if is_state(node):
            self._load_state(node.attr[1])
            return f"s{node.attr[1]}"
        if node not in self.names:
            assert self.form.only is not None, "a value is used before it is computed"
            name = self.names[node] = self._name("v")
            text = self._load(self.phases.slots[node, "kept"], "now", self._index(node.size), node.size)
            self.body.append(f"{name} = {f'({text} != 0)' if node.boolean else text}")
        return self.names[node]

    def _from_slot(self, read: Read) -> str:
        key = ("shared", read.base, "value", read.offset, read.strides, read.shape)
        if key not in self.loaded:
            slot, size = self.phases.slots[read.base, "value"], math.prod(read.shape)
            if self._packed:
                place = place_of(read, self._real_index(size))
                shape = [self.tiling.rows, self._block(size)]
                self.loaded[key] = self._receive(slot.memory, f"{self._in_slot(slot, 'now')} + {place}", shape)
            else:
                self.loaded[key] = self._name("v")
                self.body.append(f"{self.loaded[key]} = {self._load(slot, 'now', self._place(read), size)}")
        return self.loaded[key]

    def _real_index(self, size: int) -> str:
        """Return the columns of this program of a value that others wrote; the last in place of those beyond it."""
        index = self._index(size)
        return (
            index
            if self._block(size) * self.phases.columns == size or size == 1
            else f"tl.minimum({index}, {size - 1})"
        )

    # --- states -------------------------------------------------------------------------------------------------

    def _load_state(self, index: int) -> None:
        """Load a state before the loop, and pass it on."""
        name, slots = f"s{index}", state_slots(self.phases, index)
        if name in self.defined:
            return
        self.defined.add(name)
        kept = self._slot_of_state(index)
        size = kept.size
        if self.form.only is not None:
            self.head.append(f"{name} = {self._full(self._load(kept, '(S0 % 2)', self._index(size), size), (size,))}")
            return
        text = f"tl.load(start{index} + r * {size} + {self._index(size)}, mask={self._mask(size, 'rm')}, other=0.0)"
        self.head.append(f"{name} = {self._full(f'{text}.to({self._type})', (size,))}")
        others = [slot for slot in slots if slot is not kept]
        for slot in others:
            self.head += self._store(slot, "(S0 % 2)", name, self._index(size), self._mask(size, "rm"), "S0 + 1")
        if others and not self._packed:
            self.head.append("tl.debug_barrier()")

    def _slot_of_state(self, index: int) -> Slot:
        return next(
            slot
            for (node, purpose), slot in self.phases.slots.items()
            if is_state(node) and node.attr[1] == index and purpose == "kept"
        )

    def _store_state(self, index: int) -> None:
        """Pass a state on to the next step."""
        kept = self._slot_of_state(index)
        for slot in state_slots(self.phases, index):
            if slot is not kept or self.form.only is not None:
                size = kept.size
                mask = self._mask(size, "rm")
                self.body += self._store(slot, "then", f"s{index}", self._index(size), mask, "tag + 1")

    # --- slots --------------------------------------------------------------------------------------------------

    def _load(self, slot: Slot, parity: str, place: str, size: int) -> str:
        mask = self._mask(size, "rm") if "n" in place else "rm"
        where = f"{slot.memory} + {self._in_slot(slot, parity)}"
        return f'tl.load({where} + {place}, mask={mask}, other=0.0, cache_modifier=".cg").to({self._type})'

    def _in_slot(self, slot: Slot, parity: str) -> str:
        """Return where the tile's rows of a slot begin."""
        return f"({2 * slot.start} + {parity} * {slot.size}) * P + r * {slot.size}"

    def _keep(self, node: Node, purpose: str, value: str, boolean: bool, shape: Shape, start: int) -> None:
        slot = self.phases.slots.get((node, purpose))
        if slot is not None:
            size = math.prod(shape)
            text = f"({value}).to({self._type})" if boolean else value
            place = f"{start} + {self._index(size)}" if start else self._index(size)
            self.body += self._store(slot, "now", text, place, self._mask(size, "rm"), "tag", part=size < node.size)

    def _store(
        self, slot: Slot, parity: str, value: str, place: str, mask: str, tag: str, *, part: bool = False
    ) -> list[str]:
        """Return the lines that write a tile to a slot; `part`: what lies behind its columns belongs to others."""
        where = f"{self._in_slot(slot, parity)} + {place}"
        if not self._packed or slot.memory == "values":
            return [f"tl.store({slot.memory} + {where}, {value}, mask={mask})"]
        kind = self.form.packing(slot.memory)
        # readers do not look at rows and columns that are not there: they may have anything
        masked = f", mask={mask}" if part else ""
        if kind == "f64":
            return [
                f"tl.store({slot.memory} + 2 * ({where}), high_word({value}, {tag}){masked})",
                f"tl.store({slot.memory} + 2 * ({where}) + 1, low_word({value}, {tag}){masked})",
            ]
        half = f", tl.{self.form.operand}" if kind == "half" else ""
        return [f"tl.store({slot.memory} + {where}, pack_{kind}({value}, {tag}{half}){masked})"]

    # --- from program to program --------------------------------------------------------------------------------

    def _receive(self, memory: str, offset: str, shape: list[int], *, group: int = 1) -> str:
        """Wait for a tile of this step and return its name.

        Args:
            memory: where it lies.
            offset: of each element, or of the first of each `group` in a row.
            shape: of the tile.
            group: `self._per_load(memory)`, or 1 for elements that do not lie one after the other.
        """
        kind, place = self.form.packing(memory), self._name("q")
        each = 2 if kind == "f64" else 1
        self.body.append(f"{place} = {memory} + {offset if each == 1 else f'2 * ({offset})'}")
        words = [self._name("u") for _ in range(group * each)]
        if self.form.only is not None:  # the programs before have run
            self.body += [f"{word} = tl.load({place} + {index})" for index, word in enumerate(words)]
        else:
            self.body.append(self._wait(words, place, kind, math.prod(shape) // group))
        joined = words[0]
        if group == 2:
            joined = f"tl.reshape(tl.join({', '.join(words)}), {shape})"
        elif group == 4:
            pairs = f"tl.join({words[0]}, {words[2]}), tl.join({words[1]}, {words[3]})"
            joined = f"tl.reshape(tl.join({pairs}), {shape})"
        if ANCHOR == "word" and self.form.only is None and each == 1:
            joined = self._anchored(joined, memory, shape, "int32" if kind in _MARKS else "int64")
        name, half = self._name("v"), f", tl.{self.form.operand}" if kind == "half" else ""
        value = f"unpack_{kind}({', '.join(words) if kind == 'f64' else joined}, tag{half})"
        if self.form.only is None and ANCHOR == "value":
            value = self._anchored(
                value, memory, shape, self.form.operand if memory == "operands" else self.form.computed
            )
        self.body.append(f"{name} = {value}")
        return name

    def _anchored(self, value: str, memory: str, shape: list[int], kind: str) -> str:
        """Return a value as a load gives it that reads nothing.

        Triton takes a loop of our own for free, and would ask for the words again in each warp that needs them.
        """
        place = f"i{'_'.join(map(str, shape))}"
        if place not in self.defined:
            self.defined.add(place)
            index = f"tl.arange(0, {shape[-1]})[{'None, ' * (len(shape) - 1)}:]"
            self.head.append(f"{place} = tl.broadcast_to({index}, {shape})")
        return f"tl.load({memory}.to(tl.pointer_type(tl.{kind})) + {place}, mask=T < 0, other={value})"

    def _per_load(self, memory: str) -> int:
        """Return how many numbers one load takes at most, of 16 bytes."""
        return {"f64": 1, "f32": 2}.get(self.form.packing(memory), 4)

    def _wait(self, words: Sequence[str], place: str, kind: str, groups: int) -> str:
        """Return a loop of each thread by itself, over several groups at once: Triton's own are for all threads."""
        count = min(_MOST_WORDS // len(words), max(1, groups // (32 * self.tiling.warps)))
        mark = _MARKS.get(kind)
        size, letter, result = ("64", "l", "tl.int64") if mark is None else ("32", "r", "tl.int32")
        total = count * len(words)
        vector = f".v{len(words)}" if len(words) > 1 else ""
        lines = [".reg .pred p; .reg .b32 m, t; AGAIN:"]
        for index in range(count):
            into = ", ".join(f"${index + word * count}" for word in range(len(words)))
            lines.append(f"ld.relaxed.gpu.global{vector}.b{size} {{{into}}}, [${total + index}];")
        lines.append("mov.b32 m, 0;")
        for index in range(total):
            read = f"cvt.u32.u64 t, ${index}; xor.b32 t, t," if mark is None else f"xor.b32 t, ${index},"
            lines.append(f"{read} ${total + count}; or.b32 m, m, t;")
        lines.append(f"{'' if mark is None else f'and.b32 m, m, {mark}; '}setp.ne.u32 p, m, 0; @p bra AGAIN;")
        constraints = ",".join([f"=&{letter}"] * total + ["l"] * count + ["r"] * count)
        kinds = result if len(words) == 1 else f"({', '.join([result] * len(words))})"
        return (
            f'{", ".join(words)} = tl.inline_asm_elementwise("{{ {" ".join(lines)} }}", "{constraints}", '
            f"[({place}).to(tl.int64), tag], dtype={kinds}, is_pure=False, pack={count})"
        )
