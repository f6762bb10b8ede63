"""Conformal p-values against a count by hand, against crepes, and against their promise."""

from __future__ import annotations

import numpy as np
import pytest
from crepes import ConformalClassifier

from crossres_ml.models.conformal import RESISTANT, SENSITIVE, Conformal, not_ruled_out, prediction_set

RNG = np.random.default_rng(4)


def made(n: int) -> tuple[np.ndarray, np.ndarray]:
    """Labels, and probabilities that are neither sharp nor calibrated; rounded, so that there are ties."""
    label = RNG.random(n) < 0.3
    return np.round(1 / (1 + np.exp(-RNG.normal(label * 1.2 - 0.9, 1.0))), 2), label


def test_p_values_are_the_share_as_strange() -> None:
    known, label = made(83)
    new, _ = made(40)
    found = Conformal.fit(known, label).p_values(new)
    for i, p in enumerate(new):
        own = 1 - known[label]
        assert found[RESISTANT][i] == (np.sum(own >= 1 - p) + 1) / (label.sum() + 1)
        assert found[SENSITIVE][i] == (np.sum(known[~label] >= p) + 1) / ((~label).sum() + 1)


@pytest.mark.parametrize("confidence", [0.8, 0.9, 0.95])
def test_p_values_and_sets_are_those_of_crepes(confidence: float) -> None:
    known, label = made(149)
    new, _ = made(60)
    mine = Conformal.fit(known, label)
    found = mine.p_values(new)
    sets = not_ruled_out(found[RESISTANT], found[SENSITIVE], confidence)
    strange = {RESISTANT: (1 - known[label], 1 - new), SENSITIVE: (known[~label], new)}
    for (name, (old, fresh)), inside in zip(strange.items(), sets, strict=True):
        other = ConformalClassifier()
        other.fit(old)
        np.testing.assert_allclose(found[name], other.predict_p(fresh[:, None], smoothing=False)[:, 0])
        theirs = other.predict_set(fresh[:, None], confidence=confidence, smoothing=False)[:, 0]
        tie = np.isclose(found[name], 1 - confidence)  # where crepes keeps a class, and Vovk does not
        np.testing.assert_array_equal(inside[~tie], theirs[~tie] == 1)
        assert not inside[tie].any()


@pytest.mark.parametrize("confidence", [0.8, 0.9])
def test_each_class_is_in_the_set_as_often_as_promised(confidence: float) -> None:
    inside: dict[bool, list[float]] = {True: [], False: []}
    for _ in range(300):
        conformal = Conformal.fit(*made(150))
        new, label = made(150)
        p = conformal.p_values(new)
        sets = prediction_set(p[RESISTANT], p[SENSITIVE], confidence)
        for k, name in ((True, "resistant"), (False, "sensitive")):
            inside[k].append(np.mean([name in s for s in sets[label == k]]))
    for share in inside.values():
        error = np.std(share) / np.sqrt(len(share))
        assert confidence - 3 * error <= np.mean(share) <= confidence + 0.06  # ties make sets a little wide


def test_sets_are_named() -> None:
    sets = prediction_set(np.array([0.3, 0.3, 0.1, 0.1]), np.array([0.3, 0.1, 0.3, 0.2]), 0.8)
    assert sets.tolist() == ["resistant|sensitive", "resistant", "sensitive", "none"]


def test_the_state_judges_alike() -> None:
    conformal = Conformal.fit(*made(60))
    again = Conformal.from_state(conformal.state())
    new, _ = made(30)
    for name in (RESISTANT, SENSITIVE):
        np.testing.assert_array_equal(again.p_values(new)[name], conformal.p_values(new)[name])
