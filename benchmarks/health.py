"""Patients: in-hospital death at 48 hours on PhysioNet 2012 set A, the same model live, and beats of WFDB records.

    python benchmarks/health.py physionet [--only 1 2]    five folds by patient, or some, beside published figures
    python benchmarks/health.py live                      batch against stream, time of a measurement
    python benchmarks/health.py beats                     beats of the records that are there
    python benchmarks/health.py progression [--folds 5]   death in pbcseq by visits, beside Cox at landmarks
    python benchmarks/health.py courses [--sizes 60 200]  made patients of known hazards, beside Cox and the truth

Published: Z. Che, S. Purushotham, K. Cho, D. Sontag and Y. Liu, "Recurrent neural networks for multivariate time series
with missing values", Scientific Reports 8, 2018: GRU-D on set A, five folds, AUROC .8424 +- .012. Folds are drawn by
outcome, each patient in one of them; within the other four a share of the patients decides when to stop. The test fold
is looked at once.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from typing import Any

import numpy as np

from cell_tasks import stamp
from common import RESULTS, data_file, keep, table
from made_courses import LAWS, optimal
from made_courses import patients as made_patients
from ostinato import PatientMonitor, ProgressionModel, SequenceClassifier
from ostinato.data.health import Patients, read_beats, read_patients, with_outcomes
from ostinato.streaming import push_many
from ostinato.tasks.progression.judged import Prediction, measures_of

PARTS = ("physionet", "live", "beats", "progression", "courses", "all")
OUTCOME = "In-hospital_death"
HOURS = ("6", "12", "18", "24", "30", "36", "42", "48")
MEASURES = ("AUROC", "AUPRC", "Brier", "calibration error")


def patients() -> Patients:
    """Return the patients of set A with their outcomes."""
    read = read_patients(data_file("physionet2012_set_a/set-a.tar.gz"))
    return with_outcomes(read, data_file("physionet2012_set_a/Outcomes-a.txt"), outcome=OUTCOME)


def folds_of(outcomes: Any, folds: int, seed: int) -> Any:
    """Return the fold of each patient, drawn by outcome."""
    rng = np.random.default_rng(seed)
    found = np.empty(len(outcomes), np.int64)
    for outcome in (0, 1):
        rows = rng.permutation(np.flatnonzero(outcomes == outcome))
        found[rows] = np.arange(len(rows)) % folds
    return found


def physionet(folds: int, seconds: float, seed: int, only: list[int] | None) -> None:
    """Fit on all but one fold and judge on it, fold by fold; what is done is kept, so that folds can be run apart."""
    whole, path = patients(), RESULTS / "health-physionet.json"
    asked = {"folds": folds, "seconds": seconds, "seed": seed}
    done: dict[str, Any] = json.loads(path.read_text()) if only and path.exists() else {}
    if done.get("asked") != asked:
        done = {"asked": asked, "folds": {}}
    place = folds_of(whole.outcomes, folds, seed)
    for fold in only or range(1, folds + 1):
        began = time.perf_counter()
        train, test = (whole.take(np.flatnonzero(own)) for own in (place != fold - 1, place == fold - 1))
        model = PatientMonitor(outcome=OUTCOME, max_seconds=seconds, seed=seed, progress=False)
        model.fit(train, test=test)
        assert model.scores_ is not None
        done["folds"][str(fold)] = {
            "values": {name: dict(own) for name, own in model.scores_.values.items()},
            "hours": model.scores_.details["AUROC by hour"],
            "minutes": (time.perf_counter() - began) / 60,
            "epochs": len(model.history_.rows),
        }
        RESULTS.mkdir(exist_ok=True)
        path.write_text(json.dumps(done, indent=1))
        print(f"fold {fold}: AUROC {model.scores_['AUROC']:.4f}, AUPRC {model.scores_['AUPRC']:.4f}", flush=True)
    keep("health-physionet.md", told(done, len(whole), repr(model)))


def told(done: dict[str, Any], count: int, made: str) -> str:
    """Return the folds that are done as text."""
    own, asked = list(done["folds"].values()), done["asked"]
    rows, curves = [], []
    for name in own[0]["values"]:
        row: list[object] = [name]
        for measure in MEASURES:
            found = [one["values"][name][measure] for one in own]
            row.append(f"{statistics.mean(found):.4f}" + (f" +- {statistics.stdev(found):.4f}" if len(own) > 1 else ""))
        rows.append(row)
        if name != "prevalence":
            curves.append([name, *(f"{statistics.mean([one['hours'][name][at] for one in own]):.3f}" for at in HOURS)])
    each = [
        [fold, one["values"]["model"]["AUROC"], one["epochs"], one["minutes"]] for fold, one in done["folds"].items()
    ]
    return (
        f"# PhysioNet 2012 set A: in-hospital death at 48 hours\n\n{stamp()}; {len(own)} of {asked['folds']} folds by "
        f"patient, {count:,} patients, {sum(one['minutes'] for one in own):.1f} minutes in all.\n\n`{made}`\n\n"
        "Published (Che et al., 2018): GRU-D AUROC .8424 +- .012, five folds.\n\n"
        f"{table(['', *MEASURES], rows)}\n\nAUROC by hour:\n\n{table(['', *HOURS], curves)}\n\n"
        f"{table(['fold', 'AUROC', 'epochs', 'minutes'], each)}\n\nThis is no medical device."
    )


def live(seconds: float) -> None:
    """Hold a stream against a batch, and measure what a measurement costs, alone and of 1,000 patients at once."""
    whole = patients()
    model = PatientMonitor(outcome=OUTCOME, max_seconds=seconds, progress=False).fit(whole.take(np.arange(1000)))
    few = whole.take(np.arange(1000, 1040))
    batch = {own["id"]: own["risk"] for own in model.answers(few)}
    stream, count, spent = model.stream(), 0, 0.0
    last: dict[str, float] = {}
    for row in range(len(few)):
        own = few.of(row)
        for hour, code, value in zip(few.hours[own], few.codes[own], few.values[own], strict=True):
            minutes = round(hour * 60)
            pushed = {
                "id": few.ids[row], "time": f"{minutes // 60:02d}:{minutes % 60:02d}",
                "variable": few.variables[code], "value": float(value),
            }  # fmt: skip
            began = time.perf_counter()
            last[few.ids[row]] = stream.push(pushed)["risk"]
            spent, count = spent + time.perf_counter() - began, count + 1
    apart = max(abs(last[name] - risk) for name, risk in batch.items())
    ward = [{"id": f"w{k}", "time": "00:30", "variable": "HR", "value": 60.0 + k % 60} for k in range(1000)]
    stream.reset()
    push_many([stream] * 1000, ward)
    began = time.perf_counter()
    for minute in range(31, 41):
        push_many([stream] * 1000, [{**row, "time": f"00:{minute}"} for row in ward])
    many = (time.perf_counter() - began) / 10_000
    keep(
        "health-live.md",
        f"# The monitor live\n\n{stamp()}; {count:,} measurements of {len(few)} patients never seen.\n\n"
        + table(
            ["", ""],
            [
                ["greatest difference of a risk, stream against batch", f"{apart:.1e}"],
                ["microseconds a measurement, hourly steps between counted", f"{1e6 * spent / count:.0f}"],
                ["microseconds a measurement, 1,000 patients at once", f"{1e6 * many:.0f}"],
            ],
        ),
    )


def beats() -> None:
    """Class the beats of the annotated records: the first 20 minutes train, the last 10 are judged."""
    folder = data_file("wfdb_samples")
    train, test = read_beats(folder, end=1200), read_beats(folder, begin=1200)
    model = SequenceClassifier(max_seconds=90, progress=False)
    model.fit((list(train.sequences), list(train.labels)), test=(list(test.sequences), list(test.labels)))
    found = np.array(model.predict(list(test.sequences)))
    truth = np.array(test.labels)
    rows = []
    for name in test.classes:
        hit = int(((found == name) & (truth == name)).sum())
        both = int((found == name).sum() + (truth == name).sum())
        rows.append(
            [
                name,
                int((truth == name).sum()),
                f"{hit / max(int((truth == name).sum()), 1):.3f}",
                f"{2 * hit / max(both, 1):.3f}",
            ]
        )
    keep(
        "health-beats.md",
        f"# Beats of MIT-BIH records 100 and 207\n\n{stamp()}; {len(train):,} beats train, {len(test):,} judged.\n\n"
        f"{table(['class (AAMI)', 'beats', 'recall', 'F1'], rows)}\n\n"
        "Two records, and the same two patients in both parts: this says that records are read and beats classed, not "
        "how well beats of other patients would be; that takes all 48 records, split by patient.",
    )


def progression(seeds: int) -> None:
    """Tell death from visits of pbcseq at landmarks of 1, 3 and 5 years, by patients held out, several times."""
    rows, means = [], {}
    for seed in range(seeds):
        model = ProgressionModel(
            id="id", time="day", time_unit="days", event="status", follow_up="futime", event_code=2,
            landmarks=(365, 1096, 1826), horizon=1826, seed=seed, progress=False,
        )  # fmt: skip
        model.fit(data_file("pbcseq/pbcseq.csv"))
        assert model.scores_ is not None
        sure = model.scores_.details["95 % intervals, patients drawn again"]
        for name, values in model.scores_.values.items():
            for measure, value in values.items():
                means.setdefault(name, {}).setdefault(measure, []).append(value)
                low, high = sure.get(measure, (float("nan"),) * 2) if name == "model" else (float("nan"),) * 2
                rows.append([seed, name, measure, f"{value:.4f}", f"{low:.4f} to {high:.4f}" if low == low else ""])
    measures = list(means["model"])
    summed = [
        [name, *(f"{statistics.mean(own[one]):.4f}" if one in own else "" for one in measures)]
        for name, own in means.items()
    ]
    keep(
        "health-progression.md",
        f"# pbcseq: death by visits\n\n{stamp()}; {seeds} draws of 60 patients or so held out by event; transplants "
        f"compete. Means over the draws:\n\n{table(['', *measures], summed)}\n\n"
        f"{table(['seed', 'model', 'measure', 'value', '95 %, patients drawn again'], rows)}\n\n"
        "This is no medical device.",
    )


def courses(sizes: list[int], seeds: int, seconds: float, judged: int = 400) -> None:
    """Tell events of made patients of known hazards: the model, Cox's at landmarks, and the best of all predictors."""
    rows = []
    for law in LAWS:
        test = made_patients(law, judged, 1000)
        truth: dict[str, float] = {}
        for size in sizes:
            found: dict[str, list[dict[str, float]]] = {}
            for seed in range(seeds if size < 1000 else 1):
                model = ProgressionModel(
                    id="id", time="years", time_unit="years", event="event", follow_up="until", event_code=1,
                    landmarks=(1, 3, 5), horizon=5, seed=seed, progress=False, max_seconds=seconds,
                ).fit(made_patients(law, size, seed).rows, test=test.rows)  # fmt: skip
                for name in ("model", "Cox at landmarks"):
                    found.setdefault(name, []).append(dict(model.scores_.values[name]))
                if not truth:
                    truth = _optimal_measures(model, law, test)
                print(law, size, seed, {n: round(own[-1]["C-index"], 3) for n, own in found.items()}, flush=True)
            for name, every in found.items():
                rows.append(
                    [law, size, name, *(float(np.mean([one.get(each, np.nan) for one in every])) for each in _COURSE)]
                )
        rows.append([law, "", "best of all", *(truth[each] for each in _COURSE)])
    head = ["hazard follows", "patients", "", *_COURSE]
    keep(
        "health-courses.md",
        f"# Made patients of known hazards\n\n{stamp()}; event 1 of two that compete, within 5 years of 1, 3 and 5; "
        f"{judged} others judge; {seeds} draws, one from 1,000 patients on; {seconds:g} s of training at most\n\n"
        + table(head, rows),
    )


