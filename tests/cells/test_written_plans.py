"""Plans written down and read back: the same plan, the same bits; what was changed is refused."""

import json
import random

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations

import ostinato
from ostinato.cells import CATALOGUE
from ostinato.engine import backends, initial_state, leaves
from ostinato.engine.backends.calls import ScanCall
from ostinato.engine.backends.cpu.kernels import fingerprint
from ostinato.engine.front.watch import look
from ostinato.engine.plan.plan import Plan
from ostinato.engine.run.compiled import Ready, find
from ostinato.errors import CorruptArtifact, NewerArtifact, OstinatoError, UsageError
from samples import random_cell, steps


def _ready(cell, xs):
    return find(cell, cell, xs, initial_state(cell, xs[0]))


def _results(executable, cell, xs):
    """Outputs, last states and all gradients, of rows that end and start again."""
    generator = torch.Generator().manual_seed(1)
    state = [torch.randn(leaf.shape, generator=generator) for leaf in leaves(initial_state(cell, xs[0]))]
    parameters = [tensor.detach() for tensor in look(cell).tensors.values()]
    resets = torch.arange(xs.shape[0] * xs.shape[1]).view(xs.shape[:2]) % 5 == 2
    call = ScanCall(parameters, xs, state, torch.tensor([6, 3, 0]), resets, reverse=True, seed=5)
    y, last, saved = executable.launch(call, save=executable.plan.backward is not None, apart=True)
    found = [y, *last]
    if executable.plan.backward is not None:
        weights, dx, dstate = executable.launch_backward(call, saved, torch.ones_like(y), [None] * len(last))
        found += [*weights, dx, *dstate]
    return found


def _same(ours, theirs):
    return len(ours) == len(theirs) and all(
        (a is None and b is None) or torch.equal(a.view(torch.int32), b.view(torch.int32))
        for a, b in zip(ours, theirs, strict=True)
    )


def _check(cell, xs):
    ready = _ready(cell, xs)
    assert isinstance(ready, Ready), ready
    plan = ready.executable.plan
    text = plan.to_json()
    again = Plan.from_json(text)
    assert again.to_json() == text
    for name in ("infer", "forward", "backward"):
        ours, theirs = getattr(plan, name), getattr(again, name)
        assert (ours is None) is (theirs is None)
        assert ours is None or fingerprint(ours) == fingerprint(theirs)
    make = backends.executable_for(xs.device)
    assert _same(_results(make(plan, xs.dtype), cell, xs), _results(make(again, xs.dtype), cell, xs))


class Held(nn.Module):
    """Code that holds a tensor of its own, a number that is infinite, and a weight that is computed."""

    def __init__(self) -> None:
        super().__init__()
        self.input = parametrizations.weight_norm(nn.Linear(4, 5))
        self.scale = nn.Parameter(torch.rand(5))

    def forward(self, x, state):
        held = torch.tensor([0.5, -0.0, 2.0, float("inf"), 1.0])
        new = torch.minimum(torch.tanh(self.input(x) * self.scale.exp() + state), held).clamp(max=float("inf"))
        return new, new


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("name", CATALOGUE)
@pytest.mark.slow
@pytest.mark.ci
def test_a_plan_that_was_written_down_gives_the_same_bits(name, training) -> None:
    cell, xs = random_cell(name).float(), steps(name, 6, 3)
    with torch.set_grad_enabled(training):
        if not isinstance(_ready(cell, xs), Ready):
            assert name.startswith("conv")
            pytest.skip("runs in the eager loop")
        _check(cell, xs)


@pytest.mark.parametrize("cell", [Held(), torch.nn.LSTMCell(4, 6), ostinato.cells.Zoneout(CATALOGUE["gru"](4, 6), 0.3)])
@pytest.mark.slow
@pytest.mark.ci
def test_so_do_tensors_that_code_holds_computed_weights_and_random_numbers(cell) -> None:
    _check(cell, torch.rand(6, 3, 4))


class Sorted(nn.Module):
    """A constant that is computed by an operation without a place in a file."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.rand(4))

    def forward(self, x, state):
        new = torch.tanh(x * torch.logdet(torch.diag(self.weight.exp())) + state)
        return new, new


def test_what_cannot_be_written_down_is_named() -> None:
    ready = _ready(Sorted(), torch.rand(6, 3, 4))
    assert isinstance(ready, Ready), ready
    with pytest.raises(UsageError, match=r"computes with aten\.\w*(slogdet|logdet|det|lu)"):
        ready.executable.plan.to_json()


def test_a_newer_plan_or_another_text_is_refused() -> None:
    text = _ready(CATALOGUE["gru"](4, 6), torch.rand(6, 3, 4)).executable.plan.to_json()
    found = json.loads(text)
    with pytest.raises(NewerArtifact, match="version 2"):
        Plan.from_json(json.dumps(found | {"version": 2}))
    for other in ("", "[]", "{}", "null", text[:-2], json.dumps(found | {"format": "a"})):
        with pytest.raises(CorruptArtifact):
            Plan.from_json(other)
    found["constants"]["operations"] = [["aten.from_file.default", ["/etc/passwd"], []]]
    with pytest.raises(CorruptArtifact, match="no operation of a plan"):
        Plan.from_json(json.dumps(found))


def test_a_plan_with_one_number_changed_is_refused_or_still_a_plan() -> None:
    """Nothing but an error of the family comes out, and no shape that code would read past."""
    text = _ready(CATALOGUE["lstm-layernorm"](4, 6), torch.rand(6, 3, 4)).executable.plan.to_json()
    choose = random.Random(0)
    refused = 0
    for _ in range(80):
        found = json.loads(text)
        part, key = _somewhere(found, choose)
        part[key] = choose.choice([part[key] + 1, -1, 10**6, None, "x", [], part[key] - 1])
        try:
            again = Plan.from_json(json.dumps(found))
        except OstinatoError:
            refused += 1
        else:
            Plan.from_json(again.to_json())
    assert refused > 50


def _somewhere(found, choose):
    """A place in a tree that holds a whole number."""
    part = found
    while True:
        keys = list(part) if isinstance(part, dict) else list(range(len(part)))
        if not keys:
            part = found
            continue
        key = choose.choice(keys)
        if type(part[key]) is int:
            return part, key
        part = part[key] if isinstance(part[key], (dict, list)) else found
