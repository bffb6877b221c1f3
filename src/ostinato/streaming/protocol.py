"""What every stream is: rows in, answers out, its state as bytes.

A stream answers a row in steps: it reads the row, changing nothing; asks for what is computed, in requests; and takes
in what comes back. `push` walks through that alone. `push_many` walks through the steps of many streams side by side
and puts their requests together: those of streams of one model are one call.
"""

from __future__ import annotations

import contextlib
import hashlib
import weakref
from collections.abc import Callable, Generator, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from ostinato.engine import State
from ostinato.engine.beside import Beside
from ostinato.engine.run.arrays import ArrayState, to_tensors
from ostinato.errors import OstinatoError, StreamRowError, UsageError
from ostinato.streaming.rows import RowStepper
from ostinato.streaming.states import checked, pack, refused
from ostinato.streaming.stepper import Stepper
from ostinato.words import counted

Run: TypeAlias = "Callable[[list[Any]], Sequence[Any]]"
Steps: TypeAlias = "Generator[Request, Any, Any]"


@dataclass(frozen=True)
class Request:
    """Something to be computed: requests with the same `run` are computed in one call of it, `run([what, ...])`."""

    run: Run
    what: Any


NOTHING = Request(lambda whats: [None] * len(whats), None)
"""Nothing to be computed: a row was read and fits, and what follows may change the stream."""


class Stream:
    """Rows one at a time, each answered at once, from a state that does not grow.

    A stream says how a row is answered (`steps`), what it keeps (`kept`, `accept`) and how it starts over (`reset`).
    """

    kind: ClassVar[str] = "stream"
    """Of what it is a stream, as its state has it."""
    takes_text: ClassVar[bool] = False
    """Whether a row is a line as it stands, whatever it begins with."""

    @property
    def header(self) -> tuple[str, ...] | None:
        """The names that the cells of a row may have, where lines of cells need a header; else `None`."""
        return None

    @property
    def bare(self) -> tuple[str, ...]:
        """The names of the cells of a row that comes without a header, in their order; none: there must be one."""
        return ()

    def push(self, row: Any) -> Any:
        """Take a row in, and answer it.

        Raises:
            StreamRowError: the row does not fit the model; the stream is as it was.
        """
        return _alone(self.steps(row))

    def peek(self, row: Any = None) -> Any:
        """Return what `push(row)` would answer, and stay as it was; without a row, the answer after the last one.

        Raises:
            StreamRowError: the row does not fit the model.
            UsageError: there is no answer without a row.
        """
        if row is None:
            return self.now()
        before = self.state()
        try:
            return self.push(row)
        finally:
            self.restore(before)

    def state(self) -> bytes:
        """Return all that the stream holds, for `restore` in this process or another."""
        return pack(self.kind, self.mark(), self.kept())

    def restore(self, state: bytes) -> None:
        """Resume from a state.

        Raises:
            UsageError: it is damaged, or of another model or stream; the stream is then as it was.
        """
        self.accept(checked(state, self.kind, self.mark()))

    def reset(self) -> None:
        """Start over."""
        raise NotImplementedError

    def plain(self, answer: Any) -> Mapping[str, Any]:
        """Return an answer as plain data, for JSON."""
        return answer  # type: ignore[no-any-return]

    # --- what a stream says of itself ------------------------------------------------------------------------------

    def steps(self, row: Any) -> Steps:
        """Yield requests, be sent what they give, and return the answer; nothing changes before the last is sent."""
        raise NotImplementedError

    def slot(self, row: Any) -> Hashable:  # noqa: ARG002
        """Return what of the stream a row goes to: rows that go to different parts may be pushed together."""
        return None

    def now(self) -> Any:
        """Return the answer after the last row.

        Raises:
            UsageError: there is none.
        """
        raise UsageError(f"a {self.kind} stream answers rows; give peek a row")

    def mark(self) -> str:
        """Return what tells its model from others."""
        return ""

    def kept(self) -> Mapping[str, Any]:
        """Return what is kept, for `pack`."""
        return {}

    def accept(self, kept: Mapping[str, Any]) -> None:
        """Resume from what was kept, all of it checked first."""
        if kept:
            raise UsageError(f"a {self.kind} stream keeps nothing from row to row, but the state holds something")


