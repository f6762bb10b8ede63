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
# # 03 Do the review's genes rank?
#
# A review names genes that are said to make tumour cells resist radiation and chemotherapy, among them
# TP53, RAD51, ERCC1 and BIRC5 (survivin). Any model has a list of important genes, and something always
# stands on top. So the question is not "does the gene rank high?", but "does it rank higher than chance
# would put it, once tissue is taken out?".
#
# This notebook reads the audit that `make train` does at its end. Research use only: cell lines are not
# patients, and an association is not a cause.

# %%
# %matplotlib inline
import os
from pathlib import Path

import pandas as pd
from IPython.display import Markdown, display
from matplotlib import style

from crossres_ml.audit.matrix import GENE
from crossres_ml.audit.words import probability
from crossres_ml.config_names import TASKS
from crossres_ml.errors import ConfigError
from crossres_ml.report.audit_run import BORDERLINE, NOT_CLAIMED, SYMBOLS, said
from crossres_ml.report.audit_tables import effect_text
from crossres_ml.report.figures import AUDIT_FIGURES, STYLE, audit_of
from crossres_ml.report.figures.base import Run
from crossres_ml.report.words import DASH, TASK_TITLES, rank

# All paths are those of the project's folder, as on the command line.
os.chdir(next(p for p in (Path.cwd(), *Path.cwd().parents) if (p / "pyproject.toml").is_file()))
RESULTS = Path(os.environ.get("CROSSRES_RESULTS", "artifacts/latest"))

style.use(["default", STYLE])
pd.set_option("display.precision", 3, "styler.format.precision", 3, "display.max_colwidth", 110)
run = Run.read(RESULTS)
display(Markdown(run.banner))
audit = audit_of(run)
if audit is None:
    raise ConfigError("this run was not audited", where=str(RESULTS), do="put `audit` into its configuration")

# %% [markdown]
# ## First, the naive answer
#
# The place of each gene among all features of the champion, by mean |SHAP|: how far the feature moves the
# scores of held-out lines. Where a gene was measured in more than one way, the best known measurement
# counts.
#
# What it does not mean: a high place alone proves nothing. A gene that only tells blood from bowel ranks
# high where blood and bowel differ; a gene whose company carries the same message may rank low.

# %%
rows = []
for gene, found in run.summary.named_genes.items():
    for task in TASKS:
        own = found[task]
        place = f"{rank(own.rank)} of {own.of:,}" if own.rank is not None and own.sign else DASH
        rows.append({"gene": gene, "task": TASK_TITLES[task], "place": place, "lines measured": own.n,
                     "measured by": own.measurement or DASH})  # fmt: skip
display(pd.DataFrame(rows).style.hide())

# %% [markdown]
# ## Does the method find what is known to be true?
#
# Before any claim is judged, the same method must find textbook cases again: nutlin-3 fails in cells that
# have lost TP53; topoisomerase poisons kill cells with much SLFN11. And it must stay silent where nothing
# can be: on responses dealt out at random about 5 % of the features have p < .05, no more. If a control
# that counts fails, the gate closes and nothing is concluded.

# %%
state = "open" if audit.summary.gate_open else f"CLOSED ({'; '.join(audit.summary.gate_reasons)})"
display(Markdown(f"**The gate is {state}.**"))
display(AUDIT_FIGURES["controls"](audit))

# %% [markdown]
# ## The verdicts
#
# Each claim of the review, in seven words. *Underpowered* is the important one: too few lines to say. It is
# **not** evidence against the claim. *Lost after adjustment* means that the effect is gone once lines that
# resist every drug, or grow slowly, are compared with their like. The number is the effect after tissue is
# taken out, positive in the claimed direction, with its 95 % interval; *both* shows the weaker of the two.
#
# Claims that begin with P exist in a simulated study only: they were planted, or planted as traps.

# %%
rows = []
for claim, outcomes in audit.summary.claims.items():
    for outcome, v in outcomes.items():
        words = f"{SYMBOLS[v.verdict]} {said(v.model_dump())} {effect_text(v)}"
        rows.append({"claim": f"{claim} {v.title}", "outcome": outcome, "verdict": words})
verdicts = pd.DataFrame(rows).pivot_table(index="claim", columns="outcome", values="verdict", aggfunc="first")
order = [o for o in ("radiation", "chemotherapy", "both", "platinum") if o in verdicts]
display(verdicts[order].fillna("").rename_axis(columns=None))
display(Markdown(
    f"{BORDERLINE} borderline: other random draws may decide otherwise. "
    f"{NOT_CLAIMED} the review does not claim this outcome."
))  # fmt: skip

# %%
display(AUDIT_FIGURES["claims"](audit))

# %% [markdown]
# ## What could have been seen at all?
#
# A correlation of the height of a point would have been found in four of five such studies. Points above
# the dotted line rest on too few lines: there, "nothing seen" says nothing.

# %%
display(AUDIT_FIGURES["power"](audit))

# %% [markdown]
# ## Where a p-value comes from
#
# The model of the audit is trained on responses from which the tissue was taken out. Then the responses are
# shuffled, so that nothing can be true, and the model is trained again, many times. Each time the weight of
# the gene is written down, together with that of the genes that go with it. The p-value is the share of
# shuffles with at least the weight that was observed, the observation itself counted in. The next cell
# counts it by hand.

# %%
weights = audit.parquet("nulls.parquet")
weights = weights[weights.group.isin([f"{GENE}{g}" for g in audit.genes()])]
observed = weights[weights.draw < 0].set_index(["group", "outcome"]).group_shap.rename("observed")
drawn = weights[weights.draw >= 0].join(observed, on=["group", "outcome"])
drawn["as large"] = drawn.group_shap >= drawn.observed
counted = drawn.groupby(["group", "outcome"])["as large"].agg(["sum", "size"])
counted.columns = ["shuffles as large", "shuffles"]
counted["p"] = (1 + counted["shuffles as large"]) / (1 + counted["shuffles"])
display(observed.to_frame().join(counted))

# %% [markdown]
# A p-value is not the probability that the gene does nothing, and a small one is no large effect. Of eight
# p-values, one is under .05 by luck alone in about one study of three; the audit corrects for that (q).
#
# ## The answer: the genes among chance
#
# Grey: what shuffled responses gave. The upright line: what was observed. A line amid the grey is what a
# gene without any effect looks like. A line far to the right of it is not yet a driver in patients: it is a
# gene whose level or mutation goes with the response of untreated cells in a dish, beyond tissue. The
# weight has no sign; the verdict above says which way.

# %%
named = audit.csv("named_genes.csv")
named = named.assign(p=named.p.map(probability), q=named.q.map(probability))
named = named.pivot_table(index="gene", columns="outcome", values=["p", "q"], aggfunc="first")
display(named.loc[audit.genes()])

# %%
display(AUDIT_FIGURES["nulls"](audit))
