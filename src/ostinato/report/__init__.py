"""What a fit leaves, drawn: the HTML report and single plots."""

from ostinato.report.page import write_report
from ostinato.report.plots import forecast_plot, panel_plot, summary_plot, training_plot
from ostinato.report.summary_page import write_summary

__all__ = ["forecast_plot", "panel_plot", "summary_plot", "training_plot", "write_report", "write_summary"]
