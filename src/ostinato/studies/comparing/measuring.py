"""One cell fitted and measured, in a process of its own."""

from __future__ import annotations

import gzip
import math
import os
import statistics
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ostinato.errors import NonFiniteLoss, OstinatoError
from ostinato.files import make_folder
from ostinato.studies.comparing.result import CellRun
from ostinato.studies.study import write_json
from ostinato.tasks.base.judging import MODEL, decisive
from ostinato.tasks.base.units import Mean
from ostinato.training import History, Listener, listening, remove_checkpoint
from ostinato.words import counted

RESULT = "result.json"
_UNITS = 20_000  # whose values are kept, at most
_ANSWERS, _SECONDS = 300, 2.0  # what a median of latencies is taken over, at most


@dataclass(frozen=True)
class Job:
    """What to fit: an estimator with its cell, seed and size set, the arguments of its `fit`, and where to write."""

    estimator: Any
    data: Mapping[str, Any]
    folder: Path
    cell: str
    seed: int
    hidden_size: int


def run(job: Job) -> None:
    """Fit, measure, and write what was found, a failure as well: it is one row of the table."""
    make_folder(job.folder)
    try:
        found = measure(job)
    except Exception as error:  # noqa: BLE001, whatever a cell fails by, the others are fitted
        traceback.print_exc()
        said = str(error) if isinstance(error, OstinatoError) else f"{type(error).__name__}: {error}"
        found = CellRun(job.cell, job.seed, job.hidden_size, error=said)
    write_json(job.folder / RESULT, asdict(found))


def measure(job: Job) -> CellRun:
    """Fit the estimator and return what there is to compare."""
    model, watch = job.estimator, _Watch()
    note = ""
    try:
        with listening(watch):
            model.fit(**job.data, directory=job.folder, resume=True)
    except NonFiniteLoss as error:
        if not error.history.rows:
            raise
        note = str(error)  # it is fitted with the weights of the best epoch before
    model.save(job.folder)
    remove_checkpoint(job.folder)
    summary = model.summary_
    what, latency = _latency(model, job.data["data"])
    return CellRun(
        cell=job.cell,
        seed=job.seed,
        hidden_size=job.hidden_size,
        parameters=watch.weights,
        scores={name: dict(score) for name, score in summary.scores.items()},
        better=dict(summary.better),
        protocol=summary.protocol,
        epochs=len(summary.history),
        best_epoch=summary.best_epoch,
        stopped=note or summary.stopped,
        seconds=summary.history[-1]["seconds"] if summary.history else math.nan,
        memory=watch.memory,
        latency=latency,
        latency_of=what,
        verdict=summary.verdict,
        judged=_judged(model),
        curve=tuple((float(row["seconds"]), float(row["validation_loss"])) for row in summary.history),
    )


def _judged(model: Any) -> dict[str, Any]:
    """Return the units of the measure that decides, if it is a mean over not too many."""
    if model.scores_ is None or MODEL not in model.scores_.units:
        return {}
    units = model.scores_.units[MODEL]
    measure = decisive(model.scores_.values, model.task.decides)
    parts = units.measures.get(measure)
    if not isinstance(parts, Mean) or units.count > _UNITS:
        return {}
    return {"measure": measure, "of": units.of, "values": parts.values.tolist(), "weights": parts.weights.tolist()}


class _Watch(Listener):
    """Counts the weights, and the memory by which training made the process grow, at most."""

    weights = 0
    memory = math.nan

    def begin(self, module: nn.Module) -> None:
        self.weights = sum(weight.numel() for weight in module.parameters() if weight.requires_grad)
        _reset_peak()
        self.before = _kilobytes("VmRSS")

    def end(self, history: History) -> None:  # noqa: ARG002
        self.memory = max(0.0, _kilobytes("VmHWM") - self.before) * 1024


def _reset_peak() -> None:
    """Begin to count the greatest size of the process again, where the system can."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return  # the greatest size since the start is then what is compared, which is more, but for all cells alike


def _kilobytes(name: str) -> float:
    """Return a size of this process in KiB: `VmRSS` now, `VmHWM` at most; NaN where the system does not say."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return _most_kilobytes()
    return next((float(line.split()[1]) for line in lines if line.startswith(f"{name}:")), math.nan)


def _most_kilobytes() -> float:
    try:
        import resource
    except ImportError:  # Windows has none
        return math.nan
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most / 1024 if sys.platform == "darwin" else float(most)


def _latency(model: Any, data: Any) -> tuple[str, float]:
    """Return what one answer is, and the median of its time in seconds on one thread; NaN where there is none."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with _one_answer(model, data) as (what, answer):
            return what, median_time(answer) if answer else math.nan
    finally:
        torch.set_num_threads(threads)


def median_time(answer: Callable[[], object]) -> float:
    """Return the median time of a call in seconds, after three that do not count."""
    for _ in range(3):
        answer()
    times: list[float] = []
    began = time.perf_counter()
    while len(times) < _ANSWERS and time.perf_counter() - began < _SECONDS:
        start = time.perf_counter()
        answer()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


@contextmanager
def _one_answer(model: Any, data: Any) -> Iterator[tuple[str, Callable[[], object] | None]]:
    answer = model.one_answer()
    if answer is not None:
        yield answer
    elif hasattr(model, "answers") and (lines := _first_lines(source := data[0] if isinstance(data, tuple) else data)):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / Path(str(source)).name.removesuffix(".gz")
            path.write_bytes(lines)
            items = _answered(model, path)
            what = f"{counted(items, 'items')} read from a file"
            yield (what, lambda: list(model.answers(str(path)))) if items else ("", None)
    else:
        yield "", None


def _answered(model: Any, path: Path) -> int:
    """Return how many answers a file gives; 0 where the beginning of the data is no file of its own."""
    try:
        return len(list(model.answers(str(path))))
    except OstinatoError:
        return 0  # the latency is then not known, but all else is


def _first_lines(data: Any, count: int = 2) -> bytes:
    """Return the first lines of a file of text (a header may be among them); nothing of anything else."""
    if not isinstance(data, (str, os.PathLike)) or not Path(data).is_file():
        return b""
    reader = gzip.open if str(data).endswith(".gz") else open
    content, left = b"", count
    with reader(data, "rb") as file:
        for line in file:
            content += line
            # the head of a .ts file is as long as it is
            left -= not (str(data).endswith(".ts") and line.startswith((b"#", b"@")))
            if not left:
                break
    return b"" if b"\0" in content else content
