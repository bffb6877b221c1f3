"""How a kernel's text has sums and extrema of a row: of one program's columns, of all programs', of rows of rows."""

from __future__ import annotations

from ostinato.engine.backends.triton.exchange import Exchange
from ostinato.engine.backends.triton.expressions import literal
from ostinato.engine.backends.triton.phases import Slot, gathered_read, is_partial, is_row_reduction
from ostinato.engine.backends.triton.reads import Read, read_of
from ostinato.engine.backends.triton.tiles import padded
from ostinato.engine.backends.triton.values import place_of
from ostinato.engine.plan.graph import Node

_REDUCE = {"sum": "row_sum", "amax": "row_max", "amin": "row_min"}


class Reductions(Exchange):
    """Writes reductions."""

    def _reduce(self, node: Node, name: str) -> None:
        if is_partial(node, self.phases.columns):
            self.body.append(f"{name} = {_REDUCE[node.op]}({self._parts_of_all(node)})")
        elif is_row_reduction(node):
            self.body.append(f"{name} = {self._row_sum(node)}")
        else:
            self.body.append(f"{name} = {self._gathered(node)}")

    def _parts_of_all(self, node: Node) -> str:
        """Return what each program has of a reduction."""
        slot, width = self.phases.slots[node, "partial"], padded(self.phases.columns, 4)
        group = self._per_load(slot.memory)
        first = f"{group} * tl.arange(0, {width // group})[None, :]"
        if width > slot.size:
            first = f"tl.minimum({first}, {slot.size - group})"
        tile = self._receive(
            slot.memory, f"{self._in_slot(slot, 'now')} + {first}", [self.tiling.rows, width], group=group
        )
        lanes = f"tl.arange(0, {width})[None, :]"
        real = width == self.phases.columns
        return tile if real else f"tl.where({lanes} < {self.phases.columns}, {tile}, {_neutral(node.op)})"

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
        self.body += self._store(slot, "now", self._row_sum(node), "pid", "rm", "tag")

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
            if self._packed:
                return self._gathered_from_others(node, read, slot)
            where = f"values + ({self._in_slot(slot, 'now')})[:, :, None] + {place}"
        loaded = f'tl.load({where}, mask={mask}, other={_neutral(node.op)}, cache_modifier=".cg").to({self._type})'
        return f"{_REDUCE[node.op]}_last({loaded})"

    def _gathered_from_others(self, node: Node, read: Read, slot: Slot) -> str:
        """Return reductions of rows of rows that other programs have."""
        length, width = read.shape[-1], padded(read.shape[-1], 1)
        lanes = f"tl.arange(0, {width})[None, None, :]"
        real = lanes if width == length else f"tl.minimum({lanes}, {length - 1})"
        place = place_of(read, f"(({self._real_index(node.size)})[:, :, None] * {length} + {real})")
        where = f"({self._in_slot(slot, 'now')})[:, :, None] + {place}"
        tile = self._receive(slot.memory, where, [self.tiling.rows, self._block(node.size), width])
        return f"{_REDUCE[node.op]}_last(tl.where({lanes} < {length}, {tile}, {_neutral(node.op)}))"


def _neutral(op: str) -> str:
    return {"sum": "0.0", "amax": 'float("-inf")', "amin": 'float("inf")'}[op]
