"""Small drawings in a notebook's output, as SVG in the page's own colours, without a library that draws."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

_COLOURS = ("#e69f00", "#2b8fce", "#009e73")
_MARGIN = 3.0
Floats = NDArray[np.float64]


def lines(values: Mapping[str, Sequence[float]], *, label: str) -> str:
    """Return lines over a common axis with their names; nothing where no line has two values.

    Args:
        values: each line's numbers, NaN where there is none.
        label: for those who cannot see it.
    """
    width, height = 300, 60  # pixels
    real = {name: np.asarray(line, float) for name, line in values.items()}
    real = {name: line for name, line in real.items() if np.isfinite(line).sum() > 1}
    if not real:
        return ""
    scale = _Scale.of(max(map(len, real.values())), list(real.values()), width, height)
    drawn = "".join(
        _line(scale.points(line), colour, 1.6) for line, colour in zip(real.values(), _COLOURS, strict=False)
    )
    names = "".join(
        f'<tspan fill="{colour}">{html.escape(name)} </tspan>' for name, colour in zip(real, _COLOURS, strict=False)
    )
    text = f'<text x="{_MARGIN}" y="{height + 12}" font-size="11">{names}<tspan fill="currentColor" opacity=".7">'
    return _svg(f"{drawn}{text}{html.escape(label)}</tspan></text>", label, width, height + 16)


def fan(history: Floats, point: Floats, bands: Sequence[tuple[Floats, Floats]], *, label: str) -> str:
    """Return a forecast with its intervals behind what came before it; NaN where a value is missing.

    Args:
        history: `(rows,)`, perhaps none.
        point: `(horizon,)`.
        bands: a lower and an upper edge each, `(horizon,)`, the widest first.
        label: for those who cannot see it.
    """
    width, height = 460, 110  # pixels
    before, ahead = len(history), len(point)
    edges = [edge for band in bands for edge in band]
    if not any(np.isfinite(one).any() for one in (history, point)):
        return ""
    scale = _Scale.of(before + ahead, [history, point, *edges], width, height)
    shades = "".join(_band(scale, low, high, before) for low, high in bands)
    past = _line(scale.points(history), "currentColor", 1.2)
    line = _line(scale.points(point, before), "#2b8fce", 1.8)
    return _svg(shades + past + line, label, width, height)


class _Scale:
    """Where a value at a step lies."""

    def __init__(self, steps: int, low: float, high: float, width: int, height: int) -> None:
        self.low, self.width, self.height = low, width, height
        self.across = (width - 2 * _MARGIN) / max(1, steps - 1)
        self.up = (height - 2 * _MARGIN) / ((high - low) or 1.0)

    @classmethod
    def of(cls, steps: int, values: Sequence[Floats], width: int, height: int) -> _Scale:
        every = np.concatenate([one[np.isfinite(one)] for one in values])
        return cls(steps, float(every.min()), float(every.max()), width, height)

    def points(self, values: Floats, first: int = 0) -> list[tuple[float, float]]:
        """Return where finite values lie; what is missing is passed over."""
        return [
            (_MARGIN + self.across * (first + i), self.height - _MARGIN - self.up * (float(value) - self.low))
            for i, value in enumerate(values) if np.isfinite(value)
        ]  # fmt: skip


def _band(scale: _Scale, low: Floats, high: Floats, first: int) -> str:
    around = [*scale.points(high, first), *reversed(scale.points(low, first))]
    return f'<polygon points="{_pairs(around)}" fill="#2b8fce" opacity=".22"/>' if around else ""


def _line(points: list[tuple[float, float]], colour: str, width: float) -> str:
    if not points:
        return ""
    return (
        f'<polyline points="{_pairs(points)}" fill="none" stroke="{colour}" stroke-width="{width}" '
        'stroke-linejoin="round" vector-effect="non-scaling-stroke"/>'
    )


def _pairs(points: Sequence[tuple[float, float]]) -> str:
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in points)


def _svg(content: str, label: str, width: int, height: int) -> str:
    name = html.escape(label)
    return f'<svg role="img" aria-label="{name}" width="{width}" viewBox="0 0 {width} {height}">{content}</svg>'
