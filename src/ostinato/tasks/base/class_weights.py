"""How much each class counts in a loss."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from ostinato.errors import UsageError
from ostinato.nn.losses import class_weights
from ostinato.tasks.base.labels import Classes, Integers


def loss_weights(given: Any, classes: Classes, targets: Integers) -> Tensor | None:
    """Return how much each class counts in the loss, as `class_weights` says; `None`: all alike."""
    if given == "none":
        return None
    if given == "balanced":
        return class_weights(torch.from_numpy(np.bincount(targets, minlength=len(classes))))
    named = {place: float(given[name]) for (_, name), place in classes.places(set(given)).items()}
    if len(named) < len(given) or set(named) != set(range(len(classes))):
        names, wanted = sorted(map(str, given)), ", ".join(map(str, classes.names))
        raise UsageError(f"class_weights names {', '.join(names)}; expected a weight for each of {wanted}")
    weights = torch.tensor([named[place] for place in range(len(classes))])
    if not bool((weights >= 0).all()) or not bool((weights > 0).any()):
        raise UsageError(f"class_weights are {weights.tolist()}; expected none below zero and one above")
    return weights
