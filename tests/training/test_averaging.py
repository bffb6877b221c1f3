"""Averaged weights against averages written by hand, and against themselves after a stop."""

from dataclasses import replace

import pytest
import torch

from ostinato.errors import UsageError
from ostinato.training import Step, TrainingConfig, train
from toy import CONFIG, Rows, make_module, squared_error

SETTINGS = {
    "polyak": {"averaging": "polyak", "averaging_start": 1},
    "ema": {"averaging": "ema", "averaging_decay": 0.8},
    "triggered": {"averaging": "triggered", "averaging_patience": 1, "learning_rate": 0.3, "schedule": "constant"},
}
VALIDATION = {"size": 32, "seed": 1, "shuffle": False}


def _trained(directory=None, objective=squared_error, **settings):
    module = make_module()
    config = replace(CONFIG, **settings)
    history = train(module, objective, Rows(), Rows(32, **VALIDATION), config, directory=directory, resume=True)
    return module, history


def _watched(seen):
    """Return an objective that notes the weights of each training step before it is taken."""

    def objective(module, batch, carry):
        if module.training:
            seen.append([weight.detach().clone() for weight in module.parameters()])
        return squared_error(module, batch, carry)

    return objective


@pytest.mark.parametrize("kind", ["polyak", "ema"])
def test_the_kept_weights_are_the_average_of_those_after_each_step(kind) -> None:
    seen, plain, last = [], [], make_module()
    module, history = _trained(objective=_watched(seen), **SETTINGS[kind])
    assert history.best_epoch == 4

    def note(_):
        plain.append([weight.detach().clone() for weight in last.parameters()])

    # training continues as if nothing were averaged, so that a run without shows the weights after the last step
    train(last, squared_error, Rows(), None, CONFIG, on_epoch=note)
    after = [*seen[1:], plain[-1]]
    if kind == "polyak":
        after = after[len(Rows()) :]  # the first epoch is left out
        expected = [torch.stack(values).mean(0) for values in zip(*after, strict=True)]
    else:
        expected = after[0]
        for number, weights in enumerate(after[1:], 2):
            left = min(0.8, (1 + number) / (10 + number))
            expected = [left * a + (1 - left) * b for a, b in zip(expected, weights, strict=True)]
    for found, value in zip(module.parameters(), expected, strict=True):
        torch.testing.assert_close(found.detach(), value, rtol=1e-5, atol=1e-6)


def test_the_validation_loss_is_that_of_the_averaged_weights() -> None:
    module, history = _trained(**SETTINGS["polyak"])
    module.eval()
    batch = next(iter(Rows(32, **VALIDATION).batches(0)))
    loss = float(squared_error(module, batch.data, None).loss.detach())
    assert history.rows[history.best_epoch - 1].validation_loss == pytest.approx(loss)


class _Scripted:
    """Validation losses as if read from a script; the only weight counts the steps, two an epoch."""

    def __init__(self, losses):
        self.losses, self.module = losses, torch.nn.Linear(1, 1, bias=False)
        torch.nn.init.zeros_(self.module.weight)
        self.epochs = -1.0  # the untrained model is validated once before

    def __len__(self):
        return 2

    def batches(self, epoch):
        from ostinato.training import Batch

        yield Batch(torch.zeros(1))
        yield Batch(torch.zeros(1))

    def objective(self, module, batch, carry):
        if module.training:
            return Step(-module.weight.sum(), 1)
        self.epochs += 0.5
        return Step(torch.tensor(self.losses[int(self.epochs - 0.5)]), 1)


def test_the_average_begins_when_the_loss_has_not_improved_for_some_epochs() -> None:
    #                    best           two later: worse than the best of those two or more ago
    script = _Scripted([5.0, 3.0, 4.0, 3.5, 2.9, 2.0, 2.5, 2.6, 2.7, 9.0])
    config = TrainingConfig(
        epochs=10, optimizer="sgd", momentum=0, learning_rate=1.0, patience=3, gradient_clip=None, progress=False,
        averaging="triggered", averaging_patience=2,
    )  # fmt: skip
    history = train(script.module, script.objective, script, script, config)
    # after epoch 4 the weight is 8; from there on the average of 9, 10, 11, 12 is kept at the best epoch, the sixth
    assert history.best_epoch == 6
    assert script.module.weight.item() == pytest.approx((9 + 10 + 11 + 12) / 4)
    assert len(history.rows) == 9
    assert history.stopped == "no better loss for 3 epochs (the best was epoch 6)"


def test_no_run_ends_for_want_of_patience_before_the_average_has_begun() -> None:
    script = _Scripted([1.0, 2.0, 2.0, 2.0, 2.0, 2.0, 2.0, 2.0])
    config = TrainingConfig(
        epochs=8, optimizer="sgd", momentum=0, learning_rate=1.0, patience=2, progress=False,
        averaging="triggered", averaging_patience=4,
    )  # fmt: skip
    assert len(train(script.module, script.objective, script, script, config).rows) == 7  # begins after 5, two more


@pytest.mark.parametrize("kind", SETTINGS)
@pytest.mark.parametrize("steps", [1, 12, 13, 30, 47])
def test_an_interrupted_run_goes_on_to_the_same_bits(tmp_path, kind, steps) -> None:
    expected, history = _trained(**SETTINGS[kind])
    seen = []

    def stopping(module, batch, carry):
        step = squared_error(module, batch, carry)
        seen.append(module.training)
        if sum(seen) > steps:
            raise KeyboardInterrupt
        return step

    with pytest.raises(KeyboardInterrupt):
        _trained(tmp_path, stopping, **SETTINGS[kind])
    resumed, again = _trained(tmp_path, **SETTINGS[kind])
    assert [row.validation_loss for row in again.rows] == [row.validation_loss for row in history.rows]
    assert all(torch.equal(a, b) for a, b in zip(expected.parameters(), resumed.parameters(), strict=True))


def test_what_cannot_be_meant_is_refused() -> None:
    with pytest.raises(UsageError, match='averaging is "mean"; expected one of polyak, triggered, ema'):
        TrainingConfig(averaging="mean")
    with pytest.raises(UsageError, match="averaging_decay is 1; expected a share"):
        TrainingConfig(averaging_decay=1)
