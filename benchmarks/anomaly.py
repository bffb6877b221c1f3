"""Anomalies: the files of the Numenta benchmark, log keys and raw logs of HDFS, and whether a rate of alarms holds.

    python benchmarks/anomaly.py nab [--part chosen|rest|all]   25 files, streamed, beside a windowed Gaussian
    python benchmarks/anomaly.py hdfs                           sessions of log keys, beside counting baselines
    python benchmarks/anomaly.py raw                            a raw log of HDFS: its templates beside those known
    python benchmarks/anomaly.py rate [--seeds 2]               made series, one alarm in 10,000 asked
    python benchmarks/anomaly.py planted [--part chosen|rest]   one anomaly of a known kind in each series

NAB (A. Lavin and S. Ahmad, 2015; github.com/numenta/NAB): of each file the first 15 % (750 rows at most) are the
probationary part, on which the detector is fitted without labels; it then scores the whole file row by row. One
threshold for all files is the one that scores best, as the benchmark has it for every detector; beside it stands the
score at each model's own threshold of one false alarm in 10,000 steps, which uses no label. Scored are the rows in
which the detector calls (`begins` of its answers): where an alarm begins, more than 10 rows (`merge`) after the last
one; published detectors are quiet after an alarm in like manner (KNN CAD, CAD OSE), for longer. Beside that stands what
counts where every row from the threshold on is one, and where a higher score calls again. Defaults were chosen on every
other file of the sorted list ("chosen") and the 33 files of the benchmark's other groups; the others ("rest") are
looked at once a session.

The scorer gives the published score of every detector of the benchmark's table, to 0.01, from its published files of
results; from these come the scores of the published detectors on the 25 files too, each at the threshold that is best
there.

Planted: see `planted_series.py`. Of each base and seed a detector is fitted on 3,000 normal rows and judged on series
that go on with one anomaly each, and on 10,000 rows without one. Ours alarms at its threshold of 1 in 10,000, which
knows nothing of these; the threshold of each peer is set on the 10,000 normal rows themselves, so that it has one alarm
there. Found is an anomaly with an alarm in its rows or in the 60 behind.

HDFS: trained on the first 4,000 normal sessions of `hdfs_train`, tested on the other 855 and all of
`hdfs_test_abnormal`. The large normal test file of DeepLog is not there, so that precision is also given for
as many normal sessions to an abnormal one as DeepLog had (553,366 to 16,838), at the measured rate of false alarms.
That rate is measured on the 855 of that split and of others, drawn at random.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from cell_tasks import stamp
from common import data_file, keep, table
from ostinato import AnomalyDetector
from ostinato.tasks.anomaly import nab
from planted_series import BASES, KINDS, possible, series

PUBLISHED = {  # standard profile: of the whole corpus of 58 files, as published, and of the 25 files
    "ARTime": (74.9, 74.6), "Numenta HTM": (70.1, 67.2), "CAD OSE": (69.9, 64.5), "Numenta TM": (64.6, 61.3),
    "earthgecko Skyline": (58.2, 49.7), "KNN CAD": (58.0, 45.9), "relative entropy": (54.6, 60.3),
    "random cut forest": (51.7, 57.7), "Twitter ADVec": (47.1, 42.1), "windowed Gaussian": (39.6, 30.8),
    "Etsy Skyline": (35.7, 38.1), "Bayes changepoint": (17.7, 10.2), "EXPoSE": (16.4, 27.5),
}  # fmt: skip
QUIET = 10  # rows that an alarm is one with the last in, the default of `merge`
NORMAL_TO_ABNORMAL = 553_366 / 16_838
Floats = NDArray[np.float64]


def windowed_gaussian(values: Floats, window: int = 6400, step: int = 100) -> Floats:
    """Return the scores of the benchmark's windowed Gaussian detector: tail probabilities under a moving normal."""
    from scipy.stats import norm

    scores, mean, deviation = np.zeros(len(values)), 0.0, 1.0
    kept: list[float] = []
    buffer: list[float] = []
    for row, value in enumerate(values.tolist()):
        if kept:
            scores[row] = 1 - norm.sf(abs(value - mean) / deviation)
        if len(kept) < window:
            kept.append(value)
            mean, deviation = float(np.mean(kept)), float(np.std(kept)) or 1e-6
        else:
            buffer.append(value)
            if len(buffer) == step:
                kept = kept[step:] + buffer
                buffer = []
                mean, deviation = float(np.mean(kept)), float(np.std(kept)) or 1e-6
    return scores


