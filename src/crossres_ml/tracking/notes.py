"""Descriptions of runs and models in MLflow, as people read them there."""

from __future__ import annotations

from crossres_ml.config_names import TaskName
from crossres_ml.evaluation.skill import is_baseline
from crossres_ml.models.registry import ABOUT
from crossres_ml.report.summary import SplitMode, Summary, TaskSummary
from crossres_ml.report.words import METRIC_NAMES, plain, shown, verdict

_HELD_OUT: SplitMode = "cell_line_out"
_TOLD = ("spearman", "auroc")
RESISTANCE: dict[TaskName, str] = {
    "radiation": "radiation",
    "chemotherapy": "chemotherapy",
    "cross": "both radiation and chemotherapy",
}
SIMULATED = "**SIMULATED**: no real data were used; nothing here is about biology."


def _data(summary: Summary) -> str:
    return f" {SIMULATED}" if summary.data.kind == "simulated" else ""


def _skill(section: TaskSummary, model: str) -> str:
    own = section.models[model][_HELD_OUT]
    return " and ".join(f"{METRIC_NAMES[m]} {shown(own[m])}" for m in _TOLD)


def note_of_training(summary: Summary, task: TaskName) -> str:
    """Describe a parent run: task, champion, skill against the best naive model, kind of data.

    Parameters
    ----------
    summary : Summary
        The summary.
    task : str
        Task.

    Returns
    -------
    str
        A paragraph.
    """
    section = summary.tasks[task]
    differences = section.paired_difference[_HELD_OUT]
    against = " and ".join(
        f"{shown(differences[m], sign=True)} in {METRIC_NAMES[m]} ({verdict(m, differences[m])})"
        for m in _TOLD
    )
    return (
        f"Resistance to {RESISTANCE[task]} in {section.scored_lines[_HELD_OUT]} held-out cell lines of "
        f"{'simulated' if summary.data.kind == 'simulated' else 'real public'} data. The champion, chosen by "
        f"inner folds, is **{plain(section.champion)}**: {_skill(section, section.champion)}. Against the "
        f"best naive model, {plain(section.paired_baseline[_HELD_OUT])}, that is {against}; 95 % intervals "
        f"by group bootstrap. `report.html` among the artifacts tells the rest.{_data(summary)}"
    )


def note_of_model(summary: Summary, task: TaskName, model: str) -> str:
    """Describe a child run in a sentence.

    Parameters
    ----------
    summary : Summary
        The summary.
    task : str
        Task.
    model : str
        Model.

    Returns
    -------
    str
        What the model is, and its skill.
    """
    section = summary.tasks[task]
    role = "the champion, " if model == section.champion else "a baseline, " if is_baseline(model) else ""
    n = section.scored_lines[_HELD_OUT]
    return f"{ABOUT[model].removesuffix('.')} ({role}{_skill(section, model)} on {n} held-out lines)."


def note_of_registered(task: TaskName | None, kind: str) -> str:
    """Describe a registered model: what is served, and what its alias means.

    Parameters
    ----------
    task : str or None
        Task; None for the models of all tasks together.
    kind : str
        ``real`` or ``simulated``.

    Returns
    -------
    str
        A paragraph.
    """
    end = f" {SIMULATED}" if kind == "simulated" else ""
    if task is None:
        tasks = "radiation, to chemotherapy and to both"
        return f"Scores profiles for resistance to {tasks}. Research use only.{end}"
    return (
        f"Scores profiles for resistance to {RESISTANCE[task]}. Research use only. A new version becomes "
        "`champion` only if it ranks the cell lines that both held out better than the champion does: the "
        f"interval of the paired difference in Spearman must lie above 0.{end}"
    )
