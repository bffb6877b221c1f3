"""What a fit leaves, drawn: the HTML report and single plots."""

from ostinato.report.page import write_report
from ostinato.report.plots import panel_figure, panel_plot, summary_figure, summary_plot, training_plot

__all__ = ["panel_figure", "panel_plot", "summary_figure", "summary_plot", "training_plot", "write_report"]
