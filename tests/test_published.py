"""The published comparison, cell by cell where it is comparable. Slow: minutes.

Source: Ehyaei et al. 2024 (arXiv 2308.08938), means and standard deviations over 97 seeds (docs/published).
Comparable are the accuracy and MCC of erm, llr and ross everywhere, and on adult and compas also the unfair areas of
erm and capify; docs/published_results.md says why the others are not.
"""

import os
import subprocess
import sys

import pytest

import paths_config
from evals import table
from evals.records import query

SEEDS = "0,1,2"


def deviations(tmp_path, monkeypatch, datasets: str, regularizers: str, metrics: list[str]) -> dict[str, float]:
    """Our means less the published ones, in published standard deviations."""
    folders = {"TRILEMMA_EVALS": str(tmp_path / "evals"), "TRILEMMA_WEIGHTS": str(tmp_path / "weights")}
    command = [sys.executable, str(paths_config.ROOT / "train.py"), "+experiment=capify_small", "-m"]
    words = [f"dataset={datasets}", f"regularizer={regularizers}", f"seed={SEEDS}"]
    done = subprocess.run([*command, *words], cwd=tmp_path, env=os.environ | folders, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    monkeypatch.setenv("TRILEMMA_EVALS", folders["TRILEMMA_EVALS"])
    figures, source = table.read_published("capify")
    built = table.build(table.records("capify_small", None), metrics, figures, source)
    return {
        f"{' '.join(row)} {key}": cell.deviation
        for row, cells in built.rows.items()
        for key, cell in zip(metrics, cells, strict=True)
        if cell.n and row[1] in regularizers.split(",")
    }


@pytest.mark.slow
def test_generated_sets_are_within_two_published_standard_deviations(tmp_path, monkeypatch):
    found = deviations(tmp_path, monkeypatch, "lin,nlm,imf,loan", "erm,llr,ross", ["accuracy", "mcc"])
    assert len(found) == 24
    assert {cell: d for cell, d in found.items() if abs(d) > 2} == {}


@pytest.mark.slow
def test_compas_is_within_two_published_standard_deviations(tmp_path, monkeypatch):
    if not (paths_config.data() / "compas").is_dir():
        pytest.skip("needs compas/compas-scores-two-years.csv under TRILEMMA_DATA")
    keys = ["accuracy", "mcc", "uai_0.05", "uai_cf"]
    found = deviations(tmp_path, monkeypatch, "compas", "erm,capify", keys)
    assert len(found) == 8
    assert {cell: d for cell, d in found.items() if abs(d) > 2} == {}


def test_the_published_table_covers_the_six_sets():
    figures, _ = table.read_published("capify")
    assert set(figures["dataset"]) == {"lin", "nlm", "imf", "loan", "adult", "compas"}


@pytest.mark.slow
def test_dafa_gives_the_worst_class_what_costs_the_average_little(tmp_path, monkeypatch):
    """Lee et al. 2024: the worst class gains several points of robust accuracy, the average loses about one.

    On 2,000 images of Fashion-MNIST, three seeds: .08 or more, for less than .03.
    """
    if not (paths_config.data() / "fashion-mnist").is_dir():
        pytest.skip("needs fashion-mnist/*.gz under TRILEMMA_DATA")
    folders = {"TRILEMMA_EVALS": str(tmp_path / "evals"), "TRILEMMA_WEIGHTS": str(tmp_path / "weights")}
    command = [sys.executable, str(paths_config.ROOT / "train.py"), "+experiment=dafa_fashion", "-m"]
    words = ["hydra/launcher=batched", "regularizer=[trades],[trades,dafa]"]
    done = subprocess.run([*command, *words], cwd=tmp_path, env=os.environ | folders, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    monkeypatch.setenv("TRILEMMA_EVALS", folders["TRILEMMA_EVALS"])
    frame = query.frame(query.read("fashion_mnist"))
    means = frame.groupby("regularizer")[["robust_accuracy", "robust_accuracy_worst_class"]].mean()
    gain = means.loc["trades+dafa"] - means.loc["trades"]
    assert gain["robust_accuracy_worst_class"] >= 0.08
    assert gain["robust_accuracy"] > -0.03
