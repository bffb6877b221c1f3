"""A fitted model to a folder and back, of any task."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ostinato.artifact import Artifact, load_artifact, save_artifact
from ostinato.errors import ArtifactError, CorruptArtifact, OstinatoError, UsageError
from ostinato.nn.by_name import cell_name
from ostinato.options import Cell, parameters_of, values_of
from ostinato.tasks.base.baselines import AnyTask
from ostinato.tasks.base.codec import Arrays, from_plain, to_plain
from ostinato.tasks.base.fitting import Fitted
from ostinato.tasks.base.judging import scores_from
from ostinato.tasks.base.restoring import restored
from ostinato.tasks.base.running import Run
from ostinato.tasks.base.summary import Summary, summary_from
from ostinato.tasks.base.task import Model
from ostinato.training.history import History

_NETWORK = "network."
_CELL = "$cell"
_LAYOUT = 2
_WRONG = (LookupError, TypeError, ValueError, AttributeError, RuntimeError, ArithmeticError, UsageError)


def save(folder: Path, estimator: Any, fitted: Fitted) -> None:
    """Write a model; `estimator` has the parameters as they are now.

    Raises:
        OutputError: the folder cannot be written.
    """
    arrays: Arrays = {}
    body = {
        "layout": _LAYOUT,
        "parameters": _plain(values_of(estimator)),
        "fitted": _plain(values_of(fitted.model.parameters)),
        "encoder": to_plain(fitted.model.encoder, "encoder", arrays),
        "baselines": {
            name: {"type": type(baseline).__name__, "value": to_plain(baseline, f"baseline.{i}", arrays)}
            for i, (name, baseline) in enumerate(fitted.baselines.items())
        },
        "left_out": dict(fitted.left_out),
        "compared": fitted.compared,
        "seconds": dict(fitted.seconds),
        "history": to_plain(fitted.run.history, "history", arrays),
        "scores": None if fitted.scores is None else fitted.scores.plain(),
        "summary": fitted.summary.plain(),
    }
    weights = {_NETWORK + name: value for name, value in weights_of(fitted.model.network).items()}
    save_artifact(folder, estimator.about.kind, body, {**weights, **arrays})


def weights_of(network: Any) -> dict[str, NDArray[Any]]:
    """Return the weights of a network; one that has several names is there once."""
    seen: dict[int, str] = {}
    found: dict[str, NDArray[Any]] = {}
    for name, value in network.state_dict(keep_vars=True).items():
        if seen.setdefault(id(value), name) == name:
            found[name] = np.asarray(value.detach().cpu().numpy())
    return found


def load_parameters(kind: type, folder: Path, cell: Cell | None) -> tuple[Artifact, Any, Any]:
    """Return what a folder holds, the estimator as it was saved and as it was when it was fitted.

    Raises:
        ArtifactError: it is no model of this kind, or has a cell of the user's own that is not handed in.
    """
    artifact = load_artifact(folder, kind.about.kind)  # type: ignore[attr-defined]
    if artifact.body.get("layout") != _LAYOUT:
        version = artifact.versions.get("ostinato", "of unknown version")
        raise ArtifactError(
            f"{folder} was written by an earlier ostinato ({version}), which kept models in another form: fit it again "
            f"on its data, with the parameters that `ostinato report {folder}` of that one shows, and save it"
        )
    try:
        saved = _estimator(kind, artifact.body["parameters"], folder, cell)
        fitted = _estimator(kind, artifact.body["fitted"], folder, cell)
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        raise _corrupt(folder, kind, error) from error
    return artifact, saved, fitted


def load(task: AnyTask, kind: type, folder: Path, cell: Cell | None) -> tuple[Any, Fitted]:
    """Return an estimator that was saved, and what its fit gave; nothing in the folder is executed.

    Raises:
        ArtifactError: it is no model, is cut short or changed, or was written by another version.
    """
    artifact, estimator, parameters = load_parameters(kind, folder, cell)
    try:
        return estimator, _fitted(task, parameters, artifact)
    except ArtifactError:
        raise
    except (*_WRONG, OstinatoError) as error:
        raise _corrupt(folder, kind, error) from error


def _fitted(task: AnyTask, parameters: Any, artifact: Artifact) -> Fitted:
    body, arrays = artifact.body, artifact.tensors
    encoder = from_plain(task.encoder_type, body["encoder"], arrays)
    weights = {name.removeprefix(_NETWORK): array for name, array in arrays.items() if name.startswith(_NETWORK)}
    sizes = {"parameters": _sizes(parameters), "encoder": getattr(encoder, "sizes", {})}
    network = restored(lambda: task.network(parameters, encoder, None), sizes, weights)
    model = Model(parameters, encoder, network)
    types = {kind.__name__: kind for kind in task.baseline_types}
    baselines = {
        name: from_plain(types[value["type"]], value["value"], arrays) for name, value in body["baselines"].items()
    }
    scores = None if body["scores"] is None else scores_from(body["scores"])
    history: History = from_plain(History, body["history"], arrays)
    summary: Summary = summary_from(body["summary"])
    # models of earlier versions were always compared
    left_out: Mapping[str, str] = from_plain(Mapping[str, str], body.get("left_out", {}), arrays)
    compared: bool = from_plain(bool, body.get("compared", True), arrays)
    seconds: Mapping[str, float] = from_plain(Mapping[str, float], body.get("seconds", {}), arrays)
    return Fitted(model, Run(history), baselines, scores, summary, left_out, compared, seconds)


def _sizes(parameters: Any) -> dict[str, Any]:
    """Return the whole numbers that a network may be made of, which must fit its weights."""
    given = {one.name: getattr(parameters, one.name) for one in parameters_of(type(parameters)) if one.group == "model"}
    return {name: value for name, value in given.items() if not callable(value) and name not in parameters.unsized}


def _plain(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: {_CELL: cell_name(value)} if callable(value) else value for name, value in values.items()}


def _estimator(kind: type, plain: Mapping[str, Any], folder: Path, cell: Cell | None) -> Any:
    values = {}
    for each in parameters_of(kind):
        if each.name not in plain:
            if each.default is MISSING:
                raise ValueError(f'it has no "{each.name}"')
            continue
        value = plain[each.name]
        if isinstance(value, Mapping) and _CELL in value:
            value = _handed_in(cell, str(value[_CELL]), folder)
        values[each.name] = tuple(value) if isinstance(value, list) else value
        if problem := each.problem(values[each.name]):
            raise ValueError(problem)
    unknown = sorted(set(plain) - {each.name for each in parameters_of(kind)})
    if unknown:
        raise ValueError(f'it has a parameter "{unknown[0]}", which this version does not know')
    return kind(**values)


def _handed_in(cell: Cell | None, name: str, folder: Path) -> Cell:
    if cell is None:
        raise ArtifactError(
            f"{folder} was fitted with a cell of your own, {name}; hand it in, in Python: "
            f'ostinato.load("{folder}", cell={name})'
        )
    if cell_name(cell) != name:
        raise ArtifactError(f"{folder} was fitted with the cell {name}, not {cell_name(cell)}; hand that one in")
    return cell


def _corrupt(folder: Path, kind: Any, error: Exception) -> CorruptArtifact:
    return CorruptArtifact(f"{folder} lacks what a {kind.about.kind} needs ({error}); fit it again")
