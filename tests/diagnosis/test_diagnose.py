"""What `diagnose` leaves alone, what it takes, what it refuses, and what it shows."""

import copy
import json
import random
import re

import numpy as np
import pytest
import torch
from healthy_models import HEALTHY
from torch import nn
from torch.nn import functional

import ostinato
from ostinato.errors import OutputError, UsageError
from planted_faults import EachStep, Last, Loop, adding, ragged, signs


def batch(rows: int = 24, steps: int = 12) -> tuple[torch.Tensor, torch.Tensor]:
    return adding(rows, steps, torch.Generator().manual_seed(3))


def gru() -> Last:
    torch.manual_seed(0)
    return Last(nn.GRU(2, 8, batch_first=True), 8)


QUICK = {"max_seconds": 10.0}


@pytest.fixture(autouse=True)
def _short_range_tests(monkeypatch) -> None:
    """These tests are of other figures; `test_planted_faults` has those of the learning rate as they are."""
    monkeypatch.setattr("ostinato.diagnosis.rates._POINTS", (8, 8))
    monkeypatch.setattr("ostinato.diagnosis.rates._RUN", (4, 4))


# --- nothing is changed ----------------------------------------------------------------------------------------------


class Noisy(nn.Module):
    """Has dropout, batch normalisation, a count of its calls, and draws from every generator."""

    def __init__(self) -> None:
        super().__init__()
        self.rnn, self.norm, self.drop = nn.LSTM(2, 6, batch_first=True), nn.BatchNorm1d(6), nn.Dropout(0.3)
        self.head, self.calls = nn.Linear(6, 1), 0
        self.register_buffer("seen", torch.zeros(()))

    def forward(self, xs):
        self.calls += 1
        self.seen += 1
        xs = xs + 1e-9 * (random.random() + float(np.random.rand()) + float(torch.rand(())))  # noqa: NPY002
        return self.head(self.drop(self.norm(self.rnn(xs)[0][:, -1])))


@pytest.mark.parametrize("training", [True, False])
def test_the_model_the_batch_and_random_numbers_are_as_they_were(training: bool) -> None:
    model = Noisy().train(training)
    model.norm.train(not training)
    model.head.bias.requires_grad_(False)
    model.rnn.register_forward_hook(lambda *_: None)
    xs, ys = batch()
    functional.mse_loss(model(xs), ys).backward()
    before = (
        copy.deepcopy(model.state_dict()),
        [p.grad.clone() if p.grad is not None else None for p in model.parameters()],
    )
    modes, frozen = [m.training for m in model.modules()], [p.requires_grad for p in model.parameters()]
    hooks = [len(m._forward_hooks) + len(m._forward_pre_hooks) for m in model.modules()]
    kept, calls = (xs.clone(), ys.clone()), model.calls
    states = torch.get_rng_state(), np.random.get_state()[1].copy(), random.getstate()  # noqa: NPY002
    ostinato.diagnose(model, (xs, ys), functional.mse_loss, learning_rate=1e-2, **QUICK)
    assert all(torch.equal(value, before[0][name]) for name, value in model.state_dict().items())
    for weight, grad in zip(model.parameters(), before[1], strict=True):
        assert (weight.grad is None) == (grad is None)
        assert grad is None or torch.equal(weight.grad, grad)
    assert [m.training for m in model.modules()] == modes
    assert [p.requires_grad for p in model.parameters()] == frozen
    assert [len(m._forward_hooks) + len(m._forward_pre_hooks) for m in model.modules()] == hooks
    assert torch.equal(xs, kept[0])
    assert torch.equal(ys, kept[1])
    assert model.calls == calls
    assert torch.equal(torch.get_rng_state(), states[0])
    assert random.getstate() == states[2]
    assert (np.random.get_state()[1] == states[1]).all()  # noqa: NPY002


