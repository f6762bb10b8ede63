"""What is trained on what: the folds of a run, and the lines, features and truth of each."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from crossres_ml.cohort.cohort import Cohort
from crossres_ml.cohort.labels import TASK_RESPONSES, LabelRule
from crossres_ml.config import TrainConfig
from crossres_ml.config_names import TASKS, TaskName
from crossres_ml.evaluation.alarms import PERMUTED
from crossres_ml.evaluation.draws import FULL
from crossres_ml.models.baselines import RSI
from crossres_ml.models.estimators import BURDEN, TrainingView, select_features
from crossres_ml.models.gp import MOLECULAR
from crossres_ml.models.kernels import candidates
from crossres_ml.splits import STUDIES, TEST, TRAIN

RETRAINED = "_retrained"
_ALWAYS_PREFIXES = ("lineage:", "subtype:")
_PRUNE = 0.8
_GENERAL = "general_sensitivity"
HAVE: Mapping[str, tuple[str, ...]] = {
    "rna": ("rna:", "gene_set:"),
    "mutations": ("mutation:", "variant:", "driver:", "hotspot:", "burden:"),
    "rna_mutations": ("rna:", "gene_set:", "mutation:", "variant:", "driver:", "hotspot:", "burden:"),
    "rna_rppa": ("rna:", "gene_set:", "rppa:"),
}
"""What a user may have: name -> prefixes of the features (gene sets are scored from the RNA)."""
NO_CAUTION = "no_caution"


@dataclass(frozen=True)
class Fold:
    """One training and one held-out set.

    Attributes
    ----------
    mode, fold : str
        Split mode, and which of its held-out sets.
    repeat : int
        Repeat of the cross-validation.
    variant : str
        ``full``; ``permuted`` (responses and drugs dealt out anew among the lines); ``train_50`` (half
        of the training lines); ``rna_retrained`` and the like (features left out, models fitted anew).
    train, test : pandas.Index
        model ids by role.
    """

    mode: str
    repeat: int
    fold: str
    variant: str
    train: pd.Index
    test: pd.Index

    @property
    def name(self) -> str:
        """A name that is safe in a file name and unique in a run."""
        text = f"{self.mode}-{self.repeat}-{self.fold}-{self.variant}"
        return f"{self.mode}-{self.repeat}-{self.variant}-{hashlib.sha256(text.encode()).hexdigest()[:10]}"

    @property
    def tasks(self) -> tuple[TaskName, ...]:
        """Tasks that can be scored."""
        return ("chemotherapy",) if self.mode == "study_out" else TASKS


def task_matrix(cohort: Cohort, config: TrainConfig) -> pd.DataFrame:
    """Features that models may choose from; blocks that the cohort lacks are left out.

    Parameters
    ----------
    cohort : Cohort
        The cohort.
    config : TrainConfig
        Names blocks and features.

    Returns
    -------
    pandas.DataFrame
        Lines x features: the configured blocks and those of the kernels. Features that so few lines
        have that no training fold could offer them are left out.
    """
    kernels = {p.split(":")[0] for s in MOLECULAR for p in (*s.prefixes, s.fill) if p}
    blocks = sorted(
        b for b in {*config.features.blocks, *kernels, "lineage", "subtype"} if b in cohort.blocks
    )
    X = cohort.matrix(blocks, config.features.always)
    events = [c for c in X.columns if c.startswith(("mutation:", "variant:"))]
    seldom = (np.nan_to_num(X[events].to_numpy()) != 0).sum(axis=0) < config.features.min_events
    named = set(config.features.always)
    X = X.drop(columns=[c for c, drop in zip(events, seldom, strict=True) if drop and c not in named])
    known = cohort.responses[["radiation", "chemotherapy"]].notna().any(axis=1).to_numpy()
    share = np.isfinite(X.to_numpy()[known]).mean(axis=0)
    keep = {*config.features.always, *(f"rna:{g}" for g in RSI)}
    rare = (share < _PRUNE * config.features.min_coverage) & ~X.columns.isin(list(keep))
    wide = X.columns.str.startswith(("rna:", "copy_number:", "methylation:"))
    return solid(X.loc[:, ~(rare & wide)])


def solid(X: pd.DataFrame) -> pd.DataFrame:
    """Store a table of features in one piece: taking lines from thousands of pieces is slow.

    Parameters
    ----------
    X : pandas.DataFrame
        Lines x features.

    Returns
    -------
    pandas.DataFrame
        The same as float32.
    """
    return pd.DataFrame(np.ascontiguousarray(X.to_numpy(dtype=np.float32)), X.index, X.columns)


def list_folds(cohort: Cohort, splits: pd.DataFrame, config: TrainConfig) -> list[Fold]:
    """Spell out the folds of a run.

    Parameters
    ----------
    cohort : Cohort
        Gives relatives, which are left out together when training lines are.
    splits : pandas.DataFrame
        Split table.
    config : TrainConfig
        Says which variants are wanted.

    Returns
    -------
    list of Fold
        The splits as they are, then the variants on the first repeat of cell line out.
    """
    out = []
    for _, part in splits.groupby(["mode", "repeat", "fold"], observed=True):
        mode, repeat, fold = part[["mode", "repeat", "fold"]].iloc[0]
        train, test = (pd.Index(part.model_id[part.role == r]).sort_values() for r in (TRAIN, TEST))
        out.append(Fold(str(mode), int(repeat), str(fold), FULL, train, test))
    first = [f for f in out if f.mode == "cell_line_out" and f.repeat == 0]
    if config.permuted:
        out += [replace(f, variant=PERMUTED) for f in first]
    for share in config.learning_curve:
        name = f"train_{round(100 * share)}"
        out += [replace(f, variant=name, train=_some(cohort, f, share, config.seed)) for f in first]
    for name in config.retrained:
        out += [replace(f, variant=name + RETRAINED) for f in first]
    return out


def _some(cohort: Cohort, fold: Fold, share: float, seed: int) -> pd.Index:
    """Part of the training lines, whole groups of relatives at a time."""
    groups = cohort.lines.group[fold.train]
    names = np.random.default_rng([seed, fold.repeat, int(fold.fold)]).permutation(np.unique(groups))
    kept = names[: round(share * len(names))]
    return fold.train[groups.isin(kept).to_numpy()]


@dataclass(frozen=True)
class FoldData:
    """All that a worker needs for one fold; truth and features of held-out lines are kept apart.

    Attributes
    ----------
    fold : Fold
        Which.
    X : pandas.DataFrame
        Training lines x features.
    drugs : pandas.DataFrame
        Training lines x drug measurements: held-out lines have no row here.
    genotoxic : numpy.ndarray
        True for genotoxic columns of ``drugs``.
    groups : numpy.ndarray
        Relatives of the training lines.
    views : dict of str to TrainingView
        Task -> its training lines (features without the drug profile, which is learned later).
    rules : dict of str to LabelRule
        Learned on training lines.
    X_test : pandas.DataFrame
        Held-out lines x features.
    truth : dict of str to pandas.DataFrame
        Task -> held-out lines that are scored: label, top_third, response, residual, lineage, group.
    caution : tuple of str
        Features from antibodies that are not fully validated.
    """

    fold: Fold
    X: pd.DataFrame
    drugs: pd.DataFrame
    genotoxic: np.ndarray
    groups: np.ndarray
    views: dict[TaskName, TrainingView]
    rules: dict[TaskName, LabelRule]
    X_test: pd.DataFrame
    truth: dict[TaskName, pd.DataFrame]
    caution: tuple[str, ...]


def fold_data(cohort: Cohort, config: TrainConfig, X: pd.DataFrame, fold: Fold) -> FoldData:
    """Gather what a fold needs.

    Parameters
    ----------
    cohort : Cohort
        The cohort.
    config : TrainConfig
        The configuration.
    X : pandas.DataFrame
        As `task_matrix` gives it.
    fold : Fold
        The fold.

    Returns
    -------
    FoldData
        Whatever is learned here (label rules, which features are offered) has seen training lines only.
    """
    learned, judged, drugs = _responses(cohort, fold, config.seed)
    caution = tuple(cohort.features.index[cohort.features.caution & cohort.features.index.isin(X.columns)])
    train = solid(X.loc[fold.train, _offered(X.loc[fold.train], config, fold.variant, caution)])
    lines = cohort.lines
    sensitivity = learned[_GENERAL]
    views, rules, truth = {}, {}, {}
    for task in fold.tasks:
        own = list(TASK_RESPONSES[task])
        where = own if fold.mode == "study_out" else sorted({*own, "radiation"})
        known = fold.train[learned.loc[fold.train, own].notna().all(axis=1)]
        scored = learned.loc[known, where].notna().all(axis=1).to_numpy()
        rule = LabelRule.fit(task, learned.loc[known[scored]], config.resistant_quantile)
        y, label = rule.score(learned.loc[known]), rule.label(learned.loc[known])
        views[task] = TrainingView(
            train.loc[known], _flat(y), _flat(label), lines.group[known].to_numpy(), scored,
            _flat(sensitivity[known]),
        )  # fmt: skip
        rules[task] = rule
        test = fold.test[judged.loc[fold.test, where].notna().all(axis=1)]
        truth[task] = _truth(judged, test, _judging(rule, judged, fold), views[task], y, sensitivity).join(
            lines.loc[test, ["lineage", "group"]]
        )
    return FoldData(
        fold, train, drugs.loc[fold.train], cohort.drug_info.genotoxic[drugs.columns].to_numpy(dtype=bool),
        lines.group[fold.train].to_numpy(), views, rules, solid(X.loc[fold.test, train.columns]), truth,
        caution,
    )  # fmt: skip


def _flat(values: pd.Series) -> np.ndarray:
    """Copy: rounding follows memory layout, which must be the same here and in a worker process."""
    return np.ascontiguousarray(values.to_numpy(dtype=float))


def _responses(cohort: Cohort, fold: Fold, seed: int) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Responses to learn from, responses to judge by, and drug measurements to learn from."""
    responses, drugs = cohort.responses, cohort.drugs
    if fold.mode == "study_out":
        learn, judge, prefixes = STUDIES[fold.fold]
        own = drugs.loc[:, drugs.columns.str.startswith(prefixes)]
        return (
            responses.assign(chemotherapy=responses[learn]),
            responses.assign(chemotherapy=responses[judge]),
            own,
        )
    if fold.variant == PERMUTED:
        order = _dealt(responses, seed)
        responses = responses.iloc[order].set_axis(responses.index)
        drugs = drugs.iloc[order].set_axis(drugs.index)
    return responses, responses, drugs


