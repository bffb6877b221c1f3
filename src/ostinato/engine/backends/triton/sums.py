"""How a kernel's text has products of few rows: tensor cores take 16, so threads multiply and sum by themselves.

Each thread has some depth of some columns of the weights in its registers, for all steps. Lanes, threads of one column,
divide the depth and sum what they have; the products of the same rows are summed together, and rows of several operands
lie in one tile.
"""

from __future__ import annotations

import math

from ostinato.engine.backends.triton.operands import Operands, slot_at
from ostinato.engine.backends.triton.phases import Slot, operand_read
from ostinato.engine.backends.triton.reads import Read, operands_of
from ostinato.engine.backends.triton.tiles import padded
from ostinato.engine.plan.graph import Node
from ostinato.engine.plan.views import View, locate


class Sums(Operands):
    """Writes products as sums in threads."""

    def _products_by_sums(self, group: list[Node]) -> None:
        """Write products of fewer rows than tensor cores take: each thread has some columns of the weights."""
        size = group[0].size
        block = 1 if size == 1 else self._block(size)
        pairs = [
            [(operand_read(read, self.phases.columns), matrix) for read, matrix in operands_of(member)]
            for member in group
        ]
        terms: dict[int, list[list[str]]] = {}
        for places in _together([read for read, _ in pairs[0]]):
            reads = [pairs[0][place][0] for place in places]
            width = padded(math.prod(reads[0].shape)) * len(places)
            lanes = max(1, min(width, 32 * self.tiling.warps // block))
            rows = self._rows_of_lanes(reads, lanes, width)
            for found, line in zip(terms.setdefault(width, [[] for _ in group]), pairs, strict=True):
                matrix = self._weights_of_lanes([line[place][1] for place in places], block, lanes, width)
                found.append(f"{rows} * {matrix}")
        parts: list[list[str]] = [[] for _ in group]
        for lines in terms.values():
            within = iter(self._sums([term for line in lines for term in line], 2))
            for part, own in zip(parts, lines, strict=True):
                part += [next(within) for _ in own]
        self.sums |= {member: " + ".join(part) for member, part in zip(group, parts, strict=True)}

    def _rows_of_lanes(self, reads: list[Read], lanes: int, width: int) -> str:
        """Write rows of operands as `(rows, 1, depth)`, one after the other; lanes take their numbers in turns."""
        key = ("shared", "rows", *((read.base, read.offset, read.strides) for read in reads), lanes)
        if key not in self.loaded:
            rows, depth = self.tiling.rows, width // len(reads)
            slots = [self.phases.slots[read.base, "operand"] for read in reads if read.kind == "shared"]
            together = self._packed and len(slots) == len(reads) and all(map(self._dense, reads, slots))
            if together:
                tiles = [self._received_rows(reads, slots, width)]
            else:
                tiles = [self._operand_tile(read, depth) for read in reads]
            moved, count = tiles[0], len(tiles)
            if count == 2:
                moved = f"tl.permute(tl.join({moved}, {tiles[1]}), [0, 2, 1])"
            elif count == 4:  # all in one tile: threads exchange them at once
                halves = f"tl.join({moved}, {tiles[1]}), tl.join({tiles[2]}, {tiles[3]})"
                moved = f"tl.permute(tl.join({halves}), [0, 3, 2, 1])"
            name = self.loaded[key] = self._name("a")
            turns = f"tl.permute(tl.reshape({moved}, [{rows}, {lanes}, {width // lanes}]), [0, 2, 1])"
            self.body.append(f"{name} = tl.reshape({turns}, [{rows}, 1, {width}])")
        return self.loaded[key]

    def _received_rows(self, reads: list[Read], slots: list[Slot], width: int) -> str:
        """Return rows of several operands, one after the other, that other programs have."""
        depth, each, size = math.prod(reads[0].shape), width // len(reads), slots[0].size
        inner = "{}" if each == depth else f"tl.arange(0, {width})[None, :]"
        column = inner if len(reads) == 1 else f"{inner} % {each}"
        real = column if each == depth else f"tl.minimum({column}, {depth - 1})"
        places = f"{slot_at(inner, slots, each)} * 2 * P + {real} + r * {size}"
        tile = self._receive(
            slots[0], places, [self.tiling.rows, width], dense=each == depth, start=f"now * {size} * P"
        )
        if each != depth:
            tile = f"tl.where({column} < {depth}, {tile}, 0.0)"
        return f"{self._as_operand(tile)}.to({self._type})"

    def _operand_tile(self, read: Read, width: int) -> str:
        """Return whole rows of an operand, rounded as operands are."""
        depth = math.prod(read.shape)
        if read.kind == "register":
            tile = self._full(self._register(read.base), read.shape)
            if width != depth:
                real = f"(tl.arange(0, {width})[None, :] < {depth})" if depth == 1 else self._mask_of(depth)
                tile = f"tl.where({real}, {tile}, 0.0)"
            return f"{self._as_operand(tile)}.to({self._type})"
        return f"{self._operand(read, 0, width, depth)}.to({self._type})"

    def _weights_of_lanes(self, matrices: list[Node], block: int, lanes: int, width: int) -> str:
        """Load weights before the loop, `(1, columns, depth)`, so that a thread has some depth of one column."""
        views = [locate(matrix) for matrix in matrices]
        key = ("lanes", *((view.base, view.offset, view.strides) for view in views), block, lanes, width)
        if key in self.loaded:
            return self.loaded[key]
        name = self.loaded[key] = self._name("w")
        depth, size = matrices[0].shape[0], matrices[0].shape[1]
        place = f"p{block}_{lanes}_{width}"
        if place not in self.defined:
            self.defined.add(place)
            turn = f"tl.arange(0, {width})[None, None, :]"
            self.head.append(f"{place} = {turn} % {lanes} * {width // lanes} + {turn} // {lanes}")
            # columns are neighbours in memory, so Triton gives them to neighbouring threads; the last program number is
            # zero, but as it does not know that, it does not give several of them to one thread, to load at once
            first = f"pid * {block}" if size > 1 else "0"  # all programs have a single column
            self.head.append(f"{place}_n = {first} + tl.arange(0, {block})[None, :, None] + tl.program_id(2)")
        count = len(matrices)
        row = place if count == 1 else f"({place} % {width // count})"
        which, inside = f"({place} // {width // count})", f"({row} < {depth}) & ({place}_n < {size})"
        parts = []
        for index, view in enumerate(views):
            self.constants[view.base.attr[0]] = None
            offset, (down, across) = str(view.offset), view.strides[-2:]
            step = _step(views)
            if step is not None:
                offset = f"{view.offset} + {which} * {step}"
            where = f"c{view.base.attr[0]} + {offset} + {row} * {down} + {place}_n * {across}"
            mask = inside if step is not None else f"{inside} & ({which} == {index})"
            parts.append(f"tl.load({where}, mask={mask}, other=0.0)")
            if step is not None:
                break
        self.head.append(f"{name} = {self._as_operand(' + '.join(parts))}.to({self._type})")
        return name


def _step(views: list[View]) -> int | None:
    """Return how far from one another matrices lie in one tensor, if they do so evenly: they are then loaded as one."""
    first = views[0]
    step = views[1].offset - first.offset if len(views) > 1 else 0
    even = all(
        view.base is first.base and view.strides == first.strides and view.offset == first.offset + index * step
        for index, view in enumerate(views)
    )
    return step if even else None


def _together(reads: list[Read]) -> list[list[int]]:
    """Return the places of operands that are read as one: all, if they are two or four of as many numbers."""
    places = list(range(len(reads)))
    if len(reads) in (2, 4) and len({math.prod(read.shape) for read in reads}) == 1:
        return [places]
    return [[place] for place in places]
