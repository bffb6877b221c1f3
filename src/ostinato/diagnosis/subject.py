"""What is diagnosed: a copy of a model, a batch, and its loss, run as often as is needed with nothing left behind."""

from __future__ import annotations

import copy
import random
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, fields, is_dataclass
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import Tensor, nn

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
    """

    model: nn.Module
    batch: Any
    whole: LossOfModel
    apart: Callable[[Any, Any], Tensor] | None = None
    lesson: Any = None

    def loss(self, model: nn.Module | None = None) -> Tensor:
        """Run the model, or another copy of it, and return the loss, a tensor without dimensions.

        Raises:
            UsageError: the loss is no scalar tensor.
        """
        if model is not None:  # it is trained: what it keeps from step to step is part of that
            return scalar(self.whole(model, self.batch if self.lesson is None else self.lesson))
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
    if any(tensor.dim() and not tensor.shape[0] for _, tensor in tensors_in(batch)):
        raise UsageError("the batch has no rows; give tens to hundreds of them")
    copied = copied_model(model)
    given = copied_batch(batch)
    return _with_loss(copied.eval(), _as_tensors(given) if hasattr(copied, "_flatten_layers") else given, loss)


def copied_model(model: nn.Module) -> nn.Module:
    """Return a copy that shares nothing with the model.

    Raises:
        UsageError: it cannot be copied.
    """
    try:
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


def copied_batch(batch: Any) -> Any:
    """Return a copy of a batch; tensors that were computed with gradients lose them."""
    if isinstance(batch, Tensor):
        return batch.detach().clone()
    if isinstance(batch, tuple) and hasattr(batch, "_fields"):
        return type(batch)(*(copied_batch(each) for each in batch))
    if isinstance(batch, (tuple, list)):
        return type(batch)(copied_batch(each) for each in batch)
    if isinstance(batch, dict):
        return {name: copied_batch(each) for name, each in batch.items()}
    return copy.deepcopy(batch)


def _as_tensors(batch: Any) -> Any:
    """Return a batch whose arrays are tensors: Keras takes both, and only of tensors can be told what they are."""
    if isinstance(batch, np.ndarray) and batch.dtype.kind in "fiub":
        return torch.from_numpy(batch.astype(np.float32) if batch.dtype.kind == "f" else batch)
    if isinstance(batch, (tuple, list)):
        return type(batch)(_as_tensors(each) for each in batch)
    return {name: _as_tensors(each) for name, each in batch.items()} if isinstance(batch, dict) else batch


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
    if pair and (keras or isinstance(loss, nn.Module) or getattr(loss, "__module__", "").startswith("torch")):
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


# --- what a batch holds ----------------------------------------------------------------------------------------------


def tensors_in(value: Any, name: str = "batch") -> Iterator[tuple[str, Tensor]]:
    """Yield all tensors of a batch with where they stand."""
    if isinstance(value, Tensor):
        yield name, value
    elif isinstance(value, Mapping):
        for key, each in value.items():
            yield from tensors_in(each, f"{name}[{key!r}]")
    elif isinstance(value, (tuple, list)):
        for place, each in enumerate(value):
            yield from tensors_in(each, f"{name}[{place}]")
    elif is_dataclass(value) and not isinstance(value, type):
        for one in fields(value):
            yield from tensors_in(getattr(value, one.name, None), f"{name}.{one.name}")


def not_finite(batch: Any) -> str:
    """Return where a batch has numbers that are none, or infinite, in words; empty: nowhere."""
    for name, tensor in tensors_in(batch):
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            bad = ~torch.isfinite(tensor)
            first = tuple(int(place) for place in bad.nonzero()[0])
            count = f"{int(bad.sum()):,} values"
            return f"{name} {tuple(tensor.shape)} has {count} that are NaN or infinite, the first at {first}"
    return ""


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
            torch.manual_seed(seed)
            random.seed(seed)
            np.random.seed(seed % 2**32)  # noqa: NPY002 - a model may draw from it
            yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)  # noqa: NPY002
