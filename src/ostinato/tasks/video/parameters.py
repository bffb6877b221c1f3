"""The parameters of a classifier of clips."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from ostinato.options import Cell, data, model, training
from ostinato.tasks.base.about import About, Demonstration, Extra, Parameters
from ostinato.training.config import Averaged, Optimizer, Schedule

Layout = Literal[
    "auto", "mediapipe", "mediapipe-hands", "mediapipe-pose", "yolo", "openpose", "openpose-coco", "joints", "plain"
]
"""Of landmarks, as `ostinato.data.video.layouts` has them, which is not imported for a help page."""
CONVOLUTIONAL = frozenset({"conv-gru", "conv-lstm"})
"""Cells that read maps rather than features."""

_STREAM = (
    Extra("raw", str, "the frames that come are raw RGB of this size, WIDTHxHEIGHT, one behind the other"),
    Extra("frame_rate", float, "of the frames that come, a second (that of the training clips)"),
)


@dataclass(kw_only=True, eq=False, repr=False)
class VideoParameters(Parameters):
    """The parameters of a `VideoClassifier`."""

    about: ClassVar[About] = About(
        name="video",
        kind="video classifier",
        help="tell what a clip shows: actions, signs, falls; from pixels or landmarks",
        description="Train a recurrent classifier of clips - a small convolutional network over each frame, or "
        "landmarks of bodies - hold a part out, and show it beside the mean frame and nearest neighbours.",
        examples="""
  ostinato fit video clips.csv --video path --label action --out model
  ostinato fit video clips.csv --video path --label action --group subject --out model
  ostinato fit video folder-of-a-folder-a-class --out model
  ostinato fit video keypoints.zip --out poses                landmarks: MediaPipe, YOLO, OpenPose
  ostinato predict model a.mp4 b.avi
  ls -tr camera/*.jpg | ostinato stream model                 one answer a frame
  ffmpeg -i CAMERA -f rawvideo -pix_fmt rgb24 -s 64x48 - | ostinato stream model --raw 64x48 --frame-rate 25""",
        files="a table (CSV, TSV, JSON lines, Parquet) of paths and classes, or a folder or .zip of a folder a class; "
        "a clip is a video file, a folder of pictures, an array (.npy, .npz), or landmarks",
        many=True,
        hint="ostinato predict {out} CLIP",
        extras={"stream": _STREAM},
        demos=(
            Demonstration(
                "video",
                "Stick figures that walk, fall and wave, told apart from pixels, with an annotated video",
                "ostinato.tasks.video.demo:run",
            ),
        ),
    )
    unsized: ClassVar[frozenset[str]] = frozenset()
    cells_beside: ClassVar[frozenset[str]] = CONVOLUTIONAL

    video: str | None = data(None, "column of the clips", absent="found by its name")
    label: str | None = data(None, "column of the classes", absent="found by its name")
    group: str | None = data(
        None, "column of what belongs together in a split: a subject, a camera, a recording", absent="each clip alone"
    )
    input: Literal["auto", "pixels", "landmarks"] = data("auto", "what clips are")
    layout: Layout = data("auto", "of landmarks")
    rate: float = data(8.0, "frames a second that videos are brought to", above=0, high=240)
    height: int = data(48, "pixels that frames are brought to", low=8, high=512)
    width: int = data(64, "likewise", low=8, high=512)
    channels: str = data(
        "grey+difference",
        "what is read of a frame: grey or colour, difference from the one before, flow; with + between",
    )
    window: int | None = data(
        None, "frames of a clip that a training step reads, at most; of longer ones a part is drawn", low=4,
        absent="128 of pixels, 512 of landmarks",
    )  # fmt: skip
    validation: float | None = data(  # type: ignore[assignment]
        None, "share of every class that finds the temperature, or stops", low=0, below=0.5,
        absent="0.15 of pixels; of landmarks none, as each network leaves a fifth out",
    )  # fmt: skip
    test: float = data(0.15, "share of every class that is held out to be judged on", low=0, below=0.5)
    cell: Cell = model("gru", "recurrent cell, any of docs/cells.md, transformer, or of maps: conv-gru, conv-lstm")
    hidden_size: int = model(64, "units of a layer and direction", low=1)
    num_layers: int = model(1, "layers", low=1)
    backbone: str | None = model(
        None, "network of torchvision or timm whose features of frames are read as they are, such as resnet18",
        absent="a small network that is trained",
    )  # fmt: skip
    backbone_weights: str | None = data(None, "file with the weights of the backbone: .pth or .safetensors")
    features: int = model(64, "that a frame comes to before the recurrent layers", low=1)
    filters: int = model(16, "channels of the first convolution over a frame; the next have twice as many each", low=1)
    bidirectional: bool = model(False, "read from the end too; such a model cannot answer live")
    pooling: str = model("mean+max+attention", "last, mean, max, attention, or several with + between")
    members: int | None = model(
        None,
        "networks of other weights whose answers are averaged",
        low=1,
        high=8,
        absent="1 of pixels, 3 of landmarks",
    )
    dropout: float = model(0.3, "of what the recurrent layers read and of the pooled vector", low=0, below=1)
    augmentation: float = training(
        0.5,
        "strength of changes to training clips, the same for all frames of one: shift, size, light, speed",
        low=0,
        high=1,
    )
    mirror: bool | None = training(
        None, "mirror half of the training clips", absent="bodies, unless a class is called left or right; no pictures"
    )
    class_weights: Literal["none", "balanced"] | Mapping[Any, float] = training(
        "none", "how much each class counts in the loss; in Python also by label"
    )
    label_smoothing: float = training(0.05, "share of the target given to all classes alike", low=0, below=1)
    batch_size: int = training(8, "clips of a batch", low=1)
    epochs: int | None = training(
        None, "passes, at most", low=1, absent="as many as make 400 steps of pixels or 900 of landmarks, 8 to 100"
    )
    optimizer: Optimizer = training("adamw", "what moves the weights; sgd with momentum")
    learning_rate: float = training(3e-3, "the highest step size, which the schedule moves below", above=0)
    weight_decay: float = training(0.05, "L2 penalty (sgd, adam), or decoupled decay (adamw)", low=0)
    schedule: Schedule = training("one_cycle", "how the learning rate falls from the first step to the last")
    averaging: Averaged | None = training("ema", "of weights over steps: the average is validated and kept")
    averaging_decay: float = training(0.98, "of ema: what is left of the average after a step", above=0, below=1)
    gradient_clip: float | None = training(1.0, "greatest L2 norm of the gradient", above=0)
    patience: int | None = training(None, "epochs without a better validation loss before training stops", low=1)
