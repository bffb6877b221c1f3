"""The settings of a training run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Literal

from ostinato.errors import UsageError

Optimizer = Literal["sgd", "adam", "adamw"]
Schedule = Literal["constant", "cosine", "one_cycle", "exponential", "step", "plateau"]
OPTIMIZERS: tuple[Optimizer, ...] = ("sgd", "adam", "adamw")
SCHEDULES: tuple[Schedule, ...] = ("constant", "cosine", "one_cycle", "exponential", "step", "plateau")


@dataclass(frozen=True)
class TrainingConfig:
    """How a model is trained.

    Args:
        epochs: passes over the training batches, at most.
        optimizer: `"sgd"` (with `momentum`), `"adam"` or `"adamw"`.
        learning_rate: the highest step size; the schedule moves below it.
        momentum: of SGD.
        weight_decay: L2 penalty (`sgd`, `adam`) or decoupled decay (`adamw`).
        schedule: how the learning rate falls from the first step to the last; see `schedule_factor`.
        warmup_steps: steps over which it first rises from zero.
        gradient_clip: greatest L2 norm of the gradient (Pascanu, Mikolov and Bengio, 2013); `None` for no limit.
        patience: epochs without a better validation loss before training stops; `None`: never.
        average: decay of an average of the weights, such as 0.999, which is validated and kept in their place (see
            `WeightAverage`); 0 for none.
        min_delta: how much lower a loss must be to count as better.
        seed: of weights' dropout and of batches; the same seed gives the same numbers on one machine.
        device: `"cpu"`, `"cuda"`, `"mps"`, or `"auto"` for an accelerator where there is one.
        precision: as Lightning Fabric names it: `"32-true"`, `"bf16-mixed"`, ...
        max_seconds: time after which training stops at the next step; `None`: no limit.
        checkpoint_seconds: least time between two checkpoints within an epoch (one is written after every epoch too).
        progress: whether a bar is shown on stderr; `"auto"`: if that is a terminal.
        tensorboard: whether TensorBoard logs are written (needs `ostinato[tensorboard]` and a directory).

    Raises:
        UsageError: a value is out of range.
    """

    epochs: int = 100
    optimizer: Optimizer = "adam"
    learning_rate: float = 1e-3
    momentum: float = 0.9
    weight_decay: float = 0.0
    schedule: Schedule = "constant"
    warmup_steps: int = 0
    gradient_clip: float | None = 1.0
    patience: int | None = 10
    average: float = 0.0
    min_delta: float = 0.0
    seed: int = 0
    device: str = "cpu"
    precision: str = "32-true"
    max_seconds: float | None = None
    checkpoint_seconds: float = 30.0
    progress: bool | Literal["auto"] = "auto"
    tensorboard: bool = False

    def __post_init__(self) -> None:
        """Refuse what cannot be meant."""
        for name in ("epochs", "learning_rate", "gradient_clip", "patience", "max_seconds"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise UsageError(f"{name} is {value}; expected more than 0")
        for name in ("momentum", "weight_decay", "warmup_steps", "min_delta"):
            if getattr(self, name) < 0:
                raise UsageError(f"{name} is {getattr(self, name)}; expected 0 or more")
        if not 0 <= self.average < 1:
            raise UsageError(f"average is {self.average}; expected a decay from 0 to 1, 1 excluded")
        for name, known in (("optimizer", OPTIMIZERS), ("schedule", SCHEDULES)):
            if getattr(self, name) not in known:
                raise UsageError(f'{name} is "{getattr(self, name)}"; expected one of {", ".join(known)}')

    @classmethod
    def of(cls, parameters: Mapping[str, Any]) -> TrainingConfig:
        """Return the settings that are among an estimator's parameters; the others are left at their defaults."""
        names = [field.name for field in fields(cls)]
        return cls(**{name: parameters[name] for name in names if name in parameters})

    def numeric(self) -> dict[str, str]:
        """Return the settings that the numbers of a run depend on, as text: a resumed run must share them."""
        free = {"device", "max_seconds", "checkpoint_seconds", "progress", "tensorboard"}
        return {name: str(value) for name, value in vars(self).items() if name not in free}