def test_the_same_seed_gives_the_same_figures() -> None:
    model, pair = gru(), batch()
    first, second = (ostinato.diagnose(model, pair, functional.mse_loss, seed=5, **QUICK) for _ in range(2))
    for each in (first, second):
        each.numbers.pop("rates")  # how many points there are depends on the time
    assert first.numbers == second.numbers


# --- what it takes ---------------------------------------------------------------------------------------------------


def same_figures(one, other) -> None:
    norms = [each.numbers["parts"][0]["gradient norms"] for each in (one, other)]
    assert norms[0] == pytest.approx(norms[1], rel=1e-3)
    saturated = [each.numbers["parts"][0]["layers"][0]["saturated"] for each in (one, other)]
    assert list(saturated[0].values()) == list(saturated[1].values())


def test_a_loss_of_model_and_batch_and_one_of_outputs_and_targets_say_the_same() -> None:
    model, pair = gru(), batch()
    one = ostinato.diagnose(model, pair, lambda own, given: functional.mse_loss(own(given[0]), given[1]), **QUICK)
    other = ostinato.diagnose(model, pair, nn.MSELoss(), **QUICK)
    same_figures(one, other)


@pytest.mark.slow
@pytest.mark.ci
@pytest.mark.parametrize("kind", ["LSTM", "GRU", "RNN"])
def test_layers_of_torch_and_ours_cells_in_loops_and_scans_say_the_same(kind: str) -> None:
    torch.manual_seed(1)
    layer = getattr(nn, kind)(2, 8, batch_first=True)
    plain = Last(layer, 8)
    ours = copy.deepcopy(plain)
    ours.layer = ostinato.nn.from_torch(layer)
    cell = getattr(nn, f"{kind}Cell")(2, 8)
    cell.load_state_dict({name.removesuffix("_l0"): value for name, value in layer.state_dict().items()})
    loop = Loop(cell)
    loop.head = copy.deepcopy(plain.head)

    class Scanned(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.cell, self.head = ours.layer.cells[0], plain.head

        def forward(self, xs):
            return self.head(ostinato.scan(self.cell, xs, batch_first=True)[0][:, -1])

    found = [
        ostinato.diagnose(each, batch(12, 6), functional.mse_loss, **QUICK) for each in (plain, ours, loop, Scanned())
    ]
    for other in found[1:]:
        same_figures(found[0], other)


def test_pieces_of_a_sequence_whose_state_is_carried_are_one_sequence() -> None:
    class Pieces(Last):
        def forward(self, xs):
            state, ys = None, None
            for piece in xs.split(4, 1):
                ys, state = self.layer(piece, state)
                if self.cuts:
                    state = state.detach()
            return self.head(ys[:, -1])

    whole, pieces = gru(), Pieces(nn.GRU(2, 8, batch_first=True), 8)
    pieces.load_state_dict(whole.state_dict())
    pieces.cuts = False
    one, other = (ostinato.diagnose(each, batch(), functional.mse_loss, **QUICK) for each in (whole, pieces))
    same_figures(one, other)
    pieces.cuts = True
    cut = ostinato.diagnose(pieces, batch(), functional.mse_loss, **QUICK)
    assert "truncation" in cut.kinds
    assert cut.numbers["parts"][0]["cut"] == 4


def test_packed_sequences_and_lengths_give_no_leak_and_unused_lengths_give_one() -> None:
    class Read(nn.Module):
        def __init__(self, how: str) -> None:
            super().__init__()
            self.how, self.layer, self.head = how, nn.GRU(2, 6, batch_first=True), nn.Linear(6, 2)

        def forward(self, xs, lengths):
            if self.how == "packed":
                packed = nn.utils.rnn.pack_padded_sequence(xs, lengths, batch_first=True, enforce_sorted=False)
                return self.head(self.layer(packed)[1][0])
            ys = self.layer(xs)[0]
            return self.head(ys[:, -1] if self.how == "last" else ys[torch.arange(len(xs)), lengths - 1])

    (xs, lengths), ys = ragged(24, 18, torch.Generator().manual_seed(0))
    kinds = {}
    for how in ("packed", "own last", "last"):
        torch.manual_seed(2)
        kinds[how] = ostinato.diagnose(Read(how), ((xs, lengths), ys), functional.cross_entropy, **QUICK)
    assert "padding" in kinds["last"].kinds
    assert "padding" not in kinds["packed"].kinds
    assert "padding" not in kinds["own last"].kinds
    assert "moves nothing" in kinds["own last"].text()
    same_figures(kinds["packed"], kinds["own last"])


@pytest.mark.parametrize("form", [list, np.asarray, torch.as_tensor])
def test_lengths_may_be_lists_arrays_or_tensors(form) -> None:
    (xs, lengths), ys = ragged(24, 12, torch.Generator().manual_seed(0))
    model = Last(nn.GRU(2, 6, batch_first=True), 6, 2)
    found = ostinato.diagnose(model, (xs, ys), functional.cross_entropy, lengths=form(lengths.tolist()), **QUICK)
    assert "padding" in found.kinds  # the model is not told of them


def test_deep_bidirectional_layers_time_first_sequences_and_answers_at_every_step_are_taken() -> None:
    xs = torch.randn(20, 12, 3)
    deep = EachStep(nn.LSTM(3, 5, num_layers=2, bidirectional=True), 10, 4)
    found = ostinato.diagnose(deep, (xs, torch.randn(20, 12, 4)), nn.MSELoss(), **QUICK)
    assert len(found.numbers["parts"][0]["layers"]) == 4
    assert not found.skipped
    xs = xs[:4]
    projected = EachStep(nn.LSTM(3, 8, proj_size=4), 4, 4)
    assert not ostinato.diagnose(projected, (xs, torch.randn(4, 12, 4)), nn.MSELoss(), **QUICK).skipped


def test_tokens_embedded_before_the_layer_are_taken() -> None:
    class Reader(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embed, self.layer, self.head = nn.Embedding(20, 6), nn.GRU(6, 8, batch_first=True), nn.Linear(8, 2)

        def forward(self, tokens):
            return self.head(self.layer(self.embed(tokens))[0][:, -1])

    pair = torch.randint(20, (32, 15)), torch.randint(2, (32,))
    found = ostinato.diagnose(Reader(), pair, nn.CrossEntropyLoss(), **QUICK)
    assert not found.skipped
    assert "leak" not in found.kinds


@pytest.mark.slow
def test_every_cell_of_the_catalogue_is_looked_into() -> None:
    pair = torch.randn(10, 8, 6), torch.randn(8, 6)
    for name in ostinato.cells.PLAIN:
        stack = ostinato.nn.Recurrent(ostinato.cells.CATALOGUE[name](6, 6))

        def loss(model, given):
            return functional.mse_loss(model[1](model[0](given[0])[0][-1]), given[1])

        found = ostinato.diagnose(nn.ModuleList([stack, nn.Linear(6, 6)]), pair, loss, **QUICK)
        assert not found.skipped, (name, found.skipped)


@pytest.mark.slow
@pytest.mark.ci
def test_attention_is_shown_with_the_weights_that_it_has() -> None:
    case = HEALTHY["attention over a bidirectional GRU"](3)
    found = case.diagnose()
    xs = case.batch[0]
    with torch.no_grad():
        weights = case.model.score(case.model.layer(xs)[0]).softmax(1)[0, :, 0]
    assert found.numbers["attention"][0] == pytest.approx(weights.tolist(), abs=1e-5)
    assert any(panel.title == "Attention" for panel in found.panels)


def test_steps_are_said_in_the_users_unit_of_time() -> None:
    text = ostinato.diagnose(gru(), batch(steps=40), nn.MSELoss(), step="15min", **QUICK).text()
    assert re.search(r"vanish beyond (\d+) steps \(about", text)
    steps = int(re.search(r"vanish beyond (\d+) steps", text)[1])
    said = re.search(r"vanish beyond \d+ steps \(about ([\d.]+) (hours|minutes)\)", text)
    assert float(said[1]) * {"hours": 4, "minutes": 1 / 15}[said[2]] == pytest.approx(steps, rel=0.03)


@pytest.mark.parametrize(
    "history",
    [
        ([3, 2, 1, 0.5, 0.3, 0.2], [3, 2, 1.5, 1.8, 2.2, 2.5]),
        {"loss": [3, 2, 1, 0.5, 0.3, 0.2], "val_loss": [3, 2, 1.5, 1.8, 2.2, 2.5]},
        [
            {"loss": a, "validation_loss": b}
            for a, b in zip([3, 2, 1, 0.5, 0.3, 0.2], [3, 2, 1.5, 1.8, 2.2, 2.5], strict=False)
        ],
    ],
)
def test_histories_of_any_form_say_since_when_it_overfits(history) -> None:
    found = ostinato.diagnose(gru(), batch(), nn.MSELoss(), history=history, **QUICK)
    assert "Overfitting since epoch 3" in found.text()


# --- what it refuses -------------------------------------------------------------------------------------------------


class Bare(nn.Module):
    def forward(self, xs):
        return xs.mean(1)


REFUSED = {
    "no recurrent layer": (lambda: nn.Sequential(nn.Flatten(), nn.Linear(24, 1)), {}, "no recurrent layer"),
    "no parameters": (Bare, {}, "no parameters"),
    "no module": (lambda: 3, {}, "model is of type int"),
    "a loss that is no function": (gru, {"loss": 0.5}, "loss is 0.5"),
    "no loss": (gru, {"loss": None}, "loss is None"),
    "a loss that is a float": (gru, {"loss": lambda m, b: 1.0}, "gave a float"),
    "a loss of many numbers": (gru, {"loss": nn.MSELoss(reduction="none")}, "take its mean"),
    "a loss that takes something else": (gru, {"loss": lambda: 1}, "loss\\(model, batch\\) raised TypeError"),
    "two results": (
        lambda: nn.GRU(2, 1, batch_first=True),
        {"batch": (torch.zeros(8, 6, 2), torch.zeros(8, 6, 1))},
        "loss\\(model\\(inputs\\), targets\\) raised AttributeError",
    ),
    "another precision": (lambda: gru().double(), {}, "raised ValueError"),
    "TorchScript": (lambda: torch.jit.script(gru()), {}, "compiled by TorchScript"),
    "no rows": (gru, {"batch": (torch.zeros(0, 12, 2), torch.zeros(0, 1))}, "no rows"),
    "NaN": (gru, {"batch": (torch.full((8, 12, 2), torch.nan), torch.zeros(8, 1))}, "first at \\(0, 0, 0\\)"),
    "too many lengths": (gru, {"lengths": [3] * 99}, "99 lengths"),
    "lengths too long": (gru, {"lengths": [99] * 24}, "none longer than the steps"),
    "lengths of zero": (gru, {"lengths": [0] * 24}, "each 1 or larger"),
    "lengths that are no numbers": (gru, {"lengths": ["a"] * 24}, "lengths"),
    "lists of lengths": (gru, {"lengths": [[3, 4], [5]]}, "lengths is"),
    "fractions as lengths": (gru, {"lengths": [1.5] * 24}, "whole numbers"),
    "a step that is none": (gru, {"step": "a while"}, "a while"),
    "an unknown optimiser": (gru, {"optimizer": "magic"}, "expected adam"),
    "a rate below zero": (gru, {"learning_rate": -1.0}, "0 or more"),
    "no time": (gru, {"max_seconds": 0}, "max_seconds"),
    "a row that is not there": (gru, {"row": -1}, "row is -1"),
    "an output that is not there": (gru, {"output": 9}, "output is 9"),
    "a history of words": (gru, {"history": [{"loss": "low"}]}, "history"),
    "a history of something": (gru, {"history": 3}, "history is of type int"),
    "coverage in per cent": (gru, {"coverage": {80: 71}}, "shares from 0 to 1"),
    "one step": (gru, {"batch": (torch.zeros(8, 1, 2), torch.zeros(8, 1))}, "two steps or more"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_diagnosed_is_refused_in_one_sentence(name: str) -> None:
    make, changes, said = REFUSED[name]
    arguments = {"batch": batch(), "loss": nn.MSELoss(), **changes}
    with pytest.raises(UsageError, match=said) as caught:
        ostinato.diagnose(make(), **arguments)
    assert "\n" not in str(caught.value)


def test_a_loss_that_is_infinite_on_a_finite_batch_is_a_verdict() -> None:
    model = gru()
    with torch.no_grad():
        model.head.weight.fill_(3e38)
    found = ostinato.diagnose(model, batch(), nn.MSELoss())
    assert found.kinds == ("exploding",)
    assert json.loads(found.to_json())["verdicts"][0]["value"] is None


def test_one_row_and_little_time_leave_out_what_they_must() -> None:
    xs, ys = batch(rows=1)
    assert not ostinato.diagnose(gru(), (xs, ys), nn.MSELoss(), **QUICK).skipped
    hurried = ostinato.diagnose(gru(), batch(), nn.MSELoss(), max_seconds=1e-3)
    assert any("give more max_seconds" in sentence for sentence in hurried.skipped)


# --- what it shows ---------------------------------------------------------------------------------------------------


def test_the_page_stands_by_itself_and_its_numbers_lie_beside_it(tmp_path) -> None:
    found = ostinato.diagnose(gru(), batch(), nn.MSELoss(), learning_rate=0.5, **QUICK)
    path = found.to_html(tmp_path / "why.html")
    page = path.read_text()
    assert path.stat().st_size < 2_000_000
    assert not re.search(r"(src|href)=\"(?!#|data:)", page.replace("xlink:", ""))
    assert 'name="viewport"' in page
    assert "prefers-color-scheme: dark" in page
    for verdict in found.verdicts:
        assert verdict.title in page
    numbers = json.loads((tmp_path / "why.json").read_text())
    assert [each["kind"] for each in numbers["verdicts"]] == list(found.kinds)
    assert len(numbers["numbers"]["parts"][0]["gradient norms"]) == 12
    shown = found._repr_html_()
    assert "ostinato-diagnosis" in shown
    assert found.verdicts[0].title in shown
    assert found.verdicts[0].title in str(found)
    with pytest.raises(OutputError, match=r"ends in .html"):
        found.to_html(tmp_path / "why.json")


def test_what_a_page_says_is_escaped(tmp_path) -> None:
    class Odd(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.parts = nn.ModuleDict({"<script>": nn.GRU(2, 4, batch_first=True)})
            self.head = nn.Linear(4, 2)

        def forward(self, xs):
            return self.head(self.parts["<script>"](xs)[0][:, -1])

    pair = signs(16, 12, torch.Generator().manual_seed(0))
    page = ostinato.diagnose(Odd(), pair, nn.CrossEntropyLoss(), **QUICK).to_html(tmp_path / "odd.html").read_text()
    assert "<script" not in page


def test_what_is_recommended_in_python_exists_with_its_arguments() -> None:
    import inspect
    from typing import get_args

    from ostinato.diagnosis import Kind
    from ostinato.diagnosis.treatments import treatments

    for kind in get_args(Kind):
        said = " ".join(treatments(kind, None, needed=50, rate=1e-3))
        assert said
        for room, name, given in re.findall(r"ostinato\.(cells|nn)\.(\w+)(?:\(([^()]*)\))?", said):
            made = getattr(getattr(ostinato, room), name)
            for argument in re.findall(r"(\w+)=", given):
                assert argument in inspect.signature(made).parameters or argument == "lengths", (name, argument)


def test_a_layer_that_is_handed_a_state_is_looked_into_from_there() -> None:
    class Decoder(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.read, self.write = nn.LSTM(2, 5, batch_first=True), nn.LSTM(1, 5, batch_first=True)
            self.head = nn.Linear(5, 1)

        def forward(self, xs):
            _, state = self.read(xs)
            return self.head(self.write(xs[:, :8, :1], state)[0])

    torch.manual_seed(0)
    model = Decoder()
    xs, _ = batch()
    found = ostinato.diagnose(model, (xs, torch.randn(24, 8, 1)), nn.MSELoss(), **QUICK)
    assert not found.skipped
    assert {part["name"] for part in found.numbers["parts"]} == {"read", "write"}
    # what the first read comes through the state that it hands over
    assert found.numbers["parts"][0]["gradient norms"][3] > 0


def test_a_model_that_keeps_its_state_is_run_from_the_same_state_each_time() -> None:
    class Stateful(Last):
        def forward(self, xs):
            ys, self.state = self.layer(xs, self.state)
            self.state = self.state.detach()
            return self.head(ys[:, -1])

    plain = gru()
    model = Stateful(nn.GRU(2, 8, batch_first=True), 8)
    model.load_state_dict(plain.state_dict())
    model.state = None
    same_figures(*(ostinato.diagnose(each, batch(), nn.MSELoss(), **QUICK) for each in (plain, model)))
    assert model.state is None


def test_a_target_that_is_given_away_is_seen_whatever_the_form_of_the_loss() -> None:
    xs, ys = batch(rows=64)
    xs[:, -1, 1] = 3 * ys[:, 0]

    def loss(model, given):
        return functional.mse_loss(model(given["xs"]), given["targets"])

    assert "leak" in ostinato.diagnose(gru(), {"xs": xs, "targets": ys}, loss, **QUICK).kinds


@pytest.mark.parametrize("how", ["detach", "no_grad"])
def test_a_layer_that_no_gradient_reaches_is_named_and_a_frozen_one_is_not(how: str) -> None:
    class Cut(Last):
        def forward(self, xs):
            with torch.set_grad_enabled(how == "detach"):
                last = self.layer(xs)[0][:, -1]
            return self.head(last.detach())

    torch.manual_seed(0)
    model = Cut(nn.GRU(2, 8, batch_first=True), 8)
    assert ostinato.diagnose(model, batch(), nn.MSELoss(), **QUICK).kinds[0] == "no gradient"
    model.layer.requires_grad_(False)
    assert "no gradient" not in ostinato.diagnose(model, batch(), nn.MSELoss(), **QUICK).kinds


def test_nothing_is_said_of_the_rate_where_no_weight_is_trained() -> None:
    found = ostinato.diagnose(gru().requires_grad_(False), batch(), nn.MSELoss(), learning_rate=1.0, **QUICK)
    assert "learning rate too high" not in found.kinds
    assert "learning rate: all weights are frozen" in found.skipped


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_a_caller_that_takes_no_gradients_gets_the_same_figures(mode) -> None:
    usual = ostinato.diagnose(gru(), batch(), nn.MSELoss(), **QUICK)
    model, given = gru(), batch()
    with mode():
        same_figures(usual, ostinato.diagnose(model, given, nn.MSELoss(), **QUICK))


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_other_precisions_are_measured(dtype) -> None:
    xs, ys = batch()
    assert not ostinato.diagnose(gru().to(dtype), (xs.to(dtype), ys.to(dtype)), nn.MSELoss(), **QUICK).skipped


def test_classes_from_one_to_the_number_of_steps_are_no_lengths() -> None:
    torch.manual_seed(0)
    model = Last(nn.GRU(2, 6, batch_first=True), 6, 13)
    classes = torch.arange(24) % 12 + 1
    found = ostinato.diagnose(model, (batch()[0], classes), nn.CrossEntropyLoss(), **QUICK)
    assert "padding" not in found.kinds
