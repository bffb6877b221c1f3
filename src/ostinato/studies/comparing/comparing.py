"""The course of a comparison: sizes matched, every fit in a process of its own, what is done not done again."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ostinato.errors import OstinatoError, UsageError
from ostinato.files import make_folder
from ostinato.nn.by_name import cell_name, check_cell
from ostinato.options import Cell
from ostinato.studies import children
from ostinato.studies.comparing.measuring import RESULT, Job
from ostinato.studies.comparing.measuring import run as measure
from ostinato.studies.comparing.result import CellRun, Comparison, run_from
from ostinato.studies.comparing.sizes import Size, count_weights, match_size
from ostinato.studies.study import alone_in, fingerprint, fresh_or_gone, open_study, read_json, source_of, write_json
from ostinato.tasks.base.estimator import Estimator
from ostinato.tasks.base.summary import in_words

CELLS = ("rnn", "lstm", "gru", "mingru", "transformer")
"""What is compared where nothing is said."""
_SIZES = "sizes.json"


def compare(
    estimator: Estimator[Any],
    data: Any,
    cells: Sequence[Cell] = CELLS,
    *,
    validation: Any = None,
    test: Any = None,
    parameters: int | None = None,
    seeds: int = 1,
    directory: str | Path | None = None,
    on_run: Callable[[CellRun], None] | None = None,
) -> Comparison:
    """Fit an estimator once for each cell and seed, with as many weights, and measure quality and cost.

    Data, split, seeds and budget (`epochs`, `max_seconds` of the estimator) are the same for all; the hidden size of
    each cell is searched so that its trained weights match. Each fit has a process of its own, one after the other; one
    that fails is named in the result and does not stop the others. A cell that another process cannot import, such as
    one of a notebook or of the script that is run, is fitted in this process.

    Args:
        estimator: not fitted; its parameters but for `cell`, `hidden_size` and `seed` are the same in all fits.
        data: what its `fit` takes.
        validation: likewise, where it takes one.
        test: likewise.
        cells: names from `ostinato.cells.PLAIN`, `"transformer"`, or classes or functions of the user's own, which make
            a cell of an input and a hidden size.
        parameters: trained weights of each; `None`: as many as the estimator has as it stands.
        seeds: fits of each cell, with the estimator's `seed` and those after it.
        directory: where fitted models and results are kept, so that the same call resumes after it was broken off;
            `None`: nowhere.
        on_run: called with each run that is finished, also with those found finished.

    Raises:
        UsageError: there is no such cell, the estimator has no cell, or the directory holds something else.
        DataError: something in the data is wrong.

    >>> import math, ostinato
    >>> wave = {"y": [math.sin(i / 6) for i in range(240)]}
    >>> model = ostinato.Forecaster(4, context=16, hidden_size=8, epochs=1)
    >>> found = ostinato.compare(model, wave, ["gru", "rnn"], parameters=600)  # doctest: +SKIP
    >>> [row.name for row in found.rows()]  # doctest: +SKIP
    ['gru', 'rnn', 'naive', 'drift', 'linear autoregression']
    """
    given = {"data": data, "validation": validation, "test": test}
    arguments = {name: value for name, value in given.items() if value is not None}
    _check(estimator, cells, seeds, parameters)
    named = {cell_name(cell): cell for cell in cells}
    if directory is None:
        with tempfile.TemporaryDirectory() as folder:
            return _compare(estimator, arguments, named, parameters, seeds, Path(folder), on_run)
    return _compare(estimator, arguments, named, parameters, seeds, Path(directory), on_run)


def _check(estimator: Estimator[Any], cells: Sequence[Cell], seeds: int, parameters: int | None) -> None:
    known = estimator.get_params()
    for name in ("cell", "hidden_size", "seed"):
        if name not in known:
            raise UsageError(
                f"a {type(estimator).__name__} has no parameter {name}, which compare sets; give an estimator that has"
            )
    if not cells:
        raise UsageError("there are no cells to compare; give one or more, such as gru,lstm")
    for cell in cells:
        check_cell(cell, getattr(estimator, "cells_beside", ()))
    names = [cell_name(cell) for cell in cells]
    if len(set(names)) < len(names):
        raise UsageError(f"cells are {', '.join(names)}; name each once")
    if seeds < 1:
        raise UsageError(f"seeds is {seeds}; expected one or more")
    if parameters is not None and parameters < 1:
        raise UsageError(f"parameters is {parameters}; expected one trained weight or more")


def _compare(
    estimator: Estimator[Any],
    data: Mapping[str, Any],
    cells: Mapping[str, Cell],
    parameters: int | None,
    seeds: int,
    folder: Path,
    on_run: Callable[[CellRun], None] | None,
) -> Comparison:
    shared = {name: parameter for name, parameter in estimator.get_params().items() if name not in _FREE}
    with fresh_or_gone(folder):
        open_study(folder, _plan(estimator, shared, data, parameters))
        sizes = _Sizes(estimator, data, cells, parameters, folder / _SIZES)
        sizes.wanted()  # what is wrong with the data, or with all fits, is said here
    with alone_in(folder):
        ordered = _runs(estimator, data, cells, seeds, sizes, folder, on_run)
        source = source_of(data["data"])
        found = Comparison(type(estimator).__name__, source, sizes.wanted(), seeds, in_words(shared), ordered)
        write_json(folder / "compare.json", found.plain())
    return found


def _runs(
    estimator: Estimator[Any],
    data: Mapping[str, Any],
    cells: Mapping[str, Cell],
    seeds: int,
    sizes: _Sizes,
    folder: Path,
    on_run: Callable[[CellRun], None] | None,
) -> tuple[CellRun, ...]:
    first = int(estimator.get_params()["seed"])
    runs: dict[tuple[str, int], CellRun] = {}
    # seed by seed, so that what there is after a while can be compared
    for seed in range(first, first + seeds):
        for cell in cells:
            runs[cell, seed] = _run(estimator, data, cell, seed, sizes, folder)
            if on_run is not None:
                on_run(runs[cell, seed])
    return tuple(runs[cell, seed] for cell in cells for seed in range(first, first + seeds))


_FREE = {"cell", "hidden_size", "seed", "progress"}


def _plan(
    estimator: Estimator[Any], shared: Mapping[str, Any], data: Mapping[str, Any], parameters: int | None
) -> dict[str, Any]:
    given = estimator.get_params()
    aim = (
        parameters
        if parameters is not None
        else f"those of {cell_name(given['cell'])} with {given['hidden_size']} units"
    )
    prints = {f"fingerprint of {name}": fingerprint(value) for name, value in data.items()}
    kind = {"kind": "comparison of cells", "task": type(estimator).__name__, "number of weights": aim}
    return {**kind, "first seed": given["seed"], **prints, **in_words(shared)}


class _Sizes:
    """The hidden size of each cell, found when it is first asked for, and kept in a file."""

    def __init__(
        self,
        estimator: Estimator[Any],
        data: Mapping[str, Any],
        cells: Mapping[str, Cell],
        wanted: int | None,
        path: Path,
    ) -> None:
        self.estimator, self.data, self.cells, self.path = estimator, data, cells, path
        self.known: dict[str, Any] = read_json(path) if path.exists() else {}
        if wanted is not None:
            self.known["wanted"] = wanted

    def wanted(self) -> int:
        """Return how many weights each cell should have."""
        if "wanted" not in self.known:
            self.known["wanted"] = count_weights(self.estimator, self.data)
            write_json(self.path, self.known)
        return int(self.known["wanted"])

    def of(self, cell: str) -> Size:
        """Return the size of a cell."""
        if cell not in self.known:
            wanted = self.wanted()
            given = self.estimator.get_params()

            def count(width: int) -> int:
                return count_weights(self.estimator.unfitted(cell=self.cells[cell], hidden_size=width), self.data)

            size = match_size(count, wanted, given["hidden_size"])
            self.known[cell] = [size.hidden_size, size.parameters]
            write_json(self.path, self.known)
        return Size(*self.known[cell])


def _run(
    estimator: Estimator[Any], data: Mapping[str, Any], cell: str, seed: int, sizes: _Sizes, folder: Path
) -> CellRun:
    """Return a run, from its folder if it is finished there."""
    place = folder / "runs" / f"{cell}-{seed}"
    if (place / RESULT).exists() and not (found := run_from(read_json(place / RESULT))).error:
        return found
    try:
        size = sizes.of(cell)
    except OstinatoError as error:
        return CellRun(cell, seed, 0, error=f"no width of it can have {sizes.wanted():,} weights: {error}")
    made = estimator.unfitted(cell=sizes.cells[cell], hidden_size=size.hidden_size, seed=seed, progress=False)
    make_folder(place)
    (place / RESULT).unlink(missing_ok=True)
    job = Job(made, data, place, cell, seed, size.hidden_size)
    if not children.can_take(job, sizes.cells[cell]):
        measure(job)
        return run_from(read_json(place / RESULT))
    return _in_process(job)


def _in_process(job: Job) -> CellRun:
    log = job.folder / "log.txt"
    child = children.start("ostinato.studies.comparing.measuring:run", job, log)
    try:
        code = child.wait()
    finally:
        children.stop(child)
    if not (job.folder / RESULT).exists():
        how = f"signal {-code}; out of memory?" if code < 0 else f"exit code {code}"
        return CellRun(
            job.cell, job.seed, job.hidden_size, error=f"its process ended ({how}): {children.last_line(log)}"
        )
    return run_from(read_json(job.folder / RESULT))
