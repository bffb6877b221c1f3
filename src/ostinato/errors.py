"""The error family: every failure a user can cause, or can mend, is one of these.

    OstinatoError
    ├── UsageError                an argument is wrong: an option, a type, a combination   (also ValueError)
    │   └── ShapeError            a tensor or array of the wrong shape
    ├── DataError                 something in a file, table or stream row is wrong        (also ValueError)
    │   ├── ColumnError           a column is missing, doubled or of the wrong kind
    │   └── StreamRowError        a row pushed into a stream does not fit the model
    ├── TrainingError             training could not continue
    │   ├── NonFiniteLoss         the loss became NaN or infinite
    │   └── Diverged              it ended far above where it began
    ├── ArtifactError             a model folder cannot be read
    │   ├── CorruptArtifact       it is cut short or changed
    │   └── NewerArtifact         it was written by a newer version
    ├── NotEnoughMemory           a model, a batch or the data are too large            (also MemoryError)
    ├── OutOfTime                 work that has a share of time used it up              (also TimeoutError)
    ├── OutputError               a file or folder cannot be written                       (also OSError)
    └── MissingExtra              an optional dependency is not installed                  (also ImportError)

    DataWarning                   data were read in one of several ways that are possible, or give no answer
                                  (a UserWarning)
    EngineWarning                 a cell runs in the eager loop, right but slower          (a UserWarning)

A message is one sentence: what was wrong, where (file, row, column, shape), what was expected, what to do.
Each class carries the exit code the command line ends with, so that a script can tell them apart.
"""

from typing import Any


def _one_line(text: str) -> str:
    return text if text.isprintable() else "".join(each if each.isprintable() else repr(each)[1:-1] for each in text)


class OstinatoError(Exception):
    """Base of every error raised on purpose by this package."""

    exit_code = 1


class UsageError(OstinatoError, ValueError):
    """An argument or a combination of arguments is wrong."""

    exit_code = 2


class ShapeError(UsageError):
    """A tensor or array does not have the shape that was expected."""


class DataError(OstinatoError, ValueError):
    """Something in a file, table or stream is wrong.

    The message is one line, whatever of the data it quotes: line ends and the like are escaped.
    """

    exit_code = 3

    def __init__(self, *parts: Any) -> None:
        super().__init__(*(_one_line(part) if isinstance(part, str) else part for part in parts))


class ColumnError(DataError):
    """A column is missing, doubled or of the wrong kind."""


class StreamRowError(DataError):
    """A row pushed into a stream does not fit the model."""


class TrainingError(OstinatoError):
    """Training could not continue."""

    exit_code = 4


class NonFiniteLoss(TrainingError):
    """The training loss became NaN or infinite; the last good weights are kept.

    `history` is the `ostinato.training.History` of the epochs before it.
    """

    history: Any = None


class Diverged(TrainingError):
    """Training ended far above the loss of the untrained model; no weights are kept."""


class NotEnoughMemory(OstinatoError, MemoryError):
    """A model, a batch or the data are too large for the memory of this machine."""


class OutOfTime(OstinatoError, TimeoutError):
    """Work that has a share of time, such as fitting a baseline, used it up."""


class ArtifactError(OstinatoError):
    """A model folder cannot be read."""

    exit_code = 5


class CorruptArtifact(ArtifactError):
    """A model folder is cut short, changed or not a model at all."""


class NewerArtifact(ArtifactError):
    """A model folder was written by a newer version of this package."""


class OutputError(OstinatoError, OSError):
    """A file or folder cannot be written."""

    exit_code = 6


class MissingExtra(OstinatoError, ImportError):
    """An optional dependency is not installed; the message names the extra to install."""

    exit_code = 7


class EngineWarning(UserWarning):
    """A cell, or an operation in it, that the engine does not take: it runs in the eager loop, right but slower."""


class DataWarning(UserWarning):
    """Data can be read in several ways, and one was taken, or there are too few of them for an answer.

    The message says which and what changes it; the command line prints it as a note.
    """
