"""What is diagnosed: a copy of a model, a batch, and its loss, run as often as is needed with nothing left behind."""

from __future__ import annotations

import copy
import random
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import Tensor, nn

from ostinato.diagnosis.batches import as_tensors, copied_batch, drawn_batch, leaves_of, tensors_in
from ostinato.errors import EngineWarning, UsageError

LossOfModel: TypeAlias = Callable[[nn.Module, Any], Tensor]
_TARGETS = ("targets", "target", "labels", "label", "y")
_WRONG_CALL = (TypeError, AttributeError)
_WRONG_RUN = (RuntimeError, ValueError, IndexError, KeyError, *_WRONG_CALL)


class NotMeasured(RuntimeError):
    """Why something cannot be measured of this model, in words."""


@dataclass(frozen=True)
class Subject:
    """A copy of the model in evaluation mode, the batch, and the loss as a function of both.

    Args:
        model: the copy.
        batch: what it is run on, a copy too.
        whole: the loss of a model and a batch.
        apart: the loss of outputs and targets, where it was given so; the batch is then a pair.
        lesson: a batch for copies that are trained, where that is another one; `None`: it is the same.
        seed: of random numbers that the model draws in evaluation mode: the same in every run, so that what moves is
            moved by what was changed.
    """

    model: nn.Module
    batch: Any
    whole: LossOfModel
    apart: Callable[[Any, Any], Tensor] | None = None
    lesson: Any = None
    seed: int = 0

    def loss(self, model: nn.Module | None = None) -> Tensor:
        """Run the model, or another copy of it, and return the loss, a tensor without dimensions.

        Raises:
            UsageError: the loss is no scalar tensor.
        """
        if model is not None:  # it is trained: what it keeps from step to step is part of that
            return scalar(self.whole(model, self.batch if self.lesson is None else self.lesson))
        _seed(self.seed)
        with _as_it_was(self.model):
            return scalar(self.whole(self.model, self.batch))

    @property
    def inputs(self) -> Any:
        """What the model reads, as far as it can be told from targets."""
        if self.apart is not None or (isinstance(self.batch, (tuple, list)) and len(self.batch) == 2):
            return self.batch[0]
        return self.batch

    @property
    def told(self) -> Any:
        """Where lengths may stand: the batch without targets that are one tensor, whose whole numbers are classes."""
        return self.batch[0] if self.apart is not None and isinstance(self.batch[1], Tensor) else self.batch

    @property
    def targets(self) -> Any:
        """What the outputs are compared with; `None`: it cannot be told."""
        if self.apart is not None:
            return self.batch[1]
        if isinstance(self.batch, dict):
            return next((self.batch[name] for name in _TARGETS if name in self.batch), None)
        if isinstance(self.batch, (tuple, list)) and len(self.batch) > 1 and isinstance(self.batch[-1], Tensor):
            return self.batch[-1]
        return None


@dataclass(frozen=True)
class CompiledLoss:
    """The loss that a model of Keras's was compiled with, of outputs and targets."""

    model: Any

    def __call__(self, outputs: Any, targets: Any) -> Tensor:
        """Return it, a scalar."""
        found: Tensor = self.model.compute_loss(y=targets, y_pred=outputs)
        return found


def subject_of(model: Any, batch: Any, loss: Any) -> Subject:
    """Return what is diagnosed, checked.

    Raises:
        UsageError: the model is no module, has no parameters or cannot be copied; the loss is no function, or runs on
            neither `(model, batch)` nor `(outputs, targets)`.
    """
    if not isinstance(model, nn.Module):
        raise UsageError(
            f"model is of type {type(model).__name__}; expected a torch.nn.Module, or a fitted estimator of ostinato "
            "with its data: diagnose(estimator, data)"
        )
    if next(model.parameters(), None) is None:
        raise UsageError(f"{type(model).__name__} has no parameters, so there is nothing that it could learn")
    if loss is None and getattr(model, "compiled", False) is True and hasattr(model, "compute_loss"):
        loss = CompiledLoss(model)
    if not callable(loss):
        raise UsageError(
            f"loss is {loss!r:.80}; expected a function of (model, batch), or of (outputs, targets) with "
            "batch=(inputs, targets)"
        )
    if any(isinstance(module, torch.jit.ScriptModule) for module in model.modules()):
        raise UsageError(
            f"{type(model).__name__} is compiled by TorchScript, and what happens within cannot be watched; give the "
            "module that was compiled"
        )
    batch = drawn_batch(batch)
    if any(tensor.dim() and not tensor.shape[0] for _, tensor in tensors_in(batch)):
        raise UsageError("the batch has no rows; give tens to hundreds of them")
    copied = copied_model(model).eval()
    given = copied_batch(batch)
    if hasattr(copied, "_flatten_layers"):
        return _with_loss(copied, as_tensors(given), loss)
    try:
        return _with_loss(copied, given, loss)
    except UsageError:
        put = as_tensors(given, like=next(model.parameters()))
        if [type(each) for each in leaves_of(put)] == [type(each) for each in leaves_of(given)]:
            raise
    return _with_loss(copied, put, loss)


def copied_model(model: nn.Module) -> nn.Module:
    """Return a copy that shares nothing with the model.

    Raises:
        UsageError: it cannot be copied.
    """
    try:
        with warnings.catch_warnings():  # the optimiser that Keras copies along is not used
            warnings.filterwarnings("ignore", message="Skipping variable loading for optimizer")
            copied = copy.deepcopy(model)
    except (RuntimeError, TypeError, ValueError, NotImplementedError) as error:
        raise UsageError(
            f"{type(model).__name__} cannot be copied ({' '.join(str(error).split()):.120}), and a diagnosis runs on a "
            "copy only; keep tensors that were computed with gradients out of its attributes, or detach them"
        ) from error
    flatten = getattr(copied, "_flatten_layers", None)
    for layer in flatten() if callable(flatten) else ():
        if hasattr(layer, "use_cudnn"):  # of Keras: its cells are then called step by step, where they can be seen
            layer.use_cudnn = False
    return copied


