"""How well a model answers, beside simple baselines: of tasks whose measures are numbers by name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ostinato.errors import CorruptArtifact
from ostinato.tasks.base.summary import Better


@dataclass(frozen=True)
class Scores:
    """Measures of a model and of its baselines.

    Args:
        protocol: on what they are, in words.
        count: how many answers were judged; `of`: what one is, in the plural.
        values: `values[name][measure]`, the first name `"model"`; a baseline may lack measures.
        better: for each measure, whether higher or lower is better.

    >>> scores = Scores("test", 4, "tokens", {"model": {"accuracy": 0.75}, "guess": {"accuracy": 0.5}}, {"accuracy": "higher"})
    >>> scores.verdict("accuracy")
    'accuracy 0.75: better than the best baseline, guess, with 0.5.'
    """  # noqa: E501

    protocol: str
    count: int
    of: str
    values: Mapping[str, Mapping[str, float]]
    better: Mapping[str, Better]

    def plain(self) -> dict[str, Any]:
        """Return the scores as plain data."""
        values = {name: dict(own) for name, own in self.values.items()}
        return {**vars(self), "values": values, "better": dict(self.better)}

    def verdict(self, measure: str) -> str:
        """Return one sentence: whether the model is better than the best baseline, by one measure."""
        own = self.values["model"][measure]
        others = {name: row[measure] for name, row in self.values.items() if name != "model" and measure in row}
        if not others:
            return f"{measure} {own:.4g}."
        higher = self.better[measure] == "higher"
        best = (max if higher else min)(others, key=others.__getitem__)
        if own == others[best]:
            return f"{measure} {own:.4g}: no better than {best}."
        won = (own > others[best]) == higher
        word = "better than the best baseline," if won else "worse than a simple baseline,"
        return f"{measure} {own:.4g}: {word} {best}, with {others[best]:.4g}."

    def __str__(self) -> str:
        measures = list(self.values["model"])
        head = max(map(len, self.values))
        widths = [max(len(measure), 8) for measure in measures]
        lines = [f"{self.protocol}; {self.count:,} {self.of}", ""]
        lines.append("  ".join([" " * head, *(m.rjust(width) for m, width in zip(measures, widths, strict=True))]))
        for name, row in self.values.items():
            cells = [f"{row[m]:.4g}" if m in row else "n/a" for m in measures]
            lines.append("  ".join([name.ljust(head), *(c.rjust(w) for c, w in zip(cells, widths, strict=True))]))
        return "\n".join(lines)


def scores_from(plain: Mapping[str, Any] | None) -> Scores | None:
    """Return the scores that `Scores.plain` was called on.

    Raises:
        CorruptArtifact: they are not whole.
    """
    try:
        return None if plain is None else Scores(**plain)
    except TypeError as error:
        raise CorruptArtifact(f"the model's scores are not whole ({error}); fit it again") from error