def push_many(
    streams: Sequence[Stream], rows: Sequence[Any], *, errors: Literal["raise", "return"] = "raise"
) -> list[Any]:
    """Push a row into each of many streams; those of one model advance in one compiled call.

    The answers are those of `stream.push(row)` one after the other, to the same bits. A stream may be given several
    times: its rows are taken in order.

    Args:
        streams: of one model or of several.
        rows: one for each.
        errors: with `"return"`, the place of a row that is refused holds its error, and the others continue; with
            `"raise"` a row that does not fit is an error at once, and no stream has changed, unless that row is a later
            one of its stream.

    Raises:
        UsageError: there are not as many rows as streams.
        StreamRowError: a row does not fit; its number among the rows is said.

    >>> from ostinato.streaming import push_many
    >>> push_many([], [])
    []
    """
    if len(streams) != len(rows):
        raise UsageError(
            f"{counted(len(rows), 'rows')} came for {counted(len(streams), 'streams')}; expected a row for each stream"
        )
    if errors not in ("raise", "return"):
        raise UsageError(f'errors is {errors!r}; expected "raise" or "return"')
    answers: list[Any] = [None] * len(rows)
    waiting = list(range(len(rows)))
    while waiting:
        now, waiting = _next_wave(streams, rows, waiting)
        _push_wave(streams, rows, now, answers, errors == "raise")
    return answers


def _next_wave(streams: Sequence[Stream], rows: Sequence[Any], waiting: list[int]) -> tuple[list[int], list[int]]:
    """Return the rows that can be pushed together, and those that come after."""
    taken: set[tuple[int, Hashable]] = set()
    full: set[int] = set()
    now, later = [], []
    for place in waiting:
        stream = streams[place]
        key = id(stream), stream.slot(rows[place])
        if id(stream) in full or key in taken:
            full.add(id(stream))
            later.append(place)
        else:
            taken.add(key)
            now.append(place)
    return now, later


def _push_wave(
    streams: Sequence[Stream], rows: Sequence[Any], now: list[int], answers: list[Any], raises: bool
) -> None:
    walks = {place: streams[place].steps(rows[place]) for place in now}
    sent: dict[int, Any] = dict.fromkeys(now)
    first = True
    while sent:
        asked: dict[int, Request] = {}
        failed: dict[int, OstinatoError] = {}
        for place, value in sent.items():
            try:
                # an error of what was asked for is the row's own
                asked[place] = (
                    walks[place].throw(value) if isinstance(value, OstinatoError) else walks[place].send(value)
                )
            except StopIteration as done:
                answers[place] = done.value
            except OstinatoError as error:
                answers[place] = failed[place] = error
                if raises and first:
                    break
        if failed and raises:
            for walk in walks.values():
                walk.close()
            place, wrong = next(iter(failed.items()))
            raise _numbered(place, wrong) from wrong
        sent, first = _computed(asked), False


def _numbered(place: int, error: OstinatoError) -> OstinatoError:
    return type(error)(f"row {place + 1} of those pushed: {error}") if isinstance(error, StreamRowError) else error


def _computed(asked: dict[int, Request]) -> dict[int, Any]:
    """Return what was asked for, or the error of it, each kind in one call."""
    kinds: dict[Run, list[int]] = {}
    for place, request in asked.items():
        kinds.setdefault(request.run, []).append(place)
    found: dict[int, Any] = {}
    for run, places in kinds.items():
        try:
            found |= zip(places, run([asked[place].what for place in places]), strict=True)
        except OstinatoError:  # of which of them it is shows one by one
            found |= {place: _one(asked[place]) for place in places}
    return found


def _one(request: Request) -> Any:
    try:
        return request.run([request.what])[0]
    except OstinatoError as error:
        return error


def _alone(walk: Steps) -> Any:
    try:
        request = next(walk)
        while True:
            value = _one(request)
            request = walk.throw(value) if isinstance(value, OstinatoError) else walk.send(value)
    except StopIteration as done:
        return done.value


# --- streams of a recurrent layer ----------------------------------------------------------------------------------