def nab_files(part: str) -> list[str]:
    """Return the names of files: those that defaults were chosen on, the others, or all."""
    names = sorted(json.loads(data_file("nab/labels/combined_windows.json").read_text()))
    return names if part == "all" else names[0::2] if part == "chosen" else names[1::2]


def judged_of(name: str, times: NDArray[Any], windows: dict[str, Any]) -> nab.Judged:
    """Return a file with its windows as rows."""
    found = []
    for pair in windows[name]:
        first, last = (np.datetime64(cell.replace(" ", "T"), "us") for cell in pair)
        rows = np.flatnonzero((times >= first) & (times <= last))
        if len(rows):
            found.append((int(rows[0]), int(rows[-1])))
    return nab.Judged.of(len(times), found)


def run_nab(part: str, seconds_a_fit: float | None = None) -> None:
    """Score the files, and say what the benchmark says of it."""
    windows = json.loads(data_file("nab/labels/combined_windows.json").read_text())
    names, judged, ours, theirs, own, rows = nab_files(part), [], [], [], [], []
    for name in names:
        file = data_file(f"nab/data/{name}")
        data = pl.read_csv(file, try_parse_dates=True)
        began = time.perf_counter()
        model = AnomalyDetector(target="value", test=0, progress=False, max_seconds=seconds_a_fit)
        model.fit(data[: nab.probation(len(data))])
        fitted = time.perf_counter()
        scores = model.score_samples(data)
        seconds = fitted - began, time.perf_counter() - fitted
        threshold = model.fitted_.model.encoder.threshold
        judged.append(judged_of(name, data["timestamp"].to_numpy().astype("datetime64[us]"), windows))
        ours.append(scores)
        theirs.append(windowed_gaussian(data["value"].to_numpy()))
        own.append(nab.raw_score(judged[-1], nab.calls(scores >= threshold, QUIET)))
        rows.append((name, len(data), *seconds))
        print(f"{name}: {len(data):,} rows, fit {seconds[0]:.0f} s, scored {seconds[1]:.1f} s", flush=True)
    count = sum(file.count for file in judged)
    once = [nab.onsets(each, QUIET) for each in ours]
    (best, _), (merged, _) = nab.best_score(judged, ours), nab.best_score(judged, once)
    called, at = nab.best_called(judged, ours, QUIET)
    gaussian = [
        nab.best_called(judged, theirs, QUIET)[0],
        *(nab.best_score(judged, each)[0] for each in (theirs, [nab.onsets(own, QUIET) for own in theirs])),
    ]
    found = [
        ["AnomalyDetector, one threshold for all files", f"{called:.1f}", f"{best:.1f}", f"{merged:.1f}"],
        ["the same, its threshold of 1 in 10,000, no label used", f"{nab.normalised(sum(own), count):.1f}", "", ""],
        ["windowed Gaussian, on the same files", *(f"{each:.1f}" for each in gaussian)],
    ]
    if part == "all":
        for name, places in (("chosen", range(0, len(names), 2)), ("rest", range(1, len(names), 2))):
            files = [judged[i] for i in places]
            own_best = [
                nab.best_called(files, [ours[i] for i in places], QUIET)[0],
                *(nab.best_score(files, [one[i] for i in places])[0] for one in (ours, once)),
            ]
            found.append(
                [f'AnomalyDetector, the files "{name}", one threshold for these', *(f"{each:.1f}" for each in own_best)]
            )
    by_group = []
    for group in dict.fromkeys(name.split("/")[0] for name in names):
        inside = [i for i, name in enumerate(names) if name.startswith(group)]
        files = [judged[i] for i in inside]
        raw = [sum(nab.raw_score(judged[i], nab.calls(_at(judged[i], ours[i], at), QUIET)) for i in inside)]
        windows_there = sum(file.count for file in files)
        by_group.append([group, len(files), windows_there, f"{nab.normalised(raw[0], windows_there):.1f}"])
    sections = [
        f"# NAB, {part} files\n\n{stamp()}; {len(names)} files, {count} windows, standard profile\n\n"
        + table(["detector", "as it calls", "every row counts", "higher scores within 10 rows call again"], found),
        "## By group, as it calls at the one threshold\n\n" + table(["group", "files", "windows", "score"], by_group),
        "## Published\n\n"
        + table(["detector", "58 files", "the 25 files"], [[name, *both] for name, both in PUBLISHED.items()]),
        "## Files\n\n"
        + table(
            ["file", "rows", "windows", "found", "false calls", "fit, s", "scored, s"],
            [
                [a, b, *_found(*own_file, at), f"{c:.1f}", f"{d:.1f}"]
                for (a, b, c, d), own_file in zip(rows, zip(judged, ours, strict=True), strict=True)
            ],
        ),
    ]
    keep(f"anomaly-nab-{part}.md", "\n\n".join(sections))


