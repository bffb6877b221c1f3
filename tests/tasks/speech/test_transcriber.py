"""Recordings to texts: what is learned, what is said while listening, what is refused."""

import io
import json
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import ostinato
from laws import spoken
from ostinato import Transcriber
from ostinato.cells import CATALOGUE
from ostinato.cli.main import main
from ostinato.errors import DataError, DataWarning, StreamRowError, UsageError
from ostinato.streaming import push_many
from ostinato.tasks.base.summary import TimedImage
from ostinato.tasks.speech.choices import suited_subsampling
from ostinato.tasks.speech.units import SpeechUnits

SMALL = {
    "hidden_size": 16, "channels": 4, "bins": 12, "num_layers": 1, "batch_size": 8, "learning_rate": 2e-2,
    "augmentation": 0.2, "epochs": 12, "progress": False,
}  # fmt: skip
RATE = 8000


def recordings(count, seed=0):
    rng = np.random.default_rng(seed)
    texts = [rng.choice(["lo", "hi"], int(rng.integers(1, 4))).tolist() for _ in range(count)]
    return [(spoken(text, rng), RATE) for text in texts], [" ".join(text) for text in texts]


@pytest.fixture(scope="module")
def live():
    """A streaming model that has learned its two words."""
    return Transcriber(streaming=True, units="word", silence=0.25, loss="ctc", **SMALL).fit(*recordings(100))


@pytest.fixture(scope="module")
def whole():
    """A model of whole recordings that writes characters, as few steps as it may."""
    return Transcriber(**{**SMALL, "epochs": 1}).fit(*recordings(24))


@pytest.fixture(scope="module")
def kinds(live):
    """Streaming models of every kind of loss and layers."""
    few = {**SMALL, "epochs": 1, "test": 0.0}
    data = recordings(16)
    return {
        "ctc": live,
        "transducer": Transcriber(streaming=True, loss="transducer", silence=0.25, **few).fit(*data),
        "both, pyramid": Transcriber(
            streaming=True, loss="both", silence=0.25, **{**few, "num_layers": 3}, pyramid=2, cell="lstm"
        ).fit(*data),
        "global": Transcriber(
            streaming=True, loss="ctc", normalize="global", subsampling=1, layer_norm=False, **few
        ).fit(*data),
        "beam": Transcriber(streaming=True, loss="ctc", beam_size=4, **few).fit(*data),
    }


def heard(stream, samples, sizes):
    """Return the utterances that ended and what was partial, in packets of the sizes in turn."""
    ended, partial, first, turn = [], [], 0, 0
    while first < len(samples):
        size = sizes[turn % len(sizes)]
        packet = samples[first : first + size]
        found = stream.push(packet)
        ended += found.ended
        partial.append(found.text)
        first, turn = first + size, turn + 1
    return ended + list(stream.finish().ended), partial


def test_words_are_learned_and_the_baselines_beaten(live) -> None:
    scores = live.scores_
    assert set(scores.values) == {"model", "most frequent", "nearest recording"}
    assert scores["WER"] < 0.2
    assert scores["WER"] < scores.values["most frequent"]["WER"]
    assert live.summary_.settings["bidirectional"] == "False"
    assert live.latency == 25 + 10 * (live.fitted_.model.network.reduction - 1)
    sounds, texts = recordings(6, seed=5)
    assert sum(a == b for a, b in zip(live.predict(sounds), texts, strict=True)) >= 5


def test_words_have_times_in_their_order_within_the_recording_and_confidences(live) -> None:
    sounds, _ = recordings(8, seed=2)
    for sound, found in zip(sounds, live.transcribe(sounds), strict=True):
        ends = [0.0] + [word.end for word in found[0].words]
        assert all(0 <= word.start < word.end for word in found[0].words)
        assert all(word.start >= end - 1e-9 for word, end in zip(found[0].words, ends, strict=False))
        assert ends[-1] <= len(sound[0]) / RATE + 0.35  # the tail of silence that is heard behind each
        assert all(0 < word.confidence <= 1 for word in found[0].words)
        assert " ".join(word.text for word in found[0].words) == found[0].text


