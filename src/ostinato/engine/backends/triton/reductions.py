"""How a kernel's text has sums and extrema of a row: of one program's columns, of all programs', of rows of rows."""

from __future__ import annotations

from ostinato.engine.backends.triton.exchange import Exchange
from ostinato.engine.backends.triton.expressions import literal
from ostinato.engine.backends.triton.phases import Slot, gathered_read, is_partial, is_row_reduction
from ostinato.engine.backends.triton.reads import Read, is_state, read_of
from ostinato.engine.backends.triton.tiles import padded
from ostinato.engine.backends.triton.values import place_of
from ostinato.engine.plan.graph import Node

_MOST_SUMS = 4
"""Sums that are made at a time; `device` has functions for so many."""
_MOST_NUMBERS = 32
"""Numbers of other programs that each thread reads by itself."""
_REDUCE = {"sum": "row_sum", "amax": "row_max", "amin": "row_min"}


class Reductions(Exchange):
    """Writes reductions."""

    def _reduce(self, node: Node, name: str) -> None:
        if is_partial(node, self.phases.columns):
            if self._packed and self.tiling.rows == 1 and self.phases.columns <= _MOST_NUMBERS:
                self._sums_of_all(node)
                self.body.append(f"{name} = {self.sums[node]}")
            else:
                self.body.append(f"{name} = {_REDUCE[node.op]}({self._parts_of_all(node)})")
        elif is_row_reduction(node):
            self._row_reduction(node, name)
        else:
            self.body.append(f"{name} = {self._gathered(node)}")

    def _sums_of_all(self, node: Node) -> None:
        """Write what programs have of one row together, for all reductions of this phase at once."""
        if node in self.sums:
            return
        group = [
            other
            for other in self.phases.nodes[self.phases.phase[node]]
            if is_partial(other, self.phases.columns) and other not in self.sums
        ][: max(1, _MOST_NUMBERS // self.phases.columns)]
        group = group if node in group else [node]
        slots = [self.phases.slots[member, "partial"] for member in group]
        for member, numbers in zip(group, self._receive_numbers(slots), strict=True):
            combine = {"sum": "{} + {}", "amax": "maximum({}, {})", "amin": "minimum({}, {})"}[member.op]
            while len(numbers) > 1:  # in pairs, so that none waits for all others
                pairs = [combine.format(*numbers[i : i + 2]) for i in range(0, len(numbers) - 1, 2)]
                numbers = [f"({pair})" for pair in pairs] + numbers[len(pairs) * 2 :]
            self.sums[member] = self._name("v")
            self.body.append(f"{self.sums[member]} = tl.full([1, 1], {numbers[0]}, {self._type})")

    def _parts_of_all(self, node: Node) -> str:
        """Return what each program has of a reduction."""
        slot, count = self.phases.slots[node, "partial"], self.phases.columns
        shape, lanes = [self.tiling.rows, padded(count, 1)], f"tl.arange(0, {padded(count, 1)})[None, :]"
        if padded(count, 1) == count:
            return self._receive(slot, f"r * {slot.size} + {{}}", shape, dense=True)
        tile = self._receive(slot, f"r * {slot.size} + tl.minimum({lanes}, {count - 1})", shape)
        return f"tl.where({lanes} < {count}, {tile}, {_neutral(node.op)})"

    def _row_reduction(self, node: Node, name: str) -> None:
        """Write a reduction of a row; sums whose values are there at the same time are made together."""
        if node not in self.sums:
            group = [node]
            if node.op == "sum" and node.inputs[0].size > 1:
                group = self._known_sums(node)
            if len(group) == 1:
                self.sums[node] = self._row_sum(node)
            else:
                found = self._sums([self._row_terms(member) for member in group], 1, keep=True)
                self.sums |= dict(zip(group, found, strict=True))
        self.body.append(f"{name} = {self.sums[node]}")

    def _known_sums(self, node: Node) -> list[Node]:
        """Return the sums of rows of this phase whose terms are computed by now."""
        size = node.inputs[0].size
        known = [
            other
            for other in self.phases.nodes[self.phases.phase[node]]
            if other.op == "sum" and is_row_reduction(other) and other.inputs[0].size == size
            and other not in self.sums and self._is_known(other.inputs[0])
        ]  # fmt: skip
        return known[:_MOST_SUMS]

    def _is_known(self, child: Node) -> bool:
        read = read_of(child, child.shape)
        return read.kind != "register" or read.base in self.names or is_state(read.base)

    def _sums(self, terms: list[str], axis: int, *, keep: bool = False) -> list[str]:
        """Write sums of several tiles over one axis: threads exchange them together."""
        found: list[str] = []
        for start in range(0, len(terms), _MOST_SUMS):
            part = terms[start : start + _MOST_SUMS]
            names = [self._name("d") for _ in part]
            if len(part) == 1:
                self.body.append(f"{names[0]} = tl.sum({part[0]}, {axis}, keep_dims={keep})")
            else:
                self.body.append(f"{', '.join(names)} = sums_{len(part)}({', '.join(part)}, {axis}, {keep})")
            found += names
        return found

    def _row_sum(self, node: Node) -> str:
        """Return the reduction of the columns that this program has."""
        child = node.inputs[0]
        if child.size == 1:
            return self._value(read_of(child, child.shape), number=False)
        return f"{_REDUCE[node.op]}({self._row_terms(node)})"

    def _row_terms(self, node: Node) -> str:
        """Return the columns that a reduction takes, nothing in those that are not there."""
        child = node.inputs[0]
        whole = self._full(self._value(read_of(child, child.shape), number=False), child.shape)
        return f"tl.where({self._mask_of(child.size)}, {whole}, {_neutral(node.op)})"

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
            where = f"{slot.memory} + ({self._in_slot(slot, 'now')})[:, :, None] + {place}"
        loaded = f'tl.load({where}, mask={mask}, other={_neutral(node.op)}, cache_modifier=".cg").to({self._type})'
        return f"{_REDUCE[node.op]}_last({loaded})"

    def _gathered_from_others(self, node: Node, read: Read, slot: Slot) -> str:
        """Return reductions of rows of rows that other programs have."""
        length, width = read.shape[-1], padded(read.shape[-1], 1)
        lanes = f"tl.arange(0, {width})[None, None, :]"
        real = lanes if width == length else f"tl.minimum({lanes}, {length - 1})"
        place = place_of(read, f"(({self._real_index(node.size)})[:, :, None] * {length} + {real})")
        tile = self._receive(
            slot, f"(r * {slot.size})[:, :, None] + {place}", [self.tiling.rows, self._block(node.size), width]
        )
        return f"{_REDUCE[node.op]}_last(tl.where({lanes} < {length}, {tile}, {_neutral(node.op)}))"


def _neutral(op: str) -> str:
    return {"sum": "0.0", "amax": 'float("-inf")', "amin": 'float("inf")'}[op]
