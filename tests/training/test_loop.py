"""The fit loop against loops written by hand, and against itself after a kill."""

import csv
import math
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from ostinato.errors import NonFiniteLoss, OutputError, TrainingError, UsageError
from ostinato.training import Batch, Step, TrainingConfig, remove_checkpoint, train
from ostinato.training.optimisers import schedule_factor
from toy import CONFIG, Rows, make_module, run, squared_error

QUIET = TrainingConfig(epochs=3, patience=None, progress=False)


def _by_hand(module, rows, optimizer, epochs, clip, rate):
    torch.manual_seed(0)
    total, step = epochs * len(rows), 0
    for epoch in range(epochs):
        for batch in rows.batches(epoch):
            for group in optimizer.param_groups:
                group["lr"] = rate(step, total)
            loss = squared_error(module, batch.data, None).loss
            optimizer.zero_grad()
            loss.backward()
            if clip:
                nn.utils.clip_grad_norm_(module.parameters(), clip)
            optimizer.step()
            step += 1


@pytest.mark.parametrize(
    ("name", "make"),
    [
        ("sgd", lambda p: torch.optim.SGD(p, 1e-2, momentum=0.9, weight_decay=0.1)),
        ("adam", lambda p: torch.optim.Adam(p, 1e-2, weight_decay=0.1)),
        ("adamw", lambda p: torch.optim.AdamW(p, 1e-2, weight_decay=0.1)),
    ],
)
@pytest.mark.parametrize("schedule", ["constant", "cosine", "one_cycle", "exponential", "step"])
@pytest.mark.parametrize("clip", [None, 0.3])
def test_training_equals_a_loop_written_by_hand(name, make, schedule, clip) -> None:
    ours, theirs, rows = make_module(), make_module(), Rows(24)
    config = replace(
        QUIET,
        optimizer=name,
        momentum=0.9,  # of sgd alone
        learning_rate=1e-2,
        weight_decay=0.1,
        schedule=schedule,
        gradient_clip=clip,
        warmup_steps=4,
    )
    train(ours, squared_error, rows, None, replace(config, min_delta=-0.0))
    _by_hand(
        theirs,
        rows,
        make(theirs.parameters()),
        3,
        clip,
        lambda step, total: 1e-2 * min(1, (step + 1) / 4) * schedule_factor(schedule, step / total),
    )
    last = make_module()
    # without validation the epoch of the least training loss is kept; here the last one, unless it rose
    history = train(last, squared_error, rows, None, config)
    if history.best_epoch == 3:
        for a, b in zip(ours.parameters(), theirs.parameters(), strict=True):
            torch.testing.assert_close(a, b, rtol=1e-6, atol=1e-7)
    else:
        pytest.fail("the training loss rose; choose another toy")


def test_the_same_seed_gives_the_same_bits_and_leaves_the_callers_numbers_alone() -> None:
    torch.manual_seed(9)
    expected = torch.rand(1)
    torch.manual_seed(9)
    first, second, other = make_module(), make_module(), make_module()
    torch.manual_seed(9)
    train(first, squared_error, Rows(), None, QUIET)
    assert torch.rand(1) == expected
    train(second, squared_error, Rows(), None, QUIET)
    train(other, squared_error, Rows(), None, replace(QUIET, seed=1))
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True))
    assert not all(torch.equal(a, b) for a, b in zip(first.parameters(), other.parameters(), strict=True))


class Chunks:
    """One long sequence in chunks that continue from each other."""

    def __init__(self):
        self.xs = torch.randn(30, 2, 3, generator=torch.Generator().manual_seed(1))

    def __len__(self):
        return 3

    def batches(self, epoch):
        for i, chunk in enumerate(self.xs.split(10)):
            yield Batch(chunk, continues=i > 0)


