"""What is filed of twins against what is true, by training and reading of discrete columns. Run by hand, half an hour:

    python -m tests.benchmarks.bench_twins [--rows 20000] [--readings anm threshold posterior]

People are drawn, with their counterfactuals, from an SCM that is written in NumPy (``tests.truths.MIXED``): a job of
three, a membership, a number of children and an income follow from sex and age, in part at random. Each training sees
their table and the graph alone. ``filed`` is its uai_cf; ``true`` the share of all people whom the stored model decides
otherwise at the other sex, by the noise that they really have. The last table is the cost of the draws: CPU-s of one
evaluation of the same model under each reading.
"""

import argparse
import os
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd

import paths_config
from tests.truths import MIXED, draw

JOBS = np.array(["cook", "smith", "nurse"])
SCHEMA = """\
file: {path: people.csv}
columns:
  sex: {type: binary, levels: [woman, man]}
  age: {type: continuous}
  job: {type: categorical, levels: [cook, smith, nurse]}
  member: {type: binary, levels: ["no", "yes"]}
  kids: {type: count}
  income: {type: continuous}
  hired: {type: binary, levels: ["no", "yes"]}
sensitive: [sex]
label: {column: hired, favourable: "yes"}
graph: {job: [sex, age], member: [sex, job], kids: [member, age, sex], income: [job, member, age, kids]}
"""
TWINS = ("regularizer=causal_adv", "regularizer.causal_adv.linearity=0", "regularizer.causal_adv.gradient=0")
TRAININGS = {
    "erm": ("regularizer=erm",),
    "causal_al": ("regularizer=causal_al",),
    "worst twin, weight 2": TWINS,
    "worst twin, weight 10": (*TWINS, "regularizer.causal_adv.twins=10"),
}


def in_words(people: dict[str, np.ndarray]) -> pd.DataFrame:
    """The table of people as its owner would have it."""
    job = np.stack([people[f"job={i}"] for i in range(3)], 1).argmax(1)
    return pd.DataFrame(
        {
            "sex": np.where(people["sex"] == 1, "man", "woman"),
            "age": 40 + people["age"].round(4),
            "job": JOBS[job],
            "member": np.where(people["member"] == 1, "yes", "no"),
            "kids": people["kids"].astype(int),
            "income": people["income"].round(4),
        }
    )


def make(folder: Path, rows: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Writes the table and its schema; returns the people, and what they would be at the other sex."""
    people, (women, men) = draw(MIXED, rows, 0)
    x = in_words(people)
    other = in_words(women).where(x["sex"] == "man", in_words(men))
    score = 0.8 * (x["income"] - 3) + 1.2 * (x["member"] == "yes") - 0.3 * (x["kids"] - 1) + 0.5 * (x["job"] == "nurse")
    hired = np.random.default_rng(1).random(rows) < 1 / (1 + np.exp(-score))
    x.assign(hired=np.where(hired, "yes", "no")).to_csv(folder / "people.csv", index=False)
    (folder / "people.yaml").write_text(SCHEMA)
    return x, other


def run(folder: Path, script: str, *words: str) -> float:
    """One command in the folder; returns its CPU-s."""
    places = {"TRILEMMA_EVALS": str(folder / "evals"), "TRILEMMA_WEIGHTS": str(folder / "weights")}
    command = [sys.executable, str(paths_config.ROOT / script), *words]
    before = os.times()
    answer = subprocess.run(command, cwd=folder, env=os.environ | places, capture_output=True, text=True, check=False)
    assert answer.returncode == 0, answer.stderr
    after = os.times()
    return after.children_user + after.children_system - before.children_user - before.children_system


def main() -> None:
    """Prints the figures as Markdown."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=20_000)
    parser.add_argument("--readings", nargs="+", default=["anm", "threshold", "posterior"])
    asked = parser.parse_args()
    with TemporaryDirectory() as name:
        folder = Path(name)
        people, others = make(folder, asked.rows)
        jobs = [(words, reading) for reading in asked.readings for words in TRAININGS]
        for number, (words, reading) in enumerate(jobs, 1):
            run(folder, "train.py", "dataset=people.yaml", "scm=linear", f"scm.discrete={reading}", *TRAININGS[words])
            print(f"{number}/{len(jobs)} {words}, {reading}", file=sys.stderr)
        os.environ |= {"TRILEMMA_EVALS": str(folder / "evals"), "TRILEMMA_WEIGHTS": str(folder / "weights")}
        from utils.model_zoo import predictor
        from utils.run_store import RunStore

        store = RunStore(paths_config.database("people"))
        print("| training | discrete | accuracy | filed uai_cf | [95 %] | true |")
        print("|---|---|---|---|---|---|")
        for number, (words, reading) in enumerate(jobs, 1):
            found, model = store.get(number)["metrics"], predictor(number, "people")
            true = float(np.mean(model.predict(people) != model.predict(others)))
            interval = f"[{found['uai_cf_low']:.3f}, {found['uai_cf_high']:.3f}]"
            print(
                f"| {words} | {reading} | {found['accuracy']:.3f} | {found['uai_cf']:.3f} | {interval} | {true:.3f} |"
            )
        print("\n| discrete | CPU-s of an evaluation |")
        print("|---|---|")
        for reading in asked.readings:
            spent = run(folder, "evaluate.py", "dataset=people", "id=1", f"scm.discrete={reading}", f"name={reading}")
            print(f"| {reading} | {spent:.1f} |")


if __name__ == "__main__":
    started = time.time()
    main()
    print(f"\n{time.time() - started:.0f} s", file=sys.stderr)
