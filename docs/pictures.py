"""Draw the pictures of `docs/images` that are boxes and arrows: `python3 docs/pictures.py` writes them.

They have paper of their own, so that they can be read on light and on dark pages.
"""

from __future__ import annotations

import html
from dataclasses import dataclass
from pathlib import Path

IMAGES = Path(__file__).with_name("images")
INK, FAINT, PAPER, LINE = "#1c1f24", "#5a616b", "#ffffff", "#8a9099"
BLUE, WASH, WARM, WARM_WASH, GREEN, GREEN_WASH = "#0072b2", "#e8f2f9", "#b84a00", "#fbeee4", "#007a5a", "#e5f4ef"
LETTER = 6.9  # pixels across


@dataclass(frozen=True)
class Box:
    """A box with a heading and lines below it; `kind` is its colour."""

    x: float
    y: float
    width: float
    height: float
    heading: str
    lines: tuple[str, ...] = ()
    kind: str = "plain"

    @property
    def middle(self) -> float:
        """Across."""
        return self.x + self.width / 2

    def drawn(self) -> str:
        """Return it as SVG."""
        edge, wash = {
            "plain": (LINE, PAPER),
            "blue": (BLUE, WASH),
            "warm": (WARM, WARM_WASH),
            "green": (GREEN, GREEN_WASH),
        }[self.kind]
        parts = [
            f'<rect x="{self.x}" y="{self.y}" width="{self.width}" height="{self.height}" rx="7" fill="{wash}" '
            f'stroke="{edge}" stroke-width="1.3"/>'
        ]
        top = self.y + (self.height - 17 * len(self.lines)) / 2 + 5
        parts.append(text(self.middle, top, self.heading, weight=600))
        parts += [
            text(self.middle, top + 17 * (i + 1), line, size=12, colour=FAINT) for i, line in enumerate(self.lines)
        ]
        return "".join(parts)


def text(
    x: float, y: float, said: str, *, size: int = 14, weight: int = 400, colour: str = INK, anchor: str = "middle"
) -> str:
    """Return a line of text."""
    return (
        f'<text x="{x}" y="{y}" font-size="{size}" font-weight="{weight}" fill="{colour}" text-anchor="{anchor}">'
        f"{html.escape(said)}</text>"
    )


def arrow(x1: float, y1: float, x2: float, y2: float, *, colour: str = FAINT, bend: float = 0.0) -> str:
    """Return an arrow, bent to a side by so many pixels."""
    path = f"M{x1} {y1} L{x2} {y2}" if not bend else f"M{x1} {y1} Q{(x1 + x2) / 2} {(y1 + y2) / 2 + bend} {x2} {y2}"
    return f'<path d="{path}" fill="none" stroke="{colour}" stroke-width="1.5" marker-end="url(#tip)"/>'


def picture(width: int, height: int, label: str, *parts: str) -> str:
    """Return a whole picture."""
    tip = (
        '<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
        f'<path d="M0 0L8 4L0 8z" fill="{FAINT}"/></marker></defs>'
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" role="img" '
        f'aria-label="{html.escape(label)}" font-family="system-ui, -apple-system, Segoe UI, Roboto, sans-serif">{tip}'
        f'<rect width="{width}" height="{height}" rx="10" fill="{PAPER}"/>{"".join(parts)}</svg>\n'
    )


def house() -> str:
    """The rooms, above each other: who may import whom."""
    rows = (
        (("cli", "one file a verb"), ("report", "figures, one page"), ("studies", "compare, tune")),
        (
            ("tasks/NAME", "read, encode, network, loss, measures"),
            ("tasks/base", "parameters, fit, judge, save, stream"),
        ),
        (
            ("training", "epochs, optimisers, checkpoints"),
            ("artifact", "a model on disk"),
            ("streaming", "push, state as bytes"),
        ),
        (("data", "readers, scalers, vocabularies, windows"), ("nn", "stacks, attention, losses, drop-ins")),
        (("engine", "a step of a cell becomes one loop over time"),),
        (("cells", "one family a file, each cell its equations"),),
    )
    kinds = ("blue", "green", "plain", "plain", "warm", "warm")
    parts = []
    for i, row in enumerate(rows):
        width = (720 - 16 * (len(row) - 1)) / len(row)
        for j, (name, about) in enumerate(row):
            parts.append(Box(20 + j * (width + 16), 16 + 76 * i, width, 56, name, (about,), kinds[i]).drawn())
        if i:
            parts.append(arrow(380, 16 + 76 * i - 20, 380, 16 + 76 * i - 2))
    return picture(760, 16 + 76 * len(rows), "the rooms of the package; imports point down", *parts)


