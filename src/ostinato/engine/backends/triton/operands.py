"""How a kernel's text has the rows that products read: of memory, of other programs, in the precision of products."""

from __future__ import annotations

import math

from ostinato.engine.backends.triton.expressions import literal
from ostinato.engine.backends.triton.phases import Slot, by_heads
from ostinato.engine.backends.triton.reads import Read, in_order
from ostinato.engine.backends.triton.reductions import Reductions
from ostinato.engine.backends.triton.values import place_of


class Operands(Reductions):
    """Writes reads of operands."""

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
        if self._packed:
            return self._received_part(read, start, width, depth, first)
        slot = self.phases.slots[read.base, "operand"]
        where = f"operands + {self._in_slot(slot, 'now')} + {place}"
        return self._as_operand(f'tl.load({where}, mask=rm{mask}, other=0.0, cache_modifier=".cg")')

    def _received_part(self, read: Read, start: int, width: int, depth: int, first: int = 0) -> str:
        """Return a part of a row that other programs have."""
        slot = self.phases.slots[read.base, "operand"]
        shape, lanes = [self.tiling.rows, width], f"({start} + tl.arange(0, {width})[None, :])"
        if self._dense(read, slot) and start + width <= slot.size:
            tile = self._receive(slot, f"r * {slot.size} + {start} + {{}}", shape, dense=True)
        else:
            real = f"tl.minimum({lanes}, {depth - 1})" if start + width > depth else lanes
            place = place_of(read, f"({first} + {real})" if first else real)
            tile = self._receive(slot, f"r * {slot.size} + {place}", shape)
        return self._as_operand(f"tl.where({lanes} < {depth}, {tile}, 0.0)" if start + width > depth else tile)

    def _dense(self, read: Read, slot: Slot) -> bool:
        """Tell whether a row is read as it lies, and programs have written all of it, in groups of four."""
        base = read.base
        whole = read.offset == 0 and in_order(read.strides, read.shape) and base.size == math.prod(read.shape)
        return whole and base.op != "cat" and not by_heads(base) and slot.size % 4 == 0

    def _as_operand(self, text: str) -> str:
        """Return a tile in the precision of products; Triton's interpreter multiplies the bits of a bfloat16."""
        narrow = f"({text}).to(tl.{self.form.operand})"
        return f"{narrow}.to(tl.float32)" if self.form.widened else narrow


def slot_at(place: str, slots: list[Slot], depth: int) -> str:
    """Return how many numbers of a row lie before the slot of each place in several rows, one after the other."""
    first = str(slots[0].start)
    for index, slot in enumerate(slots[1:], 1):
        first = f"tl.where({place} >= {index * depth}, {slot.start}, {first})"
    return f"({first})"
