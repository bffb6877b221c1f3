"""`ostinato demo [NAME]`: the whole way on a real series, in under a minute; other tasks show their own."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ostinato.cli.parsing import path
from ostinato.words import counted

if TYPE_CHECKING:
    import polars as pl

    from ostinato.cli.demos import Demo
    from ostinato.tasks.forecast import Forecaster

_EPILOG = """examples:
  ostinato demo                     a year of hourly weather at New York's airports
  ostinato demo stocks              a random walk, and a report that says so
  ostinato demo --list
"""


def add_parser(verbs: Any) -> None:
    """Add the verb."""
    parser = verbs.add_parser(
        "demo",
        help="run a demonstration on real data",
        description="Train, evaluate, save, report and stream on data that an installed package carries, or "
        "that is made on the spot.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "name", nargs="?", default="humidity", metavar="NAME", help="name of the demonstration (humidity)"
    )
    parser.add_argument(
        "--out", type=path, default=Path("demo-model"), metavar="DIR", help="where to write (demo-model)"
    )
    parser.add_argument("--list", action="store_true", help="list the demonstrations")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Run a demo from data to stream."""
    from ostinato.cli.demos import DEMOS, demonstrations, find_demo, run_of

    if arguments.list:
        for name, about in [(each.name, each.about) for each in DEMOS] + [
            (shown.name, shown.about) for shown in demonstrations().values()
        ]:
            print(f"{name:14}{about}")
        return 0
    if (other := demonstrations().get(arguments.name)) is not None:
        run_of(other)(arguments.out)
        return 0
    demo = find_demo(arguments.name)
    started = time.monotonic()
    print(f"{demo.about}. Forecasting {counted(demo.horizon, 'steps')} ahead with a GRU.\n")
    past, held_back = demo.tables()
    model = _fit(demo, past, arguments.out)
    _evaluate(model)
    _stream(demo, model, held_back)
    _next(arguments.out, demo, time.monotonic() - started)
    return 0


def _fit(demo: Demo, past: pl.DataFrame, out: Path) -> Forecaster:
    from ostinato.cli.saving import fit_into, write_or_say
    from ostinato.report import summary_plot
    from ostinato.tasks.forecast import Forecaster

    model = Forecaster(horizon=demo.horizon, progress=True, **demo.options)
    failure = fit_into(out, lambda: model.fit(past, directory=out), model.save, resume=False)
    if failure is not None:
        raise failure
    write_or_say("report.html", lambda: model.report(out / "report.html"))
    write_or_say("forecast.png", lambda: summary_plot(model.summary_, out / "forecast.png"))
    return model


def _evaluate(model: Forecaster) -> None:
    from ostinato.cli.show import print_scores
    from ostinato.tasks.base.wording import stands

    scores = model.scores_
    assert scores is not None
    print()
    print_scores(scores)
    found = scores.against.get("seasonal naive", {}).get("MAE")
    if found is not None:
        words = stands(found, "the seasonal naive forecast", scores.values["seasonal naive"]["MAE"], "lower")
        print(f"By mean absolute error it is {words}.")


def _stream(demo: Demo, model: Forecaster, held_back: pl.DataFrame) -> None:
    """Push the rows held back through a stream, one by one, each forecast before it is seen."""
    target, clock = demo.options["target"], demo.options["time"]
    stream = model.stream(demo.stream_series)
    print(f"\nThe last {demo.streamed} rows of {demo.stream_series}, which it has never seen, streamed one by one:")
    print(f"{clock:>22}  {'expected':>9}  {'80 % interval':>18}  {'came':>9}")
    forecast, elapsed = stream.forecast(), 0.0
    for row in held_back.iter_rows(named=True):
        low, high = (forecast.quantiles[0, 0, 0, i] for i in (0, -1))
        expected = f"{forecast.point[0, 0, 0]:9.2f}  {low:8.2f} to {high:6.2f}"
        print(f"{row[clock]:>22}  {expected}  {row[target]:>9}")
        began = time.perf_counter()
        forecast = stream.push({name: row[name] for name in (clock, *demo.columns)})
        elapsed += time.perf_counter() - began
    print(f"{1000 * elapsed / demo.streamed:.2f} ms a row.")


def _next(out: Path, demo: Demo, seconds: float) -> None:
    row = json.dumps({name: 40.0 if name == demo.options["target"] else None for name in demo.columns})
    # dev.py runs this from a virtual environment that the user's shell has not entered
    ostinato = "ostinato" if shutil.which("ostinato") else f"{os.path.relpath(sys.executable)} -m ostinato"
    print(f"\nDone in {seconds:.0f} s. In {out}: the model, report.html, forecast.png, history.csv. Try next:")
    print(f"  open {out / 'report.html'} in a browser")
    print(f"  {ostinato} predict {out}")
    print(f"  echo '{row}' | {ostinato} stream {out} --series-id {demo.stream_series}")
    print(f"  {ostinato} fit forecast YOUR.csv --target COLUMN --horizon 24 --out my-model")
