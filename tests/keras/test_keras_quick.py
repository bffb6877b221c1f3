"""Calls of a layer that is as it was go straight to its program, and give what Keras gives."""

import importlib.util
import warnings

import numpy as np
import pytest
import torch

if importlib.util.find_spec("keras") is None:
    pytest.skip("keras is not installed", allow_module_level=True)

import ostinato.keras as ours
from ostinato.keras import known

import keras  # isort: skip - after ours, which selects the backend

LAYERS = [
    ("SimpleRNN", {}),
    ("SimpleRNN", {"use_bias": False, "return_state": True}),
    ("LSTM", {"go_backwards": True, "return_sequences": True}),
    ("LSTM", {"dropout": 0.3, "recurrent_dropout": 0.2}),
    ("GRU", {"return_sequences": True, "zero_output_for_mask": True}),
    ("GRU", {"reset_after": False, "recurrent_dropout": 0.2}),
]
MASK = torch.arange(6)[None] < torch.tensor([6, 3, 0, 5])[:, None]


@pytest.fixture
def runs(monkeypatch):
    """What calls of known layers gave, none where the longer way was taken."""
    found, run = [], known.Known.run

    def noted(self, *arguments):
        found.append(run(self, *arguments))
        return found[-1]

    monkeypatch.setattr(known.Known, "run", noted)
    return found


def outcome(layer, xs, mask, training):
    """Return outputs, states, and the gradients of weights and sequences."""
    xs = xs.clone().requires_grad_()
    ys = layer(xs, mask=mask, training=training)
    ys = list(ys) if isinstance(ys, (list, tuple)) else [ys]
    weights = [variable.value for variable in layer.trainable_variables]
    return [*ys, *torch.autograd.grad(sum(part.square().sum() for part in ys), [xs, *weights])]


@pytest.mark.parametrize(("kind", "options"), LAYERS)
def test_calls_of_a_known_layer_are_those_of_keras(kind, options, runs):
    theirs, mine = (getattr(room.layers, kind)(5, seed=1, **options) for room in (keras, ours))
    theirs.build((4, 6, 3)), mine.build((4, 6, 3))
    mine.set_weights(theirs.get_weights())
    for mask, training in ((None, True), (None, True), (None, False), (MASK, True), (MASK, True), (None, True)):
        xs = torch.randn(4, 6, 3)
        pairs = zip(outcome(theirs, xs, mask, training), outcome(mine, xs, mask, training), strict=True)
        for one, other in pairs:
            torch.testing.assert_close(other, one, rtol=1e-4, atol=1e-5)
        seeds = [layer.cell.seed_generator.state.value for layer in (theirs, mine)]
        assert torch.equal(*seeds)
    assert runs[1] is not None
    assert runs[-1] is not None


def test_what_is_changed_of_a_known_layer_is_seen(runs):
    theirs, mine = keras.layers.GRU(4), ours.layers.GRU(4)
    xs = torch.randn(2, 5, 3)
    for change in (
        lambda layer: None,
        lambda layer: setattr(layer.cell, "activation", keras.activations.relu),
        lambda layer: setattr(layer, "return_sequences", True),
        lambda layer: setattr(layer, "go_backwards", True),
        lambda layer: setattr(layer, "trainable", False),
        lambda layer: layer.set_weights([weight / 2 for weight in layer.get_weights()]),
    ):
        theirs(xs), mine(xs)
        mine.set_weights(theirs.get_weights())
        change(theirs), change(mine)
        for _ in range(2):
            np.testing.assert_allclose(mine(xs).detach(), theirs(xs).detach(), rtol=1e-4, atol=1e-6)
    assert runs[-1] is not None


@pytest.mark.parametrize("kind", ["SimpleRNN", "LSTM", "GRU"])
def test_settings_that_were_not_there_when_a_layer_was_made_do_what_they_do_in_keras(kind):
    theirs, mine = (getattr(room.layers, kind)(4, seed=1, dropout=0.2) for room in (keras, ours))
    xs = torch.randn(3, 5, 2)
    theirs(xs), mine(xs)
    mine.set_weights([torch.rand_like(torch.as_tensor(weight)).numpy() for weight in theirs.get_weights()])
    theirs.set_weights(mine.get_weights())
    for name, value in (("recurrent_dropout", 0.4), ("use_bias", False)):
        for layer in (theirs, mine):
            setattr(layer.cell, name, value)
        for _ in range(2):
            expected, found = (layer(xs, training=True).detach() for layer in (theirs, mine))
            np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("kind", ["SimpleRNN", "LSTM", "GRU"])
@pytest.mark.parametrize("mask", [None, MASK])
def test_a_bias_that_a_layer_is_told_not_to_use_is_used_where_keras_uses_it(kind, mask):
    theirs, mine = (getattr(room.layers, kind)(4, bias_initializer="ones") for room in (keras, ours))
    xs = torch.randn(4, 6, 3)
    theirs(xs), mine(xs)
    mine.set_weights(theirs.get_weights())
    theirs.cell.use_bias = mine.cell.use_bias = False
    for _ in range(2):
        np.testing.assert_allclose(mine(xs, mask=mask).detach(), theirs(xs, mask=mask).detach(), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("kind", ["SimpleRNN", "LSTM", "GRU"])
def test_masks_of_dropout_are_told_from_weights_that_were_cast(kind):
    layer = getattr(ours.layers, kind)(4, dropout=0.3, recurrent_dropout=0.3, seed=1, dtype="mixed_bfloat16")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        layer(torch.randn(4, 3, 4), training=True)  # as many rows as units and features