@settings(max_examples=8, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    name=st.sampled_from(["ctc", "transducer", "both, pyramid", "global", "beam"]),
    seed=st.integers(0, 20),
    sizes=st.lists(st.integers(150, 3000), min_size=1, max_size=4),
)
@pytest.mark.slow
@pytest.mark.ci
def test_a_stream_writes_the_words_and_scores_of_the_whole_whatever_the_packets(kinds, name, seed, sizes) -> None:
    model = kinds[name]
    rng = np.random.default_rng(seed)
    # with a pause, so that several utterances are in one recording
    sound = np.concatenate([spoken(["lo", "hi"], rng), rng.normal(0, 0.002, 4000), spoken(["hi"], rng)])
    sound = sound.astype(np.float32)
    (best,) = model.transcribe([(sound, RATE)])[0]
    ended, _ = heard(model.stream(), sound, sizes)
    assert " ".join(each.text for each in ended) == best.text
    assert sum(each.score for each in ended) == pytest.approx(best.score, abs=1e-4)
    words = [word for each in ended for word in each.words]
    assert [word.text for word in words] == [word.text for word in best.words]
    np.testing.assert_allclose([word.start for word in words], [word.start for word in best.words], atol=1e-6)


def test_an_utterance_ends_in_silence_and_the_text_so_far_only_grows_within_it(live) -> None:
    rng = np.random.default_rng(1)
    pause = rng.normal(0, 0.002, 5000).astype(np.float32)
    sound = np.concatenate([spoken(["lo"], rng), pause, spoken(["hi", "hi"], rng), pause])
    ended, partial = heard(live.stream(), sound, [80])
    assert [each.text for each in ended] == ["lo", "hi hi"]
    assert "hi" in partial
    assert ended[1].words[0].start > 0.5  # since the stream began


def test_a_stream_goes_on_from_its_state_and_bytes_are_samples(live) -> None:
    sound, _ = recordings(1, seed=3)[0][0]
    pcm = (sound * 32767).astype("<i2").tobytes()
    one, other = live.stream(), live.stream()
    for first in range(0, len(pcm), 333):  # odd: a packet may end within a sample
        found = one.push(pcm[first : first + 333])
        if first == 333 * 9:
            other.restore(one.state())
        elif first > 333 * 9:
            assert other.push(pcm[first : first + 333]) == found
    assert one.finish() == other.finish()
    assert one.state() == live.stream().state()


def test_streams_of_several_rates_are_pushed_together(live) -> None:
    sounds, _ = recordings(3, seed=4)
    many, alone = ([live.stream(rate=rate) for rate in (8000, 16000, 44100)] for _ in range(2))
    for first in range(0, 3000, 500):
        packets = [sound[first : first + 500] for sound, _ in sounds]
        assert push_many(many, packets) == [stream.push(packet) for stream, packet in zip(alone, packets, strict=True)]


def test_a_packet_that_is_none_is_refused_and_changes_nothing(live) -> None:
    stream = live.stream()
    stream.push(np.zeros(100, np.float32))
    before = stream.state()
    for wrong in (3, "lo", np.zeros((2, 2)), np.array([np.nan]), [1e9], None, {"a": 1}, np.zeros(3, complex)):
        with pytest.raises(StreamRowError) as caught:
            stream.push(wrong)
        assert "\n" not in str(caught.value)
        assert stream.state() == before
    assert stream.push(b"").text == ""
    for options in ({"rate": 5}, {"silence": 0.0}, {"silence": -1.0}):
        with pytest.raises(UsageError):
            live.stream(**options)


def test_a_model_that_needs_the_end_says_which_options_make_a_streaming_one(whole) -> None:
    with pytest.raises(UsageError, match=r"bidirectional=True, causal=False.*--streaming"):
        whole.stream()
    assert whole.latency is None
    with pytest.raises(UsageError, match="streaming=True goes with neither"):
        Transcriber(streaming=True, bidirectional=True, **SMALL).fit(*recordings(8))


def test_long_recordings_are_heard_in_pieces(live, whole, monkeypatch, tmp_path) -> None:
    monkeypatch.setattr("ostinato.tasks.speech.long.LONG", 0.5)
    monkeypatch.setattr("ostinato.tasks.speech.long._PIECE", 1.0)
    monkeypatch.setattr("ostinato.tasks.speech.long._SEARCHED", 0.5)
    rng = np.random.default_rng(0)
    sound = spoken(["lo", "hi", "hi", "lo", "lo", "hi", "lo", "hi"], rng)
    path = tmp_path / "long.wav"
    soundfile.write(path, sound, RATE, subtype="FLOAT")
    in_pieces = live.transcribe(str(path))[0][0]
    ended, _ = heard(live.stream(), sound, [100])
    assert in_pieces.text == " ".join(each.text for each in ended)
    assert len(whole.transcribe([str(path)])) == 1
    monkeypatch.undo()
    assert live.transcribe(str(path))[0][0].text == in_pieces.text


