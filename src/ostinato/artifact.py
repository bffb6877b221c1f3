"""A fitted model as a folder that holds only data: `model.json` and a safetensors file.

The weights' file is named by its checksum and `model.json`, which names it, is replaced in one rename. So a save that
is killed at any moment leaves the model that was there before, or the new one; and a model can be saved over another.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ostinato.errors import ArtifactError, CorruptArtifact, NewerArtifact, OutputError
from ostinato.files import (
    delete_quietly,
    make_folder,
    reason,
    remove_empty_folders,
    sweep_leftovers,
    write_atomically,
)

FORMAT = 1
_MANIFEST = "model.json"
_WEIGHTS = r"weights-[0-9a-f]{12}\.safetensors"
_LIBRARIES = ("ostinato", "torch", "numpy", "polars", "safetensors", "lightning-fabric", "scipy")


@dataclass(frozen=True)
class Artifact:
    """What was read from a model's folder: `body` is plain data, `tensors` NumPy arrays by name."""

    kind: str
    body: dict[str, Any]
    tensors: dict[str, NDArray[Any]]
    versions: dict[str, str]


def versions() -> dict[str, str]:
    """Return the installed versions of the libraries that a model's numbers depend on."""
    return dict(_versions())


@cache
def _versions() -> dict[str, str]:
    """Read them once in a process: they lie in files of which each takes milliseconds."""
    found = {}
    for name in _LIBRARIES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def save_artifact(folder: Path, kind: str, body: Mapping[str, Any], tensors: Mapping[str, NDArray[Any]]) -> None:
    """Write a model.

    Args:
        folder: where; made if it is not there. Files of the user's own in it are left alone.
        kind: what sort of model it is, such as `"forecaster"`.
        body: plain data: strings, numbers (NaN and infinities too), booleans, lists, mappings with text keys.
        tensors: arrays by name.

    Raises:
        OutputError: the folder cannot be written; what was there before still is.
    """
    from safetensors.numpy import save

    weights = save({name: np.asarray(array, order="C") for name, array in tensors.items()})
    checksum = hashlib.sha256(weights).hexdigest()
    path = folder / f"weights-{checksum[:12]}.safetensors"
    core = {
        "kind": kind,
        "versions": versions(),
        "weights": {"file": path.name, "sha256": checksum},
        "body": _to_json(body),
    }
    manifest = json.dumps({"format": FORMAT, "sha256": _checksum(core), **core}, indent=1, allow_nan=False).encode()
    _write(path, weights, manifest)
    _sweep(folder, path.name)


def _write(path: Path, weights: bytes, manifest: bytes) -> None:
    """Write the weights and then the manifest beside them; if either fails, nothing new stays."""
    folders = make_folder(path.parent)
    new = not path.exists()
    try:
        if not _holds(path, weights):
            write_atomically(path, weights)
        write_atomically(path.parent / _MANIFEST, manifest)
    except OutputError:
        if new:
            delete_quietly(path)
        remove_empty_folders(folders)
        raise


def _holds(path: Path, content: bytes) -> bool:
    try:
        return path.read_bytes() == content
    except OSError:
        return False


def _sweep(folder: Path, current: str) -> None:
    """Delete the weights of earlier saves, and what killed ones left; the manifest names `current` alone."""
    for stale in folder.iterdir():
        if re.fullmatch(_WEIGHTS, stale.name) and stale.name != current:
            delete_quietly(stale)
    sweep_leftovers(folder, _WEIGHTS)


def kind_of(folder: Path) -> str:
    """Return what sort of model a folder holds; errors as `load_artifact`."""
    return _read_manifest(folder).kind


def load_artifact(folder: Path, kind: str) -> Artifact:
    """Read a model; nothing in it is ever executed.

    Raises:
        ArtifactError: there is no model in the folder, or one of another kind.
        CorruptArtifact: it is cut short, was changed, or is not a model of this package at all.
        NewerArtifact: it was written in a newer format.
    """
    manifest = _read_manifest(folder)
    if manifest.kind != kind:
        raise ArtifactError(f'{folder} holds a model of kind "{manifest.kind}"; expected "{kind}"')
    return Artifact(kind, manifest.body, _read_weights(folder, manifest), manifest.versions)


@dataclass(frozen=True)
class _Manifest:
    """What `model.json` says, once its types are checked."""

    kind: str
    versions: dict[str, str]
    file: str
    sha256: str
    body: dict[str, Any]


