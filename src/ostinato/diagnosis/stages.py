"""The recurrent parts of a model, found by watching one run: layers that walk a sequence, and cells in loops.

A cell is told by what it does: what it is given as a state is what it returned the step before. So any module that is
called in a loop counts, and so does one that `ostinato.scan` runs: with hooks it is walked step by step.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence
from torch.utils import _pytree

from ostinato.diagnosis.subject import Subject
from ostinato.nn import Recurrent

_NAMES = ("input", "xs", "x", "inputs")
Layers = (nn.RNNBase, Recurrent)
Arguments: TypeAlias = "tuple[tuple[Any, ...], dict[str, Any]]"


@dataclass
class Call:
    """One call of a layer or a cell: what it was given and what it gave, in the graph."""

    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    output: Any
    number: int

    @property
    def given(self) -> Any:
        """The sequence, or step, that was read."""
        return self.args[0] if self.args else next((self.kwargs[n] for n in _NAMES if n in self.kwargs), None)

    @property
    def state_in(self) -> list[Tensor]:
        """The tensors of the state that was given."""
        given = self.args[1] if len(self.args) > 1 else self.kwargs.get("hx", self.kwargs.get("state"))
        return [leaf for leaf in _pytree.tree_leaves(given) if isinstance(leaf, Tensor)]

    @property
    def outputs(self) -> list[Tensor]:
        """All tensors that were returned, each once."""
        leaves = [
            each.data if isinstance(each, PackedSequence) else each
            for each in _pytree.tree_leaves(self.output, is_leaf=lambda each: isinstance(each, PackedSequence))
        ]
        return list({id(leaf): leaf for leaf in leaves if isinstance(leaf, Tensor)}.values())


@dataclass
class Stage:
    """A recurrent part of a model in one run: what it read, and where it stands.

    Args:
        name: of the module; module: the layer, or the cell.
        calls: those of one sequence, in order; a layer may be called for one piece after the other.
        xs: what it read, `(time, batch, ...)`.
        lengths: `(batch,)`; told: whether the model was told of them, so that padding is known to be padding.
        others: how many other sequences the same module read in this run.
    """

    name: str
    module: nn.Module
    calls: list[Call]
    xs: Tensor
    lengths: Tensor
    told: bool
    spans: list[int]
    is_layer: bool
    others: int = 0

    @property
    def steps(self) -> int:
        """How many steps it read."""
        return len(self.xs)

    @property
    def batch_first(self) -> bool:
        """Whether the batch is the first dimension of what it reads."""
        return self.is_layer and bool(getattr(self.module, "batch_first", False))

    @property
    def bidirectional(self) -> bool:
        """Whether it reads both ways."""
        return bool(getattr(self.module, "bidirectional", False))

    @property
    def title(self) -> str:
        """What it is called in sentences."""
        kind = type(self.module).__name__
        return f"{self.name} ({kind})" if self.name else kind

    def with_read(self, place: int, args: tuple[Any, ...], kwargs: dict[str, Any], read: Tensor) -> Arguments:
        """Return the arguments of a call with something else to read, `(time, batch, ...)`."""
        start = sum(self.spans[:place])
        piece = read[start : start + self.spans[place]]
        given = args[0] if args else next(kwargs[n] for n in _NAMES if n in kwargs)
        if isinstance(given, PackedSequence):
            put: Any = _packed_as(given, piece)
        elif not self.is_layer:
            put = piece[0].reshape(given.shape)
        else:
            put = piece[:, 0] if given.dim() == 2 else piece.transpose(0, 1) if self.batch_first else piece
        if args:
            return (put, *args[1:]), kwargs
        name = next(n for n in _NAMES if n in kwargs)
        return args, {**kwargs, name: put}

    def last_outputs(self, calls: list[Call], *, states: bool = True) -> list[Tensor]:
        """Return what it gave at each row's last step, and the last states, of the way that reads forward.

        Args:
            calls: of a run, as many as `self.calls`.
            states: whether the states count too.
        """
        rows = torch.arange(self.xs.shape[1], device=self.xs.device)
        if not self.is_layer:
            parts = zip(*(call.outputs for call in calls), strict=True)
            return [
                torch.stack(each)[self.lengths - 1, rows] if _steps_by_rows(each[0], rows) else each[-1]
                for each in parts
            ]
        ys = torch.cat([_opened(call, self)[0] for call in calls])
        last = ys[self.lengths - 1, rows]
        found = [last[..., : last.shape[-1] // 2] if self._concatenates(last) else last]
        if states:
            leaves = [leaf for leaf in _pytree.tree_leaves(calls[-1].output[1]) if isinstance(leaf, Tensor)]
            found += [self._forward_ways(leaf, place) for place, leaf in enumerate(leaves)]
        return [each for each in found if each.numel()]

    def _concatenates(self, last: Tensor) -> bool:
        return self.bidirectional and last.shape[-1] % 2 == 0 and getattr(self.module, "merge", "concat") == "concat"

    def _forward_ways(self, leaf: Tensor, place: int) -> Tensor:
        if not self.bidirectional:
            return leaf
        if isinstance(self.module, nn.RNNBase):
            return leaf[::2]
        # of a stack: the states of one cell after the other
        per_cell = len(_pytree.tree_leaves(self.calls[-1].output[1])) // max(1, len(self.module.cells))  # type: ignore[arg-type]
        return leaf if (place // max(1, per_cell)) % 2 == 0 else leaf[:0]


def _steps_by_rows(output: Tensor, rows: Tensor) -> bool:
    return output.dim() >= 2 and output.shape[0] == len(rows)


def _packed_as(given: PackedSequence, read: Tensor) -> PackedSequence:
    """Return a padded sequence packed as another one is."""
    _, lengths = pad_packed_sequence(given)
    if given.sorted_indices is None:
        return pack_padded_sequence(read, lengths)
    order = given.sorted_indices
    packed = pack_padded_sequence(read.index_select(1, order), lengths[order.cpu()])
    return PackedSequence(packed.data, packed.batch_sizes, order, given.unsorted_indices)


def _opened(call: Call, stage_or_module: Any, *, read: bool = False) -> tuple[Tensor, Tensor | None]:
    """Return the sequence that a layer gave, or read, as `(time, batch, ...)`, and the lengths where it says them."""
    value = call.given if read else call.output[0]
    if isinstance(value, PackedSequence):
        return pad_packed_sequence(value)
    module = stage_or_module.module if isinstance(stage_or_module, Stage) else stage_or_module
    if value.dim() == 2:
        value = value[:, None]
    elif getattr(module, "batch_first", False):
        value = value.transpose(0, 1)
    lengths = call.kwargs.get("lengths")
    return value, None if lengths is None else torch.as_tensor(lengths)


# --- watching --------------------------------------------------------------------------------------------------------


@dataclass
class Run:
    """What one run of the loss gave.

    Args:
        loss: in the graph.
        answer: what the model itself returned, if it was called and returned a tensor first.
        calls: by the name of the module, those of layers and cells that were watched.
    """

    loss: Tensor
    answer: Tensor | None
    calls: dict[str, list[Call]] = field(default_factory=dict)


def watched(
    subject: Subject, names: dict[str, nn.Module], stages: dict[str, tuple[Stage, Tensor]] | None = None
) -> Run:
    """Run the loss and keep what some modules were given and gave.

    Args:
        subject: the model, the batch, the loss.
        names: modules that are watched.
        stages: by the name of the module, what it is to read instead.
    """
    calls: dict[str, list[Call]] = {name: [] for name in names}
    answers: list[Tensor] = []
    with ExitStack() as hooks:
        for name, module in names.items():
            _watch(hooks, module, calls[name], (stages or {}).get(name))
        _keep_answers(hooks, subject.model, answers)
        loss = subject.loss()
    return Run(loss, answers[-1] if answers else None, calls)


def _keep_answers(hooks: ExitStack, model: nn.Module, kept: list[Tensor]) -> None:
    def after(_module: nn.Module, _args: Any, _kwargs: Any, output: Any) -> None:
        leaf = next((each for each in _pytree.tree_leaves(output) if isinstance(each, Tensor)), None)
        if leaf is not None and leaf.is_floating_point():
            kept.append(leaf)

    _observe(hooks, model, None, after)


def _watch(hooks: ExitStack, module: nn.Module, kept: list[Call], put: tuple[Stage, Tensor] | None) -> None:
    first = put[0].calls[0].number if put else 0

    def before(_module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Arguments | None:
        number = len(kept)  # calls that failed, as those that look for a cell's state do, are none
        if put is None or not 0 <= number - first < len(put[0].spans):
            return None
        return put[0].with_read(number - first, args, kwargs, put[1])

    def after(_module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> Any:
        # a cell computes one output from another: copies have gradients of their own
        apart = _copied(output) if put is not None and not put[0].is_layer and torch.is_grad_enabled() else None
        kept.append(Call(args, kwargs, output if apart is None else apart, len(kept)))
        return apart

    _observe(hooks, module, before, after)


def _copied(output: Any) -> Any:
    copies: dict[int, Tensor] = {}
    return _pytree.tree_map_only(Tensor, lambda each: copies.setdefault(id(each), each.clone()), output)


def _observe(hooks: ExitStack, module: nn.Module, before: Any, after: Any) -> None:
    """Run functions before and after each call of a module, until the hooks are taken away."""
    if type(module).__call__ is nn.Module.__call__ or not callable(getattr(module, "call", None)):
        if before is not None:
            hooks.callback(module.register_forward_pre_hook(before, with_kwargs=True).remove)
        hooks.callback(module.register_forward_hook(after, with_kwargs=True).remove)
        return
    # a layer of Keras: it never comes to PyTorch's hooks
    usual: Any = module.call

    def call(*args: Any, **kwargs: Any) -> Any:
        args, kwargs = (None if before is None else before(module, args, kwargs)) or (args, kwargs)
        output = usual(*args, **kwargs)
        other = after(module, args, kwargs, output)
        return output if other is None else other

    watched_already = "call" in vars(module)
    object.__setattr__(module, "call", call)
    if watched_already:
        hooks.callback(object.__setattr__, module, "call", usual)
    else:
        hooks.callback(object.__delattr__, module, "call")


# --- finding ---------------------------------------------------------------------------------------------------------


def find_stages(subject: Subject, lengths: Tensor | None) -> tuple[list[Stage], Run]:
    """Run the loss once and return the recurrent parts, the one that reads most first.

    Args:
        subject: the model, the batch, the loss.
        lengths: of the rows, where they were said.
    """
    modules = dict(_candidates(subject.model))
    with torch.no_grad():
        run = watched(subject, modules)
    found: list[Stage] = []
    for name, module in modules.items():
        chains = list(_chains(module, run.calls[name]))
        if chains:
            best = max(chains, key=lambda chain: sum(_spans(module, chain)))
            stage = _stage(name, module, best, lengths)
            if stage is not None:
                stage.others = len(chains) - 1
                found.append(stage)
    names = {stage.name for stage in found}
    # a cell within a cell, a wrapped one, is no part of its own
    outer = [stage for stage in found if not any(_is_within(stage.name, name) for name in names if name != stage.name)]
    return sorted(outer, key=lambda stage: -stage.steps * stage.xs.shape[1]), run


def _is_within(name: str, outer: str) -> bool:
    return outer == "" or name.startswith(f"{outer}.")


def _candidates(model: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """Yield layers, and all modules that are in none of them."""
    modules = _modules_of(model)
    layers = [name for name, module in modules.items() if isinstance(module, Layers)]
    for name, module in modules.items():
        if not any(name != layer and _is_within(name, layer) for layer in layers):
            yield name, module


def _modules_of(model: nn.Module) -> dict[str, nn.Module]:
    """Return all modules by name; Keras keeps its layers in lists that PyTorch does not look into."""
    flatten = getattr(model, "_flatten_layers", None)
    if not callable(flatten):
        return dict(model.named_modules())
    layers: list[nn.Module] = [each for each in flatten() if each is not model]
    named = {str(getattr(each, "path", each.name)).replace("/", "."): each for each in layers}
    return {"": model, **named}


def _chains(module: nn.Module, calls: list[Call]) -> Iterator[list[Call]]:
    """Yield calls in sequences, each of which was given the state that the one before returned."""
    layer = isinstance(module, Layers)
    chain: list[Call] = []
    for call in calls:
        if not _reads(module, call):
            continue
        if chain and not _goes_on(chain[-1], call):
            yield from [chain] if layer or len(chain) > 1 else []
            chain = []
        chain.append(call)
    if chain and (layer or len(chain) > 1):
        yield chain


def _reads(module: nn.Module, call: Call) -> bool:
    given = call.given
    if isinstance(given, PackedSequence):
        return isinstance(module, Layers)
    if not isinstance(given, Tensor) or not given.is_floating_point():
        return False
    if isinstance(module, Layers):
        return given.dim() >= 2
    return isinstance(module, nn.RNNCellBase) or bool(call.state_in)


def _goes_on(before: Call, call: Call) -> bool:
    """Tell whether a call was given what the one before returned, in some row at least: others may be at their end."""
    given, returned = call.state_in, before.outputs
    if not given:
        return False
    return all(any(_some_row_is(state, each) for each in returned) for state in given)


def _some_row_is(state: Tensor, returned: Tensor) -> bool:
    if state.shape != returned.shape:
        return False
    if state.dim() < 2:
        return bool(torch.equal(state, returned))
    if state.shape[0] == 0:
        return False
    return bool((state == returned).flatten(1).all(1).any())


def _spans(module: nn.Module, calls: list[Call]) -> list[int]:
    if not isinstance(module, Layers):
        return [1] * len(calls)
    return [len(_opened(call, module, read=True)[0]) for call in calls]


def _stage(name: str, module: nn.Module, calls: list[Call], lengths: Tensor | None) -> Stage | None:
    layer = isinstance(module, Layers)
    if layer:
        opened = [_opened(call, module, read=True) for call in calls]
        xs, said = torch.cat([each for each, _ in opened]), opened[0][1] if len(opened) == 1 else None
    else:
        xs, said = torch.stack([call.given if call.given.dim() > 1 else call.given[None] for call in calls]), None
    steps, rows = xs.shape[:2]
    if steps < 2 or rows == 0:
        return None
    told = said is not None
    if said is None and lengths is not None and len(lengths) == rows and int(lengths.max()) <= steps:
        said = lengths
    whole = torch.full((rows,), steps, device=xs.device)
    real = whole if said is None else said.to(xs.device).long().clamp(1, steps)
    return Stage(name, module, calls, xs.detach(), real, told, _spans(module, calls), layer)
