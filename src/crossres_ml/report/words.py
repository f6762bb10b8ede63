"""Names and numbers as people read them: the same words in figures, report, cards and README."""

from __future__ import annotations

from collections.abc import Iterable

from crossres_ml.config_names import TASKS, TaskName
from crossres_ml.evaluation.skill import better
from crossres_ml.models.registry import ABOUT
from crossres_ml.report.summary import Interval, SplitMode, Summary, TaskSummary

TASK_TITLES: dict[TaskName, str] = {"radiation": "Radiation", "chemotherapy": "Chemotherapy", "cross": "Both"}
TASK_NAMES: dict[TaskName, str] = {**TASK_TITLES, "cross": "Both (cross-resistance)"}
METRIC_NAMES = {
    "auroc": "AUROC",
    "average_precision": "average precision",
    "spearman": "Spearman",
    "r2": "R2",
    "within_lineage_spearman": "Spearman in lineage",
    "residual_spearman": "Spearman beyond general sensitivity",
    "pearson": "Pearson",
    "auroc_top_third": "AUROC of the top third",
    "brier": "Brier",
    "calibration_slope": "calibration slope",
    "top_fifth_resistant": "resistant in the top fifth",
    "bottom_fifth_resistant": "resistant in the bottom fifth",
}
"""Metrics in the order in which they are shown; the prevalence stands beside them."""
MODE_NAMES: dict[SplitMode, str] = {
    "cell_line_out": "Held-out cell lines",
    "lineage_out": "Held-out lineages",
    "study_out": "Held-out study",
}
HAVE_NAMES = {
    "full": "everything",
    "no_caution": "everything without the _Caution antibodies",
    "rna_rppa": "RNA + RPPA (protein)",
    "rna_mutations": "RNA + mutations",
    "rna": "RNA",
    "mutations": "mutations",
}
APPROACH_NAMES = {
    "gp": "direct: one model of the joint score",
    "stack": "weighted sum of direct models and the coupled one",
    "mean_of_two": "mean rank of two separate models",
    "product_of_two": "product of two separate probabilities",
    "joint_gp": "one coupled model of both responses",
}
DASH = "\u2013"
"""Stands where a number is not defined."""


def plain(name: str) -> str:
    """Write a name of the program as words."""
    return name.replace("_", " ")


def in_order(models: Iterable[str]) -> list[str]:
    """Sort models as the program lists them: baselines first."""
    known = list(ABOUT)
    return sorted(models, key=known.index)


def number(value: float | None, digits: int = 2, *, sign: bool = False, missing: str = DASH) -> str:
    """Write a number, or what stands for one that is not defined.

    Parameters
    ----------
    value : float or None
        The number.
    digits : int, default 2
        Decimal places.
    sign : bool, default False
        Whether to write a plus.
    missing : str, optional
        What stands for None.

    Returns
    -------
    str
        Text.
    """
    if value is None:
        return missing
    text = f"{value:+.{digits}f}" if sign else f"{value:.{digits}f}"
    return text if float(text) else f"{0:.{digits}f}"  # neither +0.00 nor -0.00


def rank(value: float) -> str:
    """Write a rank; ties share a mean rank, which may end in .5."""
    return f"{value:,.1f}".removesuffix(".0")


def shown(interval: Interval, digits: int = 2, *, sign: bool = False, missing: str = DASH) -> str:
    """Write a value with its interval.

    Parameters
    ----------
    interval : Interval
        The value.
    digits : int, default 2
        Decimal places.
    sign : bool, default False
        Whether to write a plus: for differences.
    missing : str, optional
        What stands for a value that is not defined.

    Returns
    -------
    str
        For example ``0.42 (0.35 to 0.48)``.
    """
    value = number(interval.value, digits, sign=sign, missing=missing)
    if interval.value is None or interval.low is None or interval.high is None:
        return value
    low, high = (number(v, digits, sign=sign) for v in (interval.low, interval.high))
    return f"{value} ({low} to {high})"


def verdict(metric: str, difference: Interval) -> str:
    """Say in words what the interval of a difference between two models shows.

    Parameters
    ----------
    metric : str
        Metric of the difference.
    difference : Interval
        One model minus the other.

    Returns
    -------
    str
        ``better``, ``worse``, ``not told apart`` or ``not defined``.
    """
    low, high = difference.low, difference.high
    if low is None or high is None:
        return "not defined"
    if better(metric, low, high):
        return "better"
    return "not told apart" if low <= 0 <= high else "worse"


def listed(names: list[str]) -> str:
    """Write names as a list in a sentence."""
    return " and ".join([", ".join(names[:-1])] * (len(names) > 1) + names[-1:])


def headline(summary: Summary) -> str:
    """Say which champions beat the best naive model on held-out cell lines, and by how much.

    Parameters
    ----------
    summary : Summary
        The summary.

    Returns
    -------
    str
        Plain text.
    """
    found: dict[str, list[str]] = {}
    for task in TASKS:
        difference = summary.tasks[task].paired_difference["cell_line_out"]
        won = [METRIC_NAMES[m] for m in ("auroc", "spearman") if verdict(m, difference[m]) == "better"]
        said = f"better than the best naive model in {' and in '.join(won)}"
        said = said if won else "not shown to be better than the best naive model"
        found.setdefault(said, []).append(TASK_NAMES[task].lower())
    parts = [f"for {listed(tasks)}, the model is {said}" for said, tasks in found.items()]
    numbers = [f"{TASK_TITLES[t].lower()} {_against(summary.tasks[t])}" for t in TASKS]
    return f"On held-out cell lines: {'; '.join(parts)}. AUROC: {', '.join(numbers)}."


def _against(task: TaskSummary) -> str:
    own, naive = (task.models[m]["cell_line_out"]["auroc"] for m in (task.champion, task.best_baseline))
    return f"{number(own.value)} against {number(naive.value)}"


def share(value: float, digits: int = 2) -> str:
    """Write a share without its leading zero.

    Parameters
    ----------
    value : float
        Of 0 to 1.
    digits : int, default 2
        Behind the point.

    Returns
    -------
    str
        Such as ``.05``; 1 keeps its digit.
    """
    text = f"{value:.{digits}f}"
    return text.removeprefix("0") if value < 1 else text