_COURSE = (
    "C-index",
    "C-index from 1 years",
    "C-index from 3 years",
    "C-index from 5 years",
    "Brier",
    "calibration error",
)


def _optimal_measures(model: ProgressionModel, law: str, test: Any) -> dict[str, float]:
    own, task = model.fitted_.model, model.task
    examples = task.encode(own, task.read(own.parameters, test.rows))
    encoder, marks = own.encoder, examples.marks
    ends = encoder.ends / encoder.hours
    place = {name: row for row, name in enumerate(f"1000-{one}" for one in range(len(test.end)))}
    found = [
        optimal(law, test, place[str(examples.ids[patient])], float(encoder.landmarks[at] / encoder.hours), ends)
        for at, patient in zip(marks.landmark.tolist(), marks.patient.tolist(), strict=True)
    ]
    return measures_of(examples, Prediction(np.stack(found)))


def main() -> None:
    """Run what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", nargs="?", choices=PARTS, default="all")
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--only", type=int, nargs="+", help="folds, from 1 on; those done before are kept (all)")
    parser.add_argument("--seconds", type=float, default=130.0, help="of training, a fold")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--sizes", type=int, nargs="+", default=[60, 200, 600, 2000], help="made patients")
    given = parser.parse_args()
    if given.what in ("physionet", "all"):
        physionet(given.folds, given.seconds, given.seed, given.only)
    if given.what in ("live", "all"):
        live(min(given.seconds, 40.0))
    if given.what in ("beats", "all"):
        beats()
    if given.what in ("progression", "all"):
        progression(given.folds)
    if given.what in ("courses", "all"):
        courses(given.sizes, min(given.folds, 3), min(given.seconds, 15.0))


if __name__ == "__main__":
    main()
