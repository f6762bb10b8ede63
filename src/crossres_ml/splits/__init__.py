"""Which lines play which role. A split is a table; leakage raises."""

from __future__ import annotations

import pandas as pd
from sklearn.model_selection import StratifiedGroupKFold

from crossres_ml.cohort.cohort import Cohort
from crossres_ml.cohort.labels import LabelRule, scored_lines
from crossres_ml.config import SplitConfig
from crossres_ml.errors import LeakageError, preview

MODES = ("cell_line_out", "lineage_out", "study_out")
STUDIES = {
    "ctrp_to_gdsc": ("chemotherapy", "chemotherapy_gdsc", ("ctrp:",)),
    "gdsc_to_ctrp": ("chemotherapy_gdsc", "chemotherapy", ("gdsc1:", "gdsc2:")),
}
"""Study out: fold -> response learned from, response judged by, drug measurements learned from."""
TEST, TRAIN, EXCLUDED = "test", "train", "excluded"


def _strata(cohort: Cohort, quantile: float) -> pd.Series:
    """Balance folds on what the classes will be; no model sees this."""
    parts = []
    for task in ("radiation", "chemotherapy"):
        label = LabelRule.fit(task, cohort.responses, quantile).label(cohort.responses)
        parts.append(label.fillna(2).astype(int))
    return parts[0] * 3 + parts[1]


def _pool_rare(strata: pd.Series, folds: int) -> pd.Series:
    """Put strata with fewer lines than folds into the largest: they cannot be balanced."""
    counts = strata.value_counts()
    return strata.where(strata.map(counts) >= folds, counts.index[0])


def _rows(mode: str, repeat: int, fold: str, roles: pd.Series) -> pd.DataFrame:
    return pd.DataFrame(
        {"mode": mode, "repeat": repeat, "fold": fold, "model_id": roles.index, "role": roles.to_numpy()}
    )


def cell_line_out(cohort: Cohort, config: SplitConfig, *, quantile: float) -> pd.DataFrame:
    """Repeated stratified k-fold over lines; relatives stay together.

    Parameters
    ----------
    cohort : Cohort
        The cohort.
    config : SplitConfig
        Folds, repeats, seed.
    quantile : float
        Where the classes are cut, for balancing.

    Returns
    -------
    pandas.DataFrame
        ``mode``, ``repeat``, ``fold``, ``model_id``, ``role`` (train or test).
    """
    strata = _pool_rare(_strata(cohort, quantile), config.folds)
    out = []
    for repeat in range(config.repeats):
        folder = StratifiedGroupKFold(config.folds, shuffle=True, random_state=config.seed + repeat)
        for fold, (_, test) in enumerate(folder.split(strata, strata, cohort.lines.group)):
            roles = pd.Series(TRAIN, cohort.lines.index)
            roles.iloc[test] = TEST
            out.append(_rows("cell_line_out", repeat, str(fold), roles))
    return pd.concat(out, ignore_index=True)


def lineage_out(cohort: Cohort, config: SplitConfig) -> pd.DataFrame:
    """Hold out each lineage that has enough scored lines.

    Parameters
    ----------
    cohort : Cohort
        The cohort.
    config : SplitConfig
        Fewest radiation lines of a lineage.

    Returns
    -------
    pandas.DataFrame
        As `cell_line_out`; relatives of a held-out line in another lineage are ``excluded``.
    """
    lineage, group = cohort.lines.lineage, cohort.lines.group
    counts = lineage[scored_lines(cohort, "radiation")].value_counts()
    out = []
    for name in sorted(counts.index[counts >= config.lineage_min_lines]):
        roles = pd.Series(TRAIN, cohort.lines.index)
        roles[group.isin(group[lineage == name])] = EXCLUDED
        roles[lineage == name] = TEST
        out.append(_rows("lineage_out", 0, name, roles))
    if not out:
        return _rows("lineage_out", 0, "", pd.Series(dtype=str))
    return pd.concat(out, ignore_index=True)


