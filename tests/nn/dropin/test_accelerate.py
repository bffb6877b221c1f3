"""`accelerate` on models in the middle of their training; `from_torch` on trained layers and cells."""

import copy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from peers import BOTH, LAYERS, assert_same_call
from torch import nn
from torch.nn.utils import parametrizations
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

import ostinato
from ostinato.errors import UsageError


class Classifier(nn.Module):
    """A small real model: embedding, convolution, two recurrent layers, head; packed in the middle."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(11, 6)
        self.encoder = nn.LSTM(6, 5, 2, dropout=0.2, bidirectional=True, batch_first=True)
        self.blocks = nn.ModuleList([nn.GRU(10, 5, batch_first=True), nn.Conv1d(5, 5, 1)])
        self.cell = nn.GRUCell(5, 5)
        self.head = nn.Linear(5, 3)

    def forward(self, tokens, lengths):
        packed = pack_padded_sequence(self.embedding(tokens), lengths, batch_first=True, enforce_sorted=False)
        xs, _ = pad_packed_sequence(self.encoder(packed)[0], batch_first=True)
        _, h = self.blocks[0](xs)
        return self.head(self.cell(h[0]))


def _train(model, optimiser, steps, seed):
    torch.manual_seed(seed)
    tokens, labels = torch.randint(11, (8, 9)), torch.randint(3, (8,))
    losses = []
    for _ in range(steps):
        optimiser.zero_grad()
        loss = nn.functional.cross_entropy(model(tokens, torch.arange(2, 10)), labels)
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    return losses


def test_a_model_in_the_middle_of_its_training_goes_on_with_the_same_losses(scans) -> None:
    model = Classifier()
    optimiser = torch.optim.AdamW(model.parameters(), 0.02)
    first = _train(model, optimiser, 5, seed=1)
    twin = copy.deepcopy(model)
    other = torch.optim.AdamW(twin.parameters(), 0.02)
    other.load_state_dict(copy.deepcopy(optimiser.state_dict()))
    before = {name: id(parameter) for name, parameter in model.named_parameters()}
    report = ostinato.accelerate(model)
    assert [each.name for each in report.swapped] == ["encoder", "blocks.0", "cell"]
    assert report.left == ()
    assert {name: id(parameter) for name, parameter in model.named_parameters()} == before
    after = _train(model, optimiser, 10, seed=1)  # the optimiser of before, with its moments
    assert scans.total() == 10 * (4 + 1)
    torch.testing.assert_close(after, _train(twin, other, 10, seed=1), atol=1e-4, rtol=1e-4)
    assert after[-1] < first[0]


def test_hooks_modes_and_references_stay() -> None:
    layer, seen = nn.LSTM(3, 5).eval(), []
    layer.register_forward_hook(lambda *_: seen.append(1))
    layer.note = "mine"
    model = nn.ModuleDict({"one": layer, "again": layer})
    report = ostinato.accelerate(model)
    assert [each.name for each in report.swapped] == ["one"]
    assert model["one"] is model["again"] is layer
    assert type(layer) is ostinato.nn.LSTM
    assert not layer.training
    layer(torch.randn(4, 2, 3))
    assert (seen, layer.note) == ([1], "mine")


@pytest.mark.parametrize("kind", BOTH, ids=lambda kind: kind.__name__)
def test_a_model_that_is_itself_a_layer_is_turned_in_place(kind) -> None:
    module = kind(3, 5)
    expected = module(torch.ones(1, 3))
    report = ostinato.accelerate(module)
    assert type(module) is BOTH[kind]
    assert str(report).splitlines()[1].startswith(f"  swapped  (the model): {kind.__name__}")
    torch.testing.assert_close(module(torch.ones(1, 3)), expected)
    assert ostinato.accelerate(module).left[0].reason == "already a drop-in"


def test_a_parametrised_layer_keeps_its_parametrisation(scans) -> None:
    theirs = parametrizations.weight_norm(nn.LSTM(3, 5), "weight_hh_l0")
    ours = copy.deepcopy(theirs)
    assert len(ostinato.accelerate(ours).swapped) == 1
    assert isinstance(ours, ostinato.nn.LSTM)
    assert not isinstance(theirs, ostinato.nn.LSTM)
    for _ in range(2):
        assert_same_call(theirs, ours, torch.randn(4, 2, 3))
    assert scans.total() == 2
    torch.testing.assert_close(ours.state_dict(), theirs.state_dict())
    nn.utils.parametrize.remove_parametrizations(ours, "weight_hh_l0")
    assert type(ours) is ostinato.nn.LSTM


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_what_is_left_is_said_with_the_reason() -> None:
    class Own(nn.LSTM):
        def forward(self, xs, hx=None):
            return super().forward(2 * xs, hx)

    replaced = nn.GRU(3, 5)
    replaced.forward = lambda xs: xs
    parts = {"own": Own(3, 5), "replaced": replaced, "small": nn.RNN(3, 5).bfloat16(), "head": nn.Linear(5, 1)}
    parts["script"] = torch.jit.script(nn.LSTM(3, 5))
    text = str(ostinato.accelerate(nn.ModuleDict(parts)))
    assert text.splitlines() == [
        "swapped 1, left 3",
        "  swapped  small: RNN (in torch.bfloat16, runs through PyTorch as before)",
        "  left     own: Own, a class of its own, which may compute something else",
        "  left     replaced: GRU, its forward has been replaced",
        "  left     script: LSTM, compiled by TorchScript; accelerate the model before torch.jit.script",
    ]
    nothing = "swapped 0, left 0: no recurrent layer of torch.nn or Keras in it"
    assert str(ostinato.accelerate(nn.Linear(3, 3))) == nothing
    with pytest.raises(UsageError, match=r"accelerate was given list; expected a torch\.nn\.Module"):
        ostinato.accelerate([nn.LSTM(3, 5)])


@settings(max_examples=20, deadline=None)
@given(data=st.data(), kind=st.sampled_from(list(LAYERS)), layers=st.integers(1, 2), both=st.booleans())
@torch.no_grad()
@pytest.mark.slow
@pytest.mark.ci
def test_from_torch_gives_the_outputs_and_last_states_of_the_layer(data, kind, layers, both) -> None:
    options = {"bias": data.draw(st.booleans()), "batch_first": data.draw(st.booleans()), "bidirectional": both}
    if kind is nn.LSTM:
        options["proj_size"] = data.draw(st.sampled_from([0, 1, 3]))
    if kind is nn.RNN:
        options["nonlinearity"] = data.draw(st.sampled_from(["tanh", "relu"]))
    if data.draw(st.booleans()):
        kind = LAYERS[kind]
    layer = kind(3, 4, layers, dtype=torch.float64, **options).eval()
    ours = ostinato.nn.from_torch(layer)
    assert not ours.training
    xs = torch.randn(5, 2, 3, dtype=torch.float64)
    ys, states = ours(xs)
    expected, last = layer(xs)
    torch.testing.assert_close(ys, expected)
    parts = [list(part) for part in zip(*states, strict=True)] if isinstance(layer, nn.LSTM) else [list(states)]
    for mine, other in zip(parts, last if isinstance(layer, nn.LSTM) else [last], strict=True):
        torch.testing.assert_close(torch.stack(mine), other)
    ours.cells[0].recurrent.weight.add_(1)
    torch.testing.assert_close(layer(xs)[0], expected)  # copied, not shared


@pytest.mark.parametrize("kind", [nn.RNNCell, nn.LSTMCell, nn.GRUCell])
@pytest.mark.parametrize("bias", [True, False])
def test_from_torch_gives_the_steps_of_the_cell(kind, bias) -> None:
    cell = kind(3, 4, bias=bias)
    cell.weight_ih.requires_grad_(False)
    ours = ostinato.nn.from_torch(cell)
    assert not ours.input.weight.requires_grad
    assert ours.recurrent.weight.requires_grad
    xs = torch.randn(6, 2, 3)
    torch.testing.assert_close(ostinato.scan(ours, xs), ostinato.scan(cell, xs))


def test_from_torch_refuses_what_it_does_not_know() -> None:
    with pytest.raises(UsageError, match="from_torch was given Linear; expected an RNN, LSTM or GRU"):
        ostinato.nn.from_torch(nn.Linear(3, 3))
