"""What all figures share: colours, the run that they read, and rows of values with intervals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from crossres_ml.config_names import TaskName
from crossres_ml.errors import ConfigError
from crossres_ml.evaluation.draws import FULL
from crossres_ml.evaluation.skill import is_baseline
from crossres_ml.report.summary import Interval, Summary
from crossres_ml.report.words import plain, shown

# Colours that stay apart for colour-blind readers: Okabe and Ito 2008 (jfly.uni-koeln.de/color).
BLUE, ORANGE, GREEN, RED, GREY = "#0072B2", "#E69F00", "#009E73", "#D55E00", "#7f7f7f"
LIGHT = "#c8c8c8"
Kind = Literal["baseline", "model", "champion"]
KINDS: dict[Kind, tuple[str, str, str]] = {  # marker, colour, fill
    "baseline": ("s", GREY, "white"),
    "model": ("o", BLUE, BLUE),
    "champion": ("D", RED, RED),
}
WIDTH = 13.0
"""Inches: of a figure that is as wide as the report."""
ROW = 0.27
"""Inches: of a row of text in a figure."""


@dataclass(frozen=True)
class Run:
    """What a figure may read: the folder's tables and the summary.

    Attributes
    ----------
    folder : Path
        Folder of results.
    summary : Summary
        Its summary.
    """

    folder: Path
    summary: Summary

    @classmethod
    def read(cls, folder: Path) -> Run:
        """Read a finished run.

        Parameters
        ----------
        folder : Path
            Folder of results, such as ``artifacts/latest``.

        Returns
        -------
        Run
            The run.

        Raises
        ------
        ConfigError
            If there is no summary in the folder.
        """
        file = folder / "summary.json"
        if not file.is_file():
            raise ConfigError(
                "no finished run: there is no summary.json", where=str(folder.resolve()),
                do="make train, or name the folder of a finished run",
            )  # fmt: skip
        return cls(folder, Summary.model_validate_json(file.read_text(encoding="utf-8")))

    @property
    def simulated(self) -> bool:
        """Whether the data were made by code."""
        return self.summary.data.kind == "simulated"

    @property
    def banner(self) -> str:
        """Say in Markdown which data the run is about; of simulated ones, that they are nothing real."""
        data = self.summary.data
        said = (
            f"{data.lines:,} cell lines, {data.lines_radiation:,} with radiation, "
            f"{data.lines_chemotherapy:,} with chemotherapy, {data.lines_both:,} with both."
        )
        if self.simulated:
            return (
                "# SIMULATED\n\n**No real data were used, and nothing below is about biology.** The lines "
                f"and their responses were made by code; names of genes and drugs are borrowed. {said}"
            )
        return f"**Real data**: published screens of cell lines. {said} Research use only."

    def csv(self, name: str) -> pd.DataFrame:
        """Read a table."""
        return pd.read_csv(self.folder / name)

    def champion(self, task: TaskName) -> str:
        """Name the champion of a task."""
        return self.summary.tasks[task].champion

    def predictions(self, task: TaskName) -> pd.DataFrame:
        """Held-out predictions of a task's champion, cell line out."""
        table = pd.read_parquet(self.folder / "predictions.parquet")
        own = (table.task == task) & (table.model == self.champion(task)) & (table.variant == FULL)
        return table[own & (table["mode"] == "cell_line_out")]

    def title(self, figure: Figure, text: str) -> None:
        """Set the figure's title; one of simulated data says so first."""
        set_title(figure, text, simulated=self.simulated)


def set_title(figure: Figure, text: str, *, simulated: bool, y: float | None = None) -> None:
    """Set a figure's title, at ``y`` or where the layout has it; one of simulated data says so first."""
    prefix = "SIMULATED: " if simulated else ""
    figure.suptitle(prefix + text, fontsize=13, fontweight="bold", x=0.01, y=y, ha="left")


