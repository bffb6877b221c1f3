"""One deep network of a sequence classifier, a step at a time, with what is kept of the steps before."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ostinato.nn.pooling import Running
from ostinato.streaming import Headed, Row, shared_steps
from ostinato.tasks.classify.sequence_network import SequenceMember

Kept: TypeAlias = "list[Running]"


class MemberSteps:
    """A network that is stepped; the layers' state is here, what pooling keeps is handed in and out.

    Args:
        member: which reads forward only, and every step.
    """

    def __init__(self, member: SequenceMember) -> None:
        convolutions = member.convolutions
        self._shared = shared_steps(
            member,
            lambda: Headed(
                member.stack, nn.Identity(), pooling=member.pooling, top=member.head,
                convolutions=nn.Identity() if convolutions is None else convolutions,
            ),
        )  # fmt: skip
        beside: Any = self._shared.copy
        parts = beside.beside
        self._pooling, self._head, self._convolutions = parts["pooling"], parts["top"], parts["convolutions"]
        self.reach = 0 if convolutions is None else convolutions.reach
        self._size = 0 if convolutions is None else convolutions.output_size
        self._row = Row(self._shared)
        self.ask, self.restore, self.state = self._row.ask, self._row.restore, self._row.state

    @property
    def mark(self) -> str:
        """What tells its weights from others."""
        return self._shared.mark

    def start(self) -> Kept:
        """Return what is kept before the first step: of pooling, and sum and count of what convolutions gave."""
        return [*self._pooling.start(), (torch.zeros(1, self._size), torch.zeros(()))]

    def read(
        self, features: NDArray[np.float32], window: NDArray[np.float32] | None, kept: Kept
    ) -> tuple[NDArray[np.float32], Kept]:
        """Return what the layers read of a step, and what is then kept of the convolutions."""
        if window is None or not self.reach:
            return features, kept
        with torch.inference_mode():
            steps = torch.from_numpy(window)[-self.reach :, None]
            rows: Tensor = self._convolutions(steps, torch.tensor([len(steps)]))[0][-1]
            total, count = kept[-1]
            return rows[0].numpy(), [*kept[:-1], (total + rows, count + 1)]

    def advance(self, kept: Kept, stepped: NDArray[np.float32]) -> Kept:
        """Take in the layers' outputs of a step, `(width,)`."""
        with torch.inference_mode():
            return [*self._pooling.advance(kept[:-1], torch.from_numpy(stepped)[None]), kept[-1]]

    def finish(self, kept: Kept) -> Tensor:
        """Return the logarithms of the classes' probabilities, `(1, classes)`."""
        with torch.inference_mode():
            whole = self._pooling.finish(kept[:-1])
            total, count = kept[-1]
            if self._size:
                whole = torch.cat([whole, total / count], -1)
            logs: Tensor = self._head(whole).log_softmax(-1)
            return logs
