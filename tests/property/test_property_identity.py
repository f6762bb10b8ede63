"""For any set of names: a key is stable, and a name that means two models is never guessed."""

from __future__ import annotations

import pandas as pd
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from crossres_ml.errors import IdentityError
from crossres_ml.identity.aliases import build_aliases, name_key
from crossres_ml.identity.relatives import assign_groups

NONE = pd.DataFrame(columns=["alias", "model_id", "reason"], dtype=str)
# few letters, so that names collide often
NAMES = st.text(alphabet="Tt1.- ", min_size=1, max_size=4).filter(lambda n: n.strip() != "")
quick = settings(
    max_examples=60, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)


@given(st.text())
@quick
def test_key_is_idempotent(name: str) -> None:
    key = name_key(name)
    assert name_key(key) == key
    assert key == "" or (key.isalnum() and key.isascii() and key == key.upper())
    assert name_key(f" {name.lower()}-") == name_key(name.lower())


@given(names=st.lists(NAMES, min_size=1, max_size=8), asked=st.lists(NAMES, min_size=1, max_size=4))
@quick
def test_resolved_names_are_never_a_guess(names: list[str], asked: list[str]) -> None:
    ids = [f"ACH-{i:06d}" for i in range(len(names))]
    models = pd.DataFrame({"model_id": ids, "cell_line_name": names})
    for column in ("stripped_name", "ccle_name", "cosmic_id", "sanger_model_id"):
        models[column] = pd.Series([None] * len(names), dtype="string")
    aliases = build_aliases({"depmap_models": models}, NONE)
    for name in asked:
        row = aliases.resolve([name]).loc[name]
        exact = {i for i, n in zip(ids, names, strict=True) if n.strip() == name}
        keyed = {i for i, n in zip(ids, names, strict=True) if name_key(n) == name_key(name) != ""}
        candidates = exact or keyed
        if len(candidates) == 1:
            assert row.model_id == candidates.pop()
        else:
            assert pd.isna(row.model_id)
            assert all(i in row.reason for i in candidates)
    try:
        found = aliases.resolve(asked).model_id.dropna()
    except IdentityError:
        return
    assert found.is_unique


@given(
    n=st.integers(2, 12),
    links=st.lists(st.tuples(st.integers(0, 11), st.integers(0, 11)), max_size=12),
    order=st.randoms(),
)
@quick
def test_groups_are_the_connected_lines(n: int, links: list[tuple[int, int]], order: object) -> None:
    ids = [f"ACH-{i:06d}" for i in range(n)]
    links = [(a % n, b % n) for a, b in links]
    table = pd.DataFrame(
        {"model_id_a": [ids[a] for a, _ in links], "model_id_b": [ids[b] for _, b in links]}, dtype=str
    )
    shuffled = list(ids)
    order.shuffle(shuffled)  # type: ignore[attr-defined]
    group = assign_groups(pd.Index(shuffled), table)
    parts = [{i} for i in range(n)]
    for a, b in links:
        one, two = (next(p for p in parts if x in p) for x in (a, b))
        if one is not two:
            parts.remove(two)
            one |= two
    expected = {ids[i]: ids[min(part)] for part in parts for i in part}
    assert group.to_dict() == expected
    assert list(group.index) == shuffled
