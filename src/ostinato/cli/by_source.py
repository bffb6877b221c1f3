"""Tasks that share a name: what the source is decides which of them is meant."""

from __future__ import annotations

from collections.abc import Sequence

from ostinato.tasks.base.registry import homes

_VERBS = ("fit", "compare", "tune")
_NOT_READ = ("--out",)


def by_source(argv: Sequence[str]) -> list[str]:
    """Return arguments in which a name that tasks share is that of the one that takes the source.

    `fit anomaly camera.mp4` is `fit video-anomaly camera.mp4`: the task of that name says that it shares the other's,
    and that it takes such a source; see `About.shares`.
    """
    given = list(argv)
    at = next((place for place, word in enumerate(given) if word in _VERBS), None)
    if at is None or at + 1 >= len(given):
        return given
    name, rest = given[at + 1], given[at + 2 :]
    sources = [
        word
        for before, word in zip(["", *rest], rest, strict=False)
        if not word.startswith("-") and before not in _NOT_READ
    ]
    for home in homes().values():
        if home.about.shares == name and any(home.takes(source) for source in sources):
            given[at + 1] = home.name
            break
    return given
