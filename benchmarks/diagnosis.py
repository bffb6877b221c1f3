"""Planted faults: found, missed, and false alarms, over seeds; healthy trained models beside them.

    python3 dev.py bench diagnosis [SEEDS [FIRST]]

A fault counts as found if a verdict of its kind is there; other verdicts beside it are listed, as one fault brings
others about (a stuck state has saturated gates). On a healthy model every verdict is a false alarm.
"""

from __future__ import annotations

import sys
import time
from collections import Counter

from common import ROOT, keep, machine, table

sys.path.insert(0, str(ROOT / "tests" / "diagnosis"))
from healthy_models import HEALTHY

from planted_faults import FAULTS


def main(seeds: int = 5, first: int = 0, only: str = "") -> None:
    """Count over seeds and keep the tables."""
    rows, began = [], time.monotonic()
    for name, (kind, make) in FAULTS.items():
        if only not in name:
            continue
        found, beside = 0, Counter[str]()
        for seed in range(first, first + seeds):
            kinds = make(seed).diagnose(seed=seed).kinds
            found += kind in kinds
            beside.update(each for each in kinds if each != kind)
        rows.append(
            (name, found, seeds - found, ", ".join(f"{each} {count}" for each, count in beside.most_common()) or "-")
        )
        print(*rows[-1], flush=True)
    healthy = []
    for name, make_healthy in HEALTHY.items():
        if only not in name:
            continue
        alarms = Counter[str]()
        for seed in range(first, first + seeds):
            alarms.update(make_healthy(seed).diagnose(seed=seed).kinds)
        healthy.append((name, seeds, sum(alarms.values()), ", ".join(alarms) or "-"))
        print(*healthy[-1], flush=True)
    text = (
        f"{machine()}; {seeds} seeds from {first}, {time.monotonic() - began:.0f} s\n\n"
        f"{table(('planted fault', 'found', 'missed', 'verdicts beside it'), rows)}\n\n"
        f"{table(('healthy, trained', 'models', 'false alarms', 'which'), healthy)}"
    )
    keep("diagnosis.md", text) if not only else print(text)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:3]), *sys.argv[3:4])
