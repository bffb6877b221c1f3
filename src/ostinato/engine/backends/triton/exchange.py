"""How a kernel's text has values that pass from thread to thread, program to program, phase to phase, step to step.

What others read, or what is read in another order, is written to slots of memory: those of even steps beside those of
odd ones. `words` says what a slot is made of, and how a reader waits for it.
"""

from __future__ import annotations

import math

from ostinato.engine.backends.triton.expressions import literal
from ostinato.engine.backends.triton.phases import Slot, state_slots
from ostinato.engine.backends.triton.reads import Read, is_state
from ostinato.engine.backends.triton.values import place_of
from ostinato.engine.backends.triton.words import Words
from ostinato.engine.plan.graph import Node, Shape


class Exchange(Words):
    """Writes reads and writes of slots."""

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
                self.loaded[key] = self._receive(slot, f"r * {slot.size} + {place}", shape)
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
        for slot in (slot for slot in slots if slot is not kept):
            self.head += self._store(slot, "(S0 % 2)", name, self._index(size), self._mask(size, "rm"), "S0 + 1")

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

    def _keep(self, node: Node, purpose: str, value: str, boolean: bool, shape: Shape, start: int) -> None:
        slot = self.phases.slots.get((node, purpose))
        if slot is not None:
            size = math.prod(shape)
            text = f"({value}).to({self._type})" if boolean else value
            place = f"{start} + {self._index(size)}" if start else self._index(size)
            self.body += self._store(slot, "now", text, place, self._mask(size, "rm"), "tag", part=size < node.size)
