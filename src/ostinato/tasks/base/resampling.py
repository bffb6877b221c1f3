"""How sure measures are: intervals by drawing units again."""

from __future__ import annotations

import numpy as np

from ostinato.tasks.base.units import Mean, Units

_DRAWS = 1000


def intervals(units: Units, *, draws: int = _DRAWS, seed: int = 0) -> dict[str, tuple[float, float]]:
    """Return 95 % intervals of measures, by drawing units with replacement.

    Args:
        units: the parts of each.
        draws: how many samples.
        seed: of the draws.
    """
    rng = np.random.default_rng(seed)
    count = units.count
    if count < 2:
        return {}
    weights = rng.multinomial(count, np.full(count, 1 / count), size=draws).astype(np.float64)
    found = {}
    for name, measure in units.measures.items():
        if isinstance(measure, Mean):
            total = weights @ measure.weights
            drawn = np.divide(
                weights @ (measure.values * measure.weights), total, out=np.full(draws, np.nan), where=total > 0
            )
        else:
            drawn = measure.of(weights @ measure.sums)
        known = drawn[np.isfinite(drawn)]
        if len(known):
            low, high = np.quantile(known, (0.025, 0.975))
            found[name] = (float(low), float(high))
    return found
