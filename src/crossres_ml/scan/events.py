"""Events: what is measured of a line, as columns to be scanned, with counts, and why the rest is skipped."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pandas as pd

from crossres_ml.cohort.cohort import Cohort
from crossres_ml.config import ScanConfig
from crossres_ml.scan.segments import Places, fold_neighbours

AMPLIFIED, DEEP_DELETED = 1.0, -2.0
"""Log2 ratio from which a gene counts as amplified, and down to which as deleted in all copies."""
USER = "user"
USER_LINES = 30
"""Fewest lines of a column of the user's own."""
MUTATIONS = ("driver", "hotspot", "mutation", "variant")
"""Blocks whose events are adjusted for the burden of mutations: else every passenger of MSI is an event."""
SEGMENT = "cn_segment"
EVENT, LEVEL = "event", "level"
EVENT_COLUMNS = (
    "label", "block", "gene", "kind", "unit", "n", "carriers", "others", "arm", "caution", "burden_adjusted",
    "members", "same_as", "features",
)  # fmt: skip
SKIPPED_COLUMNS = ("event", "block", "n", "carriers", "reason")


@dataclass(frozen=True)
class Coding:
    """How a block becomes columns.

    Attributes
    ----------
    block : str
        Block of the cohort.
    word : str
        Added to the name of a feature; empty: the name stays as it is.
    low, high : float, optional
        An event is a value of at least ``low``, or of at most ``high``. With neither, the block is taken
        as levels.
    """

    block: str
    word: str = ""
    low: float | None = None
    high: float | None = None

    @property
    def kind(self) -> str:
        """``event`` or ``level``."""
        return LEVEL if self.low is None and self.high is None else EVENT

    def apply(self, values: np.ndarray) -> np.ndarray:
        """0 or 1 for an event, the value for a level; NaN stays."""
        if self.kind == LEVEL:
            return values
        hit = values >= self.low if self.low is not None else values <= self.high
        return np.where(np.isfinite(values), hit, np.nan).astype(np.float32)


CODINGS: tuple[Coding, ...] = (
    Coding("driver", "damaging", low=2),
    Coding("driver", "any", low=1),
    Coding("hotspot", low=1),
    Coding("mutation", low=1),
    Coding("variant", low=1),
    Coding("cn_event", low=1),
    Coding("copy_number", "amplified", low=AMPLIFIED),
    Coding("copy_number", "deep-deleted", high=DEEP_DELETED),
    Coding("copy_number"),
    *(Coding(b) for b in ("cn_arm", "aneuploidy", "rna", "rna_array", "slfn11", "rppa", "gene_set", "tf")),
    *(Coding(b) for b in ("progeny", "methylation", "signature", "burden", "metabolomics", "chromatin")),
)
"""The first of two equal columns gives its name to both."""
NOT_EVENTS = {
    "growth": "is what effects are adjusted for",
    "lineage": "is what effects are adjusted for",
    "subtype": "names a kind of tumour, not an alteration",
}


@dataclass(frozen=True, eq=False)
class Events:
    """Columns to be scanned.

    Attributes
    ----------
    values : pandas.DataFrame
        All lines of the cohort x events, float32; NaN where not measured.
    table : pandas.DataFrame
        Index ``event``; `EVENT_COLUMNS`: label, block, gene (or the set, antibody, ...), kind (event, level),
        unit, n (measured lines among those with both responses), carriers and others (lines with and without
        the event; NaN for a level), arm (of a copy number), caution, burden_adjusted, members (how many
        columns are folded into it), same_as (names of the others), features (of the cohort, all that it
        stands for).
    skipped : pandas.DataFrame
        `SKIPPED_COLUMNS`; one row for every column that is not scanned.
    """

    values: pd.DataFrame
    table: pd.DataFrame
    skipped: pd.DataFrame


@dataclass(frozen=True, eq=False)
class _Part:
    """Columns of one coding; ``table`` has a row for each, in their order."""

    values: np.ndarray
    table: pd.DataFrame


