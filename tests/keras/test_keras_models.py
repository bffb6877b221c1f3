"""Models of Keras with our layers: trained, saved, read, cloned, accelerated; the module that stands in for keras."""

import importlib
import importlib.util
import sys
import zipfile

import numpy as np
import pytest
import torch

import ostinato
from ostinato.errors import MissingExtra, UsageError

if importlib.util.find_spec("keras") is None:
    pytest.skip("keras is not installed", allow_module_level=True)

import ostinato.keras as ours
from ostinato.keras import selection

import keras  # isort: skip - after ours, which selects the backend


def script(library, weights=None):
    """Run the smallest training script of a tutorial; return its model and losses."""
    generator = np.random.default_rng(0)
    x, y = generator.normal(size=(10, 5, 1)), generator.normal(size=(10, 1))
    model = library.Sequential([library.layers.SimpleRNN(32, input_shape=(5, 1)), library.layers.Dense(1)])
    if weights is not None:
        model.set_weights(weights)
    start = model.get_weights()
    model.compile("adam", "mean_squared_error")
    history = model.fit(x, y, epochs=10, verbose=0, shuffle=False)
    return model, start, history.history["loss"]


@pytest.mark.filterwarnings("ignore:Do not pass an `input_shape`")
def test_the_script_of_a_tutorial_trains_as_with_keras_from_the_same_weights():
    _, start, theirs = script(keras)
    _, _, mine = script(ours, start)
    assert mine[-1] < 0.9 * mine[0]
    np.testing.assert_allclose(mine, theirs, rtol=1e-4)


def text_model(library):
    """Return a model of the functional interface with masks, both directions and a shared layer."""
    words = library.Input((6,), dtype="int32")
    h = library.layers.Embedding(9, 4, mask_zero=True)(words)
    h = library.layers.Bidirectional(library.layers.LSTM(3, return_sequences=True))(h)
    h = library.layers.TimeDistributed(library.layers.Dense(4))(h)
    return library.Model(words, library.layers.Dense(2, activation="softmax")(library.layers.GRU(3)(h)))


WORDS = np.array([[1, 2, 3, 0, 0, 0], [4, 5, 6, 7, 8, 1], [3, 0, 0, 0, 0, 0]])


def kinds_in(model):
    return {type(layer).__module__.partition(".")[0] for layer in model._flatten_layers() if hasattr(layer, "cell")}


def test_files_are_read_both_ways(tmp_path):
    mine = text_model(ours)
    mine.compile("adam", "sparse_categorical_crossentropy")
    mine.fit(WORDS, np.array([0, 1, 0]), epochs=1, verbose=0)
    mine.save(tmp_path / "mine.keras")
    theirs = keras.models.load_model(tmp_path / "mine.keras")
    assert kinds_in(theirs) == {"keras"}
    assert kinds_in(mine) == {"ostinato"}
    np.testing.assert_allclose(theirs.predict(WORDS, verbose=0), mine.predict(WORDS, verbose=0), rtol=1e-5)
    theirs.save(tmp_path / "theirs.keras")
    for read in (ours.models.load_model, ours.saving.load_model):
        again = read(tmp_path / "theirs.keras")
        assert kinds_in(again) == {"ostinato"}
        np.testing.assert_allclose(again.predict(WORDS, verbose=0), mine.predict(WORDS, verbose=0), rtol=1e-5)


def test_our_files_name_nothing_of_ours(tmp_path):
    text_model(ours).save(tmp_path / "mine.keras")
    with zipfile.ZipFile(tmp_path / "mine.keras") as file:
        assert b"ostinato" not in b"".join(map(file.read, file.namelist()))


def test_models_are_cloned_described_and_read_as_ours():
    model = text_model(ours)
    for again in (
        ours.models.clone_model(model),
        ours.models.model_from_json(model.to_json()),
        ours.saving.deserialize_keras_object(ours.saving.serialize_keras_object(model)),
    ):
        assert kinds_in(again) == {"ostinato"}
    layer = ours.layers.deserialize(keras.layers.serialize(keras.layers.Bidirectional(keras.layers.GRU(3))))
    assert type(layer) is ours.layers.Bidirectional
    assert type(layer.forward_layer) is ours.layers.GRU


