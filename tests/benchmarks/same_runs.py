"""A fixed set of runs in this checkout and another, compared to the bit. Run by hand, several minutes a checkout:

    python -m tests.benchmarks.same_runs OTHER_CHECKOUT [--only WORD ...]

Where only the engine changes, weights, thresholds and every figure are to stay as they were; each that does not is
shown with both values. The exit code is 1 where any differs. Sets of which the data are not there (``TRILEMMA_DATA``)
are left out, and named.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import paths_config
from tests.commands import environment, for_tables, line

TERMS = ",".join(for_tables("regularizer"))
QUICK = ("evaluation.metrics.unfair_area.samples=100", "evaluation.metrics.unfair_area.n=200")
FEW = ("trainer.epochs=2", *QUICK)
ONE_BY_ONE = ("-m", "hydra/launcher=basic")
STACKED = ("-m", "hydra/launcher=batched")
SETS: dict[str, tuple[str, ...]] = {  # words of train.py
    "default": (),
    "terms": (*ONE_BY_ONE, f"regularizer={TERMS}", *FEW),
    "stack": (*STACKED, "regularizer=erm,causal_adv,certified", "seed=0,1", "trainer.lr=0.001,0.003", *FEW),
    "drawn": (*STACKED, "dataset=lin", "regularizer=causal_adv,sensr_causal", "seed=0,1", "epsilon=0.05,0.2", *FEW),
    "published": (*ONE_BY_ONE, "dataset=compas", "scm.sampling=published", "regularizer=causal_adv", *FEW),
    "posterior": (*STACKED, "dataset=compas", "scm=learned", "regularizer=erm,causal_adv", "seed=0,1", *FEW),
    "adult": ("dataset=adult", "scm.discrete=anm", "regularizer=causal_adv", "trainer.epochs=1", *QUICK),
    "decides": (*ONE_BY_ONE, "decide=group_exact,group_grid,group_randomized,fixed", *FEW),
    "prepares": (*ONE_BY_ONE, "prepare=reweigh,massage,resample", *FEW),
    "attacks": (
        *ONE_BY_ONE,
        "attack=pgd,fgsm,causal_pgd,causal_random,square_columns",
        "regularizer=adversarial",
        *FEW,
    ),
    "proofs": ("evaluation=certified", "regularizer=causal_adv", *FEW),
    "wide": ("model.hidden=[32,32,32]", "trainer.optimizer._target_=torch.optim.SGD", *FEW),
    "learners": (
        *ONE_BY_ONE,
        "evaluation=black_box",
        "model=random_forest,gradient_boosting,logistic_sklearn,hist_gradient_boosting",
        *QUICK,
    ),
    "images": (*ONE_BY_ONE, "dataset=digits", "regularizer=erm,trades,pgd_at,mart,[trades,dafa]", "trainer.epochs=2"),
    "poison": (
        *ONE_BY_ONE,
        "dataset=compas_two_years",
        "model=logistic_sklearn",
        "attack=bo_poison,cell_poison",
        "evaluation=black_box",
        "attack.poison.budget=12",
    ),
}
NEEDS = {"compas": "compas", "adult": "adult", "compas_two_years": "compas"}  # data set: folder of its files
Filed = dict[tuple[str, str], dict[str, Any]]  # by name and id, which later settings leave as it is


def carry_out(checkout: Path, words: tuple[str, ...]) -> Filed:
    """What a checkout files for some words: the figures of each run."""
    with tempfile.TemporaryDirectory() as folder:
        own = {f"TRILEMMA_{name}": str(Path(folder) / name.lower()) for name in ("EVALS", "WEIGHTS")}
        command = line("train", *words, "device=cpu", checkout=checkout)
        environ = environment() | own | {"PYTHONPATH": str(checkout)}
        done = subprocess.run(command, env=environ, cwd=folder, check=False, capture_output=True, text=True)
        stores = sorted(Path(folder, "evals").glob("*.json"))
        if not stores:
            sys.exit(f"{checkout}: {' '.join(words)} filed nothing:\n{done.stderr[-2000:]}")
        records = [record for path in stores for record in json.loads(path.read_text())["_default"].values()]
    return {(f"{r['name']}, seed {r['seed']}", r["run_id"]): figures(r) for r in records}


def figures(record: dict[str, Any]) -> dict[str, Any]:
    """Whatever of a record does not depend on the moment."""
    timed = {key for key in record["metrics"] if "seconds" in key}
    found = {key: value for key, value in record["metrics"].items() if key not in timed}
    weights = record.get("weights") or {}
    return found | {
        "weights": weights.get("sha256"),
        "decide": json.dumps(record.get("decide"), sort_keys=True),
        "status": record["status"],
        "run_id": record["run_id"],
        "operating_points": json.dumps(record.get("operating_points"), sort_keys=True),
    }


def differences(own: Filed, other: Filed) -> list[str]:
    """A line for every run that is missing or differs, with the figures that do."""
    found = []
    for key in sorted(own.keys() | other.keys()):
        one, two = own.get(key), other.get(key)
        if one is None or two is None:
            found.append(f"  {key[0]}: only in {'the other' if one is None else 'this'} checkout")
            continue
        differ = [k for k in sorted(one.keys() | two.keys()) if one.get(k) != two.get(k)]
        if differ:
            shown = ", ".join(f"{k} {short(two.get(k))} -> {short(one.get(k))}" for k in differ[:6])
            found.append(f"  {key[0]}: {len(differ)} differ: {shown}")
    return found


def short(value: Any) -> str:
    """A value in few characters."""
    text = repr(value)
    return text if len(text) <= 24 else text[:21] + "..."


def main() -> None:
    """Runs both checkouts on every set and prints what differs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("other", type=Path, help="a checkout to compare with, such as a git worktree of main")
    parser.add_argument("--only", nargs="*", choices=SETS, default=list(SETS), help="sets to run")
    given = parser.parse_args()
    failed = False
    for name in given.only:
        words = SETS[name]
        needed = {folder for dataset, folder in NEEDS.items() if f"dataset={dataset}" in words}
        if lacking := [folder for folder in needed if not (paths_config.data() / folder).exists()]:
            print(f"{name}: left out, there is no {lacking[0]} in {paths_config.data()}", flush=True)
            continue
        found = [carry_out(checkout.resolve(), words) for checkout in (paths_config.ROOT, given.other)]
        wrong = differences(*found)
        failed |= bool(wrong)
        print(f"{name}: {len(found[0])} runs, {'the same' if not wrong else f'{len(wrong)} not the same'}", flush=True)
        print("\n".join(wrong), end="\n" if wrong else "", flush=True)
    sys.exit(int(failed))


if __name__ == "__main__":
    main()
