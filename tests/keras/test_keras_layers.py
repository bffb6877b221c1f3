"""Layers of ostinato.keras give the numbers and the gradients of Keras's own, from the same weights."""

import importlib.util

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

if importlib.util.find_spec("keras") is None:
    pytest.skip("keras is not installed", allow_module_level=True)

import ostinato.keras as ours
from ostinato.keras import loop

import keras  # isort: skip - after ours, which selects the backend

FEATURES, UNITS, STEPS, BATCH = 2, 3, 5, 4
KINDS = ("SimpleRNN", "LSTM", "GRU")


def mask_of(kind):
    lengths = np.array([5, 2, 0, 3])
    right = np.arange(STEPS)[None] < lengths[:, None]
    holes = np.array([[1, 0, 1, 1, 0], [0, 0, 1, 0, 1], [1, 1, 1, 1, 1], [0, 0, 0, 0, 0]], bool)
    return {None: None, "full": right | True, "right": right, "left": right[:, ::-1].copy(), "holes": holes}[kind]


def both(make):
    """Make a layer twice, Keras's and ours, with the same weights."""
    theirs, mine = make(keras.layers), make(ours.layers)
    for layer in (theirs, mine):
        layer.build((BATCH, STEPS, FEATURES))
    mine.set_weights(theirs.get_weights())
    return theirs, mine


def answers(layer, calls=1, training=False, **options):
    """Call a layer, and return its results and gradients, of inputs and of weights."""
    results, generator = [], np.random.default_rng(3)
    for _ in range(calls):
        x = torch.tensor(generator.normal(size=(BATCH, STEPS, FEATURES)), dtype=getattr(torch, layer.compute_dtype))
        x.requires_grad_()
        found = layer(x, training=training, **options)
        parts = list(found) if isinstance(found, (list, tuple)) else [found]
        weights = [torch.tensor(generator.normal(size=part.shape), dtype=part.dtype) for part in parts]
        wanted = [x, *(variable.value for variable in layer.trainable_variables)]
        loss = sum((part * weight).sum() for part, weight in zip(parts, weights, strict=True))
        results += [part.detach() for part in parts] + list(torch.autograd.grad(loss, wanted))
    return results


def assert_same(theirs, mine, error=2e-5):
    assert len(theirs) == len(mine)
    for a, b in zip(theirs, mine, strict=True):
        assert a.shape == b.shape
        assert a.dtype is b.dtype
        torch.testing.assert_close(b, a, rtol=error, atol=error)


@st.composite
def options(draw):
    kind = draw(st.sampled_from(KINDS))
    flags = ("return_sequences", "return_state", "go_backwards", "stateful", "zero_output_for_mask")
    layer = {name: draw(st.booleans()) for name in flags}
    dropped = draw(st.sampled_from(["", "", "dropout", "recurrent_dropout", "both"]))
    if dropped:
        layer["seed"] = 5
        layer |= {name: 0.3 for name in ("dropout", "recurrent_dropout") if dropped in (name, "both")}
    if kind == "GRU":
        layer["reset_after"] = draw(st.booleans())
    layer["use_bias"] = draw(st.sampled_from([True, True, False]))
    if kind != "SimpleRNN":
        # with "auto", the state of a stateful layer of Keras's (3.15) is overwritten before its backward pass
        layer["use_cudnn"] = not layer["stateful"] and "auto"
    mask = draw(st.sampled_from([None, "full", "right", "left", "holes"]))
    if mask is None or not layer["go_backwards"]:  # there Keras's own raises
        layer["unroll"] = draw(st.booleans())
    return kind, layer, mask


