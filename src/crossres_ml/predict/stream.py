"""Files of profiles scored chunk by chunk: flat memory, resumable, written whole or not at all."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from crossres_ml.artifacts import FoldStore, atomic, run_key, sha256, versions, write_json
from crossres_ml.errors import ProfileError
from crossres_ml.models.bundle import Bundle
from crossres_ml.predict.chosen import TOP, Chosen, check_chosen, only, pick
from crossres_ml.predict.platform import Batch, Platform, choose_platform
from crossres_ml.predict.predictor import Predictor
from crossres_ml.predict.profiles import BLOCK, Opened, open_profiles
from crossres_ml.predict.score import (
    Rules,
    explain_profiles,
    score_profiles,
    spread_of,
    tell_missing,
    with_flags,
)

log = logging.getLogger(__name__)
SUFFIXES = (".csv", ".tsv", ".parquet")
_CELLS = 300_000  # of a chunk: 1 MB, and some copies


@dataclass(frozen=True)
class Asked:
    """What a user wants of a file of profiles.

    Attributes
    ----------
    orientation, unit : str
        As `crossres_ml.predict.profiles.open_profiles` takes them.
    mutations : Path or None
        A MAF or a table of 0 and 1 beside the profiles.
    rules : Rules
        How scores become words.
    explain : int
        Features shown of each sample; 0 explains nothing.
    normalise : str
        As `crossres_ml.predict.platform.choose_platform`; the whole file is one batch.
    plot : tuple of str
        Samples to give back with their shares, of `crossres_ml.predict.chosen.TOP` features where
        ``explain`` is 0.
    """

    orientation: str = "auto"
    unit: str = "auto"
    mutations: Path | None = None
    rules: Rules = field(default_factory=Rules)
    explain: int = 0
    normalise: str = "auto"
    plot: tuple[str, ...] = ()


@dataclass(frozen=True)
class Predicted:
    """What was written.

    Attributes
    ----------
    output, manifest : Path
        Scores, and what they were made of.
    explained : Path or None
        Shares of the features, long.
    samples : int
        Samples in the output.
    refused : dict of str to int
        Task -> samples without a score.
    chosen : Chosen or None
        The samples to plot.
    """

    output: Path
    manifest: Path
    explained: Path | None
    samples: int
    refused: dict[str, int]
    chosen: Chosen | None = None


def predict_file(
    profiles: Path,
    output: Path,
    model: str | None = None,
    asked: Asked | None = None,
    *,
    chunk: int | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Predicted:
    """Score a file of profiles.

    Parameters
    ----------
    profiles : Path
        As `crossres_ml.predict.profiles.open_profiles` takes it.
    output : Path
        .csv, .tsv or .parquet; beside it ``<output>.manifest.json`` and, where asked,
        ``<output>.explained.parquet``. Written only when all went well; an interrupted run goes on where it
        stopped when it is called again.
    model : str, optional
        As `crossres_ml.predict.score.find_bundles` takes it.
    asked : Asked, optional
        What is wanted.
    chunk : int, optional
        Samples in memory, a multiple of `BLOCK`; by default `chunk_size`. No bit of the result depends on it.
    progress : callable, optional
        Called with samples done and in total.

    Returns
    -------
    Predicted
        What was written.

    Raises
    ------
    ProfileError
        If the profiles cannot be scored, lack a sample to plot, or the output has another suffix.
    """
    asked = asked or Asked()
    if output.suffix not in SUFFIXES or (chunk is not None and (chunk % BLOCK or chunk < BLOCK)):
        raise ProfileError(
            f"suffix {output.suffix!r} of the output, chunks of {chunk}",
            where=str(output),
            do=f"use {', '.join(SUFFIXES)}, and chunks of a multiple of {BLOCK}",
        )
    models = Predictor.load(model)
    bundles, chunk = models.bundles, chunk or chunk_size(models.features)
    opened = open_profiles(
        profiles, models.features, models.names, orientation=asked.orientation, unit=asked.unit,
        mutations=asked.mutations,
    )  # fmt: skip
    check_chosen(asked.plot, opened.ids, opened.where)
    lacking = tell_missing(opened.columns, bundles, bool(opened.report["lineage"]))
    for told in lacking:
        log.warning("counts as not measured: %s", told)
    platform = choose_platform(asked.normalise, Batch.of(opened.chunks(chunk)), bundles, opened.where)
    about = _about(profiles, bundles, asked, chunk)
    work = output.parent / f".{output.name}-{run_key(**about)[:16]}"
    store = FoldStore(work)
    parts = _score_all(opened, bundles, platform, asked, store, chunk, progress)
    beside = output.with_name(f"{output.name}.explained.parquet")
    explained = beside if asked.explain else None
    beside.unlink(missing_ok=True)  # those of an earlier run are not of these scores
    if explained is not None:
        _join((store.load(n)[1] for n in parts), explained)
    refused = {b.task: 0 for b in bundles}
    for name in parts:
        scores = store.load(name)[0]
        for task in refused:
            refused[task] += int((scores[f"{task}_refused"] != "").sum())
    manifest = output.with_name(f"{output.name}.manifest.json")
    spread = spread_of((store.load(n)[0] for n in parts), bundles)
    flagged = ((with_flags(scores, spread), shares) for scores, shares in map(store.load, parts))
    chosen = pick(flagged, asked.plot) if asked.plot else None
    _join((with_flags(store.load(n)[0], spread) for n in parts), output)
    kind = "+".join(sorted({b.kind for b in bundles}))
    write_json(
        manifest,
        about | {"output": sha256(output), "samples": len(opened.ids), "refused": refused, "lacking": lacking,
                 "profiles_report": opened.report, "platform": platform.told(), "spread": spread,
                 "trained_on": kind, "versions": versions()},
    )  # fmt: skip
    shutil.rmtree(work, ignore_errors=True)
    if kind != "real":
        log.warning("SIMULATED: trained on a simulated study; these scores mean nothing for real samples")
    return Predicted(output, manifest, explained, len(opened.ids), refused, chosen)


def chunk_size(features: pd.DataFrame) -> int:
    """Choose how many samples to hold in memory: the fewer features, the more samples.

    Parameters
    ----------
    features : pandas.DataFrame
        One row a feature that is read.

    Returns
    -------
    int
        A multiple of `BLOCK`.
    """
    return BLOCK * max(4, _CELLS // (BLOCK * max(len(features), 1)))


def _about(profiles: Path, bundles: Sequence[Bundle], asked: Asked, chunk: int) -> dict[str, Any]:
    return {
        "plot": list(asked.plot),
        "profiles": sha256(profiles), "models": {b.task: b.digest for b in bundles},
        "data": {b.task: b.recipe["data"] for b in bundles}, "orientation": asked.orientation,
        "unit": asked.unit, "mutations": sha256(asked.mutations) if asked.mutations else None,
        "rules": vars(asked.rules), "explain": asked.explain, "chunk": chunk, "normalise": asked.normalise,
    }  # fmt: skip


def _score_all(
    opened: Opened,
    bundles: Sequence[Bundle],
    platform: Platform,
    asked: Asked,
    store: FoldStore,
    chunk: int,
    progress: Callable[[int, int], None],
) -> list[str]:
    """Score the chunks that are not done yet; give the names of all."""
    names, done = [], 0
    for number, part in enumerate(opened.chunks(chunk)):
        name = f"{number:08d}"
        if not store.has(name):
            scores = score_profiles(part, bundles, opened.where, platform, asked.rules)
            explained = part if asked.explain else only(part, asked.plot)
            told = pd.DataFrame()
            if explained is not None:
                told = explain_profiles(explained, bundles, opened.where, platform, asked.explain or TOP)
            store.save(name, (scores.reset_index(), told))
        names.append(name)
        done += len(part.values)
        progress(done, len(opened.ids))
    return names


def _join(parts: Iterator[pd.DataFrame], path: Path) -> None:
    """Write tables one below the other, with one part in memory."""
    with atomic(path) as place:
        if path.suffix == ".parquet":
            writer = None
            for part in parts:
                table = pa.Table.from_pandas(part, preserve_index=False).replace_schema_metadata()
                writer = writer or pq.ParquetWriter(place, table.schema)
                writer.write_table(table.cast(writer.schema))
            if writer is not None:
                writer.close()
            return
        separator = "\t" if path.suffix == ".tsv" else ","
        with place.open("w", encoding="utf-8", newline="") as file:
            for number, part in enumerate(parts):
                part.to_csv(
                    file, sep=separator, float_format="%.10g", lineterminator="\n", index=False,
                    header=number == 0,
                )  # fmt: skip