def test_transcripts_that_ctc_cannot_write_are_counted_named_and_left_out() -> None:
    sounds, texts = recordings(20)
    sounds[3] = sounds[3][0][:400], RATE
    texts[3] = "lo hi " * 40
    few = {**SMALL, "epochs": 1, "test": 0.0, "validation": 0.0}
    with pytest.warns(DataWarning, match=r"1 of 20 training utterances .*sound 4.*left out"):
        model = Transcriber(**few).fit(sounds, texts)
    assert all(np.isfinite(row.loss) for row in model.history_.rows)
    assert "1 left out: sound 4" in dict(model.summary_.data)["longer than CTC can write"]
    with pytest.raises(DataError, match="subsampling=1"):
        Transcriber(**few).fit(sounds[3:4] * 8, texts[3:4] * 8)
    for loss in ("transducer", "both"):
        able = Transcriber(loss=loss, **few).fit(sounds[:4], texts[:4])
        assert "longer than CTC can write" not in dict(able.summary_.data)
        assert all(np.isfinite(row.loss) for row in able.history_.rows)


def test_characters_that_training_never_had_are_counted_and_said(whole) -> None:
    sounds, texts = recordings(2)
    with pytest.warns(DataWarning, match=r'3 characters of the references .*"xz"'):
        scores = whole.evaluate((sounds, [texts[0] + "x", "zz" + texts[1]]))
    assert scores["CER"] > 0


def test_speakers_are_on_one_side(tmp_path) -> None:
    sounds, texts = recordings(20)
    rows = ["path,words,who"]
    for number, ((sound, rate), text) in enumerate(zip(sounds, texts, strict=True)):
        soundfile.write(tmp_path / f"{number}.wav", sound, rate)
        rows.append(f"{number}.wav,{text},s{number % 5}")
    (tmp_path / "clips.csv").write_text("\n".join(rows))
    model = Transcriber(audio="path", text="words", speaker="who", **{**SMALL, "epochs": 1})
    model.fit(tmp_path / "clips.csv")
    assert "1 of 5 speakers" in model.scores_.protocol
    assert dict(model.summary_.data)["speakers"] == "3 train / 1 validation / 1 test"


def test_the_command_line_fits_predicts_streams_and_reports(live, tmp_path, capsys, monkeypatch) -> None:
    sounds, texts = recordings(12)
    for number, ((sound, rate), text) in enumerate(zip(sounds, texts, strict=True)):
        soundfile.write(tmp_path / f"clip{number}.flac", sound, rate)
        (tmp_path / f"clip{number}.txt").write_text(text)
    monkeypatch.chdir(tmp_path)
    options = [
        f"--{name.replace('_', '-')}={value}" for name, value in SMALL.items() if name not in ("progress", "epochs")
    ]
    assert main(["fit", "speech", ".", "--epochs", "1", "--streaming", *options, "--out", "m", "--json"]) == 0
    capsys.readouterr()
    live.save(tmp_path / "live")
    assert main(["predict", "live", "clip0.flac", "clip1.flac", "--json"]) == 0
    answers = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [Path(answer["file"]).name for answer in answers] == ["clip0.flac", "clip1.flac"]
    assert {"word", "start", "end", "confidence"} == set(answers[0]["words"][0])
    assert main(["evaluate", "live", "."]) == 0
    assert "WER" in capsys.readouterr().out
    pcm = (sounds[0][0] * 32767).astype("<i2").tobytes()
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(pcm)))
    assert main(["stream", "live", "--rate", str(RATE)]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["text"] for line in lines if line["final"]] == [answers[0]["text"]]
    assert any(not line["final"] for line in lines)
    halves = pcm[:5001], pcm[5001:]
    for half in halves:  # the sound goes on where the state ended
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(half)))
        assert main(["stream", "live", "--state", "s"]) == 0
    assert capsys.readouterr().out
    assert main(["stream", "live", "--columns", "a"]) == 2
    for name in ("missing.wav", "empty.wav", "cut.wav", "text.wav"):
        if name == "empty.wav":
            Path(name).write_bytes(b"")
        elif name == "cut.wav":
            soundfile.write(name, sounds[0][0], RATE)
            Path(name).write_bytes(Path(name).read_bytes()[:-100])
        elif name == "text.wav":
            Path(name).write_text("no sound")
        capsys.readouterr()
        assert main(["predict", "live", name]) in (2, 3)
        said = capsys.readouterr().err
        assert name in said
        assert said.count("\n") == 1