class Row:
    """A row of the steps that all streams of one network share: a stream's recurrent state."""

    def __init__(self, shared: SharedSteps) -> None:
        self.shared = shared
        (self.number,) = shared.rows.join()

    def ask(self, x: NDArray[Any]) -> Request:
        """Return the request to advance it by a step `(features,)`; it gives the outputs, `(output features,)`."""
        return Request(self.shared.run, (self.number, x))

    def state(self) -> ArrayState | None:
        """Return its state."""
        return self.shared.rows.state(self.number)

    def restore(self, state: Any) -> None:
        """Resume from a state.

        Raises:
            UsageError: it does not fit.
        """
        self.shared.rows.restore(self.number, state)

    def assign(self, other: Row) -> None:
        """Resume from where another row of the same steps is; that one stays."""
        self.shared.rows.assign(self.number, other.number)

    def __del__(self) -> None:
        with contextlib.suppress(AttributeError, UsageError, TypeError):  # of what is gone already, as a process ends
            self.shared.rows.leave([self.number])


class SharedSteps:
    """A copy of a network's layers, which all its streams advance on; see `shared_steps`."""

    def __init__(self, module: nn.Module) -> None:
        self.rows = RowStepper(module)
        self.module = module
        self._mark = ""
        self.run: Run = self._run  # one object, by which requests are told apart

    def _run(self, whats: list[Any]) -> Sequence[Any]:
        if len(whats) == 1:
            ((number, x),) = whats
            return list(self.rows([number], np.asarray(x)[None]))
        return list(self.rows([number for number, _ in whats], np.stack([x for _, x in whats])))

    @property
    def copy(self) -> nn.Module:
        """The copy of the module, with the weights that the steps have."""
        return self.rows.copy

    def is_up_to_date(self) -> bool:
        """Tell whether the network is still as it was copied."""
        return self.rows.is_up_to_date()

    @property
    def mark(self) -> str:
        """What tells these weights from others."""
        if not self._mark:
            self._mark = weights_mark(self.copy)
        return self._mark


def weights_mark(module: nn.Module) -> str:
    """Return what tells the weights of a module from others."""
    found = hashlib.sha256()
    for name, value in module.state_dict().items():
        found.update(f"{name} {value.dtype} {tuple(value.shape)}\n".encode())
        found.update(value.detach().cpu().contiguous().view(torch.uint8).numpy().tobytes() if value.dim() else b"")
        found.update(str(value.item()).encode() if not value.dim() else b"")
    return found.hexdigest()[:32]


def checked_layers(state: ArrayState, layers: nn.Module) -> State:
    """Return a state from outside as tensors for layers that are called on whole pieces.

    Raises:
        ShapeError, UsageError: it does not fit.
    """
    one = Stepper(layers, 1)
    one.restore(state)
    found = one.state()
    assert found is not None
    return to_tensors(found, torch.device("cpu"))


_shared: Beside[weakref.ref[SharedSteps]] = Beside()


def shared_steps(network: nn.Module, layer: Callable[[], nn.Module]) -> SharedSteps:
    """Return the steps that all streams of a network share, as long as there is one of them.

    Args:
        network: of a fitted model.
        layer: what gives the part of it that is stepped.
    """
    known = _shared.get(network)
    steps = None if known is None else known()
    if steps is None or not steps.is_up_to_date():
        steps = SharedSteps(layer())
        _shared[network] = weakref.ref(steps)
    return steps


class RowStream(Stream):
    """A stream that keeps the state of a network's layers, and nothing beside it.

    Args:
        shared: the layers; see `shared_steps`.
    """

    def __init__(self, shared: SharedSteps) -> None:
        self.shared, self.row = shared, Row(shared)

    def mark(self) -> str:
        """Return what tells the model from others."""
        return self.shared.mark

    def reset(self) -> None:
        """Begin a new sequence."""
        self.row.restore(None)

    def kept(self) -> Mapping[str, Any]:
        """Return the state of the layers."""
        return {"state": self.row.state()}

    def accept(self, kept: Mapping[str, Any]) -> None:
        """Resume within a sequence."""
        if "state" not in kept:
            raise refused("has no state of the layers")
        self.row.restore(kept["state"])
