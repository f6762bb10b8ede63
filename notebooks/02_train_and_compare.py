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
# # 02 Train and compare
#
# Three models are trained: resistance to radiation, to chemotherapy, and to both. Each is tried on lines that it has never
# seen, and held against models that know next to nothing. A model that does not beat those is of no use, however high its
# number.
#
# Training itself is one command, and takes from a minute (`make smoke`) to hours:
#
#     make train                                   # configs/train.yaml
#     make train CONFIG=configs/publication.yaml   # the published run
#
# This notebook reads what it left behind. Research use only: cell lines are not patients.

# %%
# %matplotlib inline
import os
from pathlib import Path

import pandas as pd
from IPython.display import Markdown, display
from matplotlib import style

from crossres_ml.config import TASKS
from crossres_ml.models.registry import ABOUT
from crossres_ml.report.figures import FIGURES, STYLE
from crossres_ml.report.figures.base import Run
from crossres_ml.report.summary import as_interval
from crossres_ml.report.tables import have_rows, split_rows
from crossres_ml.report.words import (
    DASH, METRIC_NAMES, TASK_TITLES, headline, in_order, number, plain, shown, verdict,
)  # fmt: skip

# All paths are those of the project's folder, as on the command line.
os.chdir(next(p for p in (Path.cwd(), *Path.cwd().parents) if (p / "pyproject.toml").is_file()))
RESULTS = Path(os.environ.get("CROSSRES_RESULTS", "artifacts/latest"))

style.use(["default", STYLE])
pd.set_option("display.precision", 2, "display.max_colwidth", 110, "display.max_rows", 60)
run = Run.read(RESULTS)
tasks = run.summary.tasks
display(Markdown(run.banner))

# %% [markdown]
# ## What was trained
#
# The first models of the table are *baselines*: a constant, the mean of the lineage, the number of mutations, a single
# gene. The *champion* of a task was chosen on training lines alone, by an inner round of training and testing.

# %%
models = in_order({m for t in tasks.values() for m in t.models})
champion_of = {m: ", ".join(TASK_TITLES[t] for t in TASKS if tasks[t].champion == m) for m in models}
about = [{"model": plain(m), "what it is": ABOUT[m], "champion of": champion_of[m]} for m in models]
display(pd.DataFrame(about).style.hide())

# %% [markdown]
# ## How lines were held out
#
# Relatives always stay on one side, and every choice (which features, which settings) is made inside the training lines.
#
# - **cell line out**: new lines of known tissues. The easiest question.
# - **lineage out**: a whole tissue is new. Lines are compared inside it.
# - **study out**: learned from one drug screen, judged by another.

# %%
held_out = pd.DataFrame(split_rows(RESULTS / "splits.csv")).assign(mode=lambda_free) if False else pd.DataFrame(split_rows(RESULTS / "splits.csv"))
display(held_out.groupby("mode").agg(sets=("held_out", "size"), tested=("lines", "mean"), trained=("trained", "mean")))
