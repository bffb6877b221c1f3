"""The fit loop: epochs of steps, validation, early stopping, checkpoints."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from time import monotonic
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils import _pytree

from ostinato.errors import TrainingError, UsageError
from ostinato.training.averaging import Averaging
from ostinato.training.checkpoint import load_checkpoint, remove_checkpoint, require_same, save_checkpoint
from ostinato.training.config import TrainingConfig
from ostinato.training.device import make_fabric
from ostinato.training.direct import clip_gradients
from ostinato.training.diverging import has_diverged
from ostinato.training.failing import diverged, non_finite
from ostinato.training.history import TIME_LIMIT, EpochRow, History, Log
from ostinato.training.interrupts import HeldBack
from ostinato.training.listeners import tell_begin, tell_end, tell_epoch, tell_expected
from ostinato.training.memory import enough_memory
from ostinato.training.objective import BatchSource, Carry, Objective, Step
from ostinato.training.optimisers import LearningRate, make_optimizer
from ostinato.training.pace import Pace
from ostinato.training.position import Position
from ostinato.training.progress import Bar
from ostinato.training.validating import mean_loss
from ostinato.words import counted


def train(
    module: nn.Module,
    objective: Objective,
    batches: BatchSource,
    validation: BatchSource | None,
    config: TrainingConfig,
    *,
    directory: Path | None = None,
    resume: bool = False,
    fingerprint: str = "",
    on_epoch: Callable[[EpochRow], None] | None = None,
) -> History:
    """Train a module in place; it holds the best weights afterwards.

    Args:
        module: what is trained.
        objective: the loss of one batch.
        batches: training batches.
        validation: batches that decide which epoch was best and when to stop; `None`: the training loss decides.
        config: the settings.
        directory: where `history.csv`, TensorBoard logs and the checkpoint are kept; `None`: nothing is written. The
            checkpoint stays when training ends: `remove_checkpoint` deletes it once the model is safe elsewhere.
        resume: start from the directory's checkpoint, if there is one, to the very numbers of a run never stopped;
            otherwise a checkpoint that is there is deleted.
        fingerprint: of the data, if a checkpoint of other data is to be refused.
        on_epoch: called after each epoch. Who stands around an estimator's `fit` listens with `listening`.

    Returns:
        The history of all epochs.

    Raises:
        NonFiniteLoss: the loss or the gradient became NaN or infinite; the best weights so far are put back, and the
            error's `history` tells how far it came.
        Diverged: no epoch came near the loss of the untrained model.
        KeyboardInterrupt: Ctrl-C; it is held back until a step is whole, so that the checkpoint holds all that was
            done. A second one is not held back.
        TrainingError: the checkpoint is broken or of other settings.
        OutputError: the directory cannot be written.
        UsageError: there are no batches.
        NotEnoughMemory: the optimizer or a batch is too large.
    """
    if len(batches) == 0:
        raise UsageError("there are no training batches; give more data or a smaller batch size")
    # the caller's random numbers continue as if nothing had been drawn
    with torch.random.fork_rng(), enough_memory():
        torch.manual_seed(config.seed)
        run = _Run(module, objective, batches, validation, config, directory, fingerprint)
        if directory is not None and not resume:
            remove_checkpoint(directory)
        if resume and directory is not None and (saved := load_checkpoint(directory)) is not None:
            run.restore(saved)
        tell_begin(module)
        history = run.complete(on_epoch)
    tell_end(history)
    return history


def _detached(carry: Carry | None) -> Carry | None:
    """Return a tree of tensors without their graphs."""
    if type(carry) is Tensor:
        return carry.detach()
    if type(carry) is tuple:
        return tuple(map(_detached, carry))
    return _pytree.tree_map_only(Tensor, Tensor.detach, carry)


class _Run:
    """One training run; `complete` reads as its course."""

    def __init__(
        self,
        module: nn.Module,
        objective: Objective,
        batches: BatchSource,
        validation: BatchSource | None,
        config: TrainingConfig,
        directory: Path | None,
        fingerprint: str,
    ) -> None:
        self.fabric = make_fabric(config)
        self.module, self.objective, self.batches, self.validation = module, objective, batches, validation
        self.config, self.directory, self.fingerprint = config, directory, fingerprint
        assert config.epochs is not None, "TrainingConfig refuses None"
        self.epochs = config.epochs
        self.parameters = [parameter for parameter in module.parameters() if parameter.requires_grad]
        optimizer = make_optimizer(self.parameters, config)
        prepared: Any = self.fabric.setup(module, optimizer)
        self.wrapped, self.optimizer = prepared
        self.rate = LearningRate(self.optimizer, config)
        self.averaging = Averaging(self.parameters, config)
        self.at = Position()
        self.carry: Carry | None = None
        self.best: dict[str, Tensor] = {}
        self.saved = monotonic()
        self.pace = Pace(self.at, config, len(batches))
        self.between_steps = True
        self.interrupts = HeldBack()

    def complete(self, on_epoch: Callable[[EpochRow], None] | None) -> History:
        """Run every epoch that is left, put the best weights in and return the history."""
        log = Log(self.directory, self.at.rows, self.config.tensorboard)
        bar = Bar(self.config.progress, self.epochs, len(self.batches), self._steps_done())
        try:
            with self.interrupts:
                return self._history(self._epochs(log, bar, on_epoch))
        except KeyboardInterrupt:
            # within a step, weights and random numbers may be half moved on; the last checkpoint is then the one kept
            if self.between_steps:
                self._checkpoint()
            raise
        finally:
            bar.close()
            log.close()
            self._put_best_back()

    def _epochs(self, log: Log, bar: Bar, on_epoch: Callable[[EpochRow], None] | None) -> str:
        """Run every epoch that is left, and return why there are no more."""
        if self.at.start is None:
            self.at.start = self._untrained_loss()
        stopped = self._stop()
        while stopped is None:
            for row in self._epoch(bar):
                log.add(row)
                bar.epoch(row)
                if on_epoch is not None:
                    on_epoch(row)
                tell_epoch(row)
                stopped = self._stop()
                if stopped is not None:
                    break
        if has_diverged(self.at.start, self.at.best_loss):
            raise diverged(self.at, self.config)
        return stopped

    def _untrained_loss(self) -> float | None:
        """Return the validation loss before any step; `None` without a validation part."""
        if not self._has_validation():
            return None
        assert self.validation is not None
        with torch.random.fork_rng(devices=[]):
            return self._mean_loss(self.validation)

    def _epoch(self, bar: Bar) -> Iterator[EpochRow]:
        """Do what is left of an epoch; yield a row each time it is validated within, and at its end."""
        first, cut = self.at.batch, False
        self.wrapped.train()
        if self.at.steps and self._is_due():  # it was stopped between a step and its validation
            yield self._validated(self._share_done())
        self.pace.pause()
        for number, batch in enumerate(self.batches.batches(self.at.epoch)):
            if number < first:
                continue  # these were done before the run was stopped
            self._step(batch.data, batch.continues)
            bar.step(self.at.epoch, self.at.loss / max(self.at.weight, 1e-12))
            self.pace.step(self._steps_done())
            self._tell_expected(bar)
            self.interrupts.check()
            if cut := self.pace.is_over():
                break
            if self._is_due():
                yield self._validated(self._share_done())
                self.pace.pause()
            elif self.directory is not None and monotonic() - self.saved > self.config.checkpoint_seconds:
                self._checkpoint()
                self.pace.pause()
        self.pace.pause()
        yield self._validated(self._share_done() if cut else self.at.epoch + 1, ends=True)

    def _step(self, data: Any, continues: bool) -> None:
        at, number = self.at, self._steps_done()
        self.between_steps = False
        self.rate.set(number, self.pace.progress(number))
        step = self._run(data, self.carry if continues else None)
        loss = float(step.loss.detach())
        if not math.isfinite(loss):
            raise self._non_finite("loss", loss)
        if at.start is None:  # without a validation part, the first batch says what an untrained model loses
            at.start = loss
        for parameter in self.parameters:
            parameter.grad = None
        self.fabric.backward(step.loss)
        limit = self.config.gradient_clip or math.inf
        norm = clip_gradients(self.parameters, limit)
        if not math.isfinite(norm):
            raise self._non_finite("gradient", norm)
        self.optimizer.step()
        self.averaging.after_step(at.progress)
        self.carry = _detached(step.carry)
        at.batch, at.steps = at.batch + 1, at.steps + 1
        at.loss, at.weight, at.norm = at.loss + loss * step.weight, at.weight + step.weight, at.norm + norm
        self.between_steps = True

    def _run(self, data: Any, carry: Carry | None) -> Step:
        return self.objective(self.wrapped, self.fabric.to_device(data), carry)

    def _is_due(self) -> bool:
        return self._has_validation() and self.pace.is_due()

    def _tell_expected(self, bar: Bar) -> None:
        if (expected := self.pace.expected()) is not None:
            bar.expect(self.pace.expected_steps(expected))
            tell_expected(expected)

    def _share_done(self) -> float:
        return round(self.at.epoch + min(self.at.batch / len(self.batches), 1.0), 3)

    def _validated(self, epoch: float, *, ends: bool = False) -> EpochRow:
        """Validate, keep the weights if they are the best, and return the row; `ends`: the epoch is over."""
        at, steps = self.at, self.pace.taken()
        self.pace.count()
        with self.averaging.applied():
            validation_loss = self._validate()
            row = EpochRow(
                epoch=epoch,
                loss=at.loss / max(at.weight, 1e-12) if at.steps or not at.rows else at.rows[-1].loss,
                validation_loss=validation_loss,
                learning_rate=float(self.optimizer.param_groups[0]["lr"]),
                gradient_norm=at.norm / max(at.steps, 1),
                seconds=at.seconds,
                steps_per_second=steps,
            )
            at.rows.append(row)
            self._keep_if_best(row)
        at.loss, at.weight, at.norm, at.steps = 0.0, 0.0, 0.0, 0
        if ends:
            at.epoch, at.batch, self.carry = at.epoch + 1, 0, None
        if self.directory is not None:
            self._checkpoint()
        return row

    def _keep_if_best(self, row: EpochRow) -> None:
        loss = row.loss if math.isnan(row.validation_loss) else row.validation_loss
        self.rate.after_epoch(loss)
        self.averaging.after_epoch(loss, row.epoch)
        if loss < self.at.best_loss - self.config.min_delta or not self.best:
            self.at.best_loss, self.at.best_epoch, self.at.best_row = loss, row.epoch, len(self.at.rows)
            self.best = {name: value.detach().clone() for name, value in self.module.state_dict().items()}

    def _validate(self) -> float:
        """Return the mean loss of the validation batches, NaN if there are none."""
        if not self._has_validation():
            return math.nan
        assert self.validation is not None
        mean = self._mean_loss(self.validation)
        if not math.isfinite(mean):
            raise self._non_finite("validation loss", mean)
        return mean

    def _has_validation(self) -> bool:
        return self.validation is not None and len(self.validation) > 0

    def _mean_loss(self, batches: BatchSource) -> float:
        began = monotonic()
        loss = mean_loss(self.wrapped, self._run, batches, self.interrupts.check)
        self.at.validation = monotonic() - began
        return loss

    def _stop(self) -> str | None:
        at, patience = self.at, self.config.patience
        since = max(at.best_row, self.averaging.began or 0)
        waits, each = self.averaging.waits(), self.pace.validations_an_epoch()
        if at.rows and patience is not None and not waits and len(at.rows) - since >= patience * each:
            return f"no better loss for {counted(patience, 'epochs')} (the best was epoch {at.best_epoch:g})"
        if at.epoch >= self.epochs:
            return f"{'all ' if self.epochs > 1 else ''}{counted(self.epochs, 'epochs')} done"
        if at.rows and self.pace.is_over():
            return f"{TIME_LIMIT} of {self.config.max_seconds:g} s was reached"
        return None

    def _steps_done(self) -> int:
        return self.at.epoch * len(self.batches) + self.at.batch

    def _history(self, stopped: str | None) -> History:
        return History(tuple(self.at.rows), self.at.best_epoch, stopped or "")

    def _put_best_back(self) -> None:
        if self.best:
            self.module.load_state_dict(self.best)
        self.module.cpu().eval()

    def _non_finite(self, what: str, value: float) -> TrainingError:
        if self.best and has_diverged(self.at.start, self.at.best_loss):
            return diverged(self.at, self.config)
        error = non_finite(what, value, self.at, self.config, kept=bool(self.best))
        error.history = self._history(str(error))
        return error

    def _settings(self) -> dict[str, str]:
        shapes = {f"shape of {name}": str(tuple(value.shape)) for name, value in self.module.state_dict().items()}
        other = {"batches in an epoch": str(len(self.batches)), "fingerprint of the data": self.fingerprint}
        return {**self.config.numeric(), **other, **shapes}

    def _checkpoint(self) -> None:
        if self.directory is None:
            return
        self.pace.count()
        position = {**vars(self.at), "rows": [asdict(row) for row in self.at.rows]}
        state = {
            "settings": self._settings(),
            "position": position,
            "model": self.module.state_dict(),
            "best": self.best,
            "optimizer": self.optimizer.state_dict(),
            "rate": self.rate.state(),
            "averaging": self.averaging.state(),
            "carry": self.carry,
            "random": torch.get_rng_state(),
            "random_cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
        }
        save_checkpoint(self.directory, state)
        self.saved = monotonic()

    def restore(self, state: dict[str, Any]) -> None:
        """Resume from a checkpoint."""
        require_same(state["settings"], self._settings())
        self.module.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.rate.restore(state["rate"])
        self.averaging.restore(state["averaging"])
        rows = [EpochRow(**row) for row in state["position"]["rows"]]
        position = {"best_row": state["position"]["best_epoch"], **state["position"], "rows": rows}
        self.at = Position(**position)
        self.pace = Pace(self.at, self.config, len(self.batches))
        self.best = {name: value.to(self.fabric.device) for name, value in state["best"].items()}
        self.carry = self.fabric.to_device(state["carry"])
        torch.set_rng_state(state["random"])
        if state["random_cuda"] and torch.cuda.is_available():
            torch.cuda.set_rng_state_all(state["random_cuda"])
