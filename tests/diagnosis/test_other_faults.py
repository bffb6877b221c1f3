"""Faults of training scripts get a verdict that is true of them; what is no fault gets none."""

import numpy as np
import pytest
import torch
from other_faults import OTHERS, Dropped, unscaled_and_trained
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

import ostinato
from ostinato.diagnosis.fitted import _rivals
from ostinato.errors import UsageError
from ostinato.tasks.base.differences import Difference
from ostinato.tasks.base.judging import Scores
from planted_faults import Last, adding, drawn, signs, trained

_QUICK = (
    "batch_first forgotten",
    "softmax twice",
    "a loss of the wrong sign",
    "all weights frozen",
    "labels that never vary",
)
NAMES = [name if name in _QUICK else pytest.param(name, marks=[pytest.mark.slow, pytest.mark.ci]) for name in OTHERS]


@pytest.mark.parametrize("name", NAMES)
def test_a_fault_of_a_script_gets_the_verdict_that_is_true_of_it(name):
    kind, words, make = OTHERS[name]
    found = make(3).diagnose(max_seconds=20.0)
    assert kind in found.kinds, found.text()
    assert words in found.text()
    others = {"rows meet", "outputs", "sign", "random", "frozen", "truncation"} - {kind}
    assert not others & set(found.kinds), found.text()


@pytest.mark.slow
@pytest.mark.ci
def test_gates_that_are_shut_are_not_said_to_be_a_gradient_that_is_cut():
    assert "truncation" not in unscaled_and_trained(3).diagnose(max_seconds=10.0).kinds


def test_all_else_is_measured_with_the_same_draw_where_answers_are_random():
    draw = drawn(1)
    model = trained(
        Dropped(nn.GRU(2, 12, batch_first=True), 12, 2), signs, F.cross_entropy, draw, steps=60, rate=1e-2, length=16
    )
    (xs, ys), lengths = signs(48, 16, draw), torch.full((48,), 16)
    found = ostinato.diagnose(model, (xs, ys), F.cross_entropy, lengths=lengths, max_seconds=3.0)
    assert found.kinds == ("random",), found.text()


class Frequent(Last):
    """Logarithms of probabilities, as nll_loss takes them."""

    def forward(self, xs):
        return super().forward(xs).log_softmax(-1)


@pytest.mark.parametrize("loss", [nn.NLLLoss()])
def test_a_loss_without_a_lower_end_is_no_fault_where_outputs_have_one(loss):
    draw = drawn(2)
    model = trained(Frequent(nn.GRU(2, 12, batch_first=True), 12, 2), signs, loss, draw, steps=80, rate=1e-2, length=16)
    found = ostinato.diagnose(model, signs(64, 16, draw), loss, max_seconds=3.0)
    assert found.kinds == (), found.text()


def test_a_frozen_part_is_among_what_was_measured():
    model = Last(nn.GRU(2, 12, batch_first=True), 12)
    model.layer.requires_grad_(requires_grad=False)
    found = ostinato.diagnose(model, adding(48, 16, drawn(0)), F.mse_loss, max_seconds=2.0)
    assert "576 of 589 require no gradient" in found.text()
    assert "no gradient" not in found.kinds


# --- batches ---------------------------------------------------------------------------------------------------------


def arrays(xs, ys):
    return xs.numpy(), ys.numpy()


def lists(xs, ys):
    return [xs.tolist(), ys.tolist()]


def doubles(xs, ys):
    return xs.numpy().astype(np.float64), ys.numpy().astype(np.float64)


def loaders(xs, ys):
    return DataLoader(TensorDataset(xs, ys), batch_size=len(xs))


def data_sets(xs, ys):
    return TensorDataset(xs, ys)


@pytest.mark.parametrize("as_", [arrays, lists, doubles, loaders, data_sets])
def test_a_batch_may_be_arrays_lists_a_loader_or_a_data_set(as_):
    xs, ys = adding(16, 8, drawn(0))
    model = Last(nn.GRU(2, 8, batch_first=True), 8)
    plain = ostinato.diagnose(model, (xs, ys), F.mse_loss, max_seconds=0.5)
    other = ostinato.diagnose(model, as_(xs, ys), F.mse_loss, max_seconds=0.5)
    assert other.kinds == plain.kinds
    assert other.numbers["losses"]["model"] == pytest.approx(plain.numbers["losses"]["model"], rel=1e-5)


