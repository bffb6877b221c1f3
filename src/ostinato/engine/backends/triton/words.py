"""How a kernel's text has the numbers of a slot: as they are, behind a barrier, or as words with marks.

One program alone writes a slot and reads it after a barrier of its threads; programs that share a tile of 16 rows or
more read it after a barrier of theirs. Programs that share one row pass each number on in one word with the step that
it belongs to, and whoever needs it asks until the word has the step's mark: nobody waits for a barrier of all programs,
and the order of writes does not matter, since a word is written as a whole. What a number leaves free of its word holds
the mark: 16 bits beside a half, the 13 bits of a float32 that a product in TF32 does not look at, else a second half of
64 bits (the protocol "LL" of NCCL).
"""

from __future__ import annotations

import math

from ostinato.engine.backends.triton.phases import Slot
from ostinato.engine.backends.triton.values import Values

_MARKS = {"half": 0xFFFF, "tf32": 0x1FFF}
"""Which bits of a word are its mark; of all others the lower half of 64."""
_MOST_BITS = 2048
"""Of the words that a thread asks for at a time."""


class Words(Values):
    """Writes writes to slots, and reads of what other programs have written."""

    @property
    def _packed(self) -> bool:
        """Whether programs pass words with marks to one another."""
        return self.tiling.marked

    def _in_slot(self, slot: Slot, parity: str) -> str:
        """Return where the tile's rows of a slot begin."""
        return f"({2 * slot.start} + {parity} * {slot.size}) * P + r * {slot.size}"

    def _first(self, slot: Slot) -> str:
        return f"({2 * slot.start} + now * {slot.size}) * P"

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

    def _receive(self, slot: Slot, places: str, shape: list[int], *, dense: bool = False, start: str = "") -> str:
        """Wait for a tile of this step and return its name.

        Args:
            slot: where it lies, unless `start` says where the places are counted from.
            places: of its elements in the tile's rows; if `dense`, with `{}` for the elements of a row in order.
            shape: of the tile.
            dense: whether elements of a row lie one after the other from a multiple of four on.
            start: the first place, if it is not that of the slot.
        """
        memory = slot.memory
        kind = self.form.packing(memory)
        each = 2 if kind == "f64" else 1
        group = self._per_load(kind, shape) if dense else 1
        lanes = f"tl.arange(0, {shape[-1] // group})[{'None, ' * (len(shape) - 1)}:]"
        if dense:
            places = places.replace("{}", lanes if group == 1 else f"({group} * {lanes})")
        grid = [*shape[:-1], shape[-1] // group]
        if not self._packed:
            name = self._name("v")
            where = f"{memory} + {places} + {start or self._first(slot)}"
            self.body.append(f'{name} = tl.load({where}, cache_modifier=".cg").to({self._type})')
            return name
        place, words = self._name("q"), [self._name("u") for _ in range(group * each)]
        self.body.append(f"{place} = {self._anchored(places, memory, grid)} + {start or self._first(slot)}")
        if each == 2:
            self.body.append(f"{place} = 2 * {place}")
        if self.form.only is not None:  # the programs before have run
            self.body += [f"{word} = tl.load({memory} + {place} + {index})" for index, word in enumerate(words)]
        else:
            self.body.append(self._wait(words, memory, place, kind, math.prod(grid)))
        joined = words[0]
        if group == 2:
            joined = f"tl.reshape(tl.join({', '.join(words)}), {shape})"
        elif group == 4:
            pairs = f"tl.join({words[0]}, {words[2]}), tl.join({words[1]}, {words[3]})"
            joined = f"tl.reshape(tl.join({pairs}), {shape})"
        name, half = self._name("v"), f", tl.{self.form.operand}" if kind == "half" else ""
        self.body.append(f"{name} = unpack_{kind}({', '.join(words) if kind == 'f64' else joined}, tag{half})")
        return name

    def _receive_numbers(self, slots: list[Slot]) -> list[list[str]]:
        """Wait for all numbers of slots of one row and return their names: each thread has all of them."""
        memory, kind = slots[0].memory, self.form.packing(slots[0].memory)
        each = 2 if kind == "f64" else 1
        found, words = [], []
        for slot in slots:
            names = [self._name("u") for _ in range(slot.size * each)]
            place = self._name("q")
            self.body.append(f"{place} = {each} * ({self._first(slot)} + (tl.program_id(0) + first) * {slot.size})")
            words.append((place, names))
            numbers = [", ".join(names[i : i + each]) for i in range(0, len(names), each)]
            found.append([f"unpack_{kind}({number}, tag)" for number in numbers])
        if self.form.only is None:
            self.body.append(self._wait_for_numbers(memory, words))
        else:
            for place, names in words:
                self.body += [f"{word} = tl.load({memory} + {place} + {index})" for index, word in enumerate(names)]
        return found

    def _wait_for_numbers(self, memory: str, words: list[tuple[str, list[str]]]) -> str:
        names = [name for _, mine in words for name in mine]
        count = len(names)
        lines = [f".reg .pred p; .reg .b32 m, t; .reg .b64 a<{len(words)}>;"]
        lines += [f"mad.wide.s32 a{i}, ${count + i}, 8, ${count + len(words)};" for i in range(len(words))]
        lines.append("AGAIN:")
        place = 0
        for i, (_, mine) in enumerate(words):
            for first in range(0, len(mine), 2):
                two = mine[first : first + 2]
                into = ", ".join(f"${place + j}" for j in range(len(two)))
                vector = ".v2" if len(two) == 2 else ""
                lines.append(
                    f"ld.relaxed.gpu.global{vector}.b64 {f'{{{into}}}' if vector else into}, [a{i} + {8 * first}];"
                )
                place += len(two)
        lines += _again_until_marked(count, count + len(words) + 1, None)
        constraints = ",".join(["=&l"] * count + ["r"] * len(words) + ["l", "r"])
        kinds = f"({', '.join(['tl.int64'] * count)})" if count > 1 else "tl.int64"
        given = ", ".join([*(place for place, _ in words), f"{memory}.to(tl.int64)", "tag"])
        return (
            f'{", ".join(names)} = tl.inline_asm_elementwise("{{ {" ".join(lines)} }}", "{constraints}", '
            f"[{given}], dtype={kinds}, is_pure=False, pack=1)"
        )

    def _wait(self, words: list[str], memory: str, place: str, kind: str, groups: int) -> str:
        """Return a loop of each thread by itself, over several groups at once: Triton's own are for all threads."""
        mark = _MARKS.get(kind)
        bits, letter = (64, "l") if mark is None else (32, "r")
        count = min(_MOST_BITS // bits // len(words), max(1, groups // (32 * self.tiling.warps)))
        total = count * len(words)
        vector = f".v{len(words)}" if len(words) > 1 else ""
        lines = [f".reg .pred p; .reg .b32 m, t; .reg .b64 a<{count}>;"]
        lines += [f"mad.wide.s32 a{i}, ${total + i}, {bits // 8}, ${total + count};" for i in range(count)]
        lines.append("AGAIN:")
        for i in range(count):
            into = ", ".join(f"${i + word * count}" for word in range(len(words)))
            lines.append(f"ld.relaxed.gpu.global{vector}.b{bits} {f'{{{into}}}' if vector else into}, [a{i}];")
        lines += _again_until_marked(total, total + 2 * count, mark)
        constraints = ",".join([f"=&{letter}"] * total + ["r"] * count + ["l"] * count + ["r"] * count)
        kinds = f"tl.int{bits}" if len(words) == 1 else f"({', '.join([f'tl.int{bits}'] * len(words))})"
        return (
            f'{", ".join(words)} = tl.inline_asm_elementwise("{{ {" ".join(lines)} }}", "{constraints}", '
            f"[{place}, {memory}.to(tl.int64), tag], dtype={kinds}, is_pure=False, pack={count})"
        )

    def _per_load(self, kind: str, shape: list[int]) -> int:
        """Return how many numbers one load takes: 16 bytes, if there is then something to do for every thread."""
        most = {"f64": 1, "f32": 2}.get(kind, 4)
        return most if math.prod(shape) // most >= 32 * self.tiling.warps else 1

    def _anchored(self, places: str, memory: str, shape: list[int]) -> str:
        """Return places as a load gives them, before the loop, that reads nothing.

        Triton takes a loop of our own for free: it would ask for words again in each warp that needs them. What is made
        of loaded values it does not make again.
        """
        if self.form.only is not None:
            return f"({places})"
        key = ("places", places, tuple(shape))
        if key not in self.loaded:
            name = self.loaded[key] = self._name("p")
            index = f"tl.arange(0, {shape[-1]})[{'None, ' * (len(shape) - 1)}:]"
            # not one after the other: neighbours go to other threads, so that these load what lies together
            where = f"{memory}.to(tl.pointer_type(tl.int32)) + tl.broadcast_to(64 * {index}, {shape})"
            self.head.append(f"{name} = tl.load({where}, mask=T < 0, other={places})")
        return self.loaded[key]


def _again_until_marked(count: int, tag: int, mark: int | None) -> list[str]:
    """Return the end of a loop that goes on while one of the first operands has not the mark of the operand `tag`."""
    lines = ["mov.b32 m, 0;"]
    for i in range(count):
        word = f"cvt.u32.u64 t, ${i}; xor.b32 t, t," if mark is None else f"xor.b32 t, ${i},"
        lines.append(f"{word} ${tag}; or.b32 m, m, t;")
    lines.append(f"{'' if mark is None else f'and.b32 m, m, {mark}; '}setp.ne.u32 p, m, 0; @p bra AGAIN;")
    return lines