def test_a_report_shows_what_is_confused_and_spectrograms_with_words(live, tmp_path) -> None:
    images = [panel for panel in live.summary_.panels if isinstance(panel, TimedImage)]
    assert images
    assert images[0].spans
    assert len({len(row) for row in images[0].values}) == 1
    page = live.report(tmp_path / "r.html").read_text()
    assert "Heard in" in page
    assert "<svg" in page


def test_a_cell_of_ones_own_listens_and_comes_back(tmp_path) -> None:
    def plain(input_size, hidden_size):
        return CATALOGUE["gru"](input_size, hidden_size)

    few = {**SMALL, "epochs": 1, "test": 0.0, "cell": plain, "loss": "both", "streaming": True}
    model = Transcriber(**few).fit(*recordings(12))
    again = ostinato.load(model.save(tmp_path / "m"), cell=plain)
    sounds, _ = recordings(2, seed=9)
    assert again.predict(sounds) == model.predict(sounds)
    assert again.stream().push(sounds[0][0]) == model.stream().push(sounds[0][0])


@pytest.mark.parametrize("level", ["character", "word", "subword"])
def test_units_give_back_what_they_were_given(level) -> None:
    texts = ["one two", "two  two", "Three, one!"]
    units = SpeechUnits.build(texts, level, lower=True, punctuation=False)
    assert [units.decode(units.encode(text)) for text in texts] == ["one two", "two two", "three one"]
    assert units.names[0] == ""
    assert len(units.names) == len(units)
    assert 0 not in units.encode("one two")
    assert units.separator == (units.names.index(" ") if level == "character" else None)


def test_subsampling_leaves_room_for_transcripts() -> None:
    assert suited_subsampling([400] * 100, [20] * 100) == 4
    assert suited_subsampling([40] * 100, [12] * 100) == 2
    assert suited_subsampling([10] * 100, [9] * 100) == 1


def test_sounds_that_are_silent_or_clipped_throughout_are_counted_and_named(live) -> None:
    sounds, _ = recordings(2)
    clipped = np.sign(np.sin(np.arange(4000) / 5)).astype(np.float32)
    silent = np.zeros(4000, np.float32)
    with pytest.warns(DataWarning) as said:
        assert len(live.predict([*sounds, (silent, RATE), (clipped, RATE)])) == 4
    assert any('1 of 4 sounds is silent throughout, the first of them "sound 3"' in str(own.message) for own in said)
    assert any("clipped throughout" in str(own.message) for own in said)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (([], []), "no sounds"),
        (([(np.zeros(0), RATE)], ["lo"]), "holds no samples"),
        (([(np.zeros(800), RATE)] * 4, ["lo"] * 3), "4 sounds, and 3 transcripts"),
        (([(np.full(800, np.nan), RATE)] * 4, ["lo"] * 4), "not a number"),
        (([(np.zeros(800), 5)] * 4, ["lo"] * 4), "rate"),
        ("missing.csv", "does not exist"),
        (3, "expected a path"),
        (([(np.ones(800), RATE)] * 12, [" "] * 12), "no token"),
    ],
)
def test_data_that_cannot_be_learned_from_is_refused_in_one_sentence(data, words) -> None:
    with pytest.raises((DataError, UsageError), match=words) as caught:
        Transcriber(**{**SMALL, "epochs": 1}).fit(data)
    assert "\n" not in str(caught.value)


def test_few_words_that_are_heard_often_may_be_units_and_that_is_said():
    from ostinato.tasks.speech.encoding import _say_words

    few, many = ["yes no"] * 10, [f"word{place}" for place in range(50)] * 10
    with pytest.warns(DataWarning, match=r"only 2 words, each at least 10 times.*units=\"word\" \(--units word\)"):
        _say_words(few, "character")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        _say_words(few, "word")
        _say_words(many, "character")
        _say_words(few[:9], "character")