def _at(file: nab.Judged, scores: Floats, threshold: float) -> NDArray[np.bool_]:
    """Return the rows from a threshold on, without those of the probationary part."""
    marks = np.zeros(len(scores), np.bool_)
    marks[file.rows] = scores[file.rows] >= threshold
    return marks


def _found(file: nab.Judged, scores: Floats, threshold: float) -> list[int]:
    """Return how many windows there are, how many of them are found, and how many calls are false."""
    places = file.window[nab.calls(_at(file, scores, threshold), QUIET)]
    return [file.count, len(set(places[places >= 0].tolist())), int((places < 0).sum())]


def sessions(file: str) -> list[list[str]]:
    """Return the sessions of a file of keys."""
    return [line.split() for line in data_file(f"hdfs_log_keys/{file}").read_text().splitlines() if line.strip()]


def run_hdfs(seconds: float | None, splits: int = 3, rates: tuple[float, ...] = (0.01, 0.003, 0.001)) -> None:
    """Fit on normal sessions, and judge normal and abnormal ones."""
    normal, abnormal = sessions("hdfs_train"), sessions("hdfs_test_abnormal")
    rows, counts = [], np.zeros(len(rates), np.int64)
    for split in range(splits):
        order = np.arange(len(normal)) if not split else np.random.default_rng(split).permutation(len(normal))
        train, held = ([normal[place] for place in own] for own in (order[:4000], order[4000:]))
        model = AnomalyDetector(method="events", test=0, false_alarm_rate=0.01, progress=False, max_seconds=seconds)
        began = time.perf_counter()
        model.fit(train)
        spent = time.perf_counter() - began
        for place, rate in enumerate(rates):
            threshold = max(model.fitted_.model.encoder.tail.threshold(rate), math.log(2))
            if split:
                counts[place] += int((model.score_samples(held) >= threshold).sum())
                continue
            for name, marks in _marks(model, held, abnormal, threshold).items():
                counts[place] += int(marks[0].sum()) if name == "AnomalyDetector" else 0
                if name == "AnomalyDetector" or not place:
                    rows.append([f"{rate:g}", name, *_figures(*marks), f"{spent:.0f}"])
        print(f"split {split}: {spent:.0f} s, false alarms so far {counts.tolist()}", flush=True)
    head = ["asked rate", "detector", "measured rate", "recall", "F1", "F1 at DeepLog's proportions", "fit, s"]
    total = splits * (len(normal) - 4000)
    held_rates = [[f"{rate:g}", f"{own / total:.4f}", int(own)] for rate, own in zip(rates, counts, strict=True)]
    keep(
        "anomaly-hdfs.md",
        f"# HDFS log keys\n\n{stamp()}\n\nThe threshold is of normal validation sessions alone. To call every session "
        f"abnormal has F1 {2 * len(abnormal) / (2 * len(abnormal) + len(normal) - 4000):.3f} here.\n\n"
        + table(head, rows)
        + "\n\nPublished: DeepLog .96 in its paper (full normal test set), .707 reproduced.\n\n"
        f"False alarms on normal sessions never seen, {splits} splits of 855:\n\n"
        + table(["asked rate", "measured rate", "false alarms"], held_rates),
    )


