"""What the scores of one sample are made of: from the base, share by share, to the score."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from crossres_ml.config_names import TASKS
from crossres_ml.predict.chosen import Chosen
from crossres_ml.predict.profiles import ID
from crossres_ml.predict.score import BASE, OTHERS
from crossres_ml.report.figures.base import BLUE, GREY, LIGHT, RED, ROW, box, new, set_title, short
from crossres_ml.report.words import TASK_NAMES, number

MOST = 30
"""Features drawn of a task; shares of later ones are joined with those of all others."""
_ACROSS, _NAMES, _BARS = 10.4, 4.75, 4.6  # inches: the figure, the room for names, the bars
_HEAD, _FOOT, _TOP, _BOTTOM = 0.5, 0.55, 0.55, 0.45  # inches: above and below bars; of the figure
_LONG_NAME, _LONG_ID = 51, 44  # letters
_MARGIN = 0.2  # of the span of the bars, at both sides: room for the numbers
_DIGITS, _MOST_DIGITS = 3, 6
_PREDICTED = ("profile:", "genotoxic:")


@dataclass(frozen=True)
class Steps:
    """The rows of one waterfall.

    Attributes
    ----------
    labels : list of str
        From the base to the score.
    shares : numpy.ndarray
        One for each row between these two.
    base, score : float
        Where it starts and ends.
    """

    labels: list[str]
    shares: np.ndarray
    base: float
    score: float

    @property
    def ends(self) -> np.ndarray:
        """Where each share takes the sum."""
        return np.asarray(self.base + np.cumsum(self.shares))


def steps(table: pd.DataFrame) -> Steps:
    """Turn the explanation of one sample and task into the rows of a waterfall.

    Parameters
    ----------
    table : pandas.DataFrame
        Its rows of `crossres_ml.predict.score.explain_profiles`.

    Returns
    -------
    Steps
        At most `MOST` features, in the order of their rank, then all others as one.
    """
    table = table.sort_values("rank", kind="stable")
    base = float(table.shap[table.feature == BASE].iloc[0])
    own = table[~table.feature.isin([BASE, OTHERS])]
    shown, rest = own.head(MOST), own.iloc[MOST:]
    others = float(table.shap[table.feature == OTHERS].iloc[0]) + float(rest.shap.sum())
    named = [_label(f, v) for f, v in zip(shown.feature, shown.value, strict=True)]
    shares = np.array([*shown.shap, others])
    labels = ["base: a mean profile with the same gaps", *named, "all other features", "score"]
    return Steps(labels, shares, base, base + float(shares.sum()))


def _label(feature: str, value: float) -> str:
    """Name a feature with what was measured of it."""
    if pd.isna(value):
        said = "predicted" if feature.startswith(_PREDICTED) else "not measured"
    else:
        said = f"= {value:.3g}"
    return f"{short(feature, _LONG_NAME)}  {said}"


def signed(value: float) -> str:
    """Write a share with its sign, and as many digits as it needs to be more than zero."""
    digits = _DIGITS
    while digits < _MOST_DIGITS and not float(f"{value:.{digits}f}"):
        digits += 1
    return number(value, digits, sign=True) if float(f"{value:.{digits}f}") else "0"


def waterfall(chosen: Chosen, sample: str) -> Figure:
    """Draw a waterfall a task, one below the other: names of features are long.

    Parameters
    ----------
    chosen : Chosen
        Holds the sample.
    sample : str
        Its id.

    Returns
    -------
    matplotlib.figure.Figure
        Where there is no score, the reason stands in its place.
    """
    own = chosen.shares[chosen.shares[ID] == sample]
    scores = chosen.scores.T[sample]
    rows = {t: steps(own[own.task == t]) for t in TASKS if (own.task == t).any()}
    refused = {t: str(scores[f"{t}_refused"]) for t in rows}
    tall = [_HEAD + (0.0 if refused[t] else ROW * len(s.labels) + _FOOT) for t, s in rows.items()]
    height = _TOP + sum(tall) + _BOTTOM
    figure = new(_ACROSS, height, layout=None)
    simulated = str(scores.trained_on) != "real"
    title = f"What the scores of {short(sample, _LONG_ID)} are made of"
    set_title(figure, title, simulated=simulated, y=1 - 0.12 / height)
    top = height - _TOP
    for (task, one), room in zip(rows.items(), tall, strict=True):
        figure.text(
            0.1 / _ACROSS,
            (top - 0.2) / height,
            _about(task, scores),
            fontsize=11,
            fontweight="bold",
            va="center",
        )
        if not refused[task]:
            axes = box(figure, _NAMES, top - room + _FOOT, _BARS, ROW * len(one.labels))
            _draw_steps(axes, one)
        top -= room
    handles = [
        Patch(color=RED, label="makes it more resistant"),
        Patch(color=BLUE, label="makes it more sensitive"),
        Line2D([], [], ls="", marker="D", color="black", label="score"),
    ]
    if not all(refused.values()):
        figure.legend(handles=handles, loc="lower left", ncols=3, frameon=False)
    return figure


def _about(task: str, scores: pd.Series) -> str:
    name = {str(k): v for k, v in TASK_NAMES.items()}[task]
    if why := scores[f"{task}_refused"]:
        return f"{name}: no score, {why}"
    score, probability = (float(scores[f"{task}_{k}"]) for k in ("score", "probability"))
    called = f"class {scores[f'{task}_class']}, set {scores[f'{task}_set']}"
    return f"{name}: score {number(score, _DIGITS)}, probability {number(probability)}, {called}"


def _draw_steps(axes: Axes, one: Steps) -> None:
    ends = one.ends
    starts = np.array([one.base, *ends[:-1]])
    rows = np.arange(1, len(ends) + 1)
    colours = [RED if s > 0 else BLUE for s in one.shares]
    # the edge keeps a share of next to nothing visible
    axes.barh(rows, one.shares, left=starts, height=0.72, color=colours, edgecolor=colours, linewidth=0.8)
    last = len(ends) + 1
    for row, at in enumerate([one.base, *ends]):
        axes.plot([at, at], [row, row + 1], color=GREY, lw=0.7, zorder=0)
    axes.axvline(one.base, color=LIGHT, lw=0.8, ls=":", zorder=0)
    axes.plot(one.base, 0, "o", color=GREY, ms=6)
    axes.plot(one.score, last, "D", color="black", ms=6)
    _write(axes, one, ends)
    axes.set_yticks(range(last + 1), one.labels, fontsize=8.5)
    for place in (0, last):
        axes.get_yticklabels()[place].set_fontweight("bold")
    axes.tick_params(axis="y", length=0)
    axes.set_ylim(last + 0.5, -0.5)
    axes.xaxis.set_major_locator(MaxNLocator(5))
    axes.set_xlabel("score; higher is more resistant", loc="right", fontsize=9)


def _write(axes: Axes, one: Steps, ends: np.ndarray) -> None:
    """Write each number at the side to which its share points, with room for it."""
    low, high = min(one.base, ends.min()), max(one.base, ends.max())
    room = _MARGIN * ((high - low) or 1.0)
    axes.set_xlim(low - room, high + room)
    last = len(ends) + 1
    said = [(one.base, 0, number(one.base, _DIGITS), 9), (one.score, last, number(one.score, _DIGITS), 9)]
    for row, (share, end) in enumerate(zip(one.shares, ends, strict=True), 1):
        said.append((float(end), row, signed(float(share)), 4 if share >= 0 else -4))
    for x, row, text, points in said:
        axes.annotate(
            text, (x, row), (points, 0), textcoords="offset points", va="center", fontsize=8.5,
            ha="left" if points > 0 else "right",
        )  # fmt: skip
