"""What every method promises, as checks: a test applies them to every option, and a faulty method must fail them."""

import ast
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import torch

from utils import seeding
from utils.adversary.worst_case import threat_of, within_budget
from utils.build import bind
from utils.command_line.targets import require_trusted
from utils.metrics.directions import bounds, describe, meaning
from utils.records.plain import to_plain
from utils.runs.judging import evaluate, evaluate_many
from utils.threats import CausalThreat, everywhere
from utils.types import Batch, Context
from utils.views.stack import Stack, stack_batches, stack_contexts

# a call that fails by itself: of pytest, numpy, torch, and our own check of an attack
CLAIM = re.compile(r"(^|\.)(raises|warns|assert_\w+|within_budget|check_budget)$")
ROOMS = ("attacks", "regularizers", "epsilons", "prepares", "decides", "metrics", "models", "scms", "datasets")


def own(ctx: Context, seed: int) -> Context:
    """The context of one model, its stream from the start; of images it belongs to the rows."""
    if isinstance(ctx.generator, seeding.Rows):
        return replace(ctx, seed=seed)
    return replace(ctx, seed=seed, generator=seeding.generator(seed, "attack"))


# --- behaviour -------------------------------------------------------------------------------------------------


def check_term(term, models, batch: Batch, ctx: Context, *, stacks: bool) -> None:
    """One loss for each row or for all, finite, with a way back to the model; of a stack what it is of each."""
    losses = [term(model, batch, own(ctx, seed)) for seed, model in enumerate(models)]
    for loss in losses:
        assert loss.shape in ((len(batch.y),), ()), f"a loss of shape {tuple(loss.shape)}"
        assert loss.isfinite().all(), "a loss that is not finite"
        assert loss.requires_grad, "a loss that no training lowers"
    if stacks:
        together = stack_contexts([own(ctx, seed) for seed in range(len(models))])
        of_stack = term(Stack(models), stack_batches([batch] * len(models)), together)
        torch.testing.assert_close(of_stack.detach(), torch.stack(losses).detach(), rtol=1e-3, atol=1e-5)


def check_attack(attack, predict, batch: Batch, ctx: Context) -> None:
    """x' within the budget of the threat that it names and within the schema; x itself, or a twin, at radius 0."""
    threats = [threat_of(part) for part in attack.keywords.get("attacks", {"it": attack}).values()]
    assert None not in threats, "it names no threat, so that nobody can check its budget"
    moved = within_budget(attack, predict, batch, ctx)
    assert moved.shape == batch.x.shape
    assert moved.isfinite().all()
    assert not moved.requires_grad
    still = replace(ctx, epsilon=everywhere(0.0))
    if isinstance(threats[0](ctx), CausalThreat):  # which reaches twins whatever the radius
        within_budget(attack, predict, batch, still)
        return
    fixed = [i for i, column in enumerate(ctx.columns) if column.sensitive]
    assert torch.equal(moved[..., fixed], batch.x[..., fixed]), "a sensitive column moved"
    assert ctx.columns or (moved.min() >= 0 and moved.max() <= 1), "a pixel left [0, 1]"
    torch.testing.assert_close(within_budget(attack, predict, batch, still), batch.x, rtol=0, atol=1e-5)


def check_epsilon(epsilon, batch: Batch, ctx: Context) -> None:
    """A radius for every row, finite and not negative, all through the training."""
    for progress in (0.0, 0.5, 1.0):
        radius = epsilon(batch, replace(ctx, progress=progress))
        assert radius.shape == batch.y.shape, f"radii of shape {tuple(radius.shape)}"
        assert radius.isfinite().all()
        assert (radius >= 0).all()


def check_prepare(prepare, rows: Batch, groups: Sequence[str]) -> None:
    """Rows of the training data, none made up; weights and labels may change, and equal streams choose equally."""
    before = Batch(*(column.clone() for column in rows))
    made, again = (prepare(rows, groups, np.random.default_rng(0)) for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(made, again, strict=True)), "chooses otherwise from the same stream"
    assert all(torch.equal(a, b) for a, b in zip(rows, before, strict=True)), "changes what it was given"
    place = {number: i for i, number in enumerate(rows.index.tolist())}
    own = torch.tensor([place[number] for number in made.index.tolist()], dtype=torch.long)
    for name in ("x", "s"):
        assert torch.equal(getattr(made, name), getattr(rows, name)[own]), f"{name} changed"
    assert set(made.y.tolist()) <= set(rows.y.tolist())
    assert made.w.shape == made.y.shape
    assert made.w.isfinite().all()
    assert (made.w >= 0).all()
    assert made.w.sum() > 0


