"""A fitted model as a folder that holds only data: `model.json` and a safetensors file.

The weights' file is named by its checksum and `model.json`, which names it, is replaced in one rename. So a save that
is killed at any moment leaves the model that was there before, or the new one; and a model can be saved over another.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ostinato.errors import ArtifactError, CorruptArtifact, NewerArtifact
from ostinato.files import make_folder, write_atomically

FORMAT = 1
_MANIFEST = "model.json"
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

    make_folder(folder)
    weights = save({name: np.ascontiguousarray(array) for name, array in tensors.items()})
    checksum = hashlib.sha256(weights).hexdigest()
    name = f"weights-{checksum[:12]}.safetensors"
    core = {"kind": kind, "versions": versions(), "weights": {"file": name, "sha256": checksum}, "body": _to_json(body)}
    manifest = {"format": FORMAT, "sha256": _checksum(core), **core}
    if not (folder / name).exists() or hashlib.sha256((folder / name).read_bytes()).hexdigest() != checksum:
        write_atomically(folder / name, weights)
    write_atomically(folder / _MANIFEST, json.dumps(manifest, indent=1, allow_nan=False).encode())
    for stale in folder.glob("weights-*.safetensors"):
        if stale.name != name:
            stale.unlink(missing_ok=True)


def load_artifact(folder: Path, kind: str) -> Artifact:
    """Read a model; nothing in it is ever executed.

    Raises:
        ArtifactError: there is no model in the folder, or one of another kind.
        CorruptArtifact: it is cut short or was changed.
        NewerArtifact: it was written in a newer format.
    """
    manifest = _read_manifest(folder)
    if manifest["kind"] != kind:
        raise ArtifactError(f'{folder} holds a model of kind "{manifest["kind"]}"; expected "{kind}"')
    name, checksum = manifest["weights"]["file"], manifest["weights"]["sha256"]
    path = folder / Path(name).name
    try:
        content = path.read_bytes()
    except OSError as error:
        raise CorruptArtifact(
            f"{folder}: its file {name} is missing or cannot be read; copy the model again"
        ) from error
    if hashlib.sha256(content).hexdigest() != checksum:
        raise CorruptArtifact(f"{path} is cut short or was changed (its checksum differs); copy the model again")
    from safetensors.numpy import load

    return Artifact(kind, _from_json(manifest["body"]), load(content), manifest["versions"])


def _read_manifest(folder: Path) -> dict[str, Any]:
    path = folder / _MANIFEST
    if not folder.is_dir() or not path.exists():
        raise ArtifactError(f"{folder} holds no model (no {_MANIFEST}); give the folder that `fit` or `save` wrote")
    try:
        manifest = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise CorruptArtifact(f"{path} is cut short or was changed (it is no JSON); copy the model again") from error
    if not isinstance(manifest, dict) or not isinstance(manifest.get("format"), int):
        raise CorruptArtifact(f"{path} does not say its format; it is no model of this package, or was changed")
    if manifest["format"] > FORMAT:
        raise NewerArtifact(
            f"{folder} was written in format {manifest['format']}, but this version reads up to {FORMAT}; "
            "upgrade: pip install -U ostinato"
        )
    core = {key: manifest.get(key) for key in ("kind", "versions", "weights", "body")}
    if manifest.get("sha256") != _checksum(core):
        raise CorruptArtifact(f"{path} was changed (its checksum differs); copy the model again")
    return manifest


def _checksum(core: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(core, sort_keys=True, allow_nan=False).encode()).hexdigest()


def _to_json(value: Any) -> Any:
    """Return plain data that strict JSON can hold: numbers that are not finite become `{"$float": "nan"}`."""
    if isinstance(value, Mapping):
        return {str(key): _to_json(own) for key, own in value.items()}
    if isinstance(value, (list, tuple)):
        return [_to_json(own) for own in value]
    if isinstance(value, np.generic):
        return _to_json(value.item())
    if isinstance(value, float) and not math.isfinite(value):
        return {"$float": str(value)}
    return value


def _from_json(value: Any) -> Any:
    if isinstance(value, dict):
        if set(value) == {"$float"}:
            return float(value["$float"])
        return {key: _from_json(own) for key, own in value.items()}
    if isinstance(value, list):
        return [_from_json(own) for own in value]
    return value
