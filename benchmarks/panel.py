"""Default options on every set of the shared data that fits a task, a strong baseline beside each: who wins.

    python benchmarks/panel.py                                    all of it, 5 minutes of one core a set at most
    python benchmarks/panel.py --seconds 60 --kinds texts,events  less time, some kinds
    python benchmarks/panel.py --sets GunPoint,Trace --seeds 3    some sets
    python benchmarks/panel.py --table                            the table of what is kept, nothing is run

Each set runs in a process of its own, on one thread, and is judged from its predictions. What came of it is kept, so
that a run that was stopped resumes, and sets can be run a few at a time; `--again` runs them once more.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import statistics
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import torch

from cell_tasks import stamp
from common import RESULTS, keep, table
from panel_runs import HIGHER, LOWER, MEASURES, run
from panel_sets import DEVELOPMENT, SETS

KEPT = RESULTS / "panel.json"
_LEVEL = {"accuracy %": 0.5, "BLEU": 0.3, "nats a token": 0.005, "MASE": 0.01}
"""How near is level: points, nats; of errors the share."""


def main() -> None:
    """Run what is asked for, and show the table."""
    asked = _asked()
    if asked.one:
        torch.set_num_threads(1)
        print(json.dumps(asdict(run(asked.one, asked.seconds or None, asked.seed, not asked.alone))))
        return
    names = [
        name for name, entry in SETS.items()
        if (not asked.sets or name in asked.sets) and (not asked.kinds or entry.kind in asked.kinds)
    ]  # fmt: skip
    for name in [] if asked.table else names:
        for seed in range(asked.seeds):
            _measure(name, seed, asked)
    keep("panel.md", page(json.loads(KEPT.read_text()) if KEPT.exists() else {}))


def _asked() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=300, help="of each fit at most; 0: no limit is given")
    parser.add_argument("--sets", type=_listed, default=[], help="their names, joined by semicolons or commas")
    parser.add_argument("--kinds", type=_listed, default=[])
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--again", action="store_true", help="run also what is kept")
    parser.add_argument("--alone", action="store_true", help="without the peers, whose figures are kept as they are")
    parser.add_argument("--table", action="store_true", help="only show what is kept")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    parser.add_argument("--seed", type=int, default=0, help=argparse.SUPPRESS)
    return parser.parse_args()


def _listed(text: str) -> list[str]:
    return [own.strip() for own in (text.split(";") if ";" in text or text in SETS else text.split(","))]


def _measure(name: str, seed: int, asked: argparse.Namespace) -> None:
    """Run one set in a process of its own, and keep what came of it."""
    kept = json.loads(KEPT.read_text()) if KEPT.exists() else {}
    before = kept.get(name, {}).get(str(seed), {})
    if before and not asked.again:
        return
    alone = asked.alone and bool(before.get("peers"))
    command = [sys.executable, __file__, "--one", name, "--seed", f"{seed}", "--seconds", f"{asked.seconds}"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "POLARS_MAX_THREADS": "1", "NUMBA_NUM_THREADS": "1"}
    done = subprocess.run(
        [*command, *(["--alone"] if alone else [])], capture_output=True, text=True, env=environment, check=False
    )
    if done.returncode:
        print(f"{name}, seed {seed}: failed\n{done.stderr[-2000:]}", file=sys.stderr)
        return
    found = json.loads(done.stdout.splitlines()[-1])
    if alone:
        found["peers"] = before["peers"]
    found["budget"] = asked.seconds
    kept.setdefault(name, {})[str(seed)] = found
    aside = KEPT.with_suffix(".new")
    KEPT.parent.mkdir(exist_ok=True)
    aside.write_text(json.dumps(kept, indent=1) + "\n")
    aside.replace(KEPT)
    print(f"{name}: {found['ours']:.4g} beside {found['peers']}, {found['seconds']:.0f} s", file=sys.stderr, flush=True)


def page(kept: dict[str, dict[str, dict[str, object]]]) -> str:
    """Return the tables of all kinds."""
    sections = [f"# The panel: default options beside strong baselines\n\n{stamp()}; one thread a fit"]
    for kind in dict.fromkeys(entry.kind for entry in SETS.values()):
        rows = [_row(name, kind, kept[name]) for name, entry in SETS.items() if entry.kind == kind and name in kept]
        if rows:
            measure = MEASURES[kind]
            head = ["set", "ours", "best beside it", "its", "", "more", "budget, s", "fit, s", "judged on"]
            sections.append(f"## {kind}: {measure}\n\n{table(head, rows)}\n\n{_sum(kind, kept)}")
    sections.append("Sets with a star were looked at while defaults were chosen, the others once all was measured.")
    left = [name for name in SETS if name not in kept]
    if left:
        listed = "; ".join(left)
        sections.append(f"Not run, {len(left)} of {len(SETS)}: {listed}. `panel_forecast` judges series by itself.")
    return "\n\n".join(sections)


def _means(own: dict[str, dict[str, object]]) -> tuple[float, dict[str, float]]:
    """Return our mean over seeds, and that of each peer."""
    seeds = list(own.values())
    ours = statistics.mean(float(one["ours"]) for one in seeds)  # type: ignore[arg-type]
    names = list(seeds[0]["peers"])  # type: ignore[call-overload]
    return ours, {name: statistics.mean(one["peers"][name] for one in seeds) for name in names}  # type: ignore[index]


def _best(kind: str, others: dict[str, float]) -> str | None:
    sign = 1 if kind in HIGHER else -1
    return max(others, key=lambda name: sign * others[name]) if others else None


def _outcome(kind: str, ours: float, other: float) -> str:
    margin = _LEVEL[MEASURES[kind]] * (other if kind == "forecasting" else 1)
    ahead = (ours - other) * (1 if kind in HIGHER else -1)
    return "win" if ahead > margin else "loss" if ahead < -margin else "level"


def _row(name: str, kind: str, own: dict[str, dict[str, object]]) -> list[object]:
    ours, others = _means(own)
    best, first = _best(kind, others), next(iter(own.values()))
    more = ", ".join(f"{key} {value:.3g}" for key, value in first["more"].items())  # type: ignore[attr-defined]
    seconds = max(float(one["seconds"]) for one in own.values())  # type: ignore[arg-type]
    outcome = _outcome(kind, ours, others[best]) if best else ""
    spot = ["", ""] if best is None else [best, f"{others[best]:.4g}"]
    star = "*" if name in DEVELOPMENT else ""
    return [name + star, f"{ours:.4g}", *spot, outcome, more, f"{first['budget']:g}", f"{seconds:.0f}", first["of"]]


def _sum(kind: str, kept: dict[str, dict[str, dict[str, object]]]) -> str:
    """Say wins and losses, mean ranks, and the mean of the measure of each."""
    own = [_means(kept[name]) for name, entry in SETS.items() if entry.kind == kind and name in kept]
    own = [(ours, others) for ours, others in own if others]
    if not own:
        return ""
    outcomes = [_outcome(kind, ours, others[_best(kind, others) or ""]) for ours, others in own]
    counted = ", ".join(f"{outcomes.count(one)} {one}" for one in ("win", "level", "loss"))
    shared = set.intersection(*(set(others) for _, others in own))
    columns = {
        "ours": [ours for ours, _ in own],
        **{name: [others[name] for _, others in own] for name in sorted(shared)},
    }
    geometric = kind in LOWER
    means = {name: _mean(values, geometric) for name, values in columns.items()}
    ranks = {name: statistics.mean(_rank(kind, columns, name, place) for place in range(len(own))) for name in columns}
    listed = "; ".join(f"{name} {means[name]:.4g} (mean rank {ranks[name]:.2f})" for name in columns)
    return f"{counted} against the best. {'Geometric mean' if geometric else 'Mean'} over {len(own)} sets: {listed}."


def _mean(values: list[float], geometric: bool) -> float:
    return math.exp(statistics.mean(map(math.log, values))) if geometric else statistics.mean(values)


def _rank(kind: str, columns: dict[str, list[float]], name: str, place: int) -> float:
    sign = -1 if kind in HIGHER else 1
    mine, all_of = sign * columns[name][place], [sign * own[place] for own in columns.values()]
    return 1 + sum(other < mine for other in all_of) + 0.5 * (sum(other == mine for other in all_of) - 1)


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parent))
    main()
