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

COMBINED_ABOUT = {
    "stack": "Weighted sum of the single models of the task, weights learned inside the training lines.",
    "mean_of_two": "Mean percentile rank of the separate radiation and chemotherapy Gaussian processes.",
    "product_of_two": "Product of the calibrated probabilities of the two separate Gaussian processes.",
    "joint_gp": "One Gaussian process for radiation and chemotherapy together (coregionalised).",
}
ABOUT: dict[str, str] = {n: (k.__doc__ or "").split("\n")[0] for n, k in ESTIMATORS.items()} | COMBINED_ABOUT
"""All models, baselines first, each with one line for people."""