def box(figure: Figure, left: float, bottom: float, width: float, height: float) -> Axes:
    """Add axes placed by hand, in inches from the lower left corner of the figure."""
    across, up = figure.get_size_inches()
    return figure.add_axes((left / across, bottom / up, width / across, height / up))


def short(name: str, limit: int = 28) -> str:
    """Cut out the middle of a long name: its end may say _Caution."""
    keep = limit // 2
    return name if len(name) <= limit else f"{name[:keep]}\u2026{name[-keep:]}"


def new(width: float, height: float, layout: Literal["constrained"] | None = "constrained") -> Figure:
    """Make an empty figure, in inches, that is drawn without a window."""
    figure = Figure(figsize=(width, height), layout=layout)
    FigureCanvasAgg(figure)
    return figure


def kind_of(model: str, champion: str) -> Kind:
    """Say how a model is marked."""
    return "baseline" if is_baseline(model) else "champion" if model == champion else "model"


def mark(
    axes: Axes, y: float, interval: Interval, style: tuple[str, str, str], *, sign: bool = False
) -> None:
    """Draw a value with its interval in a row, and write both beside the axes.

    Parameters
    ----------
    axes : matplotlib.axes.Axes
        Rows are counted from the top.
    y : float
        The row.
    interval : Interval
        What is drawn; nothing where it is not defined.
    style : tuple of str
        Marker, colour, fill.
    sign : bool, default False
        Whether to write a plus.
    """
    if interval.value is None:
        return
    marker, colour, fill = style
    if interval.low is not None and interval.high is not None:
        axes.plot([interval.low, interval.high], [y, y], color=colour, lw=2, solid_capstyle="butt")
    axes.plot(interval.value, y, marker, color=colour, markerfacecolor=fill, ms=7, mew=1.6)
    beside = axes.get_yaxis_transform()
    axes.text(1.03, y, shown(interval, sign=sign), transform=beside, va="center", fontsize=8.5)


def rows(axes: Axes, names: Sequence[str], chance: float, *, label: str) -> None:
    """Name the rows of axes, from the top, and draw the line of chance or of no difference."""
    axes.axvline(chance, color="black", lw=0.8, ls=":", zorder=0)
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="x", color="#dddddd", lw=0.6)
    axes.set_axisbelow(True)
    axes.set_xlabel(label)


def forest(
    axes: Axes,
    values: Mapping[str, Interval],
    order: Sequence[str],
    champion: str,
    *,
    chance: float,
    label: str,
    sign: bool = False,
) -> None:
    """Draw one row a model: its value with the interval, baselines apart.

    Parameters
    ----------
    axes : matplotlib.axes.Axes
        Where.
    values : mapping of str to Interval
        By model; a model that is not there leaves its row empty.
    order : sequence of str
        Models from the top.
    champion : str
        Is marked.
    chance : float
        Where the dotted line stands.
    label : str
        What is measured.
    sign : bool, default False
        Whether to write a plus: for differences.
    """
    rows(axes, [plain(m) for m in order], chance, label=label)
    naive = sum(is_baseline(m) for m in order)
    if 0 < naive < len(order):
        axes.axhline(naive - 0.5, color="#bbbbbb", lw=0.8)
    for y, model in enumerate(order):
        if model in values:
            mark(axes, y, values[model], KINDS[kind_of(model, champion)], sign=sign)


def legend(reference: str, *, baselines: bool = True) -> list[Line2D]:
    """Give the entries of a legend for `forest`."""
    names: dict[Kind, str] = {
        "baseline": "baseline",
        "model": "model",
        "champion": "champion, chosen by the inner folds",
    }
    entries = [
        Line2D([], [], color=c, marker=m, markerfacecolor=f, ms=7, lw=2, label=names[k])
        for k, (m, c, f) in KINDS.items()
        if baselines or k != "baseline"
    ]
    return [*entries, Line2D([], [], color="black", lw=0.8, ls=":", label=reference)]
