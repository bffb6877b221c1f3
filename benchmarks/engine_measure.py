"""Measuring a case of the engine's benchmark: every peer checked against ours first, then all timed in turns."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial

from engine_cases import SIZES, Case, all_cases
from engine_figures import figure_jobs
from engine_records import ALL_PEERS, Figure, Ratio, Record, Settings
from engine_timing import Step, alternate, difference, timed


@dataclass(frozen=True)
class Job:
    """Something to measure; `run` yields what it finds and never raises."""

    what: str
    size: str
    run: Callable[[], Iterator[Record]]


def jobs(settings: Settings) -> Iterator[Job]:
    """Yield everything that the settings ask for, always in the same order."""
    sizes = [SIZES[index] for index in settings.sizes]
    for case in all_cases(sizes, settings.compile_steps):
        if settings.wants(case.key):
            yield Job(case.what, str(case.size), partial(_ratios, case, settings))
    for own in figure_jobs(settings, sizes):
        yield Job(own.what, own.size, partial(_figures, own.measure, own.what, own.size, settings))


def _figures(measure: Callable[[], Iterator[Figure]], what: str, size: str, settings: Settings) -> Iterator[Record]:
    try:
        yield from measure()
    except Exception as error:  # noqa: BLE001  (whatever breaks is a line of the table)
        yield Figure("Not measured", what, size, settings.threads, "ours and peers", reason=_sentence(error))


def _ratios(case: Case, settings: Settings) -> Iterator[Record]:
    record = Ratio(case.what, str(case.size), settings.threads, ALL_PEERS, None)
    try:
        ours, peers = case.make()
        expected, first = timed(ours)
    except Exception as error:  # noqa: BLE001
        yield replace(record, reason=f"ours failed, {_sentence(error)}")
        return
    ways: dict[str, Step] = {"ours": ours}
    found: list[Ratio] = []
    for peer in peers:
        base = replace(record, peer=peer.name, target=peer.target, ours_first=first)
        try:
            step = peer.make()
            result, theirs_first = timed(step)
            wrong = difference(expected, peer.read(result), case.kinks) if peer.same else None
        except Exception as error:  # noqa: BLE001
            found.append(replace(base, reason=_sentence(error)))
            continue
        if wrong:
            found.append(replace(base, reason=f"its results are not ours: {wrong}"))
            continue
        found.append(replace(base, theirs_first=theirs_first))
        ways[peer.name] = step
    times = alternate(ways, settings.budget)
    yield from (replace(own, ours=times["ours"], theirs=times.get(own.peer)) for own in found)


def _sentence(error: Exception) -> str:
    """Return the first line of what went wrong, short enough for a table."""
    lines = str(error).strip().splitlines() or [""]
    return f"{type(error).__name__}: {lines[0][:120]}".replace("|", "/")
