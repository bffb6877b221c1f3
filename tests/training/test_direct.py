"""Updates called straight are PyTorch's, to the bit."""

import pytest
import torch
from torch import nn

from ostinato.training import TrainingConfig
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
