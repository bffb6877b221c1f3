"""The ratios of the engine's benchmark as bars, on a logarithmic scale."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from engine_records import Ratio
from engine_tables import grouped, rows_of


def plot(ratios: Sequence[Ratio], path: Path) -> None:
    """Draw a bar for each row and size, a panel for each number of threads; a black line is the row's target.

    Raises:
        ImportError: matplotlib is not installed.
    """
    from matplotlib.figure import Figure
    from matplotlib.patches import Patch

    measured = [own for own in ratios if own.ratio]
    if not measured:
        return
    panels = grouped(measured, lambda own: own.threads)
    tallest = max(len(own) + len(rows_of(own)) for own in panels.values())
    figure = Figure(figsize=(2 + 6 * len(panels), 2 + 0.11 * tallest), layout="constrained")
    colours = {size: f"C{place}" for place, size in enumerate(dict.fromkeys(own.size for own in measured))}
    for axis, (threads, own) in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels.items(), strict=True):
        _draw(axis, own, colours)
        axis.set_title(f"{threads} thread{'s' if threads > 1 else ''}")
    handles = [Patch(color=colour, label=size) for size, colour in colours.items()]
    figure.legend(handles=handles, loc="outside upper center", ncols=4, title="batch x steps x input x hidden")
    figure.savefig(path, dpi=100)


def _draw(axis: Any, ratios: Sequence[Ratio], colours: dict[str, str]) -> None:
    place, ticks, labels = 0, [], []
    for (what, peer, _), own in rows_of(ratios).items():
        places = [place + number for number in range(len(own))]
        # bars start at one: those to the right are faster than the peer, those to the left slower
        widths = [(record.ratio or 1) - 1 for record in own]
        axis.barh(places, widths, left=1, height=0.9, color=[colours[record.size] for record in own])
        if own[0].target is not None:
            axis.plot([own[0].target] * 2, [places[0] - 0.5, places[-1] + 0.5], color="black", linewidth=1.5)
        ticks.append((places[0] + places[-1]) / 2)
        labels.append(f"{what} / {peer}")
        place = places[-1] + 2
    axis.set_yticks(ticks, labels, fontsize=7)
    axis.invert_yaxis()
    axis.set_xscale("log")
    axis.axvline(1, color="grey", linewidth=0.8)
    axis.margins(y=0.01)
    axis.set_xlabel("times faster than the peer (log scale; black: target)")
    axis.xaxis.set_major_formatter("{x:g}")
