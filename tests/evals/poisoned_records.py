"""Records of poisoned runs, made by hand in the form that a training files them in."""

from tests.evals.records.test_query import record


def poisoned(doc_id, model="random_forest", seed=0, *, gap, accuracy=((0.68, 0.67), (0.66, 0.66)), **changes):
    """A run whose ``gap`` and ``accuracy`` are ((valid before, after), (test before, after))."""
    metric, objective = changes.pop("metric", "fpr_gap"), changes.pop("objective", "fair")
    steps, budget = changes.pop("steps", [[0, gap[0][0]], [13, gap[0][1]]]), changes.pop("budget", 50)
    metrics = {}
    for key, ((valid_before, valid_after), (before, after)) in {"accuracy": accuracy, metric: gap}.items():
        metrics |= {key: after, f"{key}_low": after - 0.02, f"{key}_high": after + 0.02, f"{key}_unpoisoned": before}
        metrics |= {f"{key}_valid": valid_after, f"{key}_valid_unpoisoned": valid_before}
    if objective == "unfair":
        metrics |= {f"{metric}_under_poisoning": gap[1][1], f"{metric}_poisoning_harm": gap[1][1] - gap[1][0]}
    search = {
        "_target_": "utils.attacks.bo_poison.bo_poison",
        **{"budget": budget, "metric": metric, "objective": objective, "workers": doc_id},
    }
    params = {
        "choices": {"regularizer": "erm", "model": model, "scm": "none", "attack": "bo_poison", "dataset": "compas"},
        "regularizer": {"erm": {"weight": 1.0}},
        "attack": {"name": "square_columns", "evasion": {}, "poison": search},
        "seed": seed,
    }
    valid = {metric: gap[0], "accuracy": accuracy[0]}
    poison = {
        "claimed": {state: {key: of[i] for key, of in valid.items()} for i, state in enumerate(("before", "after"))},
        **{"rows": 30 + doc_id, "distinct": 5, "labels": {"0": 30, "1": doc_id}, "groups": {"a": 30, "b": doc_id}},
        "csv": {"path": f"compas/run{doc_id}.csv", "sha256": "0"},
        "trace": {"path": f"compas/run{doc_id}.jsonl", "sha256": "0"},
        **{"steps": steps, "metric": metric, "objective": objective, "budget": budget, "evaluations": budget},
        **{"failed": 0, "accepted": len(steps) - 1, "seconds": {"optimiser": 25.0, "learner": 50.0}},
    }
    found = {"name": f"compas_{model}_erm", "dataset": "compas", "params": params, "metrics": metrics}
    found |= {"group_id": f"{model}-{metric}-{objective}-{budget}", "seed": seed, "poison": poison}
    found |= {"preprocessing": {"groups": ["Caucasian", "African-American"]}}
    return record(doc_id, **found) | changes
