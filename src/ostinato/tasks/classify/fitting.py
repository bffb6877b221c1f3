"""One fit, from data to a trained and calibrated network and its summary; the same for texts and for sequences."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ostinato.errors import NonFiniteLoss, UsageError
from ostinato.files import make_folder
from ostinato.nn.losses import class_weights
from ostinato.tasks.classify.batches import ClassObjective, ExampleBatches, scores_of
from ostinato.tasks.classify.calibration import find_temperature
from ostinato.tasks.classify.examples import Classes, Examples, Integers
from ostinato.tasks.classify.metrics import Prediction
from ostinato.tasks.classify.network import ClassifierNetwork, NetworkSettings
from ostinato.tasks.classify.parts import Part, Parts, check_enough, read_parts
from ostinato.tasks.base.summary import Panel, Summary
from ostinato.training import History, TrainingConfig, train

_STEPS, _FEWEST_EPOCHS, _MOST_EPOCHS = 1750, 8, 100


class Task(Protocol):
    """What texts and numeric sequences each know of themselves."""

    kind: str
    parameters: Mapping[str, Any]

    def check(self, tested: bool) -> None:
        """Refuse, before anything is trained, what would fail after it."""

    def read(self, data: Any, *, labelled: bool = True, channels: tuple[str, ...] = ()) -> Examples:
        """Read examples."""

    def encoder(self, training: Examples) -> Any:
        """Return what turns examples into arrays, fitted on the training part."""

    def vectors(self, encoder: Any) -> NDArray[np.float32] | None:
        """Return vectors of tokens to start from, if there are any."""

    def sizes(self, encoder: Any, vectors: NDArray[np.float32] | None) -> dict[str, Any]:
        """Return the settings of the network that depend on the data."""

    def baselines(self, parts: Parts, encoder: Any) -> dict[str, Prediction]:
        """Return what simpler models tell of the test part."""

    def described(self, encoder: Any) -> list[tuple[str, str]]:
        """Return what there is to say of the data."""

    def show(self, part: Part, row: int) -> str:
        """Return an example in a line."""

    def panels(self, network: ClassifierNetwork, part: Part, classes: Classes, encoder: Any) -> list[Panel]:
        """Return what is to be seen beside the panels that all classifiers have."""


@dataclass(frozen=True)
class Fitted:
    """A fitted classifier; `failure` is set when training broke off but left good weights."""

    network: ClassifierNetwork
    encoder: Any
    classes: Classes
    temperature: float
    history: History
    summary: Summary
    failure: NonFiniteLoss | None = None


def fit_classifier(task: Task, data: Any, validation: Any, test: Any, directory: Path | None, resume: bool) -> Fitted:
    """Read examples, train on them, calibrate on the validation part, compare on the test part."""
    from ostinato.tasks.classify.summarising import summarise

    parameters = task.parameters
    task.check(test is not None or parameters["test"] > 0)
    parts, encoder = read_parts(
        parameters, lambda own, channels: task.read(own, channels=channels), task.encoder, data, validation, test
    )
    check_enough(parts.train)
    config = TrainingConfig.of({**parameters, "epochs": _epochs(parameters, len(parts.train))})
    network = _network(task, encoder, len(parts.classes), config.seed)
    weights = loss_weights(parameters["class_weights"], parts.classes, parts.train.targets)
    if not 0 <= parameters["label_smoothing"] < 1:
        raise UsageError(
            f"label_smoothing is {parameters['label_smoothing']}; expected a share from 0 to 1, 1 excluded"
        )
    objective = ClassObjective(weights, parameters["label_smoothing"])
    if directory is not None:
        make_folder(directory)
    history, failure = _train(network, objective, parts, config, parameters["batch_size"], directory, resume)
    temperature = 1.0
    if parts.validation is not None:
        temperature = find_temperature(scores_of(network, parts.validation.arrays), parts.validation.targets)
    summary = summarise(task, network, encoder, parts, temperature, history)
    return Fitted(network, encoder, parts.classes, temperature, history, summary, failure)


def _epochs(parameters: Mapping[str, Any], examples: int) -> int:
    """Return the passes that were asked for, or as many as make enough steps for a set of this size."""
    if parameters["epochs"] is not None:
        return int(parameters["epochs"])
    batches = math.ceil(examples / max(parameters["batch_size"], 1))
    return int(np.clip(round(_STEPS / batches), _FEWEST_EPOCHS, _MOST_EPOCHS))


def _network(task: Task, encoder: Any, classes: int, seed: int) -> ClassifierNetwork:
    vectors = task.vectors(encoder)
    own = {
        field.name: task.parameters[field.name] for field in fields(NetworkSettings) if field.name in task.parameters
    }
    settings = NetworkSettings(**{**own, **task.sizes(encoder, vectors), "classes": classes})
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return ClassifierNetwork(settings, vectors)


def loss_weights(given: Any, classes: Classes, targets: Integers) -> Tensor | None:
    """Return how much each class counts in the loss, as `class_weights` says; `None`: all alike."""
    if given is None or given == "none":
        return None
    if given == "balanced":
        return class_weights(torch.from_numpy(np.bincount(targets, minlength=len(classes))))
    if not isinstance(given, Mapping):
        raise UsageError(f'class_weights is {given!r}; expected "none", "balanced" or a mapping from labels to weights')
    named = {place: float(given[name]) for (_, name), place in classes.places(set(given)).items()}
    if len(named) < len(given) or set(named) != set(range(len(classes))):
        names, wanted = sorted(map(str, given)), ", ".join(map(str, classes.names))
        raise UsageError(f"class_weights names {', '.join(names)}; expected a weight for each of {wanted}")
    weights = torch.tensor([named[place] for place in range(len(classes))])
    if not bool((weights >= 0).all()) or not bool((weights > 0).any()):
        raise UsageError(f"class_weights are {weights.tolist()}; expected none below zero and one above")
    return weights


def _train(
    network: ClassifierNetwork,
    objective: ClassObjective,
    parts: Parts,
    config: TrainingConfig,
    batch_size: int,
    directory: Path | None,
    resume: bool,
) -> tuple[History, NonFiniteLoss | None]:
    batches = ExampleBatches(parts.train.arrays, parts.train.targets, batch_size=batch_size, seed=config.seed)
    held_out = None
    if parts.validation is not None:
        own = parts.validation
        held_out = ExampleBatches(own.arrays, own.targets, batch_size=max(batch_size, 64), shuffle=False)
    fingerprint = f"{parts.fingerprint} {asdict(network.settings)} {objective.weights} {objective.smoothing}"
    try:
        history = train(
            network, objective, batches, held_out, config,
            directory=directory, resume=resume, fingerprint=fingerprint,
        )  # fmt: skip
        failure = None
    except NonFiniteLoss as error:
        if not error.history.rows:
            raise
        failure, history = error, error.history
    network.eval()
    return history, failure


def trained_weights(network: ClassifierNetwork) -> int:
    """Return how many weights were trained."""
    return sum(own.numel() for own in network.parameters() if own.requires_grad)
