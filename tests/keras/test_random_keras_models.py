"""Whole models, drawn at random, are what Keras makes of them: numbers, training, states kept, files both ways."""

import importlib.util
import warnings

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

if importlib.util.find_spec("keras") is None:
    pytest.skip("keras is not installed", allow_module_level=True)

import ostinato.keras as ours
from ostinato.keras import loop

import keras  # isort: skip - after ours, which selects the backend

STEPS, FEATURES, BATCH = 4, 2, 3
CELLS = ("SimpleRNNCell", "LSTMCell", "GRUCell")


@keras.saving.register_keras_serializable("ostinato_tests")
class Minimal(keras.layers.Layer):
    """A cell of a user's: the state is a running mean of a projection, `h' = 0.5 h + 0.5 tanh(W x + U h)`."""

    def __init__(self, units, **options):
        super().__init__(**options)
        self.units = self.state_size = self.output_size = units

    def build(self, shape):
        self.kernel = self.add_weight(shape=(shape[-1], self.units), name="kernel")
        self.recurrent = self.add_weight(shape=(self.units, self.units), name="recurrent")
        self.built = True

    def call(self, x, states, training=False):
        (h,) = states
        h = 0.5 * h + 0.5 * keras.ops.tanh(keras.ops.matmul(x, self.kernel) + keras.ops.matmul(h, self.recurrent))
        return h, [h]

    def get_config(self):
        return {**super().get_config(), "units": self.units}


@st.composite
def layers(draw):
    """A layer as a list of what makes it: its kind, its units, its options."""
    kind = draw(st.sampled_from(["SimpleRNN", "LSTM", "GRU", "RNN", "own", "stack", "mixed", "both", "both other"]))
    options = {"zero_output_for_mask": draw(st.booleans())}
    if not kind.startswith("both"):
        options["go_backwards"] = draw(st.booleans())
    merge = draw(st.sampled_from(["concat", "sum", "mul", "ave"]))
    cells = draw(st.lists(st.sampled_from(CELLS), min_size=1, max_size=2))
    return kind, draw(st.integers(1, 3)), options, cells, merge


def made(room, drawn, last, stateful):
    """Return a layer of one room of layers, Keras's or ours."""
    kind, units, options, cells, merge = drawn
    options = {**options, "return_sequences": not last, "stateful": stateful}
    if kind == "RNN":
        return room.RNN(getattr(room, cells[0])(units), **options)
    if kind == "own":
        return room.RNN(Minimal(units), **options)
    if kind == "stack":
        return room.RNN([getattr(room, name)(units) for name in cells], **options)
    if kind == "mixed":
        return room.RNN(room.StackedRNNCells([room.GRUCell(units), Minimal(units)]), **options)
    if kind == "both":
        return room.Bidirectional(room.LSTM(units, **options), merge_mode=merge)
    if kind == "both other":
        other = room.GRU(units, **options, go_backwards=True)
        return room.Bidirectional(room.SimpleRNN(units, **options), backward_layer=other, merge_mode=merge)
    return getattr(room, kind)(units, **options)


def model_of(room, drawn, masked, stateful):
    inputs = keras.Input(batch_shape=(BATCH if stateful else None, STEPS, FEATURES))
    h = keras.layers.Masking(0.0)(inputs) if masked else inputs
    for place, each in enumerate(drawn):
        h = made(room, each, place == len(drawn) - 1, stateful)(h)
    return keras.Model(inputs, keras.layers.Dense(1)(h))


def batch(seed):
    generator = np.random.default_rng(seed)
    xs = generator.normal(size=(BATCH, STEPS, FEATURES)).astype(np.float32)
    xs[generator.random((BATCH, STEPS)) < 0.3] = 0
    return xs, generator.normal(size=(BATCH, 1)).astype(np.float32)


def reset(model):
    """Forget the states; Keras's own (3.15) cannot where a cell has several: then ours cannot either."""
    try:
        for layer in model.layers:
            if hasattr(layer, "reset_states"):
                layer.reset_states()
    except AttributeError:
        return False
    return True


