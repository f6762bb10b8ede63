"""What a scan found, in sentences with numbers."""

from __future__ import annotations

import pandas as pd

from crossres_ml.scan.both import LISTS
from crossres_ml.scan.run import Scan
from crossres_ml.scan.signals import SAME_SIGNAL


def list_row(scan: Scan, name: str, level: float) -> pd.Series:
    """Row of a list at one of its levels: the one asked for, or the nearest."""
    own = scan.lists[scan.lists.list == name]
    nearest = int((own.level - level).abs().to_numpy().argmin())
    return pd.Series(own.iloc[nearest])


def first_of(scan: Scan, name: str, most: int = 3) -> pd.DataFrame:
    """First signals of a list, each by its best event."""
    return scan.signals[scan.signals.list == name].head(most)


def answer(scan: Scan, level: float) -> list[str]:
    """Say which events go with resistance to both modalities, and how sure that is.

    Parameters
    ----------
    scan : Scan
        The scan.
    level : float
        False discovery rate of the lists.

    Returns
    -------
    list of str
        Sentences.
    """
    table = scan.table
    out = [
        f"{len(table):,} events were scanned in {scan.lines} lines, one a patient, with both responses; "
        f"{len(scan.skipped):,} columns were skipped."
    ]
    out += [_list_sentence(scan, name, level) for name in LISTS]
    if len(scan.signals):
        out.append(
            "Events that go together count as one signal: those whose values, adjusted for lineage, "
            f"correlate by {SAME_SIGNAL} or more, either way, with those of its best event. The false "
            "discovery rate is that of events."
        )
    called = table[table["list"] == "both_resistant"]
    if len(called):
        mutated = called[called.block.isin(("driver", "hotspot", "mutation", "variant"))]
        copies = called[called.arm != ""]
        within = int((copies.beyond_arm == True).sum())  # noqa: E712  missing is neither
        carried = int((called.carried_by.fillna("") != "").sum())
        out.append(
            f"Of those that go with resistance to both: mutations of a gene {len(mutated)}; copy numbers "
            f"inside an arm {len(copies)}, of them beyond what the whole arm does {within}; carried by a "
            f"single lineage {carried}."
        )
    mde = table.both_mde.median()
    out.append(
        "Half of the events would have been found in both with 80 % power if they moved each response by "
        f"{mde:.2f} standard deviations for one of their own."
    )
    return out


def _list_sentence(scan: Scan, name: str, level: float) -> str:
    row = list_row(scan, name, level)
    label = LISTS[name].label
    label = label[0].upper() + label[1:]
    bh = f"{row.seen_bh:.0f} pass Benjamini and Hochberg's procedure"
    if not row.seen:
        return f"{label}: no event at a false discovery rate of {row.level:.0%} by permutations; {bh}."
    first = first_of(scan, name)
    named = "; ".join(
        f"{e.label} ({e.radiation:+.2f} radiation, {e.chemotherapy:+.2f} chemotherapy; events: {e.events})"
        for e in first.itertuples()
    )
    return (
        f"{label}: {row.seen:.0f} events of {row.genes:.0f} genes or scores at a false discovery rate of "
        f"{row.level:.0%} by permutations, where {row.expected:.1f} are expected by chance; "
        f"{row.signals:.0f} independent signals; {bh}; "
        f"{row.kept_full:.0f} hold after adjustment for general drug sensitivity and growth too. "
        f"First: {named}."
    )