def _read_manifest(folder: Path) -> _Manifest:
    path = folder / _MANIFEST
    plain = _parse(path)
    if not isinstance(plain, dict) or type(plain.get("format")) is not int or plain["format"] < 1:
        raise CorruptArtifact(f"{path} does not say its format; it is no model of this package, or was changed")
    if plain["format"] > FORMAT:
        raise NewerArtifact(
            f"{folder} was written in format {plain['format']}, but this version reads up to {FORMAT}; "
            "upgrade: pip install -U ostinato"
        )
    core = {key: plain.get(key) for key in ("kind", "versions", "weights", "body")}
    try:
        changed = plain.get("sha256") != _checksum(core)
    except RecursionError as error:
        raise _foreign(path) from error
    if changed:
        raise CorruptArtifact(f"{path} was changed (its checksum differs); copy the model again")
    return _checked(path, core)


def _parse(path: Path) -> Any:
    try:
        content = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError, ValueError) as error:  # a path with a zero byte is a ValueError
        raise ArtifactError(
            f"{path.parent} holds no model (no {_MANIFEST}); give the folder that `fit` or `save` wrote"
        ) from error
    except OSError as error:
        raise ArtifactError(f"{path} cannot be read ({reason(error)}); check the path and its permissions") from error
    try:
        return json.loads(content, parse_constant=_refuse, parse_int=_whole, parse_float=_finite)
    except (ValueError, RecursionError) as error:
        raise CorruptArtifact(f"{path} is cut short or was changed ({_why(error)}); copy the model again") from error


def _why(error: Exception) -> str:
    return "it is no JSON" if isinstance(error, (json.JSONDecodeError, RecursionError)) else str(error)[:80]


def _refuse(name: str) -> float:
    raise ValueError(f"{name} is no JSON")


def _whole(text: str) -> int:
    """Return a whole number; those of more digits than 64 bits hold are none of a model's."""
    if len(text) > 20:
        raise ValueError(f"{text[:20]}... is no number of a model")
    return int(text)


def _finite(text: str) -> float:
    found = float(text)
    if math.isinf(found):
        raise ValueError(f"{text[:20]} is no number of a model")
    return found


def _checked(path: Path, core: Mapping[str, Any]) -> _Manifest:
    """Return the manifest with its types checked: one whose checksum fits may still be another program's."""
    kind, libraries, weights = core["kind"], core["versions"], core["weights"]
    try:
        body = _from_json(core["body"])
        file, sha256 = weights["file"], weights["sha256"]
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        raise _foreign(path) from error
    texts = [kind, file, sha256, *(libraries.values() if isinstance(libraries, dict) else [None])]
    if not all(isinstance(text, str) for text in texts) or not isinstance(body, dict):
        raise _foreign(path)
    return _Manifest(kind, libraries, file, sha256, body)


def _foreign(path: Path) -> CorruptArtifact:
    return CorruptArtifact(
        f"{path} does not say what a model needs (kind, versions, weights, body); it is no model of this package"
    )


def _read_weights(folder: Path, manifest: _Manifest) -> dict[str, NDArray[Any]]:
    from safetensors import SafetensorError
    from safetensors.numpy import load

    if not re.fullmatch(_WEIGHTS, manifest.file):
        raise _foreign(folder / _MANIFEST)
    path = folder / manifest.file
    try:
        content = path.read_bytes()
    except OSError as error:
        raise CorruptArtifact(
            f"{folder}: its file {path.name} is missing or cannot be read; copy the model again"
        ) from error
    if hashlib.sha256(content).hexdigest() != manifest.sha256:
        raise CorruptArtifact(f"{path} is cut short or was changed (its checksum differs); copy the model again")
    try:
        return load(content)
    except (SafetensorError, KeyError, TypeError, ValueError) as error:
        # a type that NumPy lacks, such as bfloat16, is a KeyError
        raise CorruptArtifact(f"{path} is no safetensors file that NumPy can hold ({error}); fit it again") from error


def _checksum(core: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(core, sort_keys=True).encode()).hexdigest()


def _to_json(value: Any) -> Any:
    """Return plain data that strict JSON can hold: numbers that are not finite become `{"$float": "nan"}`."""
    if isinstance(value, Mapping):
        return {str(key): _to_json(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_to_json(each) for each in value]
    if isinstance(value, np.generic):
        return _to_json(value.item())
    if isinstance(value, float) and not math.isfinite(value):
        return {"$float": str(value)}
    return value


def _from_json(value: Any) -> Any:
    if isinstance(value, dict):
        if set(value) == {"$float"}:
            return float(value["$float"])
        return {key: _from_json(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_from_json(each) for each in value]
    return value