def check_decide(decide, logits: torch.Tensor, s: torch.Tensor) -> None:
    """Its record, as JSON, makes it again: the same labels, whose sign is that of the margin."""
    record = json.loads(json.dumps(to_plain(decide.to_record()), allow_nan=False))
    require_trusted(record, "utils.decides")
    again, labels = bind(record, "decide"), decide(logits, s)
    assert torch.equal(again(logits, s), labels), "another decision than that of its record"
    assert set(labels.unique().tolist()) <= set(range(max(2, logits.shape[-1])))
    if logits.shape[-1] == 1 and decide.monotone:
        assert torch.equal((again.margin(logits, s) >= 0).long(), labels)


def check_metric(metric, models, batch: Batch, ctx: Context, *, stacks: bool) -> None:
    """Finite figures, or None, whose keys its file states in words; of a stack those of each model."""
    alone = [evaluate(model, batch, own(ctx, seed), {"it": metric}) for seed, model in enumerate(models)]
    for key, value in alone[0].items():
        assert meaning(key) is not None, f"{key} is stated in no KEYS"
        assert "_" not in describe(key), f"{key} has no words: {describe(key)}"
        assert value is None or abs(value) < float("inf"), f"{key} is {value}"
        least, most = bounds(key)
        assert value is None or least <= value <= most, f"{key} is {value}, beyond its range, {least} to {most}"
        low, high = (alone[0].get(f"{key}_{end}") for end in ("low", "high"))
        assert None in (low, high) or low <= high, f"{key}: an interval from {low} to {high}"
    if not stacks:
        return
    together = stack_contexts([own(ctx, seed) for seed in range(len(models))])
    of_stack = evaluate_many(
        Stack(models), stack_batches([batch] * len(models)), together, [{"it": metric}] * len(models)
    )
    assert [set(found) for found in of_stack] == [set(found) for found in alone]
    for found, expected in zip(of_stack, alone, strict=True):
        worst = max((abs(found[key] - expected[key]) for key in found if expected[key] is not None), default=0.0)
        assert worst <= 2.5 / len(batch.y), f"figures of a stack are off by {worst}"


def check_answers(loaded, trained, x: torch.Tensor) -> None:
    """Two models give the same answers to the bit, finite ones."""
    with torch.no_grad():
        answers, expected = loaded(x), trained(x)
    assert expected.isfinite().all()
    assert torch.equal(answers, expected), "another model came back"


