"""`ostinato demo anomaly`: a made series with planted faults, found as they come."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

_ROWS, _TRAINED, _DAY = 6000, 3500, 96  # of a quarter of an hour each
FAULTS = {
    "a spike": (3900, 3901),
    "a shift of level": (4300, 4380),
    "another period": (4800, 4950),
    "a flat line": (5400, 5460),
}


def made_series(seed: int = 0) -> tuple[NDArray[np.datetime64], NDArray[np.float64]]:
    """Return times and values of a pump's pressure, by day and week, with the faults of `FAULTS` in it."""
    rng = np.random.default_rng(seed)
    steps = np.arange(_ROWS)
    times = np.datetime64("2024-03-04T00:00", "us") + steps * np.timedelta64(15, "m")
    day = np.sin(2 * np.pi * steps / _DAY) + 0.4 * np.sin(4 * np.pi * steps / _DAY + 1)
    weekend = (steps // _DAY) % 7 >= 5
    noise = np.zeros(_ROWS)
    for step in range(1, _ROWS):
        noise[step] = 0.6 * noise[step - 1] + 0.12 * rng.standard_t(6)
    values = 20 + 3 * day * np.where(weekend, 0.6, 1.0) + noise
    spike, shift, period, flat = (slice(*each) for each in FAULTS.values())
    values[spike] += 2.5
    values[shift] += 1.5
    values[period] = 20 + 3 * np.sin(2 * np.pi * steps[period] / 30) + noise[period]
    values[flat] = values[flat.start]
    return times, values.round(3)


def demonstrate(out: Path) -> None:
    """Fit on the rows before the faults, find these live, and write the model, its report and the data to a folder."""
    import polars as pl

    from ostinato.files import make_folder
    from ostinato.tasks.anomaly.estimator import AnomalyDetector

    began = time.monotonic()
    times, values = made_series()
    table = pl.DataFrame({"time": times, "pressure": values})
    print("A made series, the pressure of a pump every 15 minutes. Its first weeks are normal: they are learned.\n")
    make_folder(out)
    model = AnomalyDetector(target="pressure", false_alarm_rate=1e-3).fit(table[:_TRAINED], directory=out)
    print(model.scores_)
    print("\nThe weeks after that come row by row; four faults are planted in them:\n")
    stream, last, found = model.stream(warm=False), -(10**9), set()
    for row in range(_ROWS):
        answer = stream.push({"time": times[row].item(), "pressure": values[row]})
        if not answer["alarm"] or row < _TRAINED:
            continue
        if row - last > model.merge:
            fault = next((name for name, (a, b) in FAULTS.items() if a <= row < b + _DAY), "")
            found.add(fault)
            what = f"planted: {fault}" if fault else "a false alarm"
            print(
                f"{answer['time'].replace('T', ' ')[:16]}  score {answer['score']:7.2f}  {what}\n    {answer['reason']}"
            )
        last = row
    named = found & set(FAULTS)
    print(f"\n{len(named)} of {len(FAULTS)} faults found. In {out}: the model and report.html. Done in "
          f"{time.monotonic() - began:.0f} s. Try next:")  # fmt: skip
    model.report(out / "report.html")
    table.write_csv(out / "pressure.csv")
    print(f"  open {out / 'report.html'} in a browser")
    print(f"  ostinato predict {out} {out / 'pressure.csv'} --out {out / 'scores.csv'}")
    print("  ostinato fit anomaly YOUR.csv --target COLUMN --out my-model")