def engine() -> str:
    """From a step written in PyTorch to a kernel."""
    boxes = [
        Box(20, 60, 150, 84, "your cell", ("forward(x, state)", "ordinary PyTorch"), "blue"),
        Box(215, 60, 150, 84, "front", ("traced once", "a graph of the step"), "warm"),
        Box(410, 60, 150, 84, "plan", ("divided: before,", "in, after the loop"), "warm"),
        Box(605, 20, 165, 74, "backends/cpu", ("LLVM, for this", "processor"), "green"),
        Box(605, 112, 165, 74, "backends/triton", ("one kernel", "for a GPU"), "green"),
        Box(215, 214, 345, 58, "eager loop", ("what is not known runs step by step, with a warning",)),
    ]
    arrows = [
        arrow(170, 102, 211, 102), arrow(365, 102, 406, 102), arrow(560, 92, 601, 62), arrow(560, 112, 601, 146),
        arrow(290, 144, 290, 210), arrow(485, 144, 485, 210),
    ]  # fmt: skip
    return picture(
        790, 290, "a cell is captured, planned, lowered and launched", *(one.drawn() for one in boxes), *arrows
    )


def loop() -> str:
    """What stands in the loop over time, and what is done for all steps at once."""
    before, after = ("W x for every step:", "one large product"), ("gradients of weights,", "outputs not fed back")
    parts = [
        Box(20, 30, 220, 84, "before, all steps at once", before).drawn(),
        Box(530, 30, 220, 84, "after, all steps at once", after).drawn(),
        '<rect x="275" y="16" width="220" height="176" rx="10" '
        f'fill="{WARM_WASH}" stroke="{WARM}" stroke-width="1.3"/>',
        text(385, 42, "the loop, one kernel", weight=600),
        Box(292, 56, 186, 42, "U h", (), "plain").drawn(),
        Box(292, 112, 186, 62, "gates, new state", ("in registers",), "plain").drawn(),
        arrow(240, 72, 271, 72), arrow(495, 72, 526, 72), arrow(385, 98, 385, 108),
        f'<path d="M478 143 C560 143 560 216 385 216 C230 216 240 143 288 143" fill="none" stroke="{WARM}" '
        'stroke-width="1.5" marker-end="url(#tip)"/>',
        text(385, 234, "h, for the next step", size=12, colour=FAINT),
    ]  # fmt: skip
    return picture(770, 250, "what depends on the state stays in the loop; the rest is one product", *parts)


def streamed() -> str:
    """The same cell over a whole sequence and one step at a time."""
    parts = [text(20, 34, "a batch of sequences: scan(cell, xs)", weight=600, anchor="start")]
    for i in range(5):
        parts.append(Box(30 + 140 * i, 52, 84, 46, f"step {i + 1}", (), "blue").drawn())
        if i:
            parts.append(arrow(30 + 140 * i - 56, 75, 30 + 140 * i - 3, 75))
    parts.append(text(20, 146, "a stream: stream.push(row), the state kept between calls", weight=600, anchor="start"))
    parts.append(Box(30, 164, 84, 46, "row", (), "plain").drawn())
    parts.append(Box(200, 164, 150, 46, "the same step", (), "blue").drawn())
    parts.append(Box(440, 164, 110, 46, "answer", (), "plain").drawn())
    parts.append(Box(200, 238, 150, 44, "state, as bytes", (), "green").drawn())
    parts += [
        arrow(114, 187, 196, 187),
        arrow(350, 187, 436, 187),
        arrow(250, 210, 250, 234),
        arrow(300, 238, 300, 214),
    ]
    parts.append(text(590, 192, "the same numbers", colour=GREEN, weight=600, anchor="start"))
    return picture(760, 300, "a batch and a stream go through the same step", *parts)


PICTURES = {"house.svg": house, "engine.svg": engine, "loop.svg": loop, "streamed.svg": streamed}


def main() -> None:
    """Write all of them."""
    for name, draw in PICTURES.items():
        (IMAGES / name).write_text(draw(), encoding="utf-8")


if __name__ == "__main__":
    main()
