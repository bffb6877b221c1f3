"""The parameters of a detector of anomalies in video."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from ostinato.options import Cell, data, model, training
from ostinato.tasks.base.about import About, Extra, Parameters
from ostinato.training.config import Optimizer, Schedule


@dataclass(kw_only=True, eq=False, repr=False)
class VideoAnomalyParameters(Parameters):
    """The parameters of a `VideoAnomalyDetector`."""

    about: ClassVar[About] = About(
        name="video-anomaly",
        kind="video anomaly detector",
        help="find what is strange in video; `fit anomaly` of video is the same",
        description="Learn what is usual in a scene from normal video, and score each frame and each patch of it by "
        "how strange it is: live or in files, with alarms at a stated rate of false ones.",
        examples="""
  ostinato fit anomaly camera.mp4 --out model                   a video of what is usual
  ostinato fit anomaly training/ --out model                    a folder of videos, or of folders of pictures
  ostinato fit anomaly training/ --test-file testing/ --labels labels.csv --out model
  ostinato predict model new.mp4 --heat heat.mp4                 scores, and a video with the heat map on it""",
        files="a video, a folder of pictures or .npy array of frames, or a folder of such clips",
        answers="table",
        hint="ostinato predict {out} VIDEO scores each frame; ostinato stream {out} takes frames as they come",
        shares="anomaly",
        takes="ostinato.tasks.video_anomaly.sources:is_video",
        extras={
            "evaluate": (Extra("labels", str, "a table of which frames are anomalous", file=True),),
            "predict": (Extra("heat", str, "write a video with the heat map on it here, such as heat.mp4"),),
        },
    )
    cells_beside: ClassVar[frozenset[str]] = frozenset({"conv-lstm", "conv-gru"})

    labels: str | None = data(
        None, "a table of frames that are anomalous: clip, frame, anomalous; or clip, start, end", absent="not known"
    )
    rate: float | None = data(None, "frames a second that are read", above=0, absent="all there are")
    height: int = data(120, "about how many pixels high frames are read", low=16)
    max_frames: int = data(20_000, "frames that are learned from, at most", low=16)
    heat: str | None = data(None, "a video with the heat map on it that is written", absent="none", typed=False)
    validation: float = data(0.2, "share at the end that decides when to stop and calibrates", low=0, below=1)
    test: float = data(0.1, "share at the end that is held out to be judged on", low=0, below=1)
    cell: Cell = model("conv-gru", "conv-lstm, conv-gru, or any other cell, which then runs at each place by itself")
    hidden_size: int = model(32, "channels of the recurrent state", low=1)
    evidence: str = data(
        "prediction+pace+size",
        "what makes a frame strange: errors of the prediction, pace and size of what moves, and standing: what stands "
        "where nothing stood",
    )
    false_alarm_rate: float = data(
        1e-3, "false alarms a frame that are accepted, a run of frames with one counted once", above=0, below=1
    )
    merge: int = data(10, "frames without an alarm, up to which two alarms are one", low=0)
    memory: float = data(0.6, "how much of a patch's score stays in that of the next frame", low=0, below=1)
    steps: int = training(12, "frames of a training sequence", low=2)
    batch_size: int = training(4, "sequences in a batch", low=1)
    epochs: int | None = training(None, "passes, at most", low=1, absent="as many as make 160 steps, 3 to 40")
    optimizer: Optimizer = training("adamw", "what moves the weights; sgd with momentum")
    learning_rate: float = training(3e-3, "the highest step size, which the schedule moves below", above=0)
    schedule: Schedule = training("one_cycle", "how the learning rate falls from the first step to the last")
    patience: int | None = training(10, "epochs without a better validation loss before training stops", low=1)