def _dealt(responses: pd.DataFrame, seed: int) -> np.ndarray:
    """Deal whole rows out among lines with the same responses measured: the scored lines stay."""
    rng = np.random.default_rng([seed, 0xDEA1])
    known = responses[["radiation", "chemotherapy", "chemotherapy_gdsc"]].notna()
    order = np.arange(len(responses))
    for rows in known.groupby(list(known.columns)).indices.values():
        order[rows] = rng.permutation(rows)
    return order


def _offered(X: pd.DataFrame, config: TrainConfig, variant: str, caution: tuple[str, ...]) -> list[str]:
    """Columns that any model could use, judged on the training lines."""
    if variant.endswith(RETRAINED):
        X = X[_had(X.columns, variant.removesuffix(RETRAINED), caution)]
    named = {BURDEN, *(f"rna:{g}" for g in RSI)}
    kept = {*select_features(X, config.features), *(c for s in MOLECULAR for c in candidates(X, s))}
    filled = [s for s in MOLECULAR if s.fill]
    arrays = {s.fill + c.split(":", 1)[1] for s in filled for c in kept if c.startswith(s.prefixes)}
    kept |= named | arrays
    return [c for c in X.columns if c in kept or c.startswith(_ALWAYS_PREFIXES)]


def _had(columns: pd.Index, variant: str, caution: tuple[str, ...]) -> list[str]:
    if variant == NO_CAUTION:
        return [c for c in columns if c not in set(caution)]
    return [c for c in columns if c.startswith(HAVE[variant])]


