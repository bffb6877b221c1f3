"""The tasks there are, by name and by kind; a task is imported when it is used."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from ostinato.errors import ArtifactError, UsageError
from ostinato.options import Cell
from ostinato.tasks.base.about import About

GROUP = "ostinato.tasks"
"""The group of entry points in which a package names its tasks: `name = "module:Estimator"`."""


@dataclass(frozen=True)
class Home:
    """Where a task lives.

    Args:
        name: as it is typed after `fit`; kind: as a model's folder has it.
        parameters, estimator: `"module:name"` of both classes; the first is imported without PyTorch.
    """

    name: str
    kind: str
    parameters: str
    estimator: str

    def parameters_class(self) -> Any:
        """Return the dataclass of the parameters."""
        return _found(self.parameters)

    def estimator_class(self) -> Any:
        """Return the estimator."""
        return _found(self.estimator)

    def takes(self, source: str) -> bool:
        """Tell whether the task says of a path that it is a source of its own, see `About.takes`."""
        return bool(self.about.takes) and bool(_found(self.about.takes)(source))

    @property
    def about(self) -> About:
        """What the task says of itself."""
        about: About = self.parameters_class().about
        return about


def _ours(name: str, kind: str, folder: str, module: str, estimator: str, prefix: str) -> Home:
    where = f"ostinato.tasks.{folder}"
    return Home(name, kind, f"{where}.{module}:{prefix}Parameters", f"{where}:{estimator}")


_TASKS: dict[str, Home] = {
    home.name: home
    for home in (
        _ours("forecast", "forecaster", "forecast", "parameters", "Forecaster", "Forecast"),
        _ours("language", "language model", "language", "parameters", "LanguageModel", "Language"),
        _ours("translation", "translator", "translate", "parameters", "Translator", "Translation"),
        _ours("classification", "text classifier", "classify", "parameters", "TextClassifier", "Text"),
        _ours("sequences", "sequence classifier", "classify", "parameters", "SequenceClassifier", "Sequence"),
        _ours("tagging", "sequence tagger", "tag", "parameters", "SequenceTagger", "Tag"),
        _ours("events", "event predictor", "events", "parameters", "EventPredictor", "Event"),
        _ours("speech", "speech recogniser", "speech", "parameters", "Transcriber", "Speech"),
        _ours("monitor", "patient monitor", "monitor", "parameters", "PatientMonitor", "Monitor"),
        _ours("progression", "progression model", "progression", "parameters", "ProgressionModel", "Progression"),
        _ours("anomaly", "anomaly detector", "anomaly", "parameters", "AnomalyDetector", "Anomaly"),
        _ours("video", "video classifier", "video", "parameters", "VideoClassifier", "Video"),
        Home(
            "video-anomaly",
            "video anomaly detector",
            "ostinato.tasks.video_anomaly.parameters:VideoAnomalyParameters",
            "ostinato.tasks.video_anomaly:VideoAnomalyDetector",
        ),
        _ours("music", "composer", "music", "parameters", "Composer", "Music"),
        _ours("captions", "captioner", "captions", "parameters", "Captioner", "Caption"),
    )
}


def register(estimator: type) -> type:
    """Make a task of one's own known, in this process, to the command line and to `load`; for a class statement.

    Packages name theirs in the entry points of the group `ostinato.tasks`; they are then known wherever the package is
    installed.

    Raises:
        UsageError: there is another task of that name.
    """
    about: About = estimator.about  # type: ignore[attr-defined]
    where = f"{estimator.__module__}:{estimator.__qualname__}"
    known = _TASKS.get(about.name)
    if known is not None and known.estimator != where:
        raise UsageError(f'there is a task "{about.name}" already, {known.estimator}; give this one another name')
    _TASKS[about.name] = Home(about.name, about.kind, where, where)
    _CLASSES[where] = estimator
    return estimator


def homes() -> dict[str, Home]:
    """Return all tasks by name: ours, those registered, those of installed packages."""
    return {**_installed(), **_TASKS}


def load(folder: str | Path, *, cell: Cell | None = None) -> Any:
    """Read a model that `save` wrote, of whichever task; nothing in it is executed.

    Args:
        folder: where it is.
        cell: the class or function of the model's cell, if it was fitted with one of the user's own.

    Returns:
        An estimator of the task, fitted.

    Raises:
        ArtifactError: it is no model, is cut short or changed, or was written by a newer version.
    """
    from ostinato.artifact import kind_of

    kind = kind_of(Path(folder))
    home = next((each for each in homes().values() if each.kind == kind), None)
    if home is None:
        raise ArtifactError(
            f'{folder} holds a model of kind "{kind}", which this version does not know; upgrade ostinato, or install '
            "the package that the task is from"
        )
    return home.estimator_class().load(folder, **({} if cell is None else {"cell": cell}))


_CLASSES: dict[str, type] = {}


def _found(where: str) -> Any:
    if where in _CLASSES:
        return _CLASSES[where]
    module, _, name = where.partition(":")
    return getattr(importlib.import_module(module), name)


@cache
def _installed() -> dict[str, Home]:
    from importlib.metadata import entry_points

    found = {}
    for point in entry_points(group=GROUP):
        about: About = point.load().about
        found[about.name] = Home(about.name, about.kind, point.value, point.value)
    return found
