"""How a kernel's text has products: of the same rows made together, dealt to lanes where columns are few, by heads.

Those here are for tensor cores, which take tiles of 16 rows and more; `sums` has those of fewer.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

from ostinato.engine.backends.triton.operands import slot_at
from ostinato.engine.backends.triton.phases import operand_read
from ostinato.engine.backends.triton.reads import Read, in_order, operands_of, read_of
from ostinato.engine.backends.triton.sums import Sums
from ostinato.engine.backends.triton.tiles import LEAST, chunks, padded
from ostinato.engine.backends.triton.values import place_of
from ostinato.engine.plan.graph import Node
from ostinato.engine.plan.views import locate

_MOST_TOGETHER = 8
"""Products that are made as one."""


class Products(Sums):
    """Writes products."""

    def _product(self, node: Node) -> str:
        """Return a product; those of the same rows are made together, and each takes its own columns."""
        if node not in self.sums:
            group = self._group(node)
            if self.tiling.rows < LEAST:
                self._products_by_sums(group)
            else:
                self._products_by_dots(group)
        pairs = len(node.inputs) - node.attr[0]
        biases = [self._value(read_of(bias, node.shape)) for bias in node.inputs[pairs:]]
        return " + ".join([self.sums[node], *biases])

    def _products_by_dots(self, group: list[Node]) -> None:
        total, first = self._products(group), group[0]
        if len(group) == 1:
            self.sums[first] = f"row_sum({total})" if first.size == 1 else total
            return
        for member, name in zip(group, self._apart(total, len(group), self._block(first.size)), strict=False):
            self.sums[member] = name

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
        lanes = self._lanes(reads, padded(len(group), 1) * self._width(first.size))
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
        slots = [self.phases.slots[read.base, "operand"] for read in reads]
        place, inside = self._places_by_lanes(start, width, share, lanes, depth * len(reads))
        first = slot_at(place, slots, depth)
        column = place if len(reads) == 1 else f"({place} % {depth})"
        name = f"f{'_'.join(str(slot.start) for slot in slots)}_{place}"
        if name not in self.defined:
            self.defined.add(name)
            self.head.append(f"{name} = {first} * 2 * P + {column}")
        size = slots[0].size
        where = f"({name} + now * {size} * P)[:, None, :] + (r * {size})[None, :, :]"
        mask = f"rm[None, :, :] & {inside}[:, None, :]"
        return self._as_operand(f'tl.load(operands + {where}, mask={mask}, other=0.0, cache_modifier=".cg")')

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
                down, across = view.strides
                where = f"c{view.base.attr[0]} + {view.offset} + {row} * {down} + column[None] * {across}"
                mask = f"((which == {member}) & (column < {size}))[None] & {inside}[:, :, None]"
                mask += f" & ({row} >= 0) & ({row} < {depth})"
                parts.append(f"tl.load({where}, mask={mask}, other=0.0)")
        self.head.append(f"{name} = {parts[0]}")
        self.head += [f"{name} += {part}" for part in parts[1:]]
        self.head.append(f"{name} = {self._as_operand(name)}")
        return name

    def _columns_together(self, count: int, size: int) -> None:
        """Write which product, and which column of it, each column of several products together is."""
        together, block = padded(count, 1), self._width(size)
        self.head.append(f"place = tl.arange(0, {together * block})[None, :]")
        if size == 1:  # all programs have it
            self.head += ["which = place * 0", "column = place"]
            return
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
            tile, width = self._full(self._register(read.base), read.shape), self._width(depth)
            if width != depth:  # a product has no fewer rows of weights
                real = f"(tl.arange(0, {width})[None, :] < {depth})" if depth == 1 else self._mask_of(depth)
                tile = f"tl.where({real}, {tile}, 0.0)"
            yield self._as_operand(tile), self._weights(matrices, 0, width, size)
            return
        self._load_parts(read, depth)
        for start, width in chunks(depth):
            yield self.loaded[_part_key(read, start)], self._weights(matrices, start, width, size)

    def _load_parts(self, read: Read, depth: int) -> None:
        """Load a row in parts, all columns of it."""
        parts = chunks(depth)
        if _part_key(read, 0) in self.loaded:
            return
        tiles = [self._operand(read, start, width, depth) for start, width in parts]
        for (start, _), tile in zip(parts, tiles, strict=True):
            name = self.loaded[_part_key(read, start)] = self._name("a")
            self.body.append(f"{name} = {tile}")

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
                place, mask = f"{head * size} + {columns}", f"rm & ({columns} < {size})"
                self.body += self._store(slot, "now", total, place, mask, "tag", part=True)
            inner, self.body = self.body, lines
            if self.phases.columns == 1:
                self.body += inner
            else:
                self.body += [f"if pid == {head % self.phases.columns}:", *indented(inner)]

    def _operand_of_head(self, read: Read, start: int, width: int, depth: int, head: int) -> str:
        return self._operand(read, start, width, depth, head * depth)


def _part_key(read: Read, start: int) -> tuple[object, ...]:
    return "shared", "operand", read.base, read.offset, read.strides, read.shape, start


def _rows(node: Node) -> list[Node]:
    pairs = len(node.inputs) - node.attr[0]
    return list(node.inputs[:pairs:2])


def indented(lines: Iterator[str] | list[str], levels: int = 1) -> list[str]:
    """Return lines so many levels further to the right."""
    return ["    " * levels + line for line in lines]
