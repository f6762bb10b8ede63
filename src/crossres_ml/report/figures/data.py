"""Figures of the data: the two responses, and which line has which measurements."""

from __future__ import annotations

import numpy as np
import pandas as pd
import yaml
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from scipy.stats import spearmanr

from crossres_ml.report.figures.base import BLUE, GREY, LIGHT, ORANGE, RED, ROW, WIDTH, Run, new
from crossres_ml.report.words import plain

_SHOWN_RESPONSES = ("radiation", "chemotherapy", "chemotherapy_gdsc")
_MEASURED = LinearSegmentedColormap.from_list("measured", ["#ececec", BLUE])
_NAMED_SHARE = 0.02  # of the lines: a lineage with fewer has no room for its name


def responses(run: Run) -> Figure:
    """Draw radiation against chemotherapy response, with the cuts."""
    config = yaml.safe_load((run.folder / "config.yaml").read_text(encoding="utf-8"))
    quantile = float(config["resistant_quantile"])
    lines = run.csv("lines.csv")
    both = lines.dropna(subset=["radiation", "chemotherapy"])
    cuts = both[["radiation", "chemotherapy"]].quantile(quantile)
    count = (both[["radiation", "chemotherapy"]] >= cuts).sum(axis=1)
    figure = new(9, 8)
    rho = spearmanr(both.radiation, both.chemotherapy).statistic
    run.title(figure, f"Radiation and chemotherapy response: {len(both)} lines, Spearman {rho:.2f}")
    grid = figure.subplots(
        2, 2, sharex="col", sharey="row", gridspec_kw={"width_ratios": [4, 1], "height_ratios": [1, 4]}
    )
    main = grid[1, 0]
    kinds = (("neither", GREY, 0, "o"), ("one of the two", ORANGE, 1, "^"), ("both", RED, 2, "D"))
    for name, colour, n, marker in kinds:
        part = both[count == n]
        label = f"resistant to {name}: {len(part)} ({len(part) / len(both):.0%})"
        main.scatter(
            part.radiation, part.chemotherapy, s=20, c=colour, marker=marker, alpha=0.75, lw=0, label=label
        )
    main.axvline(cuts.radiation, color="black", lw=0.8, ls="--")
    main.axhline(cuts.chemotherapy, color="black", lw=0.8, ls="--")
    main.set_xlabel("radiation: area under the survival curve (more resistant to the right)")
    main.set_ylabel("chemotherapy: mean z of the drugs' AUCs (more resistant upwards)")
    _marginals(grid, lines, both)
    handles, labels = main.get_legend_handles_labels()
    dashed = Line2D([], [], color="black", lw=0.8, ls="--")
    figure.legend(
        [*handles, dashed, Patch(color=LIGHT), Patch(color=BLUE)],
        [*labels, f"cut: {quantile:.1%} quantile of these lines", "margins: every line with the response",
         "margins: lines with both"],
        loc="outside lower left", ncols=2, frameon=False,
    )  # fmt: skip
    return figure


def _marginals(grid: np.ndarray, lines: pd.DataFrame, both: pd.DataFrame) -> None:
    sides = ((grid[0, 0], "radiation", "vertical"), (grid[1, 1], "chemotherapy", "horizontal"))
    for axes, name, way in sides:
        edges = np.histogram_bin_edges(lines[name].dropna(), 40)
        axes.hist(lines[name].dropna(), edges, color=LIGHT, orientation=way)
        axes.hist(both[name], edges, color=BLUE, orientation=way)
    grid[0, 0].set_ylabel("lines")
    grid[1, 1].set_xlabel("lines")
    grid[0, 1].set_axis_off()


def coverage(run: Run) -> Figure:
    """Draw which line has which response and which block: lines by lineage, blocks by coverage."""
    lines = run.csv("lines.csv").set_index("model_id")
    shares = pd.read_parquet(run.folder / "coverage_by_line.parquet").loc[lines.index]
    sizes = lines.lineage.value_counts()
    small = sizes.index[sizes < _NAMED_SHARE * len(lines)]
    group = lines.lineage.where(~lines.lineage.isin(small), "others")
    rank = {g: i for i, g in enumerate([*sizes.index.drop(small), "others"])}
    known = lines[list(_SHOWN_RESPONSES)].notna().astype(float)
    order = pd.DataFrame({"group": group.map(rank), "has": -shares.sum(axis=1) - known.sum(axis=1)})
    lines_in_order = order.sort_values(["group", "has"], kind="stable").index
    blocks = shares.mean().sort_values(ascending=False, kind="stable").index
    figure = new(WIDTH, ROW * (len(blocks) + len(_SHOWN_RESPONSES)) + 2.6)
    run.title(figure, f"What was measured in which of the {len(lines):,} lines, by lineage")
    ratios = {"height_ratios": [len(_SHOWN_RESPONSES), len(blocks)]}
    above, below = figure.subplots(2, 1, sharex=True, gridspec_kw=ratios)
    counts = group.value_counts()[list(dict.fromkeys(group[lines_in_order]))]
    for axes, table, what in ((above, known, "response"), (below, shares[blocks], "block of features")):
        image = _map(axes, table.loc[lines_in_order], counts)
        axes.set_ylabel(what)
    centres = counts.cumsum() - counts / 2 - 0.5
    below.set_xticks(centres, [f"{g} ({n})" for g, n in counts.items()], rotation=90, fontsize=8.5)
    above.tick_params(axis="x", length=0)
    figure.colorbar(image, ax=[above, below], label="share measured in a line", shrink=0.5, pad=0.05)
    return figure


def _map(axes: Axes, table: pd.DataFrame, groups: pd.Series) -> AxesImage:
    """Draw lines x columns as a map with columns downwards; beside each, how many lines have any of it."""
    image = axes.imshow(
        table.to_numpy().T, cmap=_MEASURED, vmin=0, vmax=1, aspect="auto", interpolation="nearest"
    )
    axes.set_yticks(range(table.shape[1]), [plain(str(c)) for c in table.columns])
    for y, n in enumerate((table > 0).sum()):
        axes.text(1.005, y, f"{n:,}", transform=axes.get_yaxis_transform(), va="center", fontsize=8.5)
    for edge in groups.cumsum()[:-1]:
        axes.axvline(edge - 0.5, color="white", lw=1.2)
    axes.tick_params(axis="y", length=0)
    axes.spines[:].set_visible(False)
    return image