def run(model, xs):
    return model(torch.tensor(xs)).detach().numpy()


def trained(model, xs, ys):
    weights = [variable.value for variable in model.trainable_variables]
    loss = ((model(torch.tensor(xs), training=True) - torch.tensor(ys)) ** 2).mean()
    with torch.no_grad():
        for weight, gradient in zip(weights, torch.autograd.grad(loss, weights), strict=True):
            weight -= 0.1 * gradient


@pytest.mark.filterwarnings("ignore:.*Keras's own loop")
@settings(max_examples=12, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(drawn=st.lists(layers(), min_size=1, max_size=2), masked=st.booleans(), stateful=st.booleans())
@pytest.mark.slow
@pytest.mark.ci
def test_a_model_drawn_at_random_is_that_of_keras(tmp_path_factory, drawn, masked, stateful):
    same_model(tmp_path_factory.mktemp("keras"), drawn, masked, stateful)


@pytest.mark.filterwarnings("ignore:.*Keras's own loop")
def test_a_model_with_every_kind_of_layer_is_that_of_keras(tmp_path):
    plain = {"zero_output_for_mask": False}
    drawn = [("both other", 2, plain, ["GRUCell"], "mul"), ("mixed", 2, plain, ["GRUCell"], "sum")]
    same_model(tmp_path, drawn, masked=True, stateful=True)


def same_model(folder, drawn, masked, stateful):
    theirs, mine = model_of(keras.layers, drawn, masked, stateful), model_of(ours.layers, drawn, masked, stateful)
    mine.set_weights(theirs.get_weights())
    for seed in (1, 2):  # of the second call, the state is that of the first, where it is kept
        np.testing.assert_allclose(run(mine, batch(seed)[0]), run(theirs, batch(seed)[0]), rtol=1e-4, atol=1e-5)
    if stateful:
        if reset(theirs) and reset(mine):
            np.testing.assert_allclose(run(mine, batch(1)[0]), run(theirs, batch(1)[0]), rtol=1e-4, atol=1e-5)
    else:
        trained(theirs, *batch(3))
        trained(mine, *batch(3))
    for one, other in zip(theirs.get_weights(), mine.get_weights(), strict=True):
        np.testing.assert_allclose(other, one, rtol=1e-3, atol=1e-5)
    mine.save(folder / "mine.keras")
    theirs.save(folder / "theirs.keras")
    read = [keras.models.load_model(folder / "mine.keras"), ours.models.load_model(folder / "theirs.keras")]
    fresh = keras.models.clone_model(theirs)
    fresh.set_weights(theirs.get_weights())
    expected = run(fresh, batch(4)[0])
    for model in read:
        np.testing.assert_allclose(run(model, batch(4)[0]), expected, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(
    "options",
    [{}, {"padding": "same", "go_backwards": True}, {"dilation_rate": 2, "padding": "same"}, {"activation": "softmax"}],
)
def test_a_convolutional_layer_is_that_of_keras_across_batches(options):
    xs = np.random.default_rng(0).normal(size=(2, 3, 6, 1)).astype(np.float32)
    layers_ = [
        room.ConvLSTM1D(2, 3, stateful=True, return_sequences=True, **options) for room in (keras.layers, ours.layers)
    ]
    models = []
    for layer in layers_:
        inputs = keras.Input(batch_shape=xs.shape)
        models.append(keras.Model(inputs, layer(inputs)))
    models[1].set_weights(models[0].get_weights())
    for _ in range(2):
        np.testing.assert_allclose(run(models[1], xs), run(models[0], xs), rtol=1e-4, atol=1e-5)


def test_a_cell_of_a_users_is_run_by_keras_and_that_is_said_once():
    loop._said.discard(Minimal)
    for count in (1, 0):
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            ours.layers.RNN(Minimal(3))(np.zeros((2, 4, 2), np.float32))
        assert sum("Keras's own loop" in str(each.message) and "Minimal" in str(each.message) for each in said) == count