def test_accelerate_swaps_the_layers_of_a_keras_model_and_keeps_its_weights():
    model = text_model(keras)
    before, weights = model.predict(WORDS, verbose=0), [variable.value for variable in model.variables]
    report = ostinato.accelerate(model)
    assert [each.kind for each in report.swapped].count("LSTM") == 2
    assert not report.left
    assert kinds_in(model) == {"ostinato"}
    assert all(a is b.value for a, b in zip(weights, model.variables, strict=True))
    np.testing.assert_allclose(model.predict(WORDS, verbose=0), before, rtol=1e-5)
    assert {each.reason for each in ostinato.accelerate(model).left} == {"already a drop-in"}


def test_accelerate_leaves_what_may_compute_something_else():
    class Mine(keras.layers.LSTM):
        pass

    model = keras.Sequential([keras.layers.Input((5, 2)), Mine(3)])
    report = ostinato.accelerate(model)
    assert not report.swapped
    assert report.left[0].reason == "a class of its own, which may compute something else"


def test_a_torch_model_with_a_keras_layer_in_it_is_accelerated():
    class Net(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.rnn, self.head = keras.layers.GRU(3), torch.nn.GRU(3, 2)

    net = Net()
    assert {each.kind for each in ostinato.accelerate(net).swapped} == {"GRU"}
    assert type(net.rnn) is ours.layers.GRU
    assert type(net.head) is ostinato.nn.GRU


def test_stateful_layers_carry_their_state_from_batch_to_batch():
    found = []
    for library in (keras, ours):
        model = library.Sequential(
            [library.layers.Input(batch_shape=(2, 3, 1)), library.layers.SimpleRNN(2, stateful=True)]
        )
        model.set_weights([np.full(weight.shape, 0.2) for weight in model.get_weights()])
        model.compile("sgd", "mse")
        x = np.ones((2, 3, 1))
        rounds = [model.predict(x, verbose=0), model.train_on_batch(x, np.ones((2, 2))), model.predict(x, verbose=0)]
        model.layers[-1].reset_state()
        found.append([*rounds, model.predict(x, verbose=0)])
    for a, b in zip(*found, strict=True):
        np.testing.assert_allclose(b, a, rtol=1e-5)


def test_a_stateful_lstm_trains():
    """As it does not with Keras 3.15 on its PyTorch backend, which overwrites what the backward pass needs."""
    layer = ours.layers.LSTM(2, stateful=True)
    for _ in range(2):
        layer(torch.ones(2, 3, 1)).sum().backward()


def test_what_is_not_ours_is_that_of_keras():
    assert ours.Sequential is keras.Sequential
    assert ours.layers.Dense is keras.layers.Dense
    assert importlib.import_module("ostinato.keras.callbacks") is keras.callbacks
    assert ours.ops is keras.ops
    assert set(dir(ours)) >= {"layers", "models", "ops", "Model"}
    for name in ("LSTM", "GRU", "SimpleRNN", "RNN", "Bidirectional", "TimeDistributed", "ConvLSTM2D"):
        assert issubclass(getattr(ours.layers, name), getattr(keras.layers, name))
    with pytest.raises(AttributeError):
        _ = ours.layers.Nothing


def test_another_backend_is_refused_in_one_sentence(monkeypatch):
    monkeypatch.setattr(keras.backend, "backend", lambda: "jax")
    with pytest.raises(UsageError, match="Keras's backend 'jax' is active.*KERAS_BACKEND=torch"):
        selection.keras_on_torch()
    monkeypatch.undo()
    monkeypatch.delitem(sys.modules, "keras")
    monkeypatch.setenv("KERAS_BACKEND", "tensorflow")
    with pytest.raises(UsageError, match="Keras's backend 'tensorflow' is selected"):
        selection.keras_on_torch()


def test_a_backend_that_a_person_has_written_down_counts_and_the_one_that_keras_writes_does_not(monkeypatch, tmp_path):
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    assert selection._of_the_file() is None
    for text, name in (('{"backend": "tensorflow"}', None), ('{"backend": "jax"}', "jax"), ("[", None), ("[]", None)):
        (tmp_path / "keras.json").write_text(text, encoding="utf-8")
        assert selection._of_the_file() == name


def test_without_keras_the_extra_is_named(monkeypatch):
    monkeypatch.delitem(sys.modules, "keras")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingExtra, match=r"pip install 'ostinato\[keras\]'"):
        selection.keras_on_torch()
