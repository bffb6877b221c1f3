"""Updates called straight are PyTorch's, to the bit."""

import pytest
import torch
from torch import nn

import toy
from ostinato.training import TrainingConfig, loop
from ostinato.training.device import InMemory
from ostinato.training.direct import clip_gradients
from ostinato.training.optimisers import make_optimizer

PEERS = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}


def weights():
    torch.manual_seed(0)
    return [nn.Parameter(torch.randn(3, 4)), nn.Parameter(torch.randn(5)), nn.Parameter(torch.randn(2, 2))]


@pytest.mark.parametrize("name", PEERS)
def test_an_update_called_straight_is_that_of_torch(name):
    mine, theirs = weights(), weights()
    config = TrainingConfig(optimizer=name, learning_rate=0.01, weight_decay=0.1)
    optimisers = make_optimizer(mine, config), PEERS[name](theirs, lr=0.01, weight_decay=0.1, fused=True)
    for step in range(5):
        for parameters in (mine, theirs):
            torch.manual_seed(step)
            for place, parameter in enumerate(parameters):
                parameter.grad = None if (step, place) == (2, 1) else torch.randn_like(parameter)
        if step == 3:  # as a run that is resumed
            kept = optimisers[0].state_dict()
            optimisers = make_optimizer(mine, config), optimisers[1]
            optimisers[0].load_state_dict(kept)
        for optimiser in optimisers:
            for group in optimiser.param_groups:
                group["lr"] = 0.01 / (step + 1)
            optimiser.step()
        assert all(map(torch.equal, mine, theirs))


@pytest.mark.parametrize("limit", [0.5, 1e3, float("inf")])
def test_gradients_are_clipped_as_torch_clips_them(limit):
    mine, theirs = weights(), weights()
    for parameters in (mine, theirs):
        torch.manual_seed(1)
        for parameter in parameters[:2]:
            parameter.grad = torch.randn_like(parameter)
    assert clip_gradients(mine, limit) == float(nn.utils.clip_grad_norm_(theirs, limit))
    assert all(torch.equal(one.grad, other.grad) for one, other in zip(mine[:2], theirs[:2], strict=True))
    assert clip_gradients([nn.Parameter(torch.ones(2))], limit) == 0


@pytest.mark.parametrize("name", PEERS)
def test_hooks_of_an_update_run_once_each_time(name):
    PEERS[name](weights(), lr=0.1)  # has PyTorch run the hooks of its own class
    mine, seen = weights(), []
    optimiser = make_optimizer(mine, TrainingConfig(optimizer=name))
    optimiser.register_step_post_hook(lambda *_: seen.append("after"))
    for _ in range(3):
        for parameter in mine:
            parameter.grad = torch.ones_like(parameter)
        optimiser.step()
    assert seen == ["after"] * 3


OURS_AND_PYTORCHS = (
    lambda given: make_optimizer(given, TrainingConfig(optimizer="adam", learning_rate=0.01)),
    lambda given: torch.optim.Adam(given, lr=0.01, fused=True),
)


def test_moments_that_are_replaced_between_updates_are_those_that_count():
    outcomes = []
    for make in OURS_AND_PYTORCHS:
        mine = weights()
        optimiser = make(mine)
        for step in range(4):
            for parameter in mine:
                parameter.grad = torch.full_like(parameter, step + 1.0)
            if step == 2:
                optimiser.state[mine[0]]["exp_avg"] = torch.full_like(mine[0], 5.0)
            if step == 3:
                kept = {name: value.clone() for name, value in optimiser.state[mine[1]].items()}
                optimiser.state[mine[1]] = {**kept, "exp_avg_sq": torch.ones_like(mine[1])}
            optimiser.step()
        outcomes.append(mine)
    assert all(map(torch.equal, *outcomes))


def test_a_scaler_of_gradients_is_heeded():
    outcomes = []
    for make in OURS_AND_PYTORCHS:
        mine = weights()
        optimiser = make(mine)
        for step in range(3):
            for parameter in mine:
                parameter.grad = torch.full_like(parameter, 8.0)
            if step:
                optimiser.grad_scale, optimiser.found_inf = torch.tensor(4.0), torch.tensor(float(step == 2))
            optimiser.step()
        outcomes.append(mine)
    assert all(map(torch.equal, *outcomes))


def test_training_in_memory_is_what_it_is_through_fabric(monkeypatch):
    from lightning_fabric import Fabric

    outcomes = []
    for fabric in (InMemory(), Fabric(accelerator="cpu", devices=1, precision="32-true")):
        monkeypatch.setattr(loop, "make_fabric", lambda _, fabric=fabric: fabric)
        module = toy.make_module()
        rows = toy.Rows()
        history = loop.train(module, toy.squared_error, rows, rows, toy.CONFIG)
        outcomes.append(([row.loss for row in history.rows], list(module.state_dict().values())))
    assert outcomes[0][0] == outcomes[1][0]
    assert all(map(torch.equal, outcomes[0][1], outcomes[1][1]))