def study_out(cohort: Cohort) -> pd.DataFrame:
    """Learn chemotherapy from one screen, be judged by the other, on lines that the first lacks.

    Parameters
    ----------
    cohort : Cohort
        The cohort.

    Returns
    -------
    pandas.DataFrame
        As `cell_line_out`, a fold a direction; relatives of held-out lines are ``excluded``.
    """
    out = []
    known, group = cohort.responses.notna(), cohort.lines.group
    for fold, (learn, judge, _) in STUDIES.items():
        test = known[judge] & ~known[learn]
        if not test.any() or not known[learn].any():
            continue
        roles = pd.Series(TRAIN, cohort.lines.index)
        roles[group.isin(group[test])] = EXCLUDED
        roles[test] = TEST
        out.append(_rows("study_out", 0, fold, roles))
    return pd.concat(out, ignore_index=True) if out else _rows("study_out", 0, "", pd.Series(dtype=str))


def check_splits(splits: pd.DataFrame, cohort: Cohort) -> None:
    """Raise when a split leaks.

    Parameters
    ----------
    splits : pandas.DataFrame
        Split table.
    cohort : Cohort
        Gives groups and lineages.

    Raises
    ------
    LeakageError
        If relatives straddle a split, a line has two roles in a fold, a line of a repeat is
        never or twice tested, or a held-out lineage is trained on.
    """
    problems = []
    lines = cohort.lines
    if unknown := sorted(set(splits.model_id) - set(lines.index)):
        problems.append(f"lines not in the cohort: {preview(unknown)}")
    for (mode, repeat, fold), part in splits.groupby(["mode", "repeat", "fold"], observed=True):
        name = f"{mode} repeat {repeat} fold {fold}"
        if part.model_id.duplicated().any():
            problems.append(
                f"{name}: lines with two roles: {preview(part.model_id[part.model_id.duplicated()])}"
            )
        tested, trained = (part.model_id[part.role == r] for r in (TEST, TRAIN))
        shared = sorted(set(lines.group.reindex(tested)) & set(lines.group.reindex(trained)))
        if shared:
            problems.append(f"{name}: relatives on both sides: groups {preview(shared)}")
        both = sorted(set(lines.lineage.reindex(tested)) & set(lines.lineage.reindex(trained)))
        if mode == "lineage_out" and both:
            problems.append(f"{name}: lineage on both sides: {preview(both)}")
    once = splits[(splits["mode"] == "cell_line_out") & (splits.role == TEST)]
    counts = once.groupby("repeat").model_id.value_counts()
    if len(once) and ((counts != 1).any() or len(counts) != once.repeat.nunique() * len(lines)):
        problems.append("cell_line_out: a line is not tested exactly once per repeat")
    if problems:
        raise LeakageError(preview(problems), where="split table", do="do not use these splits")


def make_splits(cohort: Cohort, config: SplitConfig, *, quantile: float) -> pd.DataFrame:
    """Make and check the splits of all modes.

    Parameters
    ----------
    cohort : Cohort
        The cohort.
    config : SplitConfig
        Folds, repeats, seed, lineage size.
    quantile : float
        Where the classes are cut.

    Returns
    -------
    pandas.DataFrame
        The checked table.
    """
    parts = [cell_line_out(cohort, config, quantile=quantile), lineage_out(cohort, config), study_out(cohort)]
    splits = pd.concat(parts, ignore_index=True)
    check_splits(splits, cohort)
    return splits


def describe_splits(splits: pd.DataFrame, cohort: Cohort) -> pd.DataFrame:
    """Count lines, scored lines, groups and lineages per fold and role.

    Parameters
    ----------
    splits : pandas.DataFrame
        Split table.
    cohort : Cohort
        The cohort.

    Returns
    -------
    pandas.DataFrame
        One row per mode, repeat, fold and role.
    """
    scored = cohort.lines.index.isin(scored_lines(cohort, "radiation"))
    info = cohort.lines[["group", "lineage"]].assign(radiation=scored)
    info["both"] = cohort.lines.index.isin(scored_lines(cohort, "cross"))
    table = splits.join(info, on="model_id")
    return (
        table.groupby(["mode", "repeat", "fold", "role"], observed=True)
        .agg(
            lines=("model_id", "size"),
            groups=("group", "nunique"),
            lineages=("lineage", "nunique"),
            radiation_lines=("radiation", "sum"),
            both_lines=("both", "sum"),
        )
        .reset_index()
    )