def collect_events(
    cohort: Cohort,
    lines: pd.Index,
    settings: ScanConfig,
    *,
    places: Places | None = None,
    user: pd.DataFrame | None = None,
) -> Events:
    """Make the columns of the scan.

    Parameters
    ----------
    cohort : Cohort
        The cohort.
    lines : pandas.Index
        Lines with both responses, one a patient: counts, folding and skipping look at them alone, and
        at no response.
    settings : ScanConfig
        Fewest lines and carriers.
    places : Places, optional
        Where genes lie; without it copy numbers are folded by correlation alone.
    user : pandas.DataFrame, optional
        All lines x columns of the user's own.

    Returns
    -------
    Events
        An event needs ``min_carriers`` lines with it and as many without; a level ``min_lines`` lines, of
        which ``min_carriers`` differ from its most common value. Copy numbers of neighbours are folded
        first, then columns that are exactly equal over the lines are.
    """
    at = cohort.lines.index.get_indexer(lines)
    parts, skipped = [], []
    for part in _parts(cohort, user):
        kept, left_out = _enough(part, at, settings)
        skipped.append(left_out)
        if len(kept.table) and kept.table.block.iloc[0] == "copy_number":
            kept, unplaced = _fold_copies(kept, at, places)
            skipped.append(unplaced)
        parts.append(kept)
    skipped += [
        pd.DataFrame([{"event": f"{b}:(all)", "block": b, "reason": NOT_EVENTS[b]}])
        for b in cohort.blocks
        if b in NOT_EVENTS
    ]
    table = pd.concat([p.table for p in parts if len(p.table)] or [pd.DataFrame(columns=EVENT_COLUMNS)])
    values = np.hstack([p.values for p in parts] or [np.empty((len(cohort.lines), 0), np.float32)])
    keep, table = _fold_equal(values[at], table)
    out = pd.DataFrame(values[:, keep], cohort.lines.index, table.index)
    left = pd.concat([s for s in skipped if len(s)] or [pd.DataFrame()])
    left = left.reindex(columns=list(SKIPPED_COLUMNS)).reset_index(drop=True)
    return Events(out, table[list(EVENT_COLUMNS)], left)


def _parts(cohort: Cohort, user: pd.DataFrame | None) -> Iterator[_Part]:
    info = cohort.features
    for coding in CODINGS:
        if coding.block not in cohort.blocks:
            continue
        own = cohort.blocks[coding.block]
        about = info[info.block == coding.block]
        word = f" {coding.word}" if coding.word else ""
        names = [f"{coding.block}:{n}{word}" for n in own]
        label = [f"{n}{word} ({coding.block.replace('_', ' ')})" for n in own]
        unit = "0/1" if coding.kind == EVENT else about.unit.to_numpy()
        table = _describe(names, label, list(map(str, own)), coding.block, coding.kind)
        table = table.assign(unit=unit, caution=about.caution.to_numpy(), features=about.index.to_numpy())
        yield _Part(coding.apply(own.to_numpy()), table)
    if user is not None and user.shape[1]:
        binary = user.isin([0, 1]) | user.isna()
        kind = np.where(binary.all(), EVENT, LEVEL)
        names = list(map(str, user))
        table = _describe([f"{USER}:{c}" for c in names], [f"{c} (yours)" for c in names], names, USER, "")
        yield _Part(user.to_numpy(dtype=np.float32), table.assign(kind=kind, unit="yours"))


def _describe(names: list[str], label: list[str], gene: list[str], block: str, kind: str) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "label": label, "block": block, "gene": gene, "kind": kind, "unit": "", "n": 0,
            "carriers": np.nan, "others": np.nan, "arm": "", "caution": False,
            "burden_adjusted": block in MUTATIONS, "members": 1, "same_as": "", "features": "",
        },
        index=pd.Index(names, name="event"),
    )  # fmt: skip


