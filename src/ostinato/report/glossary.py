"""One line for each measure that a table shows."""

from __future__ import annotations

import re
from collections.abc import Iterable

_LINES: tuple[tuple[str, str], ...] = (
    # forecasts
    ("MAE", "mean absolute error, in the units of the data"),
    ("RMSE", "root of the mean squared error, in the units of the data: large errors count more than in MAE"),
    ("sMAPE", "mean absolute error in per cent of the mean size of forecast and truth, 0 to 200"),
    (
        "MASE",
        "mean absolute error over that of the seasonal naive forecast within the training part; 1 is as good",
    ),
    ("OWA", "mean of sMAPE and MASE, each over that of Naive 2; below 1 is better than it"),
    ("wQL", "weighted quantile loss: how far quantiles are off, over the sum of what was observed"),
    (
        "CRPS",
        "how far the forecast distribution is from what was observed, in units of the data; MAE for a point forecast",
    ),
    (r"coverage (?P<width>[\d.]+) %", "share of values in the central interval, which promises {width} %"),
    # classes
    ("accuracy", "share of answers that are right"),
    ("accuracy, unknown words", "share of right tags of words that were not in the training part"),
    (
        "macro F1",
        "mean over classes of the harmonic mean of precision and recall: rare ones count as much as others",
    ),
    ("cross-entropy", "mean of -log of the probability given to the true class, in nats"),
    ("calibration error", "how far the probabilities given are from how often such answers were right"),
    ("AUROC", "how often an example of the second class is given more of it than one of the first; chance is 0.5"),
    ("AUPRC", "area under precision by recall of the second class; chance is its share of the examples"),
    ("Brier", "mean squared difference of the predicted risk and the outcome, 1 or 0"),
    (
        r"sensitivity at (?P<rate>[\d.e+-]+) alarms a day",
        "share of the patients with the outcome who had an alarm before it, at {rate} alarms a patient-day",
    ),
    ("lead hours", "mean hours from the first alarm to the outcome, of those who had it; 0 without an alarm"),
    ("time in alarm, %", "share of the time in which the risk is above the threshold of that alarm rate"),
    (
        "C-index",
        "share of pairs of patients of whom the one with the higher risk has the event first; 0.5 is guessing",
    ),
    (r"C-index from (?P<time>[\d.e+-]+) (?P<unit>\w+)", "the same, by what was known {time} {unit} from the beginning"),
    ("MAE next (SD)", "mean absolute error of values of the next visit, in standard deviations of each variable"),
    ("span precision", "share of the spans named that are there, whole and of the right kind"),
    ("span recall", "share of the spans that are there that were named, whole and of the right kind"),
    ("span F1", "harmonic mean of span precision and span recall, as the CoNLL shared tasks count it"),
    (r"MAE next, (?P<unit>\w+)", "mean absolute error of the time until the next event, in {unit}"),
    (r"MAE left, (?P<unit>\w+)", "mean absolute error of the time until the end of the case, in {unit}"),
    # anomalies
    ("alarms in 10,000", "alarms to 10,000 steps, or sequences; where nothing is labelled, all of them may be false"),
    (
        "VUS-PR",
        "area under precision by recall, its labels blurred by buffers of several lengths; chance is their share",
    ),
    ("range precision", "mean share of each alarm that lies in what is labelled"),
    ("range recall", "mean share of each labelled range that alarms cover, less where they cover it in pieces"),
    ("range F1", "harmonic mean of range precision and range recall"),
    (
        "NAB score",
        "of the Numenta benchmark, standard profile: 100 is perfect, 0 says nothing; early alarms count more",
    ),
    (
        "point-adjusted F1",
        "the best F1 where a range counts as found whole once one step of it is: random scores have much of it",
    ),
    ("F1", "harmonic mean of precision and recall of what is anomalous"),
    ("precision", "share of the alarms that are right"),
    ("recall", "share of what is anomalous that has an alarm"),
    ("false positive rate", "share of what is normal that has an alarm"),
    # anomalies in video
    ("frame AUC", "how often an anomalous frame has a higher score than a normal one, over all frames; chance is 0.5"),
    ("clip AUC", "the same within each clip, as a mean over clips that have frames of both kinds"),
    (
        "equal error rate",
        "share of wrong answers where a threshold makes both kinds of error alike, over all frames",
    ),
    ("clip equal error rate", "the same within each clip, as a mean over clips that have frames of both kinds"),
    ("frames found", "share of the anomalous frames that are in alarm"),
    ("false alarms in 10,000", "alarms that begin in normal frames, to 10,000 of these"),
    ("next-motion error", "mean squared error of how each pixel moves next, in the usual size of motion"),
    # text
    ("nats", "mean of -log of the probability given to each token, by the natural logarithm"),
    ("bits", "the same by the logarithm to the base 2; of characters, bits per character"),
    ("perplexity", "exp of the mean loss of a token: as if among so many tokens, all alike, one had to be guessed"),
    ("loss", "mean of -log of the probability given to each token of the reference, in nats"),
    ("BLEU", "n-grams shared with the reference, 0 to 100, as sacrebleu counts them"),
    ("chrF", "n-grams of characters shared with the reference, 0 to 100, as sacrebleu counts them"),
    # captions
    ("CIDEr-D", "n-grams shared with what people said, the more telling the fewer clips they are said of, 0 to 10"),
    ("ROUGE-L", "words shared with a reference in their order, 0 to 100: recall counts more than precision"),
    ("exact sentences", "share of captions that are a reference, word for word"),
    ("different captions", "how many there are among those of the held-out clips"),
    # music
    ("nats a frame", "mean of -log of the probability given to all notes of a step of the grid together"),
    ("frame accuracy", "right notes over all that sound in the likeliest answer or in truth"),
    ("accuracy at changes", "the same of those frames alone that are other than the frame before"),
    # speech
    ("WER", "words that are substituted, left out or put in, over the words of all references"),
    ("CER", "the same of characters, spaces among them"),
    # what fits cost
    ("validation loss", "the lowest loss of an epoch on the validation part: what a choice is made by"),
    ("epochs", "passes over the training part until it stopped"),
    ("training s", "seconds of training, validation included"),
    ("memory MB", "by how much the process grew while it trained, at most"),
    ("latency ms", "median time of one answer on one thread"),
)


def explain(measure: str) -> str:
    """Return a line that says what a measure is; an empty one for a measure that is not known.

    >>> explain("coverage 80 %")
    'share of values in the central interval, which promises 80 %'
    """
    for pattern, line in _LINES:
        if measure == pattern:
            return line
        if "(?P" in pattern and (found := re.fullmatch(pattern, measure)):
            return line.format(**found.groupdict())
    return ""


def glossary(measures: Iterable[str]) -> list[tuple[str, str]]:
    """Return the measures that can be explained, each with its line."""
    return [(measure, line) for measure in measures if (line := explain(measure))]
