"""Conformal p-values of the two classes: which of them a sample can be told not to be."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

RESISTANT, SENSITIVE = "p_resistant", "p_sensitive"


@dataclass(frozen=True, eq=False)
class Conformal:
    """Inductive conformal classification, class by class (Vovk et al. 2005, Springer).

    How strange a line is for a class is one minus its probability of that class. A class stays in the
    prediction set at confidence c when its p-value is above 1 - c: of the samples of either class, if they
    are like the training lines, a share c or more then has its own class in the set.

    Attributes
    ----------
    resistant, sensitive : numpy.ndarray
        Strangeness of the training lines of each class for their own class, by fits without them; sorted.
    """

    resistant: np.ndarray
    sensitive: np.ndarray

    @classmethod
    def fit(cls, probability: np.ndarray, label: np.ndarray) -> Conformal:
        """Learn from training lines scored by fits that did not see them.

        Parameters
        ----------
        probability : numpy.ndarray
            Shape (lines,): of being resistant.
        label : numpy.ndarray
            Shape (lines,), 1 where resistant.

        Returns
        -------
        Conformal
            Ready to judge.
        """
        resistant = np.asarray(label, dtype=bool)
        return cls(np.sort(1 - probability[resistant]), np.sort(probability[~resistant]))

    def p_values(self, probability: np.ndarray) -> dict[str, np.ndarray]:
        """Judge new samples.

        Parameters
        ----------
        probability : numpy.ndarray
            Shape (samples,): of being resistant.

        Returns
        -------
        dict of str to numpy.ndarray
            `RESISTANT` and `SENSITIVE`: share of the class as strange or more, the sample counted in.
        """
        return {RESISTANT: _p(self.resistant, 1 - probability), SENSITIVE: _p(self.sensitive, probability)}

    def state(self) -> dict[str, Any]:
        """Describe what must be kept, JSON-ready."""
        return {"resistant": self.resistant.tolist(), "sensitive": self.sensitive.tolist()}

    @classmethod
    def from_state(cls, told: dict[str, Any]) -> Conformal:
        """Rebuild what `state` described."""
        return cls(np.asarray(told["resistant"], dtype=float), np.asarray(told["sensitive"], dtype=float))


def _p(known: np.ndarray, new: np.ndarray) -> np.ndarray:
    as_strange = len(known) - np.searchsorted(known, new, side="left")
    return np.asarray((as_strange + 1) / (len(known) + 1))


def half_error(confidence: float) -> float:
    """Give the confidence of half the error."""
    return (1 + confidence) / 2


def not_ruled_out(
    p_resistant: np.ndarray, p_sensitive: np.ndarray, confidence: float
) -> tuple[np.ndarray, np.ndarray]:
    """Say of each class whether it cannot be ruled out.

    Parameters
    ----------
    p_resistant, p_sensitive : numpy.ndarray
        Shape (samples,), as `Conformal.p_values` gives them.
    confidence : float
        Above 0, below 1.

    Returns
    -------
    resistant, sensitive : numpy.ndarray
        Shape (samples,), bool.
    """
    least = 1 - confidence + 1e-12  # 1 - .8 is a little under .2 in binary numbers
    return np.asarray(p_resistant) > least, np.asarray(p_sensitive) > least


def prediction_set(p_resistant: np.ndarray, p_sensitive: np.ndarray, confidence: float) -> np.ndarray:
    """Name the classes that cannot be ruled out.

    Parameters
    ----------
    p_resistant, p_sensitive : numpy.ndarray
        Shape (samples,), as `Conformal.p_values` gives them.
    confidence : float
        Above 0, below 1.

    Returns
    -------
    numpy.ndarray
        Text: ``resistant``, ``sensitive``, ``resistant|sensitive`` (the model abstains) or ``none`` (the
        sample is strange for both).
    """
    r, s = not_ruled_out(p_resistant, p_sensitive, confidence)
    return np.select([r & s, r, s], ["resistant|sensitive", "resistant", "sensitive"], "none")
