"""Video: files, folders of pictures and arrays as frames at a rate and of a size; tables of clips; landmarks of bodies.

Files are decoded by PyAV, pictures by Pillow: `pip install 'ostinato[video]'`.
"""

from ostinato.data.video.clips import Clips, read_clip_table, read_clips
from ostinato.data.video.frames import Clip, FrameStream, read_clip, stream_frames
from ostinato.data.video.landmarks import Body, read_landmarks

__all__ = [
    "Body",
    "Clip",
    "Clips",
    "FrameStream",
    "read_clip",
    "read_clip_table",
    "read_clips",
    "read_landmarks",
    "stream_frames",
]