def run_raw() -> None:
    """Fit on a raw log, and hold its templates against those that people found."""
    file = data_file("hdfs_log_2k/HDFS_2k.log")
    known = pl.read_csv(data_file("hdfs_log_2k/HDFS_2k.log_structured.csv"))["EventId"].to_list()
    began = time.perf_counter()
    model = AnomalyDetector(test=0.2, false_alarm_rate=0.01, progress=False, max_seconds=30).fit(file)
    seconds = time.perf_counter() - began
    reading = model.fitted_.model.encoder.reading
    found = [reading.template_of(line.strip()) for line in file.read_text().splitlines() if line.strip()]
    of_known, of_found = pl.Series(known).to_frame("k"), pl.Series(found).to_frame("f")
    pairs = of_known.with_columns(of_found["f"]).group_by("k", "f").len()
    # grouping accuracy (J. Zhu et al., 2019): lines whose template has the very lines that the known one has
    whole = pairs.filter((pl.len().over("k") == 1) & (pl.len().over("f") == 1))["len"].sum() / len(found)
    keep(
        "anomaly-raw.md",
        f"# A raw log: HDFS, 2,000 lines\n\n{stamp()}\n\n"
        + table(
            ["", ""],
            [
                ["templates found, known", f"{len(set(found))}, {len(set(known))}"],
                ["lines grouped as the known templates are", f"{whole:.3f}"],
                ["read, fitted and judged in, s", f"{seconds:.0f}"],
                *([name, f"{value:.4g}"] for name, value in model.scores_.model.items()),
            ],
        )
        + "\n\nAlmost every line of this sample is of another block, so that its lines are taken in runs of 50.",
    )


def _marks(model: AnomalyDetector, normal: list[Any], abnormal: list[Any], threshold: float) -> dict[str, Any]:
    own, task = model.fitted_.model, model.task
    parts = [task.encode(own, task.read(own.parameters, rows)) for rows in (normal, abnormal)]
    found = {"AnomalyDetector": [task.predict(own, part).scores >= threshold for part in parts]}
    for name, baseline in model.fitted_.baselines.items():
        found[name] = [baseline.predict(part).alarms for part in parts]
    return found


def _figures(good: NDArray[np.bool_], bad: NDArray[np.bool_]) -> list[str]:
    rate, recall = float(good.mean()), float(bad.mean())
    f1 = 2 * bad.sum() / (2 * bad.sum() + (~bad).sum() + good.sum())
    false_alarms = rate * NORMAL_TO_ABNORMAL
    real = 2 * recall / (2 * recall + (1 - recall) + false_alarms)
    return [f"{rate:.4f}", f"{recall:.4f}", f"{f1:.4f}", f"{real:.4f}"]


def _remembering(noise: Floats, share: float) -> Floats:
    found = np.zeros(len(noise))
    for step in range(1, len(noise)):
        found[step] = share * found[step - 1] + noise[step]
    return found


