"""Saved models as an object: the same path as the command line, on tables in memory."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from crossres_ml.models.bundle import Bundle
from crossres_ml.predict.platform import Batch, Platform, choose_platform
from crossres_ml.predict.profiles import Profiles, open_profiles
from crossres_ml.predict.score import (
    Rules,
    explain_profiles,
    find_bundles,
    score_profiles,
    spread_of,
    with_flags,
)

_WHERE = "the table given"


@dataclass(frozen=True, eq=False)
class Judged:
    """Scores of a table, and what they were made with.

    Attributes
    ----------
    scores : pandas.DataFrame
        As `crossres_ml.predict.score.score_profiles`, with the flags of `with_flags`.
    platform : Platform
        What was done to the expression.
    spread : dict of str to dict
        As `crossres_ml.predict.score.spread_of`.
    report : dict
        What was recognised, as `crossres_ml.predict.profiles.Opened` has it.
    """

    scores: pd.DataFrame
    platform: Platform
    spread: dict[str, dict[str, Any]]
    report: dict[str, Any]


@dataclass(frozen=True)
class Predictor:
    """Loaded models.

    Attributes
    ----------
    bundles : tuple of Bundle
        One a task.
    """

    bundles: tuple[Bundle, ...]

    @classmethod
    def load(cls, path: str | Path | None = None) -> Predictor:
        """Load models as `crossres_ml.predict.score.find_bundles` finds them."""
        return cls(tuple(find_bundles(None if path is None else str(path))))

    @property
    def features(self) -> pd.DataFrame:
        """All features of the models: block, unit, median, low, high, each once."""
        table = pd.concat([b.features for b in self.bundles])
        return table[~table.index.duplicated()]

    @property
    def names(self) -> pd.DataFrame | None:
        """Other names of their genes, where the models have them."""
        known = [b.names for b in self.bundles if b.names is not None]
        table = pd.concat(known) if known else None
        return None if table is None else table[~table.index.duplicated()]

    def read(
        self, frame: pd.DataFrame, *, orientation: str = "auto", unit: str = "auto"
    ) -> tuple[Profiles, dict[str, Any]]:
        """Find out what a table holds, bring it into the models' names and units, and report."""
        opened = open_profiles(frame, self.features, self.names, orientation=orientation, unit=unit)
        return next(opened.chunks(len(opened.ids))), opened.report

    def predict(
        self,
        frame: pd.DataFrame,
        *,
        orientation: str = "auto",
        unit: str = "auto",
        normalise: str = "auto",
        rules: Rules | None = None,
    ) -> pd.DataFrame:
        """Score samples.

        Parameters
        ----------
        frame : pandas.DataFrame
            Samples x genes or genes x samples, ids in ``model_id`` or in the index.
        orientation : {"auto", "samples", "genes"}
            What stands in the rows.
        unit : {"auto", "log2_tpm", "tpm", "counts"}
            Unit of expression.
        normalise : {"auto", "none", "zscore", "quantile", "rank"}
            As `crossres_ml.predict.platform.choose_platform`; the whole table is one batch.
        rules : Rules, optional
            How scores become words.

        Returns
        -------
        pandas.DataFrame
            As `crossres_ml.predict.score.score_profiles`, with the flags of `with_flags`.

        Raises
        ------
        ProfileError
            If the table cannot be scored.
        """
        return self.judge(frame, orientation=orientation, unit=unit, normalise=normalise, rules=rules).scores

    def judge(
        self,
        frame: pd.DataFrame,
        *,
        orientation: str = "auto",
        unit: str = "auto",
        normalise: str = "auto",
        rules: Rules | None = None,
    ) -> Judged:
        """Score samples as `predict` does, and tell what that was made with."""
        profiles, report = self.read(frame, orientation=orientation, unit=unit)
        platform = choose_platform(normalise, Batch.of([profiles]), self.bundles, _WHERE)
        scores = score_profiles(profiles, self.bundles, _WHERE, platform, rules)
        spread = spread_of([scores], self.bundles)
        return Judged(with_flags(scores, spread), platform, spread, report)

    def explain(self, frame: pd.DataFrame, top: int = 10, normalise: str = "auto") -> pd.DataFrame:
        """Say what each score is made of, as `crossres_ml.predict.score.explain_profiles`."""
        profiles, _ = self.read(frame)
        platform = choose_platform(normalise, Batch.of([profiles]), self.bundles, _WHERE)
        return explain_profiles(profiles, self.bundles, _WHERE, platform, top)
