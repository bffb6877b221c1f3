"""Log-mel features: against a plain computation, and of streams against files."""

from dataclasses import replace

import numpy as np
import pytest
from sounds import tone

from ostinato.data.audio import FeatureSettings, Normaliser, OnlineFeatures, Pcm16, features, normalised
from ostinato.errors import DataError, UsageError

PLAIN = FeatureSettings(normalisation="none")


def plain_log_mel(samples, settings):
    """Kaldi's features, written down from its documentation in float64."""
    length, shift = settings.length, settings.shift
    size = 1 << (length - 1).bit_length()
    at = np.arange(length)
    window = (0.5 - 0.5 * np.cos(2 * np.pi * at / (length - 1))) ** 0.85
    mel = lambda hertz: 1127 * np.log1p(hertz / 700)  # noqa: E731
    edges = np.linspace(mel(settings.low), mel(settings.high or settings.rate / 2), settings.bins + 2)
    bins = mel(np.arange(size // 2 + 1) * settings.rate / size)
    rise = (bins - edges[:-2, None]) / (edges[1:-1] - edges[:-2])[:, None]
    fall = (edges[2:, None] - bins) / (edges[2:] - edges[1:-1])[:, None]
    filters = np.maximum(np.minimum(rise, fall), 0)[:, : size // 2]
    rows = []
    for first in range(0, len(samples) - length + 1, shift):
        frame = samples[first : first + length].astype(np.float64)
        frame = frame - frame.mean()
        frame = frame - 0.97 * np.concatenate([frame[:1], frame[:-1]])
        power = np.abs(np.fft.rfft(frame * window, size))[: size // 2] ** 2
        rows.append(np.log(np.maximum(filters @ power, settings.floor)))
    return np.array(rows)


@pytest.mark.parametrize("settings", [PLAIN, replace(PLAIN, rate=8000, bins=23, high=3800.0)])
def test_features_are_those_that_kaldi_documents(settings) -> None:
    samples = tone(0.4, settings.rate)
    found = features(samples, settings)
    assert found.shape == (settings.frames(len(samples)), settings.bins)
    assert np.abs(found - plain_log_mel(samples, settings)).max() < 2e-3


@pytest.mark.parametrize("normalisation", ["none", "global", "running"])
@pytest.mark.parametrize("rate", [16000, 8000, 44100, 12345])
def test_a_stream_of_packets_restored_at_random_has_the_bits_of_the_whole(normalisation, rate) -> None:
    settings, rng = replace(PLAIN, normalisation=normalisation), np.random.default_rng(rate)
    samples = tone(2.6, rate)
    normaliser = Normaliser.fit([features(samples, PLAIN, None, rate)])
    whole = features(samples, settings, normaliser, rate)
    online, parts, place = OnlineFeatures(settings, normaliser, rate), [], 0
    while place < len(samples):
        size = int(rng.integers(1, rate // 20))
        parts.append(online.accept(samples[place : place + size]))
        place += size
        if rng.random() < 0.3:
            state = online.state()
            online = OnlineFeatures(settings, normaliser, rate)
            online.restore(state)
    parts.append(online.finish())
    assert np.array_equal(np.concatenate(parts), whole)


def test_later_samples_do_not_change_earlier_frames_but_where_the_utterance_is_normalised() -> None:
    samples, normaliser = tone(1.0), Normaliser.fit([features(tone(1.0), PLAIN)])
    changed = samples.copy()
    changed[8000:] = tone(0.5, pitch=2000)
    for name in ("none", "global", "running", "utterance"):
        settings = replace(PLAIN, normalisation=name)
        first, second = (features(own, settings, normaliser)[:40] for own in (samples, changed))
        assert np.array_equal(first, second) == settings.causal


def test_running_normalisation_ends_near_the_utterance_it_hears_and_begins_at_training() -> None:
    frames = np.random.default_rng(0).normal(5.0, 2.0, (4000, 3)).astype(np.float32)
    settings = replace(PLAIN, bins=3, normalisation="running")
    found = Normaliser(np.zeros(3), np.ones(3)).begin(settings).accept(frames)
    assert (
        np.abs(found[0] - frames[0]).max() < 0.3 * np.abs(frames[0]).max()
    )  # by the training part: mean 0, deviation 1
    assert np.abs(found[-1000:].mean(0)).max() < 0.2
    assert np.abs(found[-1000:].std(0) - 1).max() < 0.1
    whole = normalised(frames)
    assert np.abs(whole.mean(0)).max() < 1e-5
    assert np.abs(whole.std(0) - 1).max() < 1e-5


def test_a_sound_shorter_than_a_frame_gives_one_and_no_samples_are_refused() -> None:
    assert features(tone(0.002), PLAIN).shape == (1, 40)
    with pytest.raises(DataError, match="no samples"):
        features(np.zeros(0, np.float32), PLAIN)


def test_a_silent_sound_has_finite_features() -> None:
    assert np.isfinite(features(np.zeros(4000, np.float32), PLAIN)).all()
    assert np.isfinite(features(np.zeros(4000, np.float32), replace(PLAIN, normalisation="utterance"))).all()


@pytest.mark.parametrize(
    "wrong",
    [{"bins": 2}, {"bins": 200, "rate": 8000}, {"rate": 10}, {"frame_shift": 30.0}, {"low": 9000.0}, {"high": 9000.0},
     {"floor": 0.0}, {"frame_length": 0.01, "frame_shift": 0.01}],
)  # fmt: skip
def test_settings_that_go_with_no_features_are_refused(wrong) -> None:
    with pytest.raises(UsageError):
        replace(PLAIN, **wrong).check()


def test_states_of_other_settings_or_damaged_ones_are_refused_and_change_nothing() -> None:
    normaliser = Normaliser.fit([features(tone(), PLAIN)])
    online = OnlineFeatures(replace(PLAIN, normalisation="running"), normaliser, 44100)
    samples = tone(1.0, 44100)
    online.accept(samples[:30000])
    good, expected = online.state(), None
    for name in ("samples", "taken", "given", "resampler", "normaliser"):
        for wrong in (None, -1, "x", np.full(3, np.nan, np.float32), {}, {"held": 3}):
            with pytest.raises(DataError):
                online.restore({**good, name: wrong})
    other = OnlineFeatures(replace(PLAIN, normalisation="running"), normaliser, 44100)
    other.restore(good)
    expected = other.accept(samples[30000:])
    assert np.array_equal(online.accept(samples[30000:]), expected)


def test_bytes_of_16_bits_in_pieces_are_the_samples() -> None:
    samples = np.random.default_rng(0).integers(-32768, 32767, (500, 2)).astype("<i2")
    raw, pcm, parts = samples.tobytes(), Pcm16(channels=2), []
    for first in range(0, len(raw), 7):
        parts.append(pcm.accept(raw[first : first + 7]))
        state = pcm.state()
        pcm = Pcm16(channels=2)
        pcm.restore(state)
    found = np.concatenate(parts)
    assert np.array_equal(found, (samples.astype(np.float32) / 32768).mean(1, dtype=np.float32))
    assert pcm.finish() == 0
    pcm.accept(b"abc")
    assert pcm.finish() == 3
    with pytest.raises(DataError):
        pcm.restore({"rest": [1, 2, 3, 4]})
