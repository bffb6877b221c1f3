"""A forecaster with default options on the series of the panel, every window of the test part, baselines beside it.

    python benchmarks/panel_forecast.py --seconds 10                  all sets of the panel that are series
    python benchmarks/panel_forecast.py --sets births,bikes --out x   some of them, the table to a file

`panel.py` judges 60 forecasts of each set beside peers that are fitted for each of them; this is quicker, and counts
how many values intervals hold over all windows. The baselines are those of the fit, within their share of its time.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import torch

from cell_tasks import stamp
from common import table
from ostinato import Forecaster
from panel_sets import DEVELOPMENT, SETS

_BESIDE = ("AutoETS", "Theta", "linear autoregression", "seasonal naive")


def main() -> None:
    """Fit on each set, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=10, help="of the training of each")
    parser.add_argument("--sets", type=lambda text: text.split(","), help="their names, joined by commas")
    parser.add_argument("--out", type=Path, help="a file for the table")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    series = [name for name, entry in SETS.items() if entry.kind == "forecasting"]
    rows = [row(name, asked.seconds) for name in asked.sets or series]
    head = ["set", "windows", "ours", *_BESIDE, "80 % interval held", "seconds", "combination"]
    page = f"{stamp()}; MASE\n\n{table(head, rows)}\n"
    print(page)
    if asked.out is not None:
        asked.out.write_text(page, encoding="utf-8")


def row(name: str, seconds: float) -> list[object]:
    """Fit on one set, and return its row of the table."""
    data = SETS[name].load()
    several = data.frame["id"].n_unique() > 1
    model = Forecaster(
        data.horizon, target="value", test=data.held, time="time" if "time" in data.frame.columns else None,
        series_id="id" if several else None, max_seconds=seconds, progress=False,
    )  # fmt: skip
    began = time.perf_counter()
    model.fit(data.frame if several else data.frame.drop("id"))
    spent = time.perf_counter() - began
    assert model.scores_ is not None
    assert model.summary_ is not None
    values = model.scores_.values
    errors = [f"{values[method]['MASE']:.3f}" if method in values else "" for method in ("model", *_BESIDE)]
    held = f"{values['model']['coverage 80 %']:.1f} %"
    star = "*" if name in DEVELOPMENT else ""
    combination = model.summary_.settings["combination"]
    return [name + star, f"{model.scores_.count:,}", *errors, held, f"{spent:.0f}", combination]


if __name__ == "__main__":
    main()
