"""How a kernel's text has sums and extrema of a row: of one program's columns, of all programs', of rows of rows."""

from __future__ import annotations

from collections.abc import Sequence

from ostinato.engine.backends.triton import moments
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
_COMBINE = {"sum": "{} + {}", "amax": "maximum({}, {})", "amin": "minimum({}, {})", moments.OP: "{} + {}"}
_REDUCE = {moments.OP: "row_sum", "sum": "row_sum", "amax": "row_max", "amin": "row_min"}


class Reductions(Exchange):
    """Writes reductions."""

    def _reduce(self, node: Node, name: str) -> None:
        if is_partial(node, self.phases.columns):
            self._of_all(node)
            self.body.append(f"{name} = {self.sums[node]}")
        elif is_row_reduction(node):
            self._row_reduction(node, name)
        else:
            self.body.append(f"{name} = {self._gathered(node)}")

    # --- of the columns of all programs -------------------------------------------------------------------------

    def _of_all(self, node: Node) -> None:
        """Write a reduction of what all programs have, and others of its phase that are waited for together."""
        if node in self.sums:
            return
        numbers = self._packed and self.tiling.rows == 1 and self.phases.columns <= _MOST_NUMBERS
        if node not in self.parts:
            if numbers:
                self._load_numbers(node)
            else:
                self.parts[node] = [self._parts_of_all(node)]
        total = None
        if node.op == moments.OP:
            total = moments.total_of(node, self.phases.nodes[self.phases.phase[node]])
            assert total is not None, "a mean without its sum"
            self._of_all(total)
        self.sums[node] = self._name("v")
        if numbers:
            found = self.parts[node] if total is None else self._about_mean(node, total)
            combined = _in_pairs(found, _COMBINE[node.op])
            self.body.append(f"{self.sums[node]} = tl.full([1, 1], {combined}, {self._type})")
        else:
            tile = self.parts[node][0] if total is None else self._tile_about_mean(node, total)
            self.body.append(f"{self.sums[node]} = {_REDUCE[node.op]}({tile})")

    def _load_numbers(self, node: Node) -> None:
        """Write what programs have of one row, of all reductions of this phase at once."""
        group = [
            other
            for other in self.phases.nodes[self.phases.phase[node]]
            if is_partial(other, self.phases.columns) and other not in self.parts
        ][: max(1, _MOST_NUMBERS // self.phases.columns)]
        group = group if node in group else [node]
        slots = [self.phases.slots[member, "partial"] for member in group]
        self.parts |= dict(zip(group, self._receive_numbers(slots), strict=True))

    def _parts_of_all(self, node: Node) -> str:
        """Return a tile of what each program has of a reduction."""
        slot, count = self.phases.slots[node, "partial"], self.phases.columns
        shape, lanes = [self.tiling.rows, padded(count, 1)], f"tl.arange(0, {padded(count, 1)})[None, :]"
        if padded(count, 1) == count:
            return self._receive(slot, f"r * {slot.size} + {{}}", shape, dense=True)
        tile = self._receive(slot, f"r * {slot.size} + tl.minimum({lanes}, {count - 1})", shape)
        return f"tl.where({lanes} < {count}, {tile}, {_neutral(node.op)})"

    def _counts(self, node: Node) -> list[int]:
        """Return of how many numbers each program has the sum of squares."""
        size, block = node.inputs[0].size, self._block(node.inputs[0].size)
        real = [min(max(size - place * block, 0), block) for place in range(self.phases.columns)]
        return [count * (len(node.inputs) - 1) for count in real]

    def _about_mean(self, node: Node, total: Node) -> list[str]:
        """Return squared deviations of each program's numbers from the mean of all."""
        counts, mean = self._counts(node), self._name("v")
        self.body.append(f"{mean} = ({_in_pairs(self.parts[total], _COMBINE['sum'])}) * {1 / sum(counts)!r}")
        found = []
        for squares, own, count in zip(self.parts[node], self.parts[total], counts, strict=True):
            apart = f"({own} * {1 / max(1, count)!r} - {mean})"
            found.append(f"{squares} + {count}.0 * {apart} * {apart}")
        return found

    def _tile_about_mean(self, node: Node, total: Node) -> str:
        counts, own, apart = self._counts(node), self.parts[total][0], self._name("v")
        share = f"{float(counts[0])!r}"
        if len(set(counts)) > 1:
            share = self._name("n")
            lanes = f"tl.arange(0, {padded(self.phases.columns, 1)})[None, :]"
            left = f"{node.inputs[0].size} - {lanes} * {self._block(node.inputs[0].size)}"
            real = f"tl.minimum(tl.maximum({left}, 0), {self._block(node.inputs[0].size)})"
            self.head.append(f"{share} = ({real} * {len(node.inputs) - 1}).to({self._type})")
        each = f"{1 / counts[0]!r}" if len(set(counts)) == 1 else f"(1.0 / tl.maximum({share}, 1.0))"
        self.body.append(f"{apart} = ({own}) * {each} - {self.sums[total]} * {1 / sum(counts)!r}")
        return f"{self.parts[node][0]} + {share} * {apart} * {apart}"

    def _partial(self, node: Node) -> None:
        """Write what this program has of a reduction for the others."""
        slot = self.phases.slots[node, "partial"]
        value = self._own_deviations(node) if node.op == moments.OP else self._own_sum(node)
        self.body += self._store(slot, "now", value, "pid", "rm", "tag")

    def _own_sum(self, node: Node) -> str:
        if node not in self.own:
            self.own[node] = self._name("o")
            self.body.append(f"{self.own[node]} = {self._row_sum(node)}")
        return self.own[node]

    def _own_deviations(self, node: Node) -> str:
        """Return the sum of squared deviations of this program's numbers from their own mean."""
        phase = self.phases.phase[node]
        total = moments.total_of(node, self.phases.nodes[phase])
        assert total is not None, "a mean without its sum"
        size, counts, mean = node.inputs[0].size, self._counts(node), self._name("o")
        share = f"{1 / counts[0]!r}"
        if len(set(counts)) > 1:
            real = f"tl.minimum(tl.maximum({size} - pid * {self._block(size)}, 0), {self._block(size)})"
            share = f"(1.0 / tl.maximum({real} * {len(node.inputs) - 1}, 1).to({self._type}))"
        self.body.append(f"{mean} = {self._own_sum(total)} * {share}")
        squares = []
        for child in node.inputs[1:]:
            apart = self._name("o")
            self.body.append(
                f"{apart} = {self._full(self._value(read_of(child, child.shape), number=False), child.shape)} - {mean}"
            )
            squares.append(f"{apart} * {apart}")
        return f"row_sum(tl.where({self._mask_of(size)}, {' + '.join(squares)}, 0.0))"

    # --- of the columns of one program --------------------------------------------------------------------------

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


def _in_pairs(numbers: Sequence[str], combine: str) -> str:
    """Return numbers combined two by two, so that none waits for all others."""
    terms = list(numbers)
    while len(terms) > 1:
        pairs = [combine.format(*terms[i : i + 2]) for i in range(0, len(terms) - 1, 2)]
        terms = [f"({pair})" for pair in pairs] + terms[len(pairs) * 2 :]
    return terms[0]


def _neutral(op: str) -> str:
    return {moments.OP: "0.0", "sum": "0.0", "amax": 'float("-inf")', "amin": 'float("inf")'}[op]
