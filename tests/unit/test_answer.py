"""The README's answer is written from finished runs, and refuses words that the numbers do not bear."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pandas as pd
import pytest

from crossres_ml.errors import ConfigError
from crossres_ml.report.answer import BEGIN, END, answer, found
from crossres_ml.report.summary import Summary

ROOT = Path(__file__).parents[2]
SUMMARY = Summary.model_validate_json((ROOT / "docs" / "results.json").read_text(encoding="utf-8"))


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    scan, atlas = tmp_path / "scan", tmp_path / "atlas"
    scan.mkdir()
    atlas.mkdir()
    row = {
        "label": "resistant to both",
        "level": 0.05,
        "seen": 7,
        "signals": 4,
        "expected": 0.3,
        "seen_bh": 0,
    }
    other = row | {"list": "radiation_only", "label": "radiation only", "expected": None}
    pd.DataFrame([row | {"list": "both_resistant", "kept_full": 5}, other | {"kept_full": 0}]).to_csv(
        scan / "lists.csv"
    )
    signal = {
        "list": "both_resistant",
        "label": "9p (arm)",
        "events": 3,
        "radiation": 0.2,
        "chemotherapy": 0.1,
    }
    pd.DataFrame([signal | {"list_p": 1e-4, "list_rate": 0.01}]).to_csv(scan / "signals.csv")
    (scan / "scan.json").write_text(json.dumps({"lines": 321}))
    pd.DataFrame({"n": [1, 2, 3]}).to_parquet(scan / "scan.parquet")
    about = {
        "genotoxic_test": {"effect": 0.1, "low": 0.05, "high": 0.15},
        "general_factor": {"pearson": 0.3, "low": 0.2, "high": 0.4, "n": 456},
    }
    (atlas / "atlas.json").write_text(json.dumps(about))
    return scan, atlas


def test_every_sentence_has_the_numbers_of_the_runs(folders: tuple[Path, Path]) -> None:
    text = answer(SUMMARY, *folders)
    assert text.startswith(BEGIN)
    assert text.endswith(END)
    assert len(re.findall(r"^\d\. ", text, re.MULTILINE)) == 5
    for told in ("of 3 events in 321 lines", "permutations 7 events", "4 independent",
                 "9p (arm) (+0.20, +0.10)",
                 "456 lines", "r = 0.30 (0.20 to 0.40)", "+0.10 (0.05 to 0.15)"):  # fmt: skip
        assert told in text
    own = SUMMARY.tasks["cross"].models[SUMMARY.tasks["cross"].champion]["cell_line_out"]["spearman"]
    assert f"{own.value:.2f} ({own.low:.2f} to {own.high:.2f}) for both" in text
    table = found(folders[0])
    assert "| resistant to both | 7 | 4 | 0.3 | 0 | 5 |" in table
    assert "| radiation only | 7 | 4 | - | 0 | 0 |" in table
    assert "| resistant to both | 9p (arm) | 3 | +0.20 | +0.10 | 1.0e-04 | 0.010 |" in table


def test_words_that_the_numbers_do_not_bear_are_refused(folders: tuple[Path, Path]) -> None:
    scan, atlas = folders
    table = pd.read_csv(scan / "lists.csv").assign(seen_bh=2)
    table.to_csv(scan / "lists.csv")
    with pytest.raises(ConfigError, match="2 events of both pass Benjamini and Hochberg"):
        answer(SUMMARY, scan, atlas)


def test_the_readme_holds_the_answer_of_the_published_run() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    block = text.split(BEGIN)[1].split(END)[0]
    own = SUMMARY.tasks["cross"].models[SUMMARY.tasks["cross"].champion]["cell_line_out"]["spearman"]
    assert f"Spearman {own.value:.2f} ({own.low:.2f} to {own.high:.2f}) for both" in block
    for target in re.findall(r"\(docs/(\w+\.md)#([\w-]+)\)", block):
        headings = re.findall(
            r"^#+ (.+)$", (ROOT / "docs" / target[0]).read_text(encoding="utf-8"), re.MULTILINE
        )
        assert target[1] in [h.lower().replace(" ", "-") for h in headings]