def test_the_state_is_carried_over_chunks_without_its_gradient() -> None:
    torch.manual_seed(0)
    ours, seen = nn.GRU(3, 4), []

    def objective(module, xs, carry):
        seen.append(None if carry is None else (carry.clone(), carry.requires_grad))
        ys, last = module(xs, carry)
        return Step(ys.square().mean(), ys.numel(), last)

    theirs = nn.GRU(3, 4)
    theirs.load_state_dict(ours.state_dict())
    train(ours, objective, Chunks(), None, replace(QUIET, epochs=1, optimizer="sgd", momentum=0.9, gradient_clip=None))
    optimizer, state = torch.optim.SGD(theirs.parameters(), 1e-3, momentum=0.9), None
    for i, xs in enumerate(Chunks().xs.split(10)):
        if i:
            torch.testing.assert_close(seen[i][0], state)
            assert not seen[i][1]
        ys, last = theirs(xs, state)
        optimizer.zero_grad()
        ys.square().mean().backward()
        optimizer.step()
        state = last.detach()
    assert seen[0] is None
    for a, b in zip(ours.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(a, b)


class Scripted:
    """Validation losses as if read from a script: the module's only weight counts the epochs."""

    def __init__(self, losses):
        self.losses, self.module = losses, nn.Linear(1, 1, bias=False)
        nn.init.zeros_(self.module.weight)

    def __len__(self):
        return 1

    def batches(self, epoch):
        yield Batch(torch.zeros(1))

    def objective(self, module, batch, carry):
        weight = module.weight.sum()
        if module.training:
            return Step(-weight, 1)
        return Step(torch.tensor(self.losses[round(weight.item()) - 1]), 1)


def test_the_best_epoch_is_kept_and_training_stops_after_the_patience() -> None:
    script = Scripted([5.0, 3.0, 4.0, 2.0, 2.5, 2.1, 2.2, 1.0])
    config = TrainingConfig(epochs=8, optimizer="sgd", momentum=0, learning_rate=1.0, patience=3, progress=False)
    history = train(script.module, script.objective, script, script, config)
    assert [row.validation_loss for row in history.rows] == pytest.approx([5, 3, 4, 2, 2.5, 2.1, 2.2])
    assert history.best_epoch == 4
    assert history.stopped == "no better loss for 3 epochs (the best was epoch 4)"
    assert script.module.weight.item() == pytest.approx(4)


def test_plateau_halves_the_rate_after_three_epochs_without_a_better_loss() -> None:
    script = Scripted([1.0] * 8)
    config = TrainingConfig(
        epochs=8, optimizer="sgd", momentum=0, learning_rate=1.0, schedule="plateau", patience=None, progress=False
    )

    def objective(module, batch, carry):
        return Step(0.0 * module.weight.sum() + 1.0, 1)

    rates = [row.learning_rate for row in train(script.module, objective, script, script, config).rows]
    assert rates == [1, 1, 1, 1, 0.5, 0.5, 0.5, 0.25]


@pytest.mark.parametrize("after", [0, 7])
def test_a_loss_that_is_no_number_stops_with_the_last_good_weights(after) -> None:
    module, seen = make_module(), []

    def objective(module, batch, carry):
        seen.append(1)
        step = squared_error(module, batch, carry)
        return Step(step.loss * math.nan, 1) if len(seen) > after and module.training else step

    start = {name: value.clone() for name, value in module.state_dict().items()}
    kept = []
    with pytest.raises(NonFiniteLoss, match=r"the loss became nan in epoch .*try a smaller learning_rate") as caught:
        train(
            module,
            objective,
            Rows(24),
            None,
            QUIET,
            on_epoch=lambda _: kept.append({name: value.clone() for name, value in module.state_dict().items()}),
        )
    expected = kept[-1] if after else start
    assert len(caught.value.history.rows) == len(kept)
    assert all(torch.equal(value, expected[name]) for name, value in module.state_dict().items())


def test_a_gradient_that_is_infinite_stops_before_it_spoils_the_weights() -> None:
    module = nn.Linear(1, 1)

    def objective(module, batch, carry):
        return Step((module.weight.sum() - module.weight.sum().detach()).abs().sqrt(), 1)  # 0, with slope infinity

    with pytest.raises(NonFiniteLoss, match="the gradient became"):
        train(module, objective, Rows(8), None, QUIET)
    assert module.weight.isfinite().all()


def test_the_history_is_on_disk_and_a_finished_run_can_be_resumed(tmp_path) -> None:
    module = make_module()
    history = train(
        module, squared_error, Rows(), Rows(32, seed=1), replace(QUIET, tensorboard=True), directory=tmp_path
    )
    with (tmp_path / "history.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [float(row["validation_loss"]) for row in rows] == [row.validation_loss for row in history.rows]
    assert list((tmp_path / "tensorboard").glob("events*"))
    again = make_module()
    train(again, squared_error, Rows(), Rows(32, seed=1), QUIET, directory=tmp_path, resume=True)
    assert all(torch.equal(a, b) for a, b in zip(module.parameters(), again.parameters(), strict=True))
    with pytest.raises(TrainingError, match="fingerprint of the data = , but this run has abc"):
        train(again, squared_error, Rows(), None, QUIET, directory=tmp_path, resume=True, fingerprint="abc")
    remove_checkpoint(tmp_path)
    assert not (tmp_path / "checkpoint").exists()


def _stop_after(steps):
    def objective(module, batch, carry):
        objective.seen += module.training
        step = squared_error(module, batch, carry)
        if objective.seen > steps:
            raise KeyboardInterrupt  # dropout has drawn its random numbers already
        return step

    objective.seen = 0
    return objective


@pytest.mark.parametrize("steps", [0, 1, 11, 12, 13, 30, 47])
def test_an_interrupted_run_goes_on_to_the_same_bits(tmp_path, steps) -> None:
    expected = run(None).state_dict()
    module = make_module()
    with pytest.raises(KeyboardInterrupt):
        train(module, _stop_after(steps), Rows(), Rows(32, seed=1, shuffle=False), CONFIG, directory=tmp_path)
    resumed = run(tmp_path).state_dict()
    assert all(torch.equal(resumed[name], value) for name, value in expected.items())


@pytest.mark.slow
@pytest.mark.ci
def test_a_run_killed_again_and_again_ends_at_the_same_bits(tmp_path) -> None:
    expected = run(None).state_dict()
    script = Path(__file__).with_name("toy.py")
    rng = np.random.default_rng(0)
    kills = 0
    while not (tmp_path / "final.pt").exists():
        child = subprocess.Popen([sys.executable, str(script), str(tmp_path), "0.05"])
        deadline = time.monotonic() + 60
        while not (tmp_path / "checkpoint").exists() and child.poll() is None and time.monotonic() < deadline:
            time.sleep(0.01)
        if kills < 3:
            time.sleep(rng.uniform(0.2, 5.0 if kills else 0.5))
            child.send_signal(signal.SIGKILL)
            kills += 1
        child.wait(60)
    final = torch.load(tmp_path / "final.pt")
    assert all(torch.equal(final[name], value) for name, value in expected.items())


def test_a_checkpoint_that_does_not_fit_is_refused(tmp_path) -> None:
    with pytest.raises(KeyboardInterrupt):
        train(make_module(), _stop_after(20), Rows(), None, CONFIG, directory=tmp_path)
    other = replace(CONFIG, learning_rate=0.5)
    with pytest.raises(TrainingError, match=r"made with learning_rate = 0.01, but this run has 0.5"):
        train(make_module(), squared_error, Rows(), None, other, directory=tmp_path, resume=True)
    path = tmp_path / "checkpoint/run.pt"
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(TrainingError, match="cannot be read .* delete its folder"):
        train(make_module(), squared_error, Rows(), None, CONFIG, directory=tmp_path, resume=True)


def test_a_time_limit_ends_training(tmp_path) -> None:
    rows = Rows()
    rows.delay = 0.05
    history = train(make_module(), squared_error, rows, None, replace(QUIET, epochs=1000, max_seconds=0.3))
    assert len(history.rows) == 1
    assert history.stopped == "the time limit of 0.3 s was reached"


def test_what_cannot_be_is_refused(tmp_path) -> None:
    with pytest.raises(UsageError, match="epochs is 0; expected one or more"):
        TrainingConfig(epochs=0)
    with pytest.raises(UsageError, match='optimizer is "lion"; expected one of sgd, adam, adamw'):
        TrainingConfig(optimizer="lion")
    with pytest.raises(UsageError, match='device "cuda:7" .* is not available here'):
        train(make_module(), squared_error, Rows(), None, replace(QUIET, device="cuda:7"))
    with pytest.raises(UsageError, match="there are no training batches"):
        train(make_module(), squared_error, Rows(0), None, QUIET)
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot be written"):
        train(make_module(), squared_error, Rows(), None, QUIET, directory=tmp_path / "file")


def test_the_bar_shows_loss_validation_loss_speed_and_time_left(capfd) -> None:
    rows = Rows(240)
    rows.delay = 0.02
    train(make_module(), squared_error, rows, Rows(32, seed=1), replace(QUIET, progress=True))
    text = capfd.readouterr().err
    for part in ("epoch 2/3", "loss ", "validation ", "step/s", "<00:0"):
        assert part in text


@pytest.mark.parametrize("validated", [True, False])
@pytest.mark.parametrize(("optimizer", "rate"), [("adamw", 1000.0), ("sgd", 300.0), ("adam", 1e8), ("sgd", 1e30)])
def test_training_that_diverges_is_told_by_its_size_whatever_the_arithmetic_does(validated, optimizer, rate) -> None:
    config = replace(QUIET, optimizer=optimizer, momentum=0.9, learning_rate=rate, gradient_clip=1.0)
    with pytest.raises(TrainingError, match="try a smaller learning_rate"):
        train(make_module(), squared_error, Rows(), Rows(32, seed=1) if validated else None, config)


@pytest.mark.parametrize("seed", range(5))
def test_a_target_that_is_noise_is_learned_badly_but_not_called_diverged(seed) -> None:
    noise = torch.randn(512, 1, generator=torch.Generator().manual_seed(seed))

    def objective(module, batch, carry):
        return Step(nn.functional.mse_loss(module(batch[0]), noise[: len(batch[0])]), len(batch[0]))

    for rate in (1e-4, 1e-2, 0.1):
        train(make_module(), objective, Rows(), Rows(32, seed=1), replace(QUIET, learning_rate=rate, epochs=6))


def test_a_run_that_was_good_and_then_diverges_keeps_what_was_good() -> None:
    script = Scripted([5.0, 3.0, 900.0, 1e9, 1e12, 7.0])
    config = TrainingConfig(epochs=5, optimizer="sgd", momentum=0, learning_rate=1.0, patience=None, progress=False)
    history = train(script.module, script.objective, script, script, config)
    assert history.best_epoch == 2
    assert script.module.weight.item() == pytest.approx(2)


def test_losses_below_zero_are_measured_by_their_distance() -> None:
    from ostinato.training.diverging import has_diverged

    assert not has_diverged(-2.0, 5.0)
    assert has_diverged(-2.0, 1e4)
    assert has_diverged(0.5, math.inf)
    assert not has_diverged(math.nan, 1e9)
    assert not has_diverged(None, 1e9)
