"""The settings of a training run."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, Literal

from ostinato.errors import UsageError
from ostinato.options import check, training

Optimizer = Literal["sgd", "adam", "adamw"]
Schedule = Literal["constant", "cosine", "one_cycle", "exponential", "step", "plateau"]
Averaged = Literal["polyak", "triggered", "ema"]
OPTIMIZERS: tuple[Optimizer, ...] = ("sgd", "adam", "adamw")
SCHEDULES: tuple[Schedule, ...] = ("constant", "cosine", "one_cycle", "exponential", "step", "plateau")
AVERAGINGS: tuple[Averaged, ...] = ("polyak", "triggered", "ema")
_FREE = {"device", "max_seconds", "checkpoint_seconds", "progress", "tensorboard"}


@dataclass(kw_only=True, eq=False, repr=False)
class TrainingOptions:
    """The parameters of training that all estimators have; a task may have other defaults."""

    epochs: int | None = training(100, "passes over the training batches, at most", low=1)
    optimizer: Optimizer = training("adam", "what moves the weights; sgd with momentum")
    learning_rate: float = training(1e-3, "the highest step size, which the schedule moves below", above=0)
    momentum: float = training(0.0, "momentum of sgd", low=0)
    weight_decay: float = training(0.0, "L2 penalty (sgd, adam), or decoupled decay (adamw)", low=0)
    schedule: Schedule = training("constant", "how the learning rate falls from the first step to the last")
    warmup_steps: int = training(0, "steps over which the learning rate first rises from zero", low=0)
    gradient_clip: float | None = training(1.0, "greatest L2 norm of the gradient", above=0)
    averaging: Averaged | None = training(None, "of weights over steps: the average is validated and kept")
    averaging_start: int = training(0, "epochs before averaging begins, of polyak and ema", low=0)
    averaging_decay: float = training(0.999, "of ema: what is left of the average after a step", above=0, below=1)
    averaging_patience: int = training(5, "of triggered: epochs without a better loss before it begins", low=1)
    patience: int | None = training(10, "epochs without a better validation loss before training stops", low=1)
    min_delta: float = training(0.0, "how much lower a loss must be to count as better", low=0)
    max_seconds: float | None = training(None, "time limit of the training; its schedule ends when that does", above=0)
    seed: int = training(0, "seed of all random numbers: the same seed gives the same numbers on one machine", low=0)
    device: str = training("cpu", "cpu, cuda, mps, or auto for an accelerator where there is one")
    precision: str = training("32-true", "number format as Lightning Fabric names it: 32-true, bf16-mixed, ...")
    checkpoint_seconds: float = training(30.0, "least time between two checkpoints within an epoch", low=0)
    progress: bool | Literal["auto"] = training("auto", "show a progress bar on stderr; auto: if it is a terminal")
    tensorboard: bool = training(False, "write TensorBoard logs into the folder of the run")


@dataclass(kw_only=True)
class TrainingConfig(TrainingOptions):
    """How a model is trained: the values of `TrainingOptions`, checked.

    Gradients are clipped as R. Pascanu, T. Mikolov and Y. Bengio (2013) do; schedules are in `schedule_factor`,
    averages of weights in `ostinato.training.averaging`.

    Raises:
        UsageError: a value is out of range.
    """

    def __post_init__(self) -> None:
        """Refuse invalid values."""
        check(self)
        if self.epochs is None:
            raise UsageError("epochs is None; expected a whole number of one or more")

    @classmethod
    def of(cls, options: TrainingOptions, **changes: Any) -> TrainingConfig:
        """Return the settings that are among an estimator's parameters, some of them changed."""
        names = [field.name for field in fields(TrainingOptions)]
        return cls(**{**{name: getattr(options, name) for name in names}, **changes})

    def numeric(self) -> dict[str, str]:
        """Return the settings that the numbers of a run depend on, as text: a resumed run must share them."""
        return {name: str(value) for name, value in vars(self).items() if name not in _FREE}
