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
# # 05 Predict your own samples
#
# What the saved models say of new profiles, why they say it, and when they refuse. On the command line the
# same is
#
#     make predict INPUT=profiles.csv OUTPUT=scores.csv
#
# **Research use only.** The models learned from cell lines in a dish. Nothing here was tried on patients,
# and no number here may decide a treatment.

# %%
# %matplotlib inline
import os
from pathlib import Path

import pandas as pd
from IPython.display import Markdown, display
from matplotlib import style

import crossres_ml
from crossres_ml.config_names import TASKS
from crossres_ml.errors import ProfileError
from crossres_ml.predict.chosen import Chosen
from crossres_ml.predict.request import example
from crossres_ml.report.figures import STYLE
from crossres_ml.report.figures.base import Run
from crossres_ml.report.figures.waterfall import waterfall
from crossres_ml.report.words import TASK_TITLES

# All paths are those of the project's folder, as on the command line.
os.chdir(next(p for p in (Path.cwd(), *Path.cwd().parents) if (p / "pyproject.toml").is_file()))
RESULTS = Path(os.environ.get("CROSSRES_RESULTS", "artifacts/latest"))

style.use(["default", STYLE])
pd.set_option("display.precision", 3, "styler.format.precision", 3, "display.max_colwidth", 60)
run = Run.read(RESULTS)
display(Markdown(run.banner))

# %% [markdown]
# ## The models, and what they ask for
#
# `share` is how much of a model rests on a feature. Names are those of HUGO; expression is best given as
# log2(TPM + 1). A feature may be missing: the models were made for gaps, and say how much they lack.

# %%
models = crossres_ml.load(RESULTS)
features = models.features
kinds = features.groupby(["block", "unit"]).agg(features=("share", "size"))
display(kinds.sort_values("features", ascending=False).reset_index().style.hide())
display(features.sort_values("share", ascending=False)[["unit", "low", "median", "high", "share"]].head(8))

# %% [markdown]
# ## Six samples
#
# A public notebook should carry nobody's samples, so these are **made up**; put your own table in their
# place with `pd.read_csv("profiles.csv", index_col="model_id")`, samples in rows.
#
# - *median*: the median of every feature over the training lines. What more than half of them have, it has:
#   a mutated TP53.
# - *TP53 intact*: the same without any mutation of TP53.
# - *resistant-like*, *sensitive-like*: the median, with the 25 weightiest levels of RNA and
#   protein of the model of both at that end of the training lines that goes with resistance, or with
#   sensitivity.
# - *RNA alone*: the median, with all but expression missing.
# - *far away*: every level of RNA and protein at its upper end, which no living cell has.

# %%
median = example(models).set_index("model_id").iloc[0]
levels = features[features.block.isin(["rna", "rppa"])]
tp53 = features.index[(features.name == "TP53") & features.block.isin(["driver", "hotspot", "mutation"])]
rna = features.index[features.block == "rna"]
ranks = run.csv("shap_cross.csv").set_index("feature")
top = ranks[ranks.index.isin(levels.index)].head(25).join(levels[["low", "high"]])
samples = {
    "median": median,
    "TP53 intact": features.low[tp53].combine_first(median),
    "resistant-like": top.high.where(top.sign > 0, top.low).combine_first(median),
    "sensitive-like": top.low.where(top.sign > 0, top.high).combine_first(median),
    "RNA alone": median[rna],
    "far away": levels.high.combine_first(median),
}
profiles = pd.DataFrame(samples).T.rename_axis("model_id")[features.index]
display(profiles[[*top.index[:5], *tp53]])

# %% [markdown]
# ## The scores
#
# - **probability** that the line is resistant, calibrated on lines that the model had not seen.
# - **class**: the side of 0.5 on which the probability is. Resistance to both is rare, so few samples get
#   there.
# - **set**: all classes that cannot be ruled out at 80 % confidence. `resistant|sensitive` means: the model
#   does not know. That is an answer, and often the right one.
# - **coverage**: the share of the model that rests on what this sample has. Under 0.25 there is no score.
# - **percentile**, **flags**: how far the sample is from the training lines. `outside`: farther than 99 %
#   of them. Its probability may look calm and means nothing.

# %%
scores = models.predict(profiles)
shown = ["probability", "class", "set", "coverage", "percentile", "flags", "refused"]
for task in TASKS:
    own = scores[[f"{task}_{c}" for c in shown]].set_axis(shown, axis=1)
    trained_on = scores.trained_on.iloc[0].upper()
    display(own.style.set_caption(f"{TASK_TITLES[task]} (trained on {trained_on} data)"))

# %% [markdown]
# ## What a score is made of
#
# A score starts at a base, what the model says of a mean profile with the same gaps. Each feature moves it
# up (more resistant) or down; all of them together give the score exactly. The table checks that: the two
# columns must agree.
#
# What it does not mean: that changing the feature in a cell would change its resistance. A share tells what
# the *model* used.

# %%
shares = models.explain(profiles, top=15)
total = shares.groupby(["model_id", "task"], sort=False).shap.sum().rename("base and shares").to_frame()
total["score"] = [scores.loc[s, f"{t}_score"] for s, t in total.index]
display(total.loc[["median", "resistant-like"]])
display(shares[(shares.model_id == "resistant-like") & (shares.task == "cross")].style.hide())

# %% [markdown]
# ## When it refuses
#
# A wrong unit is worse than a missing value: it gives a number for every sample. So the unit is recognised
# and checked, and a table that cannot be what it seems is refused, with the reason and what to do. Here all
# expression is tripled; then all genes but ten are left out, so that too little of the models is covered.

# %%
try:
    models.predict(profiles.assign(**(3 * profiles[rna])))
except ProfileError as error:
    print(error)

# %%
few = models.predict(profiles.loc[["median"], rna[:10]])
display(few[[f"{t}_{c}" for t in TASKS for c in ("coverage", "refused")]].T)

# %% [markdown]
# ## The answer for one sample
#
# From the base at the top to the score at the bottom, for each task. Bars to the right make the sample more
# resistant.

# %%
display(waterfall(Chosen(tuple(samples), scores, shares), "resistant-like"))