def made_normal(kind: str, seed: int, rows: int) -> Floats:
    """Return a series in which nothing is strange, of one of `NORMAL`."""
    rng, steps = np.random.default_rng(seed), np.arange(rows)
    normal, day = rng.normal(size=rows), np.sin(2 * np.pi * steps / 48)
    made: dict[str, Callable[[], Floats]] = {
        "noise": lambda: normal,
        "season, heavy tails": lambda: rng.standard_t(3, rows) + 4 * day,
        "memory": lambda: _remembering(normal, 0.9),
        "two seasons, memory": lambda: (
            _remembering(normal, 0.5) + 3 * np.sin(np.pi * steps / 12) + np.sin(np.pi * steps / 84)
        ),
        "counts": lambda: rng.poisson(np.exp(0.7 + 0.8 * day)).astype(float),
        "few values": lambda: np.round(_remembering(normal, 0.8)),
        "lognormal": lambda: np.exp(0.5 * _remembering(normal, 0.7)),
        "trend and season": lambda: 0.002 * steps + _remembering(normal, 0.5) + 2 * day,
        "random walk": lambda: np.cumsum(normal),
        "changing variance": lambda: normal * np.exp(_remembering(0.15 * rng.normal(size=rows), 0.98)),
        "square wave": lambda: np.where(steps // 24 % 2, 5.0, 1.0),
        "pulses": lambda: np.where(rng.random(rows) < 0.03, rng.exponential(5, rows), 0.1 * np.abs(normal)),
        "on and off": lambda: np.where(_remembering(normal, 0.99) > 3, 6.0, 1.0) + 0.2 * normal,
    }
    return made[kind]()


NORMAL = (
    "noise", "season, heavy tails", "memory", "two seasons, memory", "counts", "few values", "lognormal",
    "trend and season", "random walk", "changing variance", "square wave", "pulses", "on and off",
)  # fmt: skip


def run_rate(seeds: int, seconds: float = 8.0, trained: int = 5000, tested: int = 30_000) -> None:
    """Count the alarms on normal data that was never seen, of a threshold of one in 10,000 steps, by kinds of data."""
    rows, every = [], []
    for kind in NORMAL:
        counts = []
        for seed in range(seeds):
            series = made_normal(kind, 100 + seed, trained + tested)
            model = AnomalyDetector(test=0, progress=False, seed=seed, max_seconds=seconds).fit(series[:trained])
            counts.append(sum(event["from"] > trained for event in model.events(series)))
        rate = 1e4 * sum(counts) / (tested * seeds)
        every.append(rate)
        rows.append([kind, ", ".join(map(str, counts)), f"{rate:.2f}"])
        print(f"{kind}: {counts} alarms; {rate:.2f} in 10,000", flush=True)
    keep(
        "anomaly-rate.md",
        f"# One false alarm in 10,000 steps\n\n{stamp()}; fitted on {trained:,} steps, counted on {tested:,} others, "
        f"{seeds} series of each kind\n\nMeasured over all kinds: {np.mean(every):.2f} in 10,000, median "
        f"{np.median(every):.2f}.\n\n" + table(["kind", "alarms", "in 10,000"], rows),
    )


_TRAINED, _BEHIND, _NORMAL_ROWS, _AFTER = 3000, 900, 10_000, 60
PEERS = ("moving z-score", "seasonal residual", "matrix profile", "isolation forest")


def run_planted(part: str, seeds: tuple[int, ...], draws: int = 2, seconds: float = 5.0) -> None:
    """Count the planted anomalies that are found, by kinds, beside peers with as many alarms on normal rows."""
    found: dict[str, dict[str, list[int]]] = {}
    alarms: dict[str, list[int]] = {}
    for name, base in BASES[part].items():
        for seed in seeds:
            known = _plain(series(base, seed, None, 0, _TRAINED, 0).values)
            model = AnomalyDetector(test=0, progress=False, seed=seed, max_seconds=seconds).fit(known)
            scorers = {"AnomalyDetector": _scores_of(model), **{peer: _scores_of(model, peer) for peer in PEERS}}
            normal = series(base, seed, None, 0, _TRAINED, _NORMAL_ROWS).values
            thresholds = {}
            for peer, scored in scorers.items():
                scores = scored(normal)[_TRAINED:]
                own = model.fitted_.model.encoder.threshold if peer == "AnomalyDetector" else _with_one(scores)
                thresholds[peer] = own
                alarms.setdefault(peer, []).append(int(nab.calls(scores >= own, QUIET).sum()))
            for kind in KINDS if draws else ():
                for draw in range(1, 1 + draws) if possible(base, kind) else ():
                    one = series(base, seed, kind, draw, _TRAINED, _BEHIND)
                    for peer, scored in scorers.items():
                        hit = scored(one.values)[one.begin : one.stop + _AFTER] >= thresholds[peer]
                        found.setdefault(peer, {}).setdefault(kind, []).append(int(hit.any()))
            print(f"{name}, {seed}: {alarms['AnomalyDetector'][-1]} alarms on normal rows", flush=True)
    rows = []
    for peer, counts in alarms.items():
        shares = [f"{sum(each)}/{len(each)}" for each in found[peer].values()]
        every = [hit for each in found[peer].values() for hit in each]
        rate = 1e4 * sum(counts) / (_NORMAL_ROWS * len(counts))
        rows.append([peer, *shares, f"{100 * np.mean(every):.0f} %", f"{rate:.2f}"])
    head = ["detector", *next(iter(found.values())), "all", "alarms in 10,000 normal rows"]
    keep(
        f"anomaly-planted-{part}.md",
        f'# Planted anomalies, bases "{part}"\n\n{stamp()}; {", ".join(BASES[part])}; {len(seeds)} seeds of each\n\n'
        f"{table(head, rows)}\n\nAlarms of ours on normal rows, by base and seed: "
        f"{', '.join(map(str, alarms['AnomalyDetector']))}.",
    )


def _plain(values: Floats) -> Floats:
    return values[:, 0] if values.shape[1] == 1 else values


def _scores_of(model: AnomalyDetector, peer: str | None = None) -> Callable[[Floats], Floats]:
    """Return what scores all rows of a series: the model, or one of the detectors beside it."""
    own, task = model.fitted_.model, model.task

    def scored(values: Floats) -> Floats:
        examples = task.encode(own, task.read(own.parameters, _plain(values)))
        judge = None if peer is None else model.fitted_.baselines[peer]
        found: Floats = (task.predict(own, examples) if judge is None else judge.predict(examples)).scores
        return found

    return scored


def _with_one(scores: Floats) -> float:
    """Return the least threshold with one alarm at most."""
    known = np.where(np.isfinite(scores), scores, -np.inf)
    tried = np.unique(known[np.isfinite(known)])[::-1]
    low, high = 0, len(tried) - 1  # the more of the greatest scores, the more alarms
    while low < high:
        middle = (low + high + 1) // 2
        if nab.calls(known >= tried[middle], QUIET).sum() <= 1:
            low = middle
        else:
            high = middle - 1
    return float(tried[low])


def main() -> None:
    """Run what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", nargs="?", choices=("nab", "hdfs", "raw", "rate", "planted", "all"), default="all")
    parser.add_argument("--part", choices=("chosen", "rest", "all"), default="all")
    parser.add_argument("--seeds", type=int, default=2, help="series of each kind whose false alarms are counted")
    parser.add_argument("--seconds", type=float, default=None, help="of a fit, at most")
    parser.add_argument("--tested", type=int, default=30_000, help="steps on which false alarms are counted")
    arguments = parser.parse_args()
    if arguments.what in ("nab", "all"):
        run_nab(arguments.part, arguments.seconds)
    if arguments.what in ("hdfs", "all"):
        run_hdfs(arguments.seconds)
    if arguments.what in ("raw", "all"):
        run_raw()
    if arguments.what in ("rate", "all"):
        run_rate(arguments.seeds, arguments.seconds or 8.0, tested=arguments.tested)

    if arguments.what in ("planted", "all"):
        for part in ("chosen", "rest") if arguments.part == "all" else (arguments.part,):
            run_planted(part, tuple(range(arguments.seeds)))


if __name__ == "__main__":
    main()
