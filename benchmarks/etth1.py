"""ETTh1 by the published protocol, beside baselines and the literature.

    python benchmarks/etth1.py [horizon ...]

All seven columns, 12/4/4 months for training, validation and test, standardised by the training part; context 96; every
test window counts, those of the last batch too. The model is SegRNN's recipe (Lin et al., 2023) through our forecaster.

Published MSE at 96/192/336/720 with context 96: SegRNN .368/.408/.444/.446, iTransformer .386 at 96.
"""

from __future__ import annotations

import datetime
import sys
import time

import polars as pl

from common import data_file, keep, machine, table
from ostinato import Forecaster

PUBLISHED = {96: 0.368, 192: 0.408, 336: 0.444, 720: 0.446}
ROWS = (8640, 2880, 2880)
OPTIONS = {
    "context": 96,
    "segment": 48,
    "hidden_size": 256,
    "dropout": 0.5,
    "normalization": "last",
    "highway": False,
    "calendar": False,
    "combine": False,
    "output": "point",
    "loss": "mae",
    "batch_size": 64,
    "windows_per_epoch": 10_000,
    "learning_rate": 7e-4,
    "epochs": 10,
    "patience": None,
}


def standardised() -> pl.DataFrame:
    """Return the rows of the protocol, standardised by the training part."""
    frame = pl.read_csv(data_file("etth1/ETTh1.csv"), try_parse_dates=True)[: sum(ROWS)]
    names = frame.columns[1:]
    train = frame[: ROWS[0]]
    return frame.with_columns([(pl.col(n) - train[n].mean()) / train[n].std(ddof=0) for n in names])


def main() -> None:
    """Fit and score each horizon."""
    horizons = [int(text) for text in sys.argv[1:]] or list(PUBLISHED)
    data = standardised()
    rows: list[list[object]] = []
    began = time.monotonic()
    for horizon in horizons:
        model = Forecaster(
            horizon, target=data.columns[1:], scaling="none", validation=ROWS[1], test=ROWS[2], season=24, **OPTIONS
        )
        model.fit(data)
        evaluation = model.evaluate(stride=1)
        for name, label in (("model", "ostinato GRU"), ("linear autoregression",) * 2, ("seasonal naive",) * 2):
            scores = evaluation.values[name]
            seconds = f"{model.summary_.seconds:.0f}" if name == "model" else ""
            published = PUBLISHED[horizon] if name == "model" else ""
            rows.append([horizon, label, scores["RMSE"] ** 2, scores["MAE"], published, evaluation.count, seconds])
        print(table(["", "", "MSE", "MAE", "", "", ""], rows[-3:]), flush=True)
    head = ["horizon", "forecaster", "MSE", "MAE", "SegRNN, published MSE", "windows", "seconds"]
    total = f"{time.monotonic() - began:.0f} s in all"
    keep(
        "etth1.md",
        f"# ETTh1\n\n{datetime.datetime.now(tz=datetime.UTC):%Y-%m-%d}, {machine()}, {total}\n\n{table(head, rows)}",
    )


if __name__ == "__main__":
    main()
