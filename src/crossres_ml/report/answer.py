"""The answer of the README and the tables of docs/scan.md, written from finished runs and never by hand."""

from __future__ import annotations

import json
import math
from collections import Counter
from pathlib import Path

import pandas as pd

from crossres_ml.config_names import TaskName
from crossres_ml.errors import ConfigError
from crossres_ml.report.audit_summary import AuditSummary
from crossres_ml.report.summary import Summary

BEGIN, END = "<!-- answer: begin -->", "<!-- answer: end -->"
ATLAS_BEGIN, ATLAS_END = "<!-- atlas: begin -->", "<!-- atlas: end -->"
FOUND_BEGIN, FOUND_END = "<!-- found: begin -->", "<!-- found: end -->"
LEVEL = 0.05
_BOTH = "both_resistant"
_FOUR = {"TP53": "C01", "RAD51": "C08", "ERCC1": "C09", "survivin/BIRC5": "C13"}
"""The genes that the review names first, and the claim about each."""


def answer(summary: Summary, scan: Path, atlas: Path) -> str:
    """Answer the review's question in five sentences, each with its number and the table that it is from.

    Parameters
    ----------
    summary : Summary
        Of a training run on real data, with its audit.
    scan, atlas : Path
        Folders of a finished scan and a finished atlas of the same data.

    Returns
    -------
    str
        The block between the markers, markers included.

    Raises
    ------
    ConfigError
        If the words of a sentence do not hold for these results.
    """
    lists = _lists(scan)
    both, lines = lists.loc[_BOTH], json.loads((scan / "scan.json").read_text(encoding="utf-8"))["lines"]
    about = json.loads((atlas / "atlas.json").read_text(encoding="utf-8"))
    test, factor = about["genotoxic_test"], about["general_factor"]
    if both.seen_bh > 0 or test["low"] <= 0 or summary.audit is None:
        raise ConfigError(
            f"{both.seen_bh} events of both pass Benjamini and Hochberg, genotoxic drugs "
            f"{test['low']:+.2f} at "
            f"least, audit {'there' if summary.audit else 'missing'}: the sentences would not be true",
            where="crossres_ml.report.answer",
            do="write them anew for these results",
        )
    see = "[what was found](docs/scan.md#what-was-found)"
    sentences = [
        f"**No alteration is shown beyond doubt to bring resistance to both**: of {_events(scan):,} events "
        f"in {lines} lines none passes Benjamini and Hochberg's procedure; by permutations "
        f"{both.seen} events, "
        f"which are {both.signals} independent signals, pass a rate of 5 % where "
        f"{both.expected:.1f} events are "
        f"expected by chance ({see}).",
        f"**What comes first is weak**: {_first(scan)} in standardised slopes on radiation and on "
        f"chemotherapy ({see}).",
        f"**The review's claims mostly fail or cannot be judged here**: for both treatments, "
        f"{_verdicts(summary.audit)} ([verdicts](#the-audit-do-the-named-genes-rank-as-drivers), "
        "[method](docs/audit.md)).",
        f"**The two resistances go together, most for drugs that damage DNA**: {factor['n']} lines' general "
        f"drug factor has r = {factor['pearson']:.2f} ({factor['low']:.2f} to "
        f"{factor['high']:.2f}) with radiation, "
        f"and genotoxic drugs follow radiation by {test['effect']:+.2f} ({test['low']:.2f} to "
        f"{test['high']:.2f}) "
        "more than others do ([atlas](docs/scan.md#the-atlas)).",
        f"**Many weak signals together predict it in part**: Spearman {_skill(summary, 'cross')} for both "
        f"and {_skill(summary, 'radiation')} for radiation in cell lines that the model never saw "
        "([results](#results)).",
    ]
    numbered = [f"{i}. {text}" for i, text in enumerate(sentences, 1)]
    return "\n".join([BEGIN, *numbered, END])


def _first(scan: Path) -> str:
    signals = pd.read_csv(scan / "signals.csv")
    first = signals[signals.list == _BOTH].head(2)
    parts = zip(first.label, first.radiation, first.chemotherapy, strict=True)
    return " and ".join(f"{label} ({r:+.2f}, {c:+.2f})" for label, r, c in parts)


def _verdicts(audit: AuditSummary) -> str:
    verdicts = Counter(str(c["both"].verdict) for c in audit.claims.values())
    parts = [f"{n} {verdict}" for verdict, n in sorted(verdicts.items(), key=lambda v: (-v[1], v[0]))]
    four = [f"{gene} {audit.claims[c]['both'].verdict}" for gene, c in _FOUR.items()]
    return f"{', '.join(parts)} of {verdicts.total()}; {', '.join(four)}"


def _skill(summary: Summary, task: TaskName) -> str:
    section = summary.tasks[task]
    own = section.models[section.champion]["cell_line_out"]["spearman"]
    return f"{own.value:.2f} ({own.low:.2f} to {own.high:.2f})"


def _lists(scan: Path) -> pd.DataFrame:
    table = pd.read_csv(scan / "lists.csv")
    return table[table.level == LEVEL].set_index("list")


def _events(scan: Path) -> int:
    return len(pd.read_parquet(scan / "scan.parquet", columns=["n"]))


def found(scan: Path, top: int = 12) -> str:
    """Write the lists and the first signals of a scan as tables.

    Parameters
    ----------
    scan : Path
        Folder of a finished scan.
    top : int, default 12
        Signals shown of each list.

    Returns
    -------
    str
        The block between the markers, markers included.
    """
    lines = [FOUND_BEGIN, "At a rate of 5 %:", ""]
    lines += [
        "| list | events | signals | expected by chance | Benjamini-Hochberg | also fully adjusted |",
        "|---|---|---|---|---|---|",
    ]
    for row in _lists(scan).to_dict("records"):
        expected = "-" if math.isnan(row["expected"]) else f"{row['expected']:.1f}"
        counts = (row["seen"], row["signals"], expected, row["seen_bh"], row["kept_full"])
        lines.append(f"| {row['label']} | {' | '.join(map(str, counts))} |")
    signals = pd.read_csv(scan / "signals.csv")
    lines += ["", "| list | signal | events | radiation | chemotherapy | p | rate |", "|---" * 7 + "|"]
    for name, label in _lists(scan).label.items():
        for it in signals[signals.list == name].head(top).to_dict("records"):
            lines.append(
                f"| {label} | {it['label']} | {it['events']} | {it['radiation']:+.2f} | "
                f"{it['chemotherapy']:+.2f} | {it['list_p']:.1e} | {it['list_rate']:.3f} |"
            )
    return "\n".join([*lines, FOUND_END])


def atlas_found(atlas: Path, top: int = 12) -> str:
    """Write the drugs that go with radiation most as a table.

    Parameters
    ----------
    atlas : Path
        Folder of a finished atlas.
    top : int, default 12
        Drugs shown.

    Returns
    -------
    str
        The block between the markers, markers included.
    """
    table = pd.read_csv(atlas / "atlas.csv").sort_values("full_low", ascending=False).head(top)
    lines = [
        ATLAS_BEGIN,
        "| drug | screen | lines | Spearman | adjusted for lineage | and general sensitivity |",
    ]
    lines.append("|---" * 6 + "|")
    for row in table.to_dict("records"):
        numbers = " | ".join(
            f"{row[c]:.2f} ({row[f'{c}_low']:.2f} to {row[f'{c}_high']:.2f})"
            for c in ("spearman", "tissue", "full")
        )
        lines.append(f"| {row['drug']} | {row['dataset']} | {row['n']} | {numbers} |")
    return "\n".join([*lines, ATLAS_END])