def _enough(part: _Part, at: np.ndarray, settings: ScanConfig) -> tuple[_Part, pd.DataFrame]:
    """Keep the columns that have enough lines; say of the others why not."""
    X, table = part.values[at], part.table
    known = np.isfinite(X)
    n, event = known.sum(axis=0), (table.kind == EVENT).to_numpy()
    carriers = np.where(event, np.nansum(X, axis=0), np.nan)
    table = table.assign(n=n, carriers=carriers, others=n - carriers)
    few = settings.min_carriers
    needed = np.where(table.block == USER, USER_LINES, np.where(event, 2 * few, settings.min_lines))
    apart = _differ(X, n) if not event.all() else n
    reason = np.full(len(table), "", dtype=object)
    rare = event & (np.fmin(carriers, n - carriers) < few)
    reason[rare] = [
        f"{c:.0f} lines with it and {k - c:.0f} without, fewer than {few}"
        for c, k in zip(carriers[rare], n[rare], strict=True)
    ]
    alike = ~event & (apart < few)
    reason[alike] = [f"{a} lines differ from its most common value, fewer than {few}" for a in apart[alike]]
    constant = (n > 0) & ((apart == 0) | (event & ((carriers == 0) | (carriers == n))))
    reason[constant] = "is the same in all lines that have it measured"
    short = n < needed
    reason[short] = [
        f"measured in {k} lines with both responses, fewer than {m}"
        for k, m in zip(n[short], needed[short], strict=True)
    ]
    keep = reason == ""
    out = table.loc[~keep, ["block", "n", "carriers"]].reset_index().assign(reason=reason[~keep])
    return _Part(part.values[:, keep], table[keep]), out


def _differ(X: np.ndarray, n: np.ndarray) -> np.ndarray:
    """Lines, per column, that have another value than the most common one."""
    ordered = np.sort(X, axis=0)  # NaN last
    longest = np.ones(X.shape[1], dtype=int)
    run = np.ones(X.shape[1], dtype=int)
    for above, row in pairwise(ordered):
        run = np.where(row == above, run + 1, 1)
        longest = np.maximum(longest, run)
    return np.asarray(np.maximum(n - longest, 0))


def _fold_copies(part: _Part, at: np.ndarray, places: Places | None) -> tuple[_Part, pd.DataFrame]:
    """Fold the copy numbers of genes that lie on one arm and go together."""
    table = part.table
    folds, unplaced = fold_neighbours(part.values[at], list(table.gene), places)
    level = bool((table.kind == LEVEL).all())
    names, rows = list(table.index), table.to_dict("records")  # a frame is slow for thousands of folds
    columns, out, index = [], [], []
    for fold in folds:
        lead, gene, size = names[fold.lead], rows[fold.lead]["gene"], len(fold.columns)
        more = f" +{size - 1}" if size > 1 else ""
        columns.append(part.values[:, fold.columns].mean(axis=1) if level else part.values[:, fold.lead])
        index.append(f"{SEGMENT}:{fold.where} {gene}{more}" if level else lead)
        word = lead.removeprefix(f"copy_number:{gene}")
        out.append(
            rows[fold.lead]
            | {
                "label": f"{gene}{more} {fold.where}{word} (copy number)",
                "block": SEGMENT if level else "copy_number",
                "arm": fold.arm,
                "members": size,
                "same_as": "; ".join(names[c] for c in fold.columns if c != fold.lead),
                "features": "; ".join(rows[c]["features"] for c in fold.columns),
            }
        )
    left = table.iloc[unplaced][["block", "n", "carriers"]].reset_index()
    folded = pd.DataFrame(out, pd.Index(index, name="event"), list(table))
    values = np.column_stack(columns) if columns else np.empty((len(part.values), 0), np.float32)
    return _Part(values, folded), left.assign(reason="place on a chromosome not known")


def _fold_equal(X: np.ndarray, table: pd.DataFrame) -> tuple[np.ndarray, pd.DataFrame]:
    """Fold columns with the same values in the same lines; the first one gives its name."""
    groups: dict[bytes, list[int]] = {}
    for j, column in enumerate(np.ascontiguousarray(X.T)):
        key = np.where(np.isfinite(column), column + 0.0, np.float32(np.nan)).tobytes()
        groups.setdefault(key, []).append(j)
    keep = np.array([g[0] for g in groups.values()], dtype=int)
    out = table.iloc[keep].copy()
    rows = out.to_dict("records")
    for i, group in enumerate(groups.values()):
        if len(group) == 1:
            continue
        own = table.iloc[group]
        names = [own.same_as.iloc[0], *(f"{n}; {s}" if s else str(n) for n, s in own.same_as[1:].items())]
        rows[i] |= {
            "same_as": "; ".join(n for n in names if n),
            "features": "; ".join(f for f in own.features if f),
            "members": int(own.members.sum()),
            "caution": bool(own.caution.all()),
        }
    return keep, pd.DataFrame(rows, out.index, list(table))
