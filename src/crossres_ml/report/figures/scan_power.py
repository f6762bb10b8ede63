"""What the lists of a scan find, by the strength of what is planted."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from crossres_ml.report.figures.base import BLUE, RED, WIDTH, new, set_title
from crossres_ml.scan.both import LISTS
from crossres_ml.scan.permute import LEVELS

WAYS = {
    "permutations": ("permutation rate", RED, "o"),
    "benjamini_hochberg": ("Benjamini and Hochberg", BLUE, "s"),
}
_LINES = ("-", "--")


def scan_power(table: pd.DataFrame, *, simulated: bool) -> Figure:
    """Draw the share of planted events that each list calls against their strength.

    Parameters
    ----------
    table : pandas.DataFrame
        As `crossres_ml.scan.calibrate.summarise_scan` gives it.
    simulated : bool
        Whether the events were made by code too.

    Returns
    -------
    matplotlib.figure.Figure
        A panel a list, with Monte-Carlo 95 % intervals.
    """
    known = table[table.power.notna()]
    names = list(dict.fromkeys(known.list))
    figure = new(WIDTH, 4.2)
    set_title(figure, "Power of the scan: planted events that are called", simulated=simulated)
    for axes, name in zip(figure.subplots(1, len(names), sharey=True, squeeze=False)[0], names, strict=True):
        for by, (_, colour, marker) in WAYS.items():
            for level, line in zip(LEVELS, _LINES, strict=True):
                own = known[(known.list == name) & (known.by == by) & (known.level == level)]
                axes.errorbar(own.strength, own.power, yerr=1.96 * own.power_error, color=colour, ls=line,
                              marker=marker, ms=5, lw=1.4, capsize=2)  # fmt: skip
        axes.set_title(
            "\n".join(LISTS[name].label.capitalize().split(", ")), loc="left", fontweight="bold", fontsize=10
        )
        axes.set(ylim=(-0.02, 1.02), xlabel="standardised slope planted")
        axes.grid(color="#dddddd", lw=0.6)
    figure.axes[0].set_ylabel("share called")
    handles = [
        Line2D([], [], color=c, marker=m, ls=line, ms=5, label=f"{said}, {level:.0%}")
        for said, c, m in WAYS.values()
        for level, line in zip(LEVELS, _LINES, strict=True)
    ]
    figure.legend(handles=handles, loc="outside lower left", ncols=4, frameon=False)
    return figure
