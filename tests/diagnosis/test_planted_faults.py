"""Each planted fault is named, and healthy trained models get no verdict."""

import pytest
from healthy_models import HEALTHY

import ostinato
from planted_faults import FAULTS, Case

_QUICK = ("a leak past lengths", "a label leak", "a saturated gate", "copies")
"""Which stand for the others in the quick tests; CI runs all."""
NAMES = [name if name in _QUICK else pytest.param(name, marks=pytest.mark.slow) for name in FAULTS]


@pytest.mark.parametrize("name", NAMES)
def test_a_planted_fault_is_named_with_its_figure_and_what_to_do(name: str) -> None:
    kind, make = FAULTS[name]
    found = make(1).diagnose(max_seconds=30.0)
    assert kind in found.kinds, found.text()
    verdict = next(each for each in found.verdicts if each.kind == kind)
    assert any(sign.isdigit() for sign in verdict.title + verdict.text)
    assert verdict.advice
    assert not found.skipped


_HEALTHY = [name if name == "GRU, sign of a sum" else pytest.param(name, marks=[pytest.mark.slow]) for name in HEALTHY]


@pytest.mark.parametrize("name", _HEALTHY)
def test_a_healthy_model_gets_no_verdict(name: str) -> None:
    found = HEALTHY[name](7).diagnose()
    assert found.kinds == (), found.text()
    assert "No fault" in found.headline
    assert not found.skipped


def test_the_effective_memory_is_how_far_back_the_loss_was_taught_to_look() -> None:
    import torch
    from torch import nn

    class Delayed(nn.Module):
        """Answers with what was read five steps before, exactly: a shift register."""

        def __init__(self) -> None:
            super().__init__()
            self.rnn, self.head = nn.RNN(1, 6, bias=False, nonlinearity="relu", batch_first=True), nn.Linear(6, 1)
            with torch.no_grad():
                self.rnn.weight_ih_l0.zero_()[0] = 1.0
                self.rnn.weight_hh_l0.copy_(torch.diag(torch.ones(5), -1))
                self.head.weight.zero_()[0, 5] = 1.0

        def forward(self, xs: torch.Tensor) -> torch.Tensor:
            return self.head(self.rnn(xs)[0][:, -1])

    xs = torch.rand(32, 20, 1, generator=torch.Generator().manual_seed(0)) + 0.5
    found = Case(Delayed(), (xs, xs[:, -6]), nn.functional.mse_loss).diagnose()
    part = found.numbers["parts"][0]
    assert part["effective memory"] == 5
    assert [place for place, norm in enumerate(part["gradient norms"]) if norm > 0] in ([5], [])
    by_step = found.numbers["contributions"]["by_step"]
    assert max(range(20), key=lambda step: abs(by_step[step])) == 14
    assert sum(by_step) == pytest.approx(
        found.numbers["contributions"]["value"] - found.numbers["contributions"]["usual"], rel=1e-4
    )


@pytest.mark.slow
@pytest.mark.ci
def test_lyapunov_exponents_of_a_linear_map_are_the_logarithms_of_its_eigenvalues() -> None:
    import math

    import torch
    from torch import nn

    cell = ostinato.cells.RNNCell(2, 3, activation="identity")
    values = torch.tensor([0.9, 0.5, 0.2])
    with torch.no_grad():
        cell.recurrent.weight.copy_(torch.diag(values))

    class Linear(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.stack = ostinato.nn.Recurrent(cell)

        def forward(self, xs: torch.Tensor) -> torch.Tensor:
            return self.stack(xs)[0][-1]

    xs = torch.randn(8, 4, 2)
    found = ostinato.diagnose(Linear(), (xs, torch.randn(4, 3)), nn.functional.mse_loss)
    layer = found.numbers["parts"][0]["layers"][0]
    assert layer["lyapunov exponents"] == pytest.approx([math.log(value) for value in values.tolist()], abs=1e-5)
    assert layer["singular values"][0] == pytest.approx([0.9, 0.5, 0.2], abs=1e-5)
