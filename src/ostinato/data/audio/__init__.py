"""Sound: files, utterances with what is said in them, log-mel features of files and of streams.

Everything is read by `soundfile`, resampled by `soxr` and turned into features by `kaldi-native-fbank`:
`pip install 'ostinato[speech]'`.
"""

from ostinato.data.audio.features import FeatureSettings, OnlineFeatures, features
from ostinato.data.audio.files import SoundFile, read_sound, sound_blocks, sound_bytes, sound_info
from ostinato.data.audio.normalising import Normaliser, normalised
from ostinato.data.audio.noting import SoundNotes
from ostinato.data.audio.pcm import Pcm16
from ostinato.data.audio.reading import read_utterances
from ostinato.data.audio.resampling import Resampler, resampled
from ostinato.data.audio.utterances import Utterances

__all__ = [
    "FeatureSettings",
    "Normaliser",
    "OnlineFeatures",
    "Pcm16",
    "Resampler",
    "SoundFile",
    "SoundNotes",
    "Utterances",
    "features",
    "normalised",
    "read_sound",
    "read_utterances",
    "resampled",
    "sound_blocks",
    "sound_bytes",
    "sound_info",
]
