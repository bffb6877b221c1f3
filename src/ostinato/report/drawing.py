"""A figure of matplotlib that shows itself in a notebook, whether or not pyplot was ever imported there."""

from __future__ import annotations

import io

from matplotlib.figure import Figure

from ostinato.report.figures import plain_text


class Drawing(Figure):
    """A figure, as `Figure` is; a notebook without matplotlib's own inline backend shows it all the same."""

    def _repr_png_(self) -> bytes:
        return self.png()

    def png(self) -> bytes:
        """Return the figure as the bytes of a PNG file."""
        content = io.BytesIO()
        with plain_text():
            self.savefig(content, format="png", dpi=144)
        return content.getvalue()
