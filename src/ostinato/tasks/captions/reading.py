"""Clips with what was said of them: rows of one clip are references of one clip."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ostinato.data.readers import read_table
from ostinato.data.video import Clips, read_clips
from ostinato.data.video.clips import content_key
from ostinato.errors import ColumnError, DataError, UsageError
from ostinato.tasks.base.lines import is_path
from ostinato.tasks.captions.parameters import CaptionParameters

_NAMES = ("caption", "captions", "text", "sentence", "description")
References = tuple[tuple[str, ...], ...]


@dataclass(frozen=True, eq=False)
class Captioned:
    """Clips, none twice, and the references of each; none where it is not known what was said of them.

    Args:
        clips: where they are; none is read yet.
        references: of each.
    """

    clips: Clips
    references: References

    @property
    def origin(self) -> str:
        """What the source is called."""
        return self.clips.origin

    def __len__(self) -> int:
        return len(self.clips)

    def part(self, rows: Sequence[int] | NDArray[Any]) -> Captioned:
        """Return some of the clips, in the order that is asked for."""
        places = np.asarray(rows, np.int64).tolist()
        return Captioned(self.clips[places], tuple(self.references[row] for row in places))

    def joined(self, other: Captioned) -> Captioned:
        """Return these and others as one."""
        return Captioned(self.clips.joined(other.clips), (*self.references, *other.references))

    def groups(self) -> list[Any]:
        """Return what is on one side of a split: equal contents, or what the groups say."""
        return list(self.clips.groups) if self.clips.groups is not None else list(self.clips.contents())


def read_captioned(parameters: CaptionParameters, source: Any, *, labelled: bool) -> Captioned:
    """Read clips and their captions; no clip is decoded yet.

    Args:
        parameters: the columns.
        source: a table of a clip and a caption a row; clips and captions as a pair of lists, a caption or several of
            each clip; without captions also a clip, several, or a folder of them.
        labelled: whether there must be captions.

    Raises:
        DataError: a clip is not there, or has no caption.
        UsageError: the source is none of these.
    """
    if isinstance(source, Captioned):
        return source
    if isinstance(source, Clips):
        return _together(source, source.texts)
    if labelled and isinstance(source, tuple) and len(source) == 2 and not any(map(is_path, source)):
        return _of_lists(*source)
    given = parameters
    if not labelled and not _is_table(source):
        found = read_clips(source, labelled=False)
        return Captioned(found, ((),) * len(found))
    text = (given.text or _caption_column(source)) if labelled else None
    found = read_clips(source, video=given.video, text=text, group=given.group if labelled else None, labelled=False)
    if labelled and found.texts is None:
        raise DataError(
            f"{found.origin} holds clips without captions; expected a table with a clip and a caption in each row"
        )
    if labelled:
        return _together(found, found.texts)
    first: dict[Any, int] = {}
    for row, key in enumerate(_keys(found)):
        first.setdefault(key, row)
    rows = list(first.values())
    return Captioned(found[rows], ((),) * len(rows))  # a clip of several rows is answered once


def caption_pairs(data: Any, captions: Any) -> tuple[list[Any], list[Any]]:
    """Return clips and captions that are given apart, as `read_captioned` takes them.

    Raises:
        UsageError: one of them is no list; DataError: there are not as many.
    """
    if is_path(data) or is_path(captions) or not hasattr(data, "__len__") or not hasattr(captions, "__len__"):
        raise UsageError("clips and captions are given apart; expected two lists, or a table of both alone")
    if len(data) != len(captions):
        raise DataError(f"there are {len(data)} clips but captions of {len(captions)}; expected some for each")
    return list(data), list(captions)


def _is_table(source: Any) -> bool:
    if isinstance(source, Mapping) or hasattr(source, "columns"):
        return True
    if isinstance(source, (list, tuple)) and source and all(isinstance(row, Mapping) for row in source):
        return True
    endings = (".csv", ".tsv", ".jsonl", ".ndjson", ".json", ".parquet", ".xlsx", ".feather", ".arrow")
    return is_path(source) and str(source).lower().removesuffix(".gz").endswith(endings)


def _caption_column(source: Any) -> str:
    if not _is_table(source):
        raise DataError(
            f"{str(source)[:100]} says nothing of what its clips show; expected a table with a clip and a caption in "
            "each row, or clips and captions in two lists"
        )
    table = read_table(source)
    lower = {name.lower(): name for name in reversed(list(table.columns))}
    found = next((lower[name] for name in _NAMES if name in lower), None)
    if found is None:
        shown = ", ".join(f'"{name}"' for name in list(table.columns)[:12])
        raise ColumnError(f"{table.origin} has no column that is called {_NAMES[0]}; name it: --text; it has {shown}")
    return found


def _of_lists(clips: Any, captions: Any) -> Captioned:
    pairs = caption_pairs(clips, captions)
    several = [[each] if isinstance(each, str) else each for each in pairs[1]]
    for number, group in enumerate(several, 1):
        if isinstance(group, (str, bytes)) or not isinstance(group, Iterable):
            raise DataError(f"the captions of clip {number} are a {type(group).__name__}; expected a text or several")
    found, groups = read_clips(pairs[0], labelled=False), [list(group) for group in several]
    rows = [row for row, group in enumerate(groups) for _ in group]
    for number, group in enumerate(groups, 1):
        if not group:
            raise DataError(f"clip {number} has no caption; give it one, or leave it out")
        for each in group:
            if not isinstance(each, str) or not each.strip():
                raise DataError(f"a caption of clip {number} is {each!r:.60}; expected a text, or leave it out")
    whole = replace(found[rows], texts=tuple(each.strip() for group in groups for each in group))
    return _together(whole, whole.texts)


def _together(rows: Clips, texts: tuple[str, ...] | None) -> Captioned:
    """Return rows of the same clip as one clip."""
    if texts is None:
        raise DataError(f"{rows.origin} has no captions; name their column: text (--text)")
    keys, first = _keys(rows), dict[Any, int]()
    said: dict[Any, list[str]] = {}
    for row, (key, text) in enumerate(zip(keys, texts, strict=True)):
        first.setdefault(key, row)
        said.setdefault(key, []).append(text)
    _check_groups(rows, first)
    return Captioned(
        replace(rows[list(first.values())], texts=None), tuple(tuple(dict.fromkeys(said[key])) for key in first)
    )


def _keys(rows: Clips) -> list[Any]:
    """Return what is equal for rows of the same clip: paths, or contents of arrays; each array is looked at once."""
    known: dict[int, bytes] = {}
    found: list[Any] = []
    for source in rows.sources:
        if not isinstance(source, str) and id(source) not in known:
            known[id(source)] = content_key(source)
        found.append(source if isinstance(source, str) else known[id(source)])
    return found


def _check_groups(rows: Clips, first: Mapping[Any, int]) -> None:
    if rows.groups is None:
        return
    for source, group in zip(rows.sources, rows.groups, strict=True):
        row = first.get(source) if isinstance(source, str) else None
        if row is not None and rows.groups[row] != group:
            raise DataError(
                f'{rows.names[row]} is in the group "{rows.groups[row]}" and in "{group}"; expected one group a clip'
            )


def given_clips(source: Any) -> Iterator[Any]:
    """Yield a source without captions in pieces that are answered together: lines each as it comes."""
    if isinstance(source, Iterator):
        for line in source:
            if not isinstance(line, str) or line.strip():
                yield [line.strip() if isinstance(line, str) else line]
    elif isinstance(source, tuple):
        yield list(source)
    else:
        yield source
