"""A recogniser with a language model, a word list and hot words: fitted, saved, asked."""

import numpy as np
import pytest

from ostinato.errors import DataError, UsageError
from ostinato.tasks.speech import Transcriber
from ostinato.tasks.speech.decoding import NGRAMS
from ostinato.tasks.speech.decoding.aids import read_words

PITCH = {"a": 500.0, "b": 900.0, "c": 1500.0, "d": 2400.0}
WORDS = ("ab", "ba", "cd", "dc")


def _sound(text, seed):
    generator = np.random.default_rng(seed)
    parts = [np.zeros(400)]
    for letter in text:
        length = 800
        wave = 0.0 if letter == " " else np.sin(2 * np.pi * PITCH[letter] * np.arange(length) / 8000)
        parts += [0.3 * wave * np.hanning(length), np.zeros(240)]
    whole = np.concatenate(parts)
    return (whole + generator.normal(scale=0.01, size=len(whole))).astype(np.float32), 8000


def _texts(count, seed):
    generator = np.random.default_rng(seed)
    return [" ".join(generator.choice(WORDS, generator.integers(1, 4))) for _ in range(count)]


@pytest.fixture(scope="module")
def fitted():
    texts = _texts(48, 0)
    sounds = [_sound(text, seed) for seed, text in enumerate(texts)]
    model = Transcriber(
        language_model=NGRAMS, hidden_size=24, channels=4, num_layers=1, epochs=6, learning_rate=1e-2, augmentation=0.0,
        validation=0.2, test=0.0, subsampling=2, streaming=True, progress=False, seed=1,
    )  # fmt: skip
    return model.fit(sounds, texts)


@pytest.fixture(scope="module")
def sounds():
    return [_sound(text, 100 + seed) for seed, text in enumerate(_texts(6, 1))]


def test_the_language_model_is_kept_with_its_weight(fitted, sounds, tmp_path) -> None:
    aids = fitted.fitted_.model.encoder.aids
    assert aids.ngrams is not None
    assert aids.fusion.errors <= aids.fusion.without
    fitted.save(tmp_path / "model")
    loaded = Transcriber.load(tmp_path / "model")
    assert loaded.fitted_.model.encoder.aids.fusion == aids.fusion
    assert loaded.transcribe(sounds, language_weight=0.5) == fitted.transcribe(sounds, language_weight=0.5)
    many = loaded.transcribe(sounds, language_weight=0.5, n_best=3)
    assert all(own[0].score >= own[-1].score for own in many)
    assert any(len(own) > 1 for own in many)


def test_words_and_hot_words_change_what_is_written(fitted, sounds, tmp_path) -> None:
    path = tmp_path / "words.txt"
    path.write_text("ab\nba\n")
    for found in fitted.transcribe(sounds, words=str(path), beam_size=32):
        assert set(found[0].text.split()) <= {"ab", "ba"}
    texts = [found[0].text for found in fitted.transcribe(sounds, hot_words=["dd"], hot_bonus=50.0)]
    assert any("dd" in text.split() for text in texts)


def test_a_stream_writes_what_the_whole_recording_gives_with_a_language_model(fitted, sounds) -> None:
    whole = fitted.transcribe(sounds)
    stream = fitted.stream()
    for (samples, _), expected in zip(sounds, whole, strict=True):
        ended = [own for first in range(0, len(samples), 80) for own in stream.push(samples[first : first + 80]).ended]
        ended += stream.finish().ended
        assert " ".join(own.text for own in ended) == expected[0].text


@pytest.mark.parametrize("packets", [0, 1, 30])
def test_a_stream_with_a_beam_resumes_from_its_state(fitted, sounds, packets) -> None:
    samples = sounds[0][0]
    stream, other = fitted.stream(), fitted.stream()
    for first in range(0, 80 * packets, 80):
        stream.push(samples[first : first + 80])
    other.restore(stream.state())  # in which no path is one of infinitely many nats
    rest = [each.push(samples[80 * packets :]) for each in (stream, other)]
    assert rest[0] == rest[1]
    assert stream.finish() == other.finish()


def test_what_is_missing_is_said_before_anything_is_trained(sounds, tmp_path) -> None:
    texts = _texts(6, 1)
    for wrong in ({"language_model": str(tmp_path / "none")}, {"words": str(tmp_path / "none.txt")}):
        with pytest.raises(DataError, match="none"):
            Transcriber(epochs=1000, progress=False, validation=0.0, test=0.0, **wrong).fit(sounds, texts)


def test_what_cannot_help_is_refused(fitted, sounds, tmp_path) -> None:
    with pytest.raises(DataError, match="there is no such folder or file"):
        fitted.transcribe(sounds, language_model=str(tmp_path / "none"))
    with pytest.raises(DataError, match="does not exist"):
        fitted.transcribe(sounds, words=str(tmp_path / "none.txt"))
    (tmp_path / "empty.txt").write_text("\n")
    with pytest.raises(DataError, match="has no words"):
        fitted.transcribe(sounds, words=str(tmp_path / "empty.txt"))
    (tmp_path / "bytes.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DataError, match="no text in UTF-8"):
        read_words(tmp_path / "bytes.txt")
    (tmp_path / "odd.txt").write_text("ab\nxyz\n")
    with pytest.raises(UsageError, match="cannot be written"):
        fitted.transcribe(sounds, words=str(tmp_path / "odd.txt"))
