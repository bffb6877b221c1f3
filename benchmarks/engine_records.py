"""What a run of the engine's benchmark is asked for, and what it finds; both pass between processes as JSON."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path

# the peer of a record that says why ours itself failed
ALL_PEERS = "all peers"
# what `--only` chooses from
KEYS = (
    "compile",
    "gru",
    "rnn",
    "lstm",
    "gru-lengths",
    "lstm-lengths",
    "lstm-projected",
    "gru-bidirectional",
    "stepped",
    "layernorm",
    "slstm",
    "peak",
    "stepper",
    "memory",
)


@dataclass(frozen=True)
class Settings:
    """What one process measures. `only` are patterns of `KEYS`, `sizes` places in `engine_cases.SIZES`."""

    threads: int
    sizes: tuple[int, ...]
    only: tuple[str, ...]
    budget: float
    compile_steps: int

    @classmethod
    def from_json(cls, text: str) -> Settings:
        """Return the settings that `to_json` wrote."""
        plain = {name: tuple(own) if isinstance(own, list) else own for name, own in json.loads(text).items()}
        return cls(**plain)

    def to_json(self) -> str:
        """Return the settings as text."""
        return json.dumps(asdict(self))

    def wants(self, key: str) -> bool:
        """Return whether a key was chosen."""
        return any(fnmatchcase(key, pattern) for pattern in self.only)


@dataclass(frozen=True)
class Ratio:
    """Ours against a peer, in seconds a call; without times where it could not be measured, for the `reason` given."""

    what: str
    size: str
    threads: int
    peer: str
    target: float | None
    ours: float | None = None
    theirs: float | None = None
    ours_first: float | None = None  # seconds of the first call, which compiles
    theirs_first: float | None = None
    reason: str = ""

    @property
    def ratio(self) -> float | None:
        """Return how many times faster ours is."""
        return self.theirs / self.ours if self.ours and self.theirs else None


@dataclass(frozen=True)
class Figure:
    """One number that is no ratio of times: a share of the peak, a latency, a size in memory."""

    table: str
    what: str
    size: str
    threads: int
    who: str
    value: float | None = None
    reason: str = ""


@dataclass(frozen=True)
class Begun:
    """A job that a process has started; the last one is to blame if the process dies."""

    job: int
    what: str
    size: str


Record = Ratio | Figure | Begun
_KINDS: dict[str, type[Ratio] | type[Figure] | type[Begun]] = {own.__name__: own for own in (Ratio, Figure, Begun)}


def append(path: Path, record: Record) -> None:
    """Add a record to a file of JSON lines."""
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps({"kind": type(record).__name__, **asdict(record)}) + "\n")


def read(path: Path) -> Iterator[Record]:
    """Yield the records of a file of JSON lines."""
    for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else []:
        plain = json.loads(line)
        yield _KINDS[plain.pop("kind")](**plain)


def spread(ratios: Sequence[Ratio]) -> list[Ratio]:
    """Return the records with each failure of ours set against every peer that the same row has at other sizes.

    Otherwise a size at which ours fails would be missing from the row, and the row might look as if it met its target.
    """
    peers: dict[tuple[str, int], dict[str, float | None]] = {}
    for own in ratios:
        if own.peer != ALL_PEERS:
            peers.setdefault((own.what, own.threads), {})[own.peer] = own.target
    whole: list[Ratio] = []
    for own in ratios:
        known = peers.get((own.what, own.threads))
        if own.peer == ALL_PEERS and known:
            whole += [replace(own, peer=peer, target=target) for peer, target in known.items()]
        else:
            whole.append(own)
    return whole
