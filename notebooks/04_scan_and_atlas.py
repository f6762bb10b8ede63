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
# # 04 What else goes with resistance to both? The scan and the atlas
#
# Two searches without a model. The *scan* holds everything that was measured against both responses and
# lists what goes with both. The *atlas* holds every drug against radiation in the same lines.
#
# Where `make scan` and `make atlas` were not run, this notebook runs them, with the configuration and the
# kind of data of the training run: about a minute on simulated data, several on real ones. Research use
# only: cell lines are not patients, and an association is not a cause.

# %%
# %matplotlib inline
import os
from pathlib import Path

import pandas as pd
from IPython.display import Markdown, display
from matplotlib import pyplot, style

from crossres_ml.artifacts import MANIFEST
from crossres_ml.atlas import AtlasFolder, atlas
from crossres_ml.config import load_panels, load_train_config
from crossres_ml.report.atlas_page import SCREENS
from crossres_ml.report.figures import SCAN_FIGURES, STYLE
from crossres_ml.report.figures.audit_shap import jitter
from crossres_ml.report.figures.base import GREY, RED, Run, set_title, short
from crossres_ml.report.scan_run import ScanRun
from crossres_ml.scanning import scan_events

# All paths are those of the project's folder, as on the command line.
os.chdir(next(p for p in (Path.cwd(), *Path.cwd().parents) if (p / "pyproject.toml").is_file()))
RESULTS = Path(os.environ.get("CROSSRES_RESULTS", "artifacts/latest"))
SCAN = Path(os.environ.get("CROSSRES_SCAN", "artifacts/scan"))
ATLAS = Path(os.environ.get("CROSSRES_ATLAS", "artifacts/atlas"))
LISTED = 15

style.use(["default", STYLE])
pd.set_option("display.precision", 2, "styler.format.precision", 2, "display.max_colwidth", 60)
run = Run.read(RESULTS)
display(Markdown(run.banner))

# %%
config = load_train_config(RESULTS / "config.yaml", data=run.summary.data.kind)
if not (SCAN / MANIFEST).is_file():
    scan_events(config, load_panels(), output=SCAN, jobs=os.cpu_count() or 1)
if not (ATLAS / MANIFEST).is_file():
    atlas(config, load_panels(), output=ATLAS)
scan = ScanRun(SCAN)
drugs = AtlasFolder(ATLAS, run.summary.data.kind, fresh=False)
hashes = {"training": run.summary.data.cohort_hash, "scan": scan.about["cohort_hash"],
          "atlas": drugs.about["cohort_hash"]}  # fmt: skip
kinds = {"training": run.summary.data.kind, "scan": scan.about["kind"], "atlas": drugs.about["kind"]}
same = "the same data" if len(set(hashes.values())) == 1 else "**DIFFERENT data: do not compare them**"
parts = [f"{what}: {kind.upper()}, data `{hashes[what][:12]}`" for what, kind in kinds.items()]
display(Markdown(f"Training, scan and atlas are of {same}. {'; '.join(parts)}."))

# %% [markdown]
# ## The scan: how many, and how many by chance
#
# An *event* is one thing that was measured: a mutated gene, a gained arm, the level of an mRNA or protein.
# Its effect is taken inside tissues. Tens of thousands are looked at, so some fit by luck. How many, is
# measured: responses are shuffled inside each lineage and searched again.
#
# - `events`: in the list. `signals`: of those, groups that go together. Twenty genes of a gained arm are
#   one signal.
# - `expected by chance`: how many events shuffled responses give up to the same p. With a rate of 5 %, one
#   event of twenty is there by luck, and nobody knows which.
# - `Benjamini-Hochberg`: how many pass the older, stricter procedure.
#
# "Only" means that nothing was seen in the other treatment, not that nothing is there.

# %%
lists = scan.csv("lists.csv")
lists = lists[lists.level == scan.level]
names = {"label": "list", "seen": "events", "signals": "signals", "expected": "expected by chance",
         "seen_bh": "Benjamini-Hochberg", "kept_full": "also fully adjusted"}  # fmt: skip
display(Markdown(f"{scan.about['events']:,} events in {scan.about['lines']:,} lines; rate {scan.level:.0%}"))
display(lists[list(names)].rename(columns=names).style.format(precision=1, na_rep="").hide())

# %% [markdown]
# The first signals of each list. `radiation` and `chemotherapy` are slopes: by how many standard deviations
# the response changes when the event changes by one. 0.2 is weak: single lines cannot be told apart by it.
# `list_rate` is the share of chance among all that is listed up to this row.

# %%
signals = scan.csv("signals.csv")
columns = ["list", "label", "events", "radiation", "chemotherapy", "list_p", "list_rate"]
display(signals.groupby("list", sort=False).head(8)[columns].style.format(
    {"radiation": "{:+.2f}", "chemotherapy": "{:+.2f}", "list_p": "{:.1e}", "list_rate": "{:.3f}"}
).hide())  # fmt: skip

