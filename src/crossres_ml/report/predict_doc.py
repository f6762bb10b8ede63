"""The tables of docs/predict.md, written from finished runs and never by hand."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd

from crossres_ml.config_names import TASKS
from crossres_ml.evaluation.trust import calibration_table, coverage_table
from crossres_ml.report.words import DASH, share

TRUST = ("<!-- trust: begin -->", "<!-- trust: end -->")
SPOILT = ("<!-- distortions: begin -->", "<!-- distortions: end -->")
_CLASSES = ("all lines", "resistant", "sensitive")


def champions(results: Path) -> pd.DataFrame:
    """Read the held-out predictions of the champions, cell line out.

    Parameters
    ----------
    results : Path
        Folder of a training run.

    Returns
    -------
    pandas.DataFrame
        One row a task, line and repeat.
    """
    summary = json.loads((results / "summary.json").read_text(encoding="utf-8"))
    told = pd.read_parquet(results / "predictions.parquet")
    told = told[(told["mode"] == "cell_line_out") & (told.variant == "full")]
    parts = [told[(told.task == t) & (told.model == summary["tasks"][t]["champion"])] for t in TASKS]
    return pd.DataFrame(pd.concat(parts))


def trust_block(results: Path, draws: int, seed: int) -> str:
    """Say how well probabilities and prediction sets of held-out lines keep their word.

    Parameters
    ----------
    results : Path
        Folder of a training run on real data.
    draws : int
        Behind the intervals.
    seed : int
        Of the draws.

    Returns
    -------
    str
        The block between the markers, markers included.
    """
    rows = champions(results)
    error, sets = calibration_table(rows, draws, seed), coverage_table(rows)
    out = [
        TRUST[0],
        "| task (lines) | score as probability | calibrated probability | if all were right |",
        "|---|---|---|---|",
    ]
    for task, r in error.iterrows():
        out.append(
            f"| {task} ({r.lines:.0f}) | {share(r.before, 3)} | {share(r.after, 3)} "
            f"({share(r.low, 3)} to {share(r.high, 3)}) | {share(r.perfect, 3)} |"
        )
    out += ["", "| task | confidence | all lines | resistant | sensitive | one class named | abstains |",
            "|---|---|---|---|---|---|---|"]  # fmt: skip
    for (task, confidence), own in sets.groupby(["task", "confidence"], sort=False):
        at = own.set_index("of")
        cells = " | ".join(
            f"{share(at.covered[c])} ({share(at.low[c])} to {share(at.high[c])})" for c in _CLASSES
        )
        one, both = at.one["all lines"], at.both["all lines"]
        out.append(f"| {task} | {confidence:.0%} | {cells} | {one:.0%} | {both:.0%} |")
    lineages = sets[~sets.of.isin(_CLASSES)]
    missed = lineages[lineages.high < lineages.confidence]
    text = [
        f"{m['task']}, {m['of']} ({m['lines']} lines): {share(m['covered'])} at {m['confidence']:.0%}"
        for m in missed.to_dict("records")
    ]
    out += [
        "",
        f"By lineage: {len(lineages)} lineages, tasks and confidences with at least 15 lines; the whole",
        f"interval is under the confidence in {len(missed)}" + (f" ({'; '.join(text)})." if text else "."),
        TRUST[1],
    ]
    return "\n".join(out)


def distortion_block(table: Path) -> str:
    """Say what spoilt profiles do to predictions, and what the flags said.

    Parameters
    ----------
    table : Path
        As `crossres_ml.distortions.measure_distortions` writes it.

    Returns
    -------
    str
        The block between the markers, markers included.
    """
    found = pd.read_csv(table)
    lines = found[found.distortion == "as measured"].groupby("task").lines.sum() // found.normalise.nunique()
    told = ", ".join(f"{t} {lines[t]:.0f}" for t in TASKS if t in lines.index)
    out = [
        SPOILT[0],
        f"Held-out lines: {told}; {found.fold.nunique()} folds.",
        "",
        "| profiles | normalise | radiation | chemotherapy | cross | sd | outside | what was said |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for (name, method), own in found.groupby(["distortion", "normalise"], sort=False):
        cells = [_spearman(own[own.task == t]) for t in TASKS]
        scored = own[own.scored.fillna(0) > 0]
        spread = DASH if scored.empty else f"{share((scored.sd / scored.expected_sd).mean())} of the expected"
        outside = DASH if scored.empty else f"{scored.outside.mean():.0%}"
        out.append(f"| {name} | {method} | {' | '.join(cells)} | {spread} | {outside} | {_said(own)} |")
    return "\n".join([*out, SPOILT[1]])


def _spearman(own: pd.DataFrame) -> str:
    known = own.dropna(subset=["spearman"])
    if known.empty:
        return DASH
    left = known.scored.sum() / known.lines.sum()
    mean = (known.spearman * known.scored).sum() / known.scored.sum()
    return share(mean) + ("" if left > 0.99 else f" ({left:.0%} of the lines)")


def _said(own: pd.DataFrame) -> str:
    refused = own.refused_because.dropna()
    refused = refused[refused != ""]
    if len(refused) == len(own):
        return f"refused: {str(refused.iloc[0]).splitlines()[0][:90]}"
    words = [f"refused in {len(refused) / len(own):.0%}"] if len(refused) else []
    words += [f"normalised by {m}" for m in sorted(set(own.method.dropna()) - {"none"})]
    far = (own.distance > own.limit).mean()
    words += ["looks like another platform"] if far > 0.5 else []
    collapsed = own.collapsed.astype(float).mean()
    words += [f"collapsed in {collapsed:.0%}"] if collapsed > 0 else []
    words += [f"coverage {share(own.coverage.mean())}"]
    warned = own.warnings.dropna()
    words += [str(warned.iloc[0])[:90]] if len(warned) and str(warned.iloc[0]) else []
    return "; ".join(words)
