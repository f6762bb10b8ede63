# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py:percent
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 01 The data, and who overlaps
#
# A *cell line* is cancer cells that grow in a dish. Publishers have measured hundreds of them: how well
# they survive radiation, how well they survive drugs, and which genes, messages and proteins they have.
# This notebook shows which lines have which of these. Everything later rests on the lines that have both
# responses.
#
# It reads the folder of a finished run (`make train`) and changes nothing. Research use only: cell lines
# are not patients.

# %%
# %matplotlib inline
import os
from pathlib import Path

import pandas as pd
from IPython.display import Markdown, display
from matplotlib import style

from crossres_ml.report.figures import FIGURES, STYLE
from crossres_ml.report.figures.base import Run
from crossres_ml.report.words import plain

# All paths are those of the project's folder, as on the command line.
os.chdir(next(p for p in (Path.cwd(), *Path.cwd().parents) if (p / "pyproject.toml").is_file()))
RESULTS = Path(os.environ.get("CROSSRES_RESULTS", "artifacts/latest"))

style.use(["default", STYLE])
pd.set_option("display.precision", 2, "styler.format.precision", 2, "display.max_colwidth", 90)
run = Run.read(RESULTS)
display(Markdown(run.banner))

# %% [markdown]
# ## Which responses a line has
#
# - **radiation**: area under the curve of survival against dose. A line with a larger area is more
#   resistant.
# - **chemotherapy**: mean of the standardised areas of a panel of drugs that damage DNA, in the CTRPv2
#   screen.
# - **chemotherapy gdsc**: the same in another screen, GDSC. It is for checking, not for learning.
#
# Each row below is one combination, and the last column says how many lines have it. Models of "both" can
# learn from the lines with radiation *and* chemotherapy only.

# %%
lines = run.csv("lines.csv")
responses = ["radiation", "chemotherapy", "chemotherapy_gdsc"]
has = lines[responses].notna().replace({True: "yes", False: "no"}).rename(columns=plain)
display(has.value_counts().rename("lines").reset_index())

# %% [markdown]
# ## By lineage
#
# A *lineage* is the tissue of origin. Some tissues resist more than others, so a model can look clever by
# guessing the tissue. Note which lineages have no radiation at all: nothing can be said of them. *Groups*
# counts lines of the same patient or of close relatives once; a group is never split between training and
# test.

# %%
by_lineage = lines.groupby("lineage").agg(
    lines=("model_id", "size"),
    groups=("group", "nunique"),
    radiation=("radiation", "count"),
    chemotherapy=("chemotherapy", "count"),
)
by_lineage["both"] = lines.dropna(subset=["radiation", "chemotherapy"]).groupby("lineage").size()
display(by_lineage.fillna(0).astype(int).sort_values("lines", ascending=False))

# %% [markdown]
# ## Who was left out, and why
#
# Nothing disappears silently. The first table counts lines without a response or a block of features, by
# reason. The second lists what was left out as a whole. `dropped_lines.csv` in the folder of results names
# every line.

# %%
display(FIGURES["flow"](run))

# %%
counts = run.csv("dropped_counts.csv").sort_values("lines", ascending=False)
display(counts.style.hide())
display(run.csv("dropped.csv").style.hide())

# %% [markdown]
# ## What was measured
#
# A *block* is one kind of measurement. `features` counts its columns, `lines both` the lines that have it
# and both responses. A block with few lines weighs little, whatever its biology. The figure shows the same
# line by line: blue is measured, grey is not.

# %%
display(run.csv("coverage.csv").rename(columns=plain).style.hide())
display(FIGURES["coverage"](run))

# %% [markdown]
# ## How far the two responses go together
#
# Each point is a line. Points in the upper right corner, beyond both dashed cuts, are resistant to both.
# The number in the title is Spearman's rank correlation: 0 means that one response says nothing about the
# other, 1 that both put the lines in the same order.
#
# What it does not mean: that one cause lies behind both. A tissue that resists everything makes such a
# cloud too; notebook 03 takes the tissue out.

# %%
display(FIGURES["responses"](run))
