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
# Three models are trained: resistance to radiation, to chemotherapy, and to both. Each is tried on lines
# that it has never seen, and held against models that know next to nothing. A model that does not beat
# those is of no use, however high its number.
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

from crossres_ml.config_names import TASKS
from crossres_ml.models.registry import ABOUT
from crossres_ml.report.figures import FIGURES, STYLE
from crossres_ml.report.figures.base import Run
from crossres_ml.report.summary import as_interval
from crossres_ml.report.tables import have_rows, split_rows
from crossres_ml.report.words import (
    DASH,
    METRIC_NAMES,
    TASK_TITLES,
    headline,
    in_order,
    number,
    plain,
    shown,
    verdict,
)  # fmt: skip

# All paths are those of the project's folder, as on the command line.
os.chdir(next(p for p in (Path.cwd(), *Path.cwd().parents) if (p / "pyproject.toml").is_file()))
RESULTS = Path(os.environ.get("CROSSRES_RESULTS", "artifacts/latest"))

style.use(["default", STYLE])
pd.set_option("display.precision", 2, "styler.format.precision", 2, "display.max_colwidth", 110)
run = Run.read(RESULTS)
tasks = run.summary.tasks
display(Markdown(run.banner))

# %% [markdown]
# ## What was trained
#
# The first models of the table are *baselines*: a constant, the mean of the lineage, the number of
# mutations, a single gene. The *champion* of a task was chosen on training lines alone, by an inner round
# of training and testing.

# %%
models = in_order({m for t in tasks.values() for m in t.models})
champion_of = {m: ", ".join(TASK_TITLES[t] for t in TASKS if tasks[t].champion == m) for m in models}
about = [{"model": plain(m), "what it is": ABOUT[m], "champion of": champion_of[m]} for m in models]
display(pd.DataFrame(about).style.hide())

# %% [markdown]
# ## How lines were held out
#
# Relatives always stay on one side, and every choice (which features, which settings) is made inside the
# training lines.
#
# - **cell line out**: new lines of known tissues. The easiest question.
# - **lineage out**: a whole tissue is new. Lines are compared inside it.
# - **study out**: learned from one drug screen, judged by another.

# %%
held_out = pd.DataFrame(split_rows(RESULTS / "splits.csv"))
held_out["mode"] = held_out["mode"].map(plain)
sizes = held_out.groupby("mode", sort=False)[["lines", "trained"]].mean().round().astype(int)
sizes.columns = ["lines tested, mean", "lines trained on, mean"]
display(sizes.join(held_out["mode"].value_counts().rename("sets")))

# %% [markdown]
# ## Skill on held-out lines
#
# - **AUROC**: take a resistant and a sensitive line at random; how often does the model put them in the
#   right order? 0.5 is a coin, 1 is always.
# - **Spearman**: does the model put all lines in the order of their measured response? 0 is chance, 1 is
#   perfect.
#
# In brackets stands the 95 % interval: whole groups of relatives are drawn anew many times, and the middle
# 95 % of the results are shown. Two overlapping intervals do not mean that two models are equal: that is
# what the paired difference below is for.

# %%
metrics = run.csv("metrics.csv")
own = metrics[(metrics["mode"] == "cell_line_out") & metrics.metric.isin(["auroc", "spearman"])]
own = own.assign(shown=[shown(as_interval(r)) for r in own.to_dict("records")])
wide = own.pivot_table(index="model", columns=["metric", "task"], values="shown", aggfunc="first")
wide = wide.fillna(DASH).loc[in_order(wide.index), [(m, t) for m in ("auroc", "spearman") for t in TASKS]]
display(wide.rename(index=plain, columns=METRIC_NAMES | TASK_TITLES).rename_axis(None))

# %%
display(FIGURES["skill"](run))

# %% [markdown]
# ## Does a probability mean what it says?
#
# Of lines that get a probability of 0.3, three in ten should be resistant. Points on the diagonal say so. A
# slope under 1 means that the probabilities are too extreme, over 1 that they are too shy.

# %%
display(FIGURES["calibration"](run))

# %% [markdown]
# ## New tissues and new studies
#
# Skill falls when the question gets harder. The gap between the rows of a task is what the tissue or the
# laboratory gave away. A dash means that this run did not ask.

# %%
far = []
for task in TASKS:
    for mode, found in tasks[task].models[tasks[task].champion].items():
        rows = {METRIC_NAMES[m]: shown(found[m]) for m in ("auroc", "spearman")}
        about = {"task": TASK_TITLES[task], "held out": plain(mode), "lines": tasks[task].scored_lines[mode]}
        far.append(about | rows)
display(pd.DataFrame(far).style.hide())

# %% [markdown]
# ## What to expect with what you have
#
# Most people do not have everything that was measured here. Each row hides the rest from the champion, on
# the same held-out lines. Where a second number stands, a model was fitted anew on that alone: if it is
# better, train for what you have. The numbers are Spearman correlations.

# %%
names = [(TASK_TITLES[t], how) for t in TASKS for how in ("the rest hidden", "fitted anew")]
have = have_rows(run.summary, "spearman")
cells = [[DASH if c is None else shown(c) for c in row["cells"]] for row in have]
table = pd.DataFrame(cells, [row["name"] for row in have], pd.MultiIndex.from_tuples(names))
display(table.loc[:, (table != DASH).any()])

# %% [markdown]
# ## Beside earlier work
#
# Many papers rank all held-out lines of all rounds together, which also rewards a model for knowing the
# tissue. These are the champions measured so, for comparison with such papers and with nothing else.

# %%
pooled = {TASK_TITLES[t]: tasks[t].pooled[tasks[t].champion] for t in TASKS if tasks[t].pooled}
shown_metrics = ["spearman", "pearson", "r2", "auroc"]
table = pd.DataFrame({t: [number(v.get(m)) for m in shown_metrics] for t, v in pooled.items()})
display(table.set_axis([METRIC_NAMES[m] for m in shown_metrics]))

# %% [markdown]
# ## Two runs of your own
#
# Every `make train` is logged. `make ui` opens the list of runs in the browser: tick two of them and choose
# *Compare*. On the command line, `crossres compare RUN RUN` prints the paired difference of two runs with
# its interval. Do not choose among many runs by the numbers of this page: the best of many is best partly
# by luck, and its number is too good.

# %% [markdown]
# ## The answer: what each model adds to the best baseline
#
# Both models are drawn together, on the same lines, so that what makes a draw easy makes it easy for both.
# An interval to the right of 0 shows that the model is better. One that holds 0 shows nothing, in either
# direction.
#
# What it does not mean: that the difference is large enough to be of use, or that it holds in patients.

# %%
display(Markdown(f"**{headline(run.summary)}**"))
rows = []
for task in TASKS:
    difference = tasks[task].paired_difference["cell_line_out"]
    about = {"task": TASK_TITLES[task], "champion": plain(tasks[task].champion)}
    about["best baseline"] = plain(tasks[task].paired_baseline["cell_line_out"])
    for metric in ("auroc", "spearman"):
        found = {"metric": METRIC_NAMES[metric], "difference": shown(difference[metric], sign=True)}
        rows.append(about | found | {"in words": verdict(metric, difference[metric])})
display(pd.DataFrame(rows).style.hide())

# %%
display(FIGURES["paired"](run))