@settings(max_examples=20, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
@given(options())
@example(("LSTM", {"go_backwards": True, "return_sequences": True, "stateful": True, "use_cudnn": False}, "holes"))
@example(("GRU", {"zero_output_for_mask": True}, "holes"))
@pytest.mark.slow
@pytest.mark.ci
def test_any_options_give_the_numbers_and_gradients_of_keras(drawn):
    kind, layer, mask = drawn
    theirs, mine = both(lambda library: getattr(library, kind)(UNITS, **layer))
    assert type(mine).__module__ == "ostinato.keras.recurrent"
    given_mask = None if mask is None else torch.from_numpy(mask_of(mask))
    settings_of_call = {"calls": 2, "training": True, "mask": given_mask}
    assert_same(answers(theirs, **settings_of_call), answers(mine, **settings_of_call))


def runs_through_the_engine(layer, monkeypatch, **options):
    """Tell whether a call of a layer went through the engine."""
    found, whole = [], loop._walked
    monkeypatch.setattr(loop, "_walked", lambda *given: found.append(whole(*given)) or found[-1])
    layer(np.zeros((BATCH, STEPS, FEATURES), "float32"), **options)
    monkeypatch.undo()
    return bool(found) and found[-1] is not None


@pytest.mark.parametrize("kind", KINDS)
def test_the_engine_runs_what_it_knows_and_leaves_the_rest_to_keras(kind, monkeypatch):
    make = getattr(ours.layers, kind)
    assert runs_through_the_engine(make(UNITS), monkeypatch)
    assert runs_through_the_engine(make(UNITS, activation="relu"), monkeypatch)
    assert not runs_through_the_engine(make(UNITS, activation=lambda x: x / (1 + x * x)), monkeypatch)
    cell = type("Cell", (getattr(keras.layers, f"{kind}Cell"),), {})
    assert not runs_through_the_engine(ours.layers.RNN(cell(UNITS)), monkeypatch)


def test_every_activation_gives_the_numbers_of_keras():
    for function, mine in loop._FUNCTIONS.items():
        x = torch.linspace(-4, 4, 41)
        torch.testing.assert_close(mine(x), function(x), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("name", ["relu", "hard_sigmoid", "leaky_relu", "softsign"])
def test_other_activations_give_the_numbers_of_keras(name):
    assert_same(*map(answers, both(lambda library: library.SimpleRNN(UNITS, activation=name))))


def test_another_activation_gives_the_numbers_of_keras():
    assert_same(*map(answers, both(lambda library: library.GRU(UNITS, activation="mish", recurrent_activation="gelu"))))


@pytest.mark.parametrize("mask", [None, "holes"])
def test_stacked_cells_give_the_numbers_of_keras(mask):
    def make(library):
        cells = [library.LSTMCell(4, dropout=0.2, seed=2), library.GRUCell(3), library.SimpleRNNCell(UNITS)]
        return library.RNN(cells, return_sequences=True, return_state=False)

    theirs, mine = both(make)
    given_mask = None if mask is None else torch.from_numpy(mask_of(mask))
    assert_same(*(answers(layer, training=True, mask=given_mask) for layer in (theirs, mine)))


@pytest.mark.parametrize("merge", ["concat", None])
def test_bidirectional_gives_the_numbers_of_keras_and_its_layers_are_ours(merge):
    def make(library):
        return library.Bidirectional(library.LSTM(UNITS, return_sequences=True, return_state=True), merge_mode=merge)

    theirs, mine = both(make)
    assert type(mine.forward_layer) is ours.layers.LSTM
    assert type(mine.backward_layer) is ours.layers.LSTM
    mask = torch.from_numpy(mask_of("left"))
    assert_same(*(answers(layer, mask=mask) for layer in (theirs, mine)))


@pytest.mark.parametrize("inner", ["Dense", "LayerNormalization", "Dropout", "BatchNormalization", "Sequential"])
def test_time_distributed_gives_the_numbers_of_keras(inner):
    def make(library):
        parts = {"Dense": lambda: library.Dense(3), "LayerNormalization": library.LayerNormalization,
                 "Dropout": lambda: library.Dropout(0.3, seed=4), "BatchNormalization": library.BatchNormalization,
                 "Sequential": lambda: keras.Sequential([library.Dense(4), library.Dense(2)])}  # fmt: skip
        return library.TimeDistributed(parts[inner]())

    theirs, mine = both(make)
    assert_same(*(answers(layer, training=True, mask=torch.ones(BATCH, STEPS).bool()) for layer in (theirs, mine)))


CONV = {1: (6, 2), 2: (4, 5, 2), 3: (3, 3, 3, 2)}


@pytest.mark.parametrize("rank", [1, 2, 3])
@pytest.mark.parametrize(
    ("settings_of_layer", "mask"),
    [
        ({"kernel_size": 3, "padding": "same"}, None),
        ({"kernel_size": 2, "return_sequences": True, "go_backwards": True, "return_state": True}, "holes"),
        ({"kernel_size": 2, "dropout": 0.2, "recurrent_dropout": 0.2, "seed": 3, "stateful": True}, "right"),
        ({"kernel_size": 3, "strides": 2, "padding": "same", "use_bias": False, "return_sequences": True}, None),
    ],
)
def test_convolutional_layers_give_the_numbers_of_keras(rank, settings_of_layer, mask):
    x = np.random.default_rng(0).normal(size=(BATCH, STEPS, *CONV[rank])).astype("float32")
    layers = [getattr(library.layers, f"ConvLSTM{rank}D")(3, **settings_of_layer) for library in (keras, ours)]
    for layer in layers:
        layer.build(x.shape)
    layers[1].set_weights(layers[0].get_weights())
    found = []
    for layer in layers:
        given_mask = None if mask is None else torch.from_numpy(mask_of(mask))
        results = layer(torch.from_numpy(x), mask=given_mask, training=True)
        results = list(results) if isinstance(results, (list, tuple)) else [results]
        weights = [variable.value for variable in layer.trainable_variables]
        found.append([*results, *torch.autograd.grad(sum((part**2).sum() for part in results), weights)])
    assert_same(*found)


def test_double_precision_and_mixed_precision_give_the_numbers_of_keras():
    assert_same(*map(answers, both(lambda library: library.LSTM(UNITS, dtype="float64"))), 1e-10)
    # in bfloat16 the engine keeps the state within a call in float32
    assert_same(*map(answers, both(lambda library: library.GRU(UNITS, dtype="mixed_bfloat16"))), 0.1)
    assert_same(*map(answers, both(lambda library: library.SimpleRNN(UNITS, dtype="mixed_float16"))), 2e-2)


def test_an_initial_state_is_taken_and_gets_its_gradient():
    found = []
    for layer in both(lambda library: library.LSTM(UNITS, return_state=True)):
        start = [torch.full((BATCH, UNITS), 0.3, requires_grad=True) for _ in range(2)]
        results = layer(torch.ones(BATCH, STEPS, FEATURES), initial_state=start)
        found.append([*results, *torch.autograd.grad(sum(part.sum() for part in results), start)])
    assert_same(*found)


def test_wrong_shapes_get_the_errors_of_keras():
    for wrong in (np.zeros((4, 5)), np.zeros((4, 5, 7), "float32")):
        messages = []
        for layer in both(lambda library: library.GRU(UNITS, name="gru")):
            with pytest.raises((ValueError, RuntimeError)) as caught:
                layer(wrong)
            messages.append(str(caught.value))
        assert messages[0] == messages[1]
    layer = ours.layers.GRU(UNITS, use_cudnn=True)
    with pytest.raises(ValueError, match="use_cudnn=True was specified"):
        layer(torch.ones(BATCH, STEPS, FEATURES), mask=torch.from_numpy(mask_of("right")))


def test_padding_with_nan_reaches_neither_outputs_nor_gradients():
    layer = ours.layers.LSTM(UNITS)
    x, mask = torch.ones(BATCH, STEPS, FEATURES), torch.from_numpy(mask_of("right"))
    x[~mask] = torch.nan
    layer(x, mask=mask).sum().backward()
    assert all(bool(variable.value.grad.isfinite().all()) for variable in layer.trainable_variables)


@pytest.mark.slow
def test_a_compiled_model_gives_the_numbers_of_keras():
    theirs, mine = both(lambda library: library.GRU(UNITS))
    x = torch.ones(BATCH, STEPS, FEATURES)
    compiled = torch.compile(lambda given: mine(given) * 2, backend="eager")
    torch.testing.assert_close(compiled(x), theirs(x) * 2)
