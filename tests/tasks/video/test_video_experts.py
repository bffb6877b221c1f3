"""The nearest clip beside the networks of a classifier of landmarks: live as of a whole clip, weighed on unseen."""

import numpy as np
import pytest

from ostinato import VideoClassifier
from ostinato.errors import OstinatoError
from ostinato.tasks.base.warping import WarpedNeighbours
from ostinato.tasks.base.weighing import drawn_folds
from ostinato.tasks.video.experts import Experts, ExpertSteps, NearestExpert, left_out


def clips(count, seed=0, longest=30):
    """Return clips of three numbers a frame: a bump that comes early or late, and their classes."""
    rng = np.random.default_rng(seed)
    found = []
    for number in range(count):
        frames = int(rng.integers(longest // 2, longest))
        place = frames * (0.3 if number % 2 else 0.7)
        bump = np.exp(-((np.arange(frames) - place) ** 2) / 8)[:, None] * [1.0, -1.0, 0.5]
        found.append((bump + 0.1 * rng.normal(size=(frames, 3))).astype(np.float32))
    return found, np.arange(count) % 2


@pytest.mark.parametrize("longest", [30, 200])
def test_the_nearest_clip_is_that_of_dynamic_time_warping(longest) -> None:
    known, targets = clips(12, longest=longest)
    nearest = NearestExpert.fit(known, targets, 2, seed=0)
    assert nearest.known.shape[1] <= 48
    steps = [known_clip[:length] for known_clip, length in zip(nearest.known, nearest.lengths, strict=True)]
    new = clips(1, seed=9, longest=longest)[0][0]
    every = nearest.every
    means = np.stack([new[first : first + every].mean(0) for first in range(0, len(new), every)])
    table = None
    for step in means:
        table = nearest.after(table, step)
    expected = WarpedNeighbours(steps).distances((means - nearest.mean) / nearest.scale)
    np.testing.assert_allclose(nearest.distances(table, len(means)) * (nearest.lengths + len(means)), expected, 1e-3)


@pytest.mark.parametrize("longest", [30, 200])
def test_a_clip_frame_by_frame_is_the_clip_as_a_whole_at_each_frame(longest) -> None:
    known, targets = clips(10, longest=longest)
    experts = Experts.fit(known, targets, 2, seed=0)
    new, live = clips(1, seed=5, longest=longest)[0][0], ExpertSteps(experts)
    for count, frame in enumerate(new, 1):
        live.push(frame)
        again = ExpertSteps(experts)
        again.accept(live.kept())
        assert (live.logs() == again.logs()).all()
        np.testing.assert_allclose(live.logs(), experts.nearest.of(new[:count]), atol=1e-5)
    before = live.kept()
    live.copy().push(new[0])
    assert all(np.array_equal(before[name], value) for name, value in live.kept().items())


def test_what_an_expert_says_of_a_clip_was_not_learned_from_it() -> None:
    known, targets = clips(10)
    folds = np.where(np.arange(10) < 4, np.arange(10) // 2, -1)
    found = left_out(known, targets, folds, 2, 0)
    for rows in ([0, 1], [2, 3]):
        inside = [row for row in range(10) if row not in rows]
        alone = NearestExpert.fit([known[row] for row in inside], targets[inside], 2, 0)
        for row in rows:
            np.testing.assert_allclose(found[row], alone.of(known[row]))


def test_folds_keep_groups_whole() -> None:
    groups = [f"g{number // 3}" for number in range(30)]
    folds = drawn_folds(np.arange(30) % 2, 5, 0, groups)
    assert {len(set(folds[3 * group : 3 * group + 3])) for group in range(10)} == {1}
    assert set(folds) == set(range(5))
    assert (drawn_folds(np.arange(30) % 2, 5, 0, ["one"] * 30) == -1).all()


def test_a_state_of_other_experts_is_refused() -> None:
    known, targets = clips(8)
    live = ExpertSteps(Experts.fit(known, targets, 2, seed=0))
    live.push(known[0][0])
    good = live.kept()
    for name, value in (
        ("table", None), ("table", good["table"][:, :3]), ("table", good["table"] * np.nan), ("frames", -1),
        ("steps", 5), ("group", "x"),
    ):  # fmt: skip
        with pytest.raises(OstinatoError):
            ExpertSteps(live.experts).accept({**good, name: value})
    with pytest.raises(OstinatoError):
        ExpertSteps(live.experts).accept(None)


def test_landmarks_are_classified_by_networks_and_the_nearest_clip_together(tmp_path) -> None:
    known, targets = clips(30)
    labels = np.where(targets == 1, "early", "late")
    model = VideoClassifier(epochs=6, hidden_size=8, features=8, members=2, test=0.0, progress=False)
    model.fit(known, labels.tolist())
    experts = model.fitted_.model.encoder.experts
    assert experts.judged == 12  # each of two networks left a fifth out, and no clip decides when to stop
    assert "weight of nearest clip" in model.summary_.settings
    new, expected = clips(12, seed=3)
    assert np.mean(model.predict(new) == np.where(expected == 1, "early", "late")) >= 0.9
    model.save(tmp_path / "model")
    again = VideoClassifier.load(tmp_path / "model")
    assert np.array_equal(again.predict_proba(new), model.predict_proba(new))
    stream = again.stream()
    for frame in new[0][:9]:
        stream.push(frame)
    moved = model.stream()
    moved.restore(stream.state())
    for frame in new[0][9:]:
        answer = moved.push(frame)
    assert list(answer["probabilities"].values()) == pytest.approx(model.predict_proba(new[:1])[0], abs=1e-5)


def test_a_validation_part_that_is_asked_for_judges_too_and_its_clips_are_known_in_the_end() -> None:
    known, targets = clips(30)
    model = VideoClassifier(
        epochs=1, hidden_size=4, features=4, members=1, validation=0.2, test=0.0, progress=False
    ).fit(known, targets.tolist())
    experts = model.fitted_.model.encoder.experts
    assert experts.judged == 6  # a single network leaves none out
    assert len(experts.nearest.known) == 30