# %% [markdown]
# Every grey dot is an event. Coloured ones are in a list. A cloud that leans to the upper right says that
# what goes with resistance to one treatment tends to go with resistance to the other.

# %%
display(SCAN_FIGURES["scan_effects"](scan))

# %% [markdown]
# The same as volcanos: to the sides the effect, upwards how small the p is. The dashed line is where the
# rate is reached; without a line no p gives that rate.

# %%
display(SCAN_FIGURES["scan_volcanos"](scan))

# %% [markdown]
# ## Known pairs
#
# Would the scan find what is known? Textbook pairs of a drug and an event are looked up among all events.
# `rank` 1 means that nothing goes with the drug more. A pair that these data do not hold is left out here.

# %%
known = scan.csv("known_pairs.csv")
known = known[known.event != ""].astype({"n": int, "rank": int, "of": int})
display(known[["label", "drug", "n", "effect", "rank", "of", "recovered"]].style.hide())

# %% [markdown]
# ## The atlas: which drugs go with radiation
#
# Lines that resist one drug tend to resist others. This *general factor* also goes with radiation, so a
# correlation of a drug with radiation says little before it is taken out. Three numbers a drug: `spearman`
# as it is, `tissue` inside tissues, `full` with the general factor taken out too. `q` is the p-value
# adjusted for the number of drugs.

# %%
table = drugs.table.sort_values("full_low", ascending=False).assign(screen=drugs.table.dataset.map(SCREENS))
table["full, 95 %"] = [f"{r.full_low:.2f} to {r.full_high:.2f}" for r in table.itertuples()]
columns = ["drug", "screen", "genotoxic", "n", "spearman", "tissue", "full", "full, 95 %", "full_q"]
display(table[columns].head(LISTED).style.format("{:.1e}", subset="full_q").hide())

# %% [markdown]
# ## The answer: drugs that damage DNA beside all others
#
# Left, each point is a drug of CTRPv2, and the dashed line is the general factor. Right, the drugs that go
# with radiation most when tissue and general factor are taken out, with 95 % intervals.
#
# What it does not mean: that a drug makes cells resist radiation, or that it is good to combine with it.
# Two treatments that fail in the same lines are a reason to look closer, not a prescription.

# %%
factor, test = drugs.about["general_factor"], drugs.about["genotoxic_test"]
display(Markdown(
    f"General factor with radiation: r = {factor['pearson']:.2f} ({factor['low']:.2f} to "
    f"{factor['high']:.2f}), {factor['n']} lines. Genotoxic drugs minus others, inside tissues: "
    f"{test['effect']:+.2f} ({test['low']:+.2f} to {test['high']:+.2f}); beyond the general factor: "
    f"{test['full']:+.2f} ({test['full_low']:+.2f} to {test['full_high']:+.2f})."
))  # fmt: skip

# %%
figure, (left, right) = pyplot.subplots(1, 2, figsize=(13, 5.6), layout="constrained")
set_title(figure, "Drugs and radiation in the same lines", simulated=drugs.about["kind"] == "simulated")
kinds = {"genotoxic": (RED, "D", table.genotoxic), "others": (GREY, "o", ~table.genotoxic)}
for at, (colour, marker, chosen) in enumerate(kinds.values()):
    own = table[chosen & (table.dataset == "ctrp")].spearman.dropna().to_numpy()
    left.scatter(own, at + jitter(own, 0.02), s=22, c=colour, marker=marker, alpha=0.75, lw=0)
    left.plot([own.mean()] * 2, [at - 0.3, at + 0.3], color="black", lw=3)
left.axvline(factor["spearman"], color="black", ls="--", lw=1)
left.set(yticks=[0, 1], yticklabels=list(kinds), ylim=(1.6, -0.6), xlabel="Spearman with radiation, as it is")
left.set_title("Every drug of CTRPv2. Black: mean; dashed: general factor", loc="left")
right.set_title(f"The {LISTED} that go with radiation most. Coloured: genotoxic", loc="left")
for at, row in enumerate(table.head(LISTED).itertuples()):
    colour, marker, _ = kinds["genotoxic" if row.genotoxic else "others"]
    right.plot([row.full_low, row.full_high], [at, at], color=colour, lw=2)
    right.plot(row.full, at, marker, color=colour, ms=6)
labels = [f"{short(r.drug, 30)} ({r.screen})" for r in table.head(LISTED).itertuples()]
right.set(yticks=range(len(labels)), yticklabels=labels, ylim=(len(labels) - 0.4, -0.6))
right.axvline(0, color="black", ls=":", lw=0.8)
right.set_xlabel("Spearman with radiation, tissue and general factor taken out")
pyplot.show()