def mask(X: pd.DataFrame, variant: str, caution: tuple[str, ...]) -> pd.DataFrame:
    """Hide from held-out lines what a user with less than everything would not have measured.

    Parameters
    ----------
    X : pandas.DataFrame
        Held-out lines x features.
    variant : str
        A key of `HAVE`, or ``no_caution``.
    caution : tuple of str
        Features of antibodies that are not fully validated.

    Returns
    -------
    pandas.DataFrame
        The same table with NaN in what is hidden.
    """
    had = X.columns.isin(_had(X.columns, variant, caution))
    return pd.DataFrame(np.where(had, X.to_numpy(), np.float32(np.nan)), X.index, X.columns)


def _judging(rule: LabelRule, judged: pd.DataFrame, fold: Fold) -> LabelRule:
    """Cut in the unit of the responses to judge by: another study's unit needs a cut of its own."""
    if fold.mode != "study_out":
        return rule
    return LabelRule.fit(rule.task, judged.loc[fold.train], rule.quantile)


def _truth(
    judged: pd.DataFrame, test: pd.Index, rule: LabelRule, view: TrainingView, y: pd.Series,
    sensitivity: pd.Series,
) -> pd.DataFrame:  # fmt: skip
    response = rule.score(judged.loc[test])
    top = (
        float(np.quantile(y[view.scored], rule.quantile))
        if len(rule.cuts) > 1
        else next(iter(rule.cuts.values()))
    )
    both = np.isfinite(view.sensitivity) & view.scored
    slope, intercept = (
        np.polyfit(view.sensitivity[both], view.y[both], 1) if both.sum() > 2 else (np.nan, np.nan)
    )
    return pd.DataFrame(
        {
            "label": rule.label(judged.loc[test]),
            "top_third": (response >= top).astype(float),
            "response": response,
            "residual": response - (slope * sensitivity[test] + intercept),
        }
    )