def check_scm(scm, x: torch.Tensor) -> None:
    """Noise and features, model space and own units are one; an intervention sets its column and nothing above it."""
    v = scm.own(x)
    torch.testing.assert_close(scm.model(v), x, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(scm.to_features(scm.to_noise(v)), v, rtol=1e-3, atol=1e-3)
    column, level = scm.sensitive[0], scm.levels[0, 0]
    done = scm.to_features(scm.to_noise(v), {column: level})
    assert torch.equal(done[..., column], level.expand(len(x)))
    assert done.isfinite().all()


def check_dataset(data) -> None:
    """Splits apart, classes and groups in range, standardised columns as the schema says."""
    index = torch.cat([split.index for split in (data.train, data.valid, data.test)])
    assert len(index.unique()) == len(index), "a row in two splits"
    for split in (data.train, data.valid, data.test):
        n = len(split.y)
        assert [len(column) for column in split] == [n] * 5
        assert set(split.y.tolist()) <= set(range(data.classes))
        assert set(split.s.tolist()) <= set(range(len(data.groups)))
        assert split.w.isfinite().all()
        assert (split.w >= 0).all()
        assert split.x.shape[1:] == (data.shape or (len(data.columns),))
        assert data.shape or split.x.isfinite().all()
    assert len(set(data.groups)) == len(data.groups)
    assert data.fingerprint
    for i, column in enumerate(data.columns):
        x = data.train.x[:, i].double()
        if column.kind == "continuous":
            assert abs(x.mean()) < 1e-3, column.name
            assert abs(x.std() - 1) < 0.01 or x.std() == 0, column.name
        else:
            assert set(x.unique().tolist()) <= set(map(float, column.levels)), column.name


# --- files -----------------------------------------------------------------------------------------------------


def methods(root: Path) -> dict[str, Path]:
    """By ``utils.<room>.<name>``, the files that define a function or class of their own name."""
    every = {f"utils.{room}.{p.stem}": p for room in ROOMS for p in sorted((root / "utils" / room).glob("*.py"))}
    return {module: path for module, path in every.items() if _named_as_its_file(path)}


def _named_as_its_file(path: Path) -> ast.FunctionDef | ast.ClassDef | None:
    kinds = (ast.FunctionDef, ast.ClassDef)
    own = [node for node in _tree(path).body if isinstance(node, kinds)]
    return next((node for node in own if node.name.replace("_", "").lower() == path.stem.replace("_", "")), None)


def targeted(root: Path) -> dict[str, str]:
    """Every ``_target_`` of our own in a yaml, with the file that names it."""
    found = {}
    for path in sorted((root / "config").rglob("*.yaml")):
        for target in re.findall(r"_target_: (utils\.[\w.]+)", path.read_text()):
            found[target] = str(path.relative_to(root))
    return found


def without_option(root: Path) -> list[str]:
    """Files of the rooms that no yaml names: methods of (predict, batch, ctx), and what nothing else imports either."""
    named = {target.rpartition(".")[0] for target in targeted(root)}
    used = {module for path in [*root.glob("*.py"), *root.glob("utils/**/*.py"), *root.glob("evals/**/*.py")]
            for module in _imported(path)}  # fmt: skip
    lost = []
    for room in ROOMS:
        for path in sorted((root / "utils" / room).glob("*.py")):
            module, own = f"utils.{room}.{path.stem}", _named_as_its_file(path)
            method = isinstance(own, ast.FunctionDef) and [a.arg for a in own.args.args] == ["predict", "batch", "ctx"]
            if path.stem != "__init__" and module not in named and (method or module not in used):
                lost.append(module)
    return lost


def without_function(root: Path) -> list[str]:
    """Yamls that name a function or class which is not there."""
    lost = []
    for target, path in targeted(root).items():
        module, _, name = target.rpartition(".")
        file = root / Path(*module.split(".")).with_suffix(".py")
        body = _tree(file).body if file.is_file() else []
        if name not in [node.name for node in body if isinstance(node, ast.FunctionDef | ast.ClassDef)]:
            lost.append(f"{path}: {target}")
    return lost


def untested(root: Path) -> list[str]:
    """Methods whose test is missing, does not speak of them, or has a test function that claims nothing."""
    lost = []
    for module in methods(root):
        name = module.rpartition(".")[2]
        path = root / "tests" / Path(*module.split(".")[:-1]) / f"test_{name}.py"
        if not path.is_file():
            lost.append(f"{module} has no {path.relative_to(root)}")
        elif not re.search(rf"\b{name}\b", path.read_text()):
            lost.append(f"{path.relative_to(root)} does not speak of {name}")
        else:
            lost += [f"{path.relative_to(root)}: {test} claims nothing" for test in claiming_nothing(path, root)]
    return lost


def claiming_nothing(path: Path, root: Path) -> list[str]:
    """The test functions of a file without a claim, their own or of a helper that they call; the file without tests."""
    own = {node.name: node for node in _functions(_tree(path))}
    functions = {node.name: node for file in _helpers(path, root) for node in _functions(_tree(file))} | own
    tests = [name for name in own if name.startswith("test_")]
    return [name for name in tests if not _claims(name, functions, set())] if tests else ["the file"]


def _helpers(path: Path, root: Path) -> list[Path]:
    """Files below tests/ that a test file takes functions from, conftest.py of its folders among them."""
    files = [root / Path(*name.split(".")).with_suffix(".py") for name in _imported(path) if name.startswith("tests.")]
    files += [folder / "conftest.py" for folder in path.parents if folder.is_relative_to(root / "tests")]
    return [file for file in files if file.is_file()]


def _claims(name: str, functions: Mapping[str, ast.FunctionDef], seen: set[str]) -> bool:
    """Whether a function can fail by a claim, or calls one of these functions that can."""
    if name in seen or name not in functions:
        return False
    nodes = list(ast.walk(functions[name]))
    if any(isinstance(node, ast.Assert) and _says_something(node.test) for node in nodes):
        return True
    called = [ast.unparse(node.func) for node in nodes if isinstance(node, ast.Call)]
    return any(CLAIM.search(call) or _claims(call, functions, seen | {name}) for call in called)


def _says_something(test: ast.expr) -> bool:
    return any(isinstance(node, ast.Name | ast.Call | ast.Attribute) for node in ast.walk(test))


def _functions(tree: ast.Module) -> list[ast.FunctionDef]:
    return [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]


def _imported(path: Path) -> set[str]:
    found = set(re.findall(r"^ *(?:from|import) ([\w.]+)", path.read_text(), re.MULTILINE))
    for module, names in re.findall(r"^ *from ([\w.]+) import (\([^)]*\)|[^\n]*)", path.read_text(), re.MULTILINE):
        found |= {f"{module}.{name}" for name in re.findall(r"\w+", names)}
    return found


def _tree(path: Path) -> ast.Module:
    return _parsed(path.read_text())


@cache
def _parsed(text: str) -> ast.Module:
    return ast.parse(text)


def options(root: Path, group: str) -> list[str]:
    """The names of the options of a config group."""
    return sorted(path.stem for path in (root / "config" / group).glob("*.yaml"))