def scalar(loss: Any) -> Tensor:
    """Return a loss without dimensions.

    Raises:
        UsageError: it is no tensor, or has more than one number.
    """
    if not isinstance(loss, Tensor):
        raise UsageError(
            f"the loss gave a {type(loss).__name__}; expected a tensor of one number (leave out .item() and .numpy())"
        )
    if loss.numel() != 1:
        raise UsageError(f"the loss gave a tensor {tuple(loss.shape)}; expected one number: take its mean")
    return loss.reshape(())


def _with_loss(model: nn.Module, batch: Any, loss: Any) -> Subject:
    pair = isinstance(batch, (tuple, list)) and len(batch) == 2

    def of_outputs(own: nn.Module, given: Any) -> Tensor:
        found: Tensor = loss(_output(own, given[0]), given[1])
        return found

    apart = Subject(model, batch, of_outputs, loss)
    keras = type(loss).__module__.split(".")[0] == "keras" or getattr(loss, "__module__", "").startswith("keras.")
    if keras:  # Keras names the targets first

        def turned(outputs: Any, targets: Any) -> Tensor:
            found: Tensor = loss(targets, outputs)
            return found

        apart = Subject(model, batch, lambda own, given: turned(_output(own, given[0]), given[1]), turned)
    of_torch = isinstance(loss, nn.Module) or getattr(loss, "__module__", "").startswith("torch")
    if pair and (keras or of_torch or isinstance(loss, CompiledLoss)):
        try:
            _try(apart)
        except _WRONG_RUN as error:
            raise _unfit(None, error) from error
        return apart
    whole = Subject(model, batch, loss)
    try:
        _try(whole)
    except _WRONG_CALL as first:
        if not pair:
            raise _unfit(first, None) from first
        try:
            _try(apart)
        except _WRONG_RUN as second:
            raise _unfit(first, second) from second
        return apart
    except _WRONG_RUN as error:
        raise _unfit(error, None) from error
    return whole


def _output(model: nn.Module, inputs: Any) -> Any:
    """Return a model's output for inputs that stand for one argument or, in a tuple, for several."""
    if isinstance(inputs, tuple) and not hasattr(inputs, "_fields"):
        return model(*inputs)
    return model(**inputs) if isinstance(inputs, dict) else model(inputs)


def _try(subject: Subject) -> None:
    with torch.no_grad():
        subject.loss()


def _unfit(whole: Exception | None, apart: Exception | None) -> UsageError:
    tried = {"loss(model, batch)": whole, "loss(model(inputs), targets)": apart}
    said = [
        f"{call} raised {type(error).__name__}: {' '.join(str(error).split()).rstrip('.'):.160}"
        for call, error in tried.items()
        if error is not None
    ]
    return UsageError(
        f"{'; '.join(said)}; expected a loss of (model, batch), or of (outputs, targets) with batch=(inputs, targets)"
    )


@contextmanager
def _as_it_was(model: nn.Module) -> Iterator[None]:
    """Take back what a run leaves in a model: states that are kept from call to call, running means."""
    if hasattr(model, "_flatten_layers"):  # Keras keeps its variables elsewhere
        yield
        return
    kept = [(module, dict(module.__dict__), dict(module._buffers)) for module in model.modules()]
    values = [(tensor, tensor.detach().clone()) for tensor in _changeable(kept)]
    try:
        yield
    finally:
        for module, attributes, buffers in kept:
            module.__dict__.clear()
            module.__dict__.update(attributes)
            module._buffers.clear()
            module._buffers.update(buffers)
        with torch.no_grad():
            for tensor, value in values:
                if tensor.is_leaf and not torch.equal(tensor, value):
                    tensor.copy_(value)


def _changeable(kept: list[tuple[nn.Module, dict[str, Any], dict[str, Any]]]) -> Iterator[Tensor]:
    """Yield buffers, and tensors among the attributes of modules, each once."""
    seen: set[int] = set()
    for _, attributes, buffers in kept:
        for value in (*buffers.values(), *attributes.values()):
            for leaf in value if isinstance(value, tuple) else (value,):
                if isinstance(leaf, Tensor) and not isinstance(leaf, nn.Parameter) and id(leaf) not in seen:
                    seen.add(id(leaf))
                    yield leaf


# --- nothing is left behind ------------------------------------------------------------------------------------------


def _seed(seed: int) -> None:
    torch.manual_seed(seed)
    random.seed(seed)
    np.random.seed(seed % 2**32)  # noqa: NPY002 - a model may draw from it


@contextmanager
def undisturbed(seed: int) -> Iterator[None]:
    """Draw random numbers from a seed within, and go on as if none had been drawn; keep the engine's notes quiet."""
    python, numpy = random.getstate(), np.random.get_state()  # noqa: NPY002 - the caller's, to be put back
    try:
        with (
            torch.random.fork_rng(),
            warnings.catch_warnings(),
            torch.inference_mode(False),
            torch.enable_grad(),
            torch.backends.cudnn.flags(enabled=False),  # its layers have no gradient in evaluation mode
        ):
            warnings.simplefilter("ignore", EngineWarning)
            _seed(seed)
            yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)  # noqa: NPY002