@pytest.mark.parametrize("batch", [DataLoader([]), TensorDataset(torch.zeros(0, 3, 2))])
def test_a_loader_of_nothing_is_refused(batch):
    with pytest.raises(ostinato.errors.UsageError, match="no batch|no rows"):
        ostinato.diagnose(Last(nn.GRU(2, 8, batch_first=True), 8), batch, F.mse_loss)


# --- baselines -------------------------------------------------------------------------------------------------------


class Task:
    decides = ("accuracy",)


def scores(mine, other, standing):
    test = Difference(standing, mine - other, -0.1, 0.1, 0.5, 10, "answers")
    return Scores(
        "test", 10, "answers", {"model": {"accuracy": mine}, "guess": {"accuracy": other}}, {"accuracy": "higher"},
        against={"guess": {"accuracy": test}},
    )  # fmt: skip


@pytest.mark.parametrize(
    ("mine", "other", "standing", "blamed", "undecided"),
    [
        (0.8, 0.9, "worse", True, False),
        (0.8, 0.8, "level", True, False),
        (0.8, 0.9, "unclear", False, True),
        (1.0, 1.0, "level", False, False),
        (0.9, 0.8, "better", False, False),
    ],
)
def test_a_baseline_is_blamed_only_where_the_fit_itself_can_tell(mine, other, standing, blamed, undecided):
    found = _rivals(scores(mine, other, standing), Task())
    assert ("guess" in found["rivals"], "guess" in found["undecided"]) == (blamed, undecided)


def test_code_of_an_advice_is_code_on_the_page(tmp_path):
    from ostinato.diagnosis.result import Diagnosis, Verdict

    verdict = Verdict("baseline", "A `title`", "Some `text` <b>", ("`ostinato compare` shows others.",))
    page = Diagnosis("a model", (verdict,)).to_html(tmp_path / "a.html").read_text()
    assert "<code>ostinato compare</code> shows others" in page
    assert "&lt;b&gt;" in page
    assert "`" not in page.split("<main>")[1]


@pytest.mark.parametrize(("low", "high"), [(0.2, 0.9), (1.0, 1.3), (0.011, 0.019), (3.0, 80.0), (1e-4, 1.0)])
def test_a_logarithmic_axis_has_numbers_on_two_ticks_or_more(low, high):
    pytest.importorskip("matplotlib")
    from ostinato.report.figures import logarithmic, new_figure

    figure, (axes,) = new_figure(6, 3)
    axes.plot([0, 1, 2], [low, (low * high) ** 0.5, high])
    logarithmic(axes)
    figure.canvas.draw()
    bottom, top = axes.get_ylim()
    shown = [
        label.get_text()
        for place, label in zip(axes.get_yticks(), axes.get_yticklabels(), strict=True)
        if bottom <= place <= top and label.get_text()
    ]
    assert len(set(shown)) >= 2


def test_what_a_batch_or_a_step_cannot_be_is_said_of_it() -> None:
    model, loss = nn.LSTM(2, 3), nn.MSELoss()
    for wrong in (None, "data.csv"):
        with pytest.raises(UsageError, match=r"batch is .*; expected tensors, arrays or lists"):
            ostinato.diagnose(model, wrong, loss)
    with pytest.raises(UsageError, match=r"step is 'fortnight'; expected how much time"):
        ostinato.diagnose(model, torch.zeros(3, 2, 2), loss, step="fortnight")


def test_what_a_cell_is_already_is_no_advice() -> None:
    from ostinato.diagnosis.treatments import treatments

    for options in (None, frozenset({"cell"})):
        gated, plain = (" ".join(treatments("vanishing", options, gated=each)) for each in (True, False))
        assert "gated" in plain
        assert "gated" not in gated
        assert "plain" not in gated.lower()
