"""Samples of an independent study: those that trained the model are left out, the others scored."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any

import numpy as np
import pandas as pd

from crossres_ml.errors import ValidationError
from crossres_ml.identity.likeness import ALIKE, STUDY
from crossres_ml.models.bundle import Bundle
from crossres_ml.models.training_lines import TrainingLines
from crossres_ml.predict.platform import Batch, Platform, choose_platform
from crossres_ml.predict.profiles import Opened, Profiles
from crossres_ml.predict.responses import Responses
from crossres_ml.predict.score import score_profiles
from crossres_ml.predict.stream import chunk_size

CAUSES = {
    "training_id": "trained the model: DepMap id",
    "training_name": "trained the model: a name of the line",
    "training_profile": "trained the model: expression",
    "not_scored": "refused: too little measured",
    "no_response": "no response",
    "no_profile": "a response without a profile",
}
"""Why a sample is left out."""
EXCLUDED = ("id", "cause", "reason", "training_line", "training_name", "likeness")
_RNA = "rna:"


def score_study(
    opened: Opened,
    measured: Responses,
    bundle: Bundle,
    normalise: str = "auto",
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Score the samples that the model can be tried on; list the others.

    Parameters
    ----------
    opened : Opened
        Profiles of the study.
    measured : Responses
        Its responses.
    bundle : Bundle
        The model, which knows its training lines.
    normalise : str
        As `crossres_ml.predict.platform.choose_platform`; what was done stands in ``opened.report``.
    progress : callable, optional
        Called with samples done and in total.

    Returns
    -------
    table : pandas.DataFrame
        One row a sample: response, probability, score, p_resistant, p_sensitive, group, lineage (text, empty
        where not told), known_lineage, baseline and baseline_probability (of the lineage's training lines;
        NaN where the study tells no lineages), nearest (training line) and likeness.
    excluded : pandas.DataFrame
        id, cause (a key of `CAUSES`), reason, training_line, training_name, likeness.

    Raises
    ------
    ValidationError
        If no sample has both a profile and a response.
    ProfileError
        If the profiles cannot be scored.
    """
    known = bundle.training_lines
    responses = measured.values.dropna()
    wanted = opened.ids[opened.ids.isin(responses.index)]
    if not len(wanted):
        raise ValidationError(
            f"none of the {len(opened.ids)} samples has one of the {len(responses)} responses",
            where=opened.where, do="use the same ids in both tables; see --orientation",
        )  # fmt: skip
    out = _Excluded(known)
    named = _by_name(wanted, measured.also, known)
    for sample, row in named.iterrows():
        out.add(sample, row.cause, row.how, row.model_id)
    platform = choose_platform(
        normalise, Batch.of(opened.chunks(chunk_size(bundle.features))), [bundle], opened.where
    )
    opened.report["platform"] = platform.told()
    kept = wanted.difference(named.index, sort=False)
    scores, expression = _score(opened, bundle, platform, kept, progress)
    alike = known.by_profile(expression).reindex(scores.index)
    if platform.far and len(expression) < STUDY:
        alike = alike.assign(likeness=np.nan)  # so few do not show their platform's own scale
    same = alike.likeness >= ALIKE
    for sample, row in alike[same].iterrows():
        out.add(sample, "training_profile", "its expression is that of the line", row.model_id, row.likeness)
    refused = scores[f"{bundle.task}_refused"]
    for sample, why in refused[(refused != "") & ~same].items():
        out.add(sample, "not_scored", why)
    for sample in opened.ids.difference(wanted, sort=False):
        out.add(sample, "no_response")
    for sample in responses.index.difference(opened.ids, sort=False):
        out.add(sample, "no_profile")
    good = (refused == "") & ~same
    scores = scores[good].join(alike.rename(columns={"model_id": "nearest"}))
    return _table(scores, measured, bundle), out.table()


class _Excluded:
    """Samples that are left out, as they are found."""

    def __init__(self, known: TrainingLines) -> None:
        self.known, self.rows = known, list[tuple[Any, ...]]()

    def add(
        self, sample: Hashable, cause: str, reason: str = "", line: str = "", likeness: float = np.nan
    ) -> None:
        name = str(self.known.lines.get(line, "")) if line else ""
        self.rows.append((str(sample), cause, reason or CAUSES[cause], line, name, likeness))

    def table(self) -> pd.DataFrame:
        table = pd.DataFrame(self.rows, columns=list(EXCLUDED))
        order = table.cause.map(list(CAUSES).index).astype(int)
        return table.iloc[order.argsort(kind="stable")].reset_index(drop=True)


def _by_name(wanted: pd.Index, also: pd.DataFrame, known: TrainingLines) -> pd.DataFrame:
    """Find samples with an id or a name of a training line, as id or in the study's columns of names."""
    found = [known.by_name(wanted)]
    for column in also:
        texts = also[column].reindex(wanted).dropna()
        by = known.by_name(texts).reindex(texts.to_numpy()).set_axis(texts.index)
        by = by.dropna(subset="model_id")
        found.append(by.assign(how=f"{column}: " + by.how.astype(str)))
    table = pd.concat(found)
    return table[~table.index.duplicated()]


def _score(
    opened: Opened, bundle: Bundle, platform: Platform, kept: pd.Index, progress: Callable[[int, int], None]
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Score the samples that are kept; give the expression of all, which shows the study's own scale."""
    prints = bundle.training_lines.fingerprints
    wanted = {f"{_RNA}{g}" for g in prints.genes} if prints is not None else set()
    genes = [c for c in opened.columns if c in wanted]
    scores, expression, done = [], [], 0
    for part in opened.chunks(chunk_size(bundle.features)):
        own = part.values.index.isin(kept)
        if own.any():
            lineage = None if part.lineage is None else part.lineage[own]
            table = score_profiles(Profiles(part.values[own], lineage), [bundle], opened.where, platform)
            scores.append(table if lineage is None else table.assign(lineage=lineage))
        expression.append(part.values[genes])
        done += len(own)
        progress(done, len(opened.ids))
    nothing = pd.DataFrame(columns=[f"{bundle.task}_{c}" for c in ("probability", "score", "refused")])
    everyone = pd.concat(expression).rename(columns=lambda c: c.removeprefix(_RNA))
    return pd.concat(scores) if scores else nothing, everyone


def _table(scores: pd.DataFrame, measured: Responses, bundle: Bundle) -> pd.DataFrame:
    """Put response, prediction, and what lineage alone would predict, side by side."""
    told = "lineage" in scores
    lineage = scores.lineage.fillna("") if told else pd.Series("", scores.index, dtype="string")
    naive = bundle.training_lines.baseline(lineage)
    probability = scores[f"{bundle.task}_probability"].astype(float)
    parts = {
        "response": measured.values.reindex(scores.index),
        "probability": probability,
        "score": scores[f"{bundle.task}_score"].astype(float),
        **bundle.model.conformal.p_values(probability.to_numpy()),
        "group": measured.group.reindex(scores.index),
        "lineage": lineage.astype(str),
        "known_lineage": naive.known,
        "baseline": naive.score if told else np.nan,
        "baseline_probability": naive.probability if told else np.nan,
        "nearest": scores.nearest,
        "likeness": scores.likeness.astype(float),
    }
    return pd.DataFrame(parts, index=scores.index)
