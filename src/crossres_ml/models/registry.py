"""All estimators by name."""

from __future__ import annotations

from crossres_ml.models.baselines import (
    GeneralSensitivity,
    LineageMean,
    MutationBurden,
    Prevalence,
    RadiosensitivityIndex,
    SubtypeMean,
)
from crossres_ml.models.estimators import Estimator
from crossres_ml.models.gp import GaussianProcessScore
from crossres_ml.models.linear import ElasticNetScore, LogisticScore, RidgeScore
from crossres_ml.models.trees import ExtraTreesScore, LightGBMClass, LightGBMScore

_KINDS: tuple[type[Estimator], ...] = (
    Prevalence, LineageMean, SubtypeMean, MutationBurden, RadiosensitivityIndex, GeneralSensitivity,
    LogisticScore, RidgeScore, ElasticNetScore, LightGBMClass, LightGBMScore, ExtraTreesScore,
    GaussianProcessScore,
)  # fmt: skip
ESTIMATORS: dict[str, type[Estimator]] = {kind.name: kind for kind in _KINDS}
