"""Sets of clips: a table that names them, a folder or archive with a folder for each class, files, arrays."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ostinato.data.archives import ARCHIVES, archive_of, digest_of, members
from ostinato.data.frames import plain_value
from ostinato.data.locating import Sought, locate
from ostinato.data.readers import read_table
from ostinato.data.table import Table, texts
from ostinato.data.video import files, pictures
from ostinato.data.video.frames import Clip
from ostinato.data.video.landmarks import files_in
from ostinato.errors import ColumnError, DataError, UsageError

# what columns are called in the data sets that there are
_NAMES: dict[str, tuple[str, ...]] = {
    "video": ("video", "clip", "path", "file", "file_name", "filename", "filepath", "video_path", "video_name",
              "video_id", "frames", "landmarks", "keypoints"),
    "label": ("label", "class", "action", "category", "target", "gloss", "activity"),
    "text": ("text", "caption", "sentence", "description"),
    "group": (),
}  # fmt: skip
_ENDINGS = (".mp4", ".avi", ".mkv", ".webm", ".mov", ".mpg", ".npy", ".npz")
_BESIDE = ("", "clips", "videos", "video", "frames", "landmarks")


@dataclass(frozen=True, eq=False)
class Clips:
    """Clips in the order of their source; none is read yet.

    Args:
        origin: what to call the source in a message.
        sources: paths, or arrays in memory.
        names: what each is called.
        labels: the class of each; `None`: not known.
        texts: a sentence for each; likewise.
        groups: what belongs together in a split (a subject, a camera, a recording); `None`: each clip by itself.
    """

    origin: str
    sources: tuple[Any, ...]
    names: tuple[str, ...]
    labels: tuple[Any, ...] | None = None
    texts: tuple[str, ...] | None = None
    groups: tuple[str, ...] | None = None

    def __len__(self) -> int:
        return len(self.sources)

    def __getitem__(self, rows: slice | Sequence[int] | NDArray[Any]) -> Clips:
        """Return a part of them, in the order that is asked for."""
        places = range(len(self))[rows] if isinstance(rows, slice) else np.asarray(rows, np.int64).tolist()

        def part(values: tuple[Any, ...] | None) -> tuple[Any, ...] | None:
            return None if values is None else tuple(values[row] for row in places)

        return replace(
            self,
            sources=tuple(self.sources[row] for row in places),
            names=tuple(self.names[row] for row in places),
            labels=part(self.labels),
            texts=part(self.texts),
            groups=part(self.groups),
        )

    def joined(self, other: Clips) -> Clips:
        """Return these and others as one."""

        def both(these: tuple[Any, ...] | None, more: tuple[Any, ...] | None) -> tuple[Any, ...] | None:
            return None if these is None or more is None else (*these, *more)

        return replace(
            self,
            sources=(*self.sources, *other.sources),
            names=(*self.names, *other.names),
            labels=both(self.labels, other.labels),
            texts=both(self.texts, other.texts),
            groups=both(self.groups, other.groups),
        )

    def contents(self) -> Iterator[bytes]:
        """Yield 16 bytes for each, the same for equal contents; nothing is decoded."""
        for source in self.sources:
            yield content_key(source)

    @property
    def fingerprint(self) -> tuple[Any, ...]:
        """What tells them from others in a checkpoint."""
        return list(self.contents()), self.labels, self.texts, self.groups


def content_key(source: Any) -> bytes:
    """Return 16 bytes of the content of a clip, the same for equal ones: a file, a folder of files, an array."""
    if not isinstance(source, (str, Path)):
        array = np.ascontiguousarray(source.frames if isinstance(source, Clip) else source)
        return hashlib.blake2b(array.tobytes(), digest_size=16, salt=repr(array.shape).encode()[:16]).digest()
    path = str(source)
    if not _is_folder(path):
        return digest_of(path)
    digest = hashlib.blake2b(digest_size=16)
    for name in sorted(files_in(path), key=pictures.natural):
        digest.update(name.encode())
        digest.update(digest_of(f"{path}/{name}"))
    return digest.digest()


def read_clip_table(
    source: Any,
    *,
    video: str | None = None,
    label: str | None = None,
    text: str | None = None,
    group: str | None = None,
    labelled: bool = False,
) -> Clips:
    """Read a table of clips, a row a clip; no clip is read yet.

    Args:
        source: a table (CSV, TSV, JSON lines, Parquet, a data frame, rows by name).
        video: the column of paths of clips, relative to the table (or to a folder beside it that is called `clips`,
            `videos`, `frames` or the like); `None`: found by its name.
        label: the column of classes; `None`: there are none, or with `labelled`: found by its name.
        text: the column of sentences; `None`: there are none.
        group: the column of what belongs together in a split; `None`: there is none.
        labelled: whether there must be classes.

    Raises:
        DataError: a cell is empty that must not be, or a clip is not there.
        ColumnError: a column is not there.
    """
    table = read_table(source)
    folder = Path(source).parent if isinstance(source, (str, Path)) else Path()
    video = video or _found(table, "video")
    label = label or (_found(table, "label") if labelled else None)
    table.require([video, *filter(None, (label, text, group))])
    if not table.rows:
        raise DataError(f"{table.origin} has no rows; expected a clip in each")
    shown = _cells(table, video, "must name a clip")

    def column(name: str | None, must: str) -> tuple[str, ...] | None:
        return None if name is None else tuple(_cells(table, name, must))

    return Clips(
        table.origin,
        tuple(located(shown, folder, table.origin)),
        tuple(shown),
        column(label, "must say the class of its clip"),
        column(text, "must say what its clip shows"),
        column(group, "must say what its clip belongs to"),
    )


def read_clips(
    source: Any,
    *,
    video: str | None = None,
    label: str | None = None,
    text: str | None = None,
    group: str | None = None,
    labelled: bool = True,
) -> Clips:
    """Read a set of clips of any form; no clip is read yet.

    Args:
        source: one of

            - a table, see `read_clip_table`;
            - a folder, `.zip` or `.tar` with a folder for each class, in which clips are files, or folders of pictures,
              of `.npy` files or of OpenPose's JSON files;
            - without labels: a clip, several, a folder of clips;
            - in memory: a list of arrays `(T, H, W)`, `(T, H, W, C)` or of landmarks, or paths; with labels as a pair
              `(clips, labels)`.
        video: the column of paths, see `read_clip_table`.
        label: the column of classes.
        text: the column of sentences.
        group: the column of what belongs together.
        labelled: whether there must be classes.

    Raises:
        DataError: there are no clips, or one is not there.
        UsageError: `source` is of another kind.
    """
    if isinstance(source, Clips):
        return source
    if isinstance(source, Clip):
        return _of_list([source])
    if isinstance(source, (str, Path)):
        path = str(source)
        if not path.strip():
            raise DataError("the path of the clips is empty; give a file, or a folder of clips")
        if _is_folder(path) or archive_of(path) is not None:
            return _of_folder(path, labelled)
        if PurePosixPath(path).suffix.lower() in files.SUFFIXES | pictures.SUFFIXES | {".npy", ".npz"}:
            if labelled:
                raise DataError(f"{path} is one clip without a class; expected a table, or a folder for each class")
            return Clips(path, (_one(path),), (path,))
        return read_clip_table(path, video=video, label=label, text=text, group=group, labelled=labelled)
    if isinstance(source, Mapping) or hasattr(source, "columns") or _is_rows(source):
        return read_clip_table(source, video=video, label=label, text=text, group=group, labelled=labelled)
    if not labelled:
        return _of_list([source] if hasattr(source, "shape") and np.ndim(source) <= 4 and _alone(source) else source)
    if not (isinstance(source, tuple) and len(source) == 2):
        raise UsageError(f"data is a {type(source).__name__}; expected a path, a table or a pair (clips, labels)")
    found, labels = _of_list(source[0]), list(source[1])
    if len(labels) != len(found):
        raise DataError(f"there are {len(found):,} clips and {len(labels):,} labels; expected one for each")
    missing = next((number for number, one in enumerate(labels, 1) if one is None or one != one), None)
    if missing is not None:
        raise DataError(f"clip {missing} has no label; give it one, or leave it out")
    return replace(found, labels=tuple(plain_value(one) for one in labels))


def located(paths: Sequence[str], folder: Path, origin: str) -> list[str]:
    """Return the clips that paths mean: files, folders, or what lies in an archive; any may lack its ending.

    Raises:
        DataError: some are not there: how many, and the first of them.
    """
    return locate(paths, folder, origin, _CLIPS)


def _one(path: str, before: str = "") -> str:
    """Return the clip that a path means which was given by itself.

    Raises:
        DataError: it is not there.
    """
    if not path.strip():
        raise DataError(f"{before}an empty path; expected a file or a folder of pictures")
    try:
        return located([path], Path(), path)[0]
    except DataError as error:
        if archive_of(path) is not None:
            raise
        raise DataError(f"{before}{path}{', which' if before else ''} does not exist; check the path") from error


def _endings(path: Path) -> Iterable[Path]:
    return (path, *(path.with_name(path.name + ending) for ending in _ENDINGS if path.name))


_CLIPS = Sought("clips", _BESIDE, _endings, folders=True)


def _found(table: Table, role: str) -> str:
    lower = {name.lower(): name for name in reversed(list(table.columns))}
    found = next((lower[name] for name in _NAMES[role] if name in lower), None)
    if found is None:
        shown = ", ".join(f'"{name}"' for name in list(table.columns)[:12])
        what = "clips" if role == "video" else "classes"
        raise ColumnError(
            f"{table.origin} has no column that is called as one of {what}; name it: --{role}; it has {shown}"
        )
    return found


def _cells(table: Table, name: str, must: str) -> list[str]:
    found = texts(table, name, ())
    row = next((row for row, cell in enumerate(found) if cell is None or not cell.strip()), None)
    if row is not None:
        raise DataError(f'{table.place(row)}: column "{name}" is empty, but {must}; fill it in, or leave the row out')
    return [(cell or "").strip() for cell in found]


def _is_rows(source: Any) -> bool:
    return isinstance(source, (list, tuple)) and bool(source) and all(isinstance(row, Mapping) for row in source)


def _alone(array: Any) -> bool:
    """Tell whether an array is one clip: frames of pictures or landmarks, not several clips of them."""
    return bool(np.ndim(array) == 3 or (np.ndim(array) == 4 and array.shape[3] in (1, 2, 3, 4)) or np.ndim(array) == 2)


def _of_list(given: Any) -> Clips:
    if isinstance(given, (str, Path)) or not hasattr(given, "__len__"):
        raise UsageError(f"clips are a {type(given).__name__}; expected a list, each a path or an array")
    if not len(given):
        raise DataError("there are no clips; expected one or more")
    sources, names = list[Any](), list[str]()
    for number, one in enumerate(given, 1):
        if isinstance(one, (str, Path)):
            sources.append(_one(str(one), f"clip {number} is "))
            names.append(str(one))
            continue
        if isinstance(one, Clip):
            sources.append(one)
            names.append(one.name)
            continue
        array = _as_array(one, number)
        if array.dtype.kind not in "biuf" or not 2 <= array.ndim <= 4:
            raise UsageError(
                f"clip {number} is a {type(one).__name__} of shape {array.shape}; expected a path or an array "
                "(T, H, W, C) or (T, features)"
            )
        sources.append(array)
        names.append(f"clip {number}")
    return Clips("the clips" if len(sources) > 1 else names[0], tuple(sources), tuple(names))


def _as_array(one: Any, number: int) -> NDArray[Any]:
    try:
        return np.asarray(one.detach().cpu() if hasattr(one, "detach") else one)
    except (TypeError, ValueError) as error:
        raise UsageError(f"clip {number} is no array ({str(error)[:80]}); expected (T, H, W, C)") from error


def _is_folder(path: str) -> bool:
    try:
        if Path(path).is_dir():
            return True
        found = archive_of(path)
        if found is None:
            return PurePosixPath(path).suffix.lower() in ARCHIVES and Path(path).is_file()
        home = f"{found[1].rstrip('/')}/"
        return any(name.startswith(home) for name in members(found[0]))
    except (OSError, ValueError):
        return False


def _of_folder(path: str, labelled: bool) -> Clips:
    """Return the clips of a folder of folders."""
    clips = list(_clips_below(path))
    if not clips:
        raise DataError(f"{path} holds no clips; expected video files, or folders of pictures or of landmarks")
    clips.sort(key=lambda one: pictures.natural(one))
    sources = tuple(path if one == "" else f"{path}/{one}" for one in clips)
    names = tuple(one or path for one in clips)
    if not labelled:
        return Clips(path, sources, names)
    classes = [PurePosixPath(one).parts[:-1] for one in clips]
    if not all(classes):
        raise DataError(
            f"{path} has clips without a class, such as {clips[[bool(one) for one in classes].index(False)] or path}; "
            "expected a folder for each class, or a table"
        )
    return Clips(path, sources, names, tuple(one[-1] for one in classes))


def _clips_below(path: str) -> Iterator[str]:
    """Yield the clips below a folder by their paths in it: files, and folders whose files are the frames of one."""
    alone = files.SUFFIXES | {".npz"}
    for home, names in _folders(path):
        suffixes = [PurePosixPath(name).suffix.lower() for name in names]
        videos = [name for name, suffix in zip(names, suffixes, strict=True) if suffix in alone]
        if videos:
            yield from (f"{home}/{name}" if home else name for name in videos)
        arrays = [name for name, suffix in zip(names, suffixes, strict=True) if suffix == ".npy"]
        if arrays and not videos and all(PurePosixPath(name).stem.isdigit() for name in arrays):
            yield home  # numbered arrays: each a frame
        else:
            yield from (f"{home}/{name}" if home else name for name in arrays)
        if not videos and not arrays and any(suffix in pictures.SUFFIXES | {".json"} for suffix in suffixes):
            yield home


def _folders(path: str) -> Iterable[tuple[str, list[str]]]:
    """Return every folder below one by its path in it, with the names of its files."""
    found: dict[str, list[str]] = {}
    inside = archive_of(path)
    if inside is None and not Path(path).is_dir():
        inside = Path(path), ""
    if inside is not None:
        home = f"{inside[1].rstrip('/')}/" if inside[1] else ""
        names = [name.removeprefix(home) for name in members(inside[0]) if name.startswith(home)]
    else:
        names = [Path(home, name).relative_to(path).as_posix() for home, _, below in os.walk(path) for name in below]
    for name in names:
        if not any(part.startswith((".", "__MACOSX")) for part in name.split("/")):
            parent = str(PurePosixPath(name).parent)
            found.setdefault("" if parent == "." else parent, []).append(PurePosixPath(name).name)
    return found.items()
