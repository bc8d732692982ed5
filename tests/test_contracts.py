"""The architecture's promises, kept by tests: layers, configuration, signatures."""

import ast
import importlib
import inspect
import re
from collections import Counter
from functools import cache
from pathlib import Path

import pytest
import yaml

import paths_config
from evals.__main__ import COMMANDS
from utils.records.settings import FILE_KEYS, SEARCH_KEYS, TERM_KEYS

ROOT = paths_config.ROOT
# the table of rooms in CONTRIBUTING.md: a module imports from rooms of its own row or of those above it
ROOMS = re.findall(r"^\| (`(?:utils|evals|paths_config).*?) \|", (ROOT / "CONTRIBUTING.md").read_text(), re.MULTILINE)
LAYERS = [{path.removesuffix(".py").replace("/", ".") for path in re.findall(r"`(.+?)`", row)} for row in ROOMS]
METHODS = ("attacks", "regularizers", "epsilons", "prepares", "decides", "metrics", "models")
# third-party packages and the only modules that may import them
CONFINED = {
    "tinydb": r"utils\.run_store",
    "orjson": r"utils\.records\.(encoded|json_text)",
    "hydra": r"utils\.(build|cli|runs\.sweep|system\.devices|(words|command_line|launchers|search|plugins)\..*)|train"
    r"|evaluate|evals\.records\.reproduce",
    # of the causal models one module, for the trees that equations are compared with
    "sklearn": r"utils\.(metrics|datasets|models|prepares)\..*|utils\.estimator|utils\.scms\.scoring"
    r"|utils\.losses\.fair_metrics",
    "skops": r"utils\.models\.learner",
    "matplotlib": r"evals\.(plots\..*|pictures)",
    "pydantic": r"utils\.tables\.table_schema",
    "optuna": r"utils\.(search|poisoning)\..*",
    "mlflow": r"evals\.keeping\.tracking",
    "sqlalchemy": r"utils\.search\.study",
    "torch": r"utils\..*|train",
}
# what a yaml says beside the settings of its function, and settings that are given at the call
BESIDE = {"regularizer": set(TERM_KEYS), "attack": set(SEARCH_KEYS), "model": set(FILE_KEYS)}
LATE = {"dataset": {"seed"}, "scm": {"seed"}, "epsilon": {"radius"}, "regularizer": {"classes"}}
# a docstring says first what a thing is or does; these words only introduce that
INDIRECT = re.compile(r"(What|Whether|How|Where|Of|Which)\b")
# names of functions that say nothing to a stranger; functions are verbs
VAGUE = re.compile(
    r"_*(aligned|asked|asking|disarmed|explained|held|judged|known|narrowed|said|shipped|shown|told|typed)"
)
GROUPS = ("dataset", "scm", "model", "attack", "regularizer", "epsilon", "prepare", "decide", "trainer", "evaluation")


@cache
def sources() -> dict[str, Path]:
    paths = [ROOT / "train.py", ROOT / "evaluate.py", ROOT / "paths_config.py"]
    paths += [*(ROOT / "utils").rglob("*.py"), *(ROOT / "evals").rglob("*.py")]
    return {".".join(p.relative_to(ROOT).with_suffix("").parts): p for p in paths if p.name != "__init__.py"}


@cache
def imports(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return found


def room(module: str) -> str | None:
    """The folder or loose file of the table that a module is in."""
    homes = [n for names in LAYERS for n in names if module == n or module.startswith(n + ".")]
    return max(homes, key=len, default=None)


def layer(module: str) -> int | None:
    return next((i for i, names in enumerate(LAYERS) if room(module) in names), None)


def yamls() -> list[Path]:
    return [path for group in GROUPS for path in sorted((ROOT / "config" / group).glob("*.yaml"))]


def targets(node: object) -> list[dict]:
    if isinstance(node, dict):
        own = [node] if "_target_" in node else []
        return own + [found for value in node.values() for found in targets(value)]
    return [found for value in node for found in targets(value)] if isinstance(node, list) else []


def test_every_module_has_a_room():
    assert [name for name in sources() if layer(name) is None] == []


def test_every_file_that_the_contributors_page_names_is_there():
    text = (ROOT / "CONTRIBUTING.md").read_text()
    named = re.findall(r"`((?:utils|evals|config|tests|docs|\.ci)/[\w./-]+|[\w/]+\.py)`", text)
    added = re.compile(r".*/(test_)?(logit_pairing|brier|naive_bayes|disc)\.(py|yaml)")  # by who follows the page
    assert len(named) > 50
    assert [path for path in named if not added.fullmatch(path) and not (ROOT / path).exists()] == []


def test_every_room_of_the_table_is_there_and_told_once():
    told = [name for names in LAYERS for name in names]
    assert len(told) == len(set(told))
    assert [name for name in told if not any(room(module) == name for module in sources())] == []


def test_few_files_lie_outside_the_rooms():
    """Directly in utils what yamls and users name; in evals one file a command, as ``python -m evals`` lists them."""
    assert len([p for p in (ROOT / "utils").glob("*.py") if p.name != "__init__.py"]) <= 12
    files = {p.stem for p in (ROOT / "evals").glob("*.py")} - {"__init__", "__main__"}
    assert files == set(COMMANDS)


def test_no_room_needs_itself_by_way_of_others():
    needs = {room(name): set() for name in sources()}
    for name, path in sources().items():
        needs[room(name)] |= {room(m) for m in imports(path) if room(m)} - {room(name)}
    while free := [name for name, others in needs.items() if not others & set(needs)]:
        needs = {name: others for name, others in needs.items() if name not in free}
    assert needs == {}


def test_imports_point_down():
    upward = {
        (name, other)
        for name, path in sources().items()
        for other in imports(path)
        if layer(other) is not None and layer(other) > layer(name)
    }
    assert upward == set()


def test_methods_never_import_each_other():
    method = re.compile(rf"utils\.({'|'.join(METHODS)})\.\w+")
    foreign = {
        (name, other)
        for name, path in sources().items()
        for other in imports(path)
        if (own := method.fullmatch(name)) and (its := method.fullmatch(other)) and own[1] != its[1]
    }
    assert foreign == set()


def test_no_two_test_files_have_one_name():
    """pytest imports them by their names alone."""
    counts = Counter(path.name for path in (paths_config.ROOT / "tests").rglob("test_*.py"))
    assert {name for name, count in counts.items() if count > 1} == set()


@pytest.mark.parametrize("package", CONFINED)
def test_a_library_is_imported_only_where_it_belongs(package):
    users = {n for n, p in sources().items() if any(m.split(".")[0] == package for m in imports(p))}
    assert {name for name in users if not re.fullmatch(CONFINED[package], name)} == set()


@pytest.mark.parametrize("path", yamls(), ids=lambda p: f"{p.parent.name}/{p.stem}")
def test_every_target_exists_and_takes_the_settings_of_its_yaml(path):
    for node in targets(yaml.safe_load(path.read_text())):
        module, _, name = node["_target_"].rpartition(".")
        function = getattr(importlib.import_module(module), name)
        if not module.startswith("utils."):
            continue
        known = {n for n, p in inspect.signature(function).parameters.items() if p.kind is p.KEYWORD_ONLY}
        beside = BESIDE.get(path.parent.name, set())
        given = {key for key in node if not key.startswith("_") and key != "defaults"} - beside
        late = LATE.get(path.parent.name, set())
        assert given <= known
        assert known - given <= late, "a setting has one home, the yaml"


def test_no_keyword_setting_of_a_method_has_a_default():
    for name in sources():
        parts = name.split(".")
        if len(parts) == 3 and parts[1] in METHODS:
            module = importlib.import_module(name)
            for function in (f for f in vars(module).values() if inspect.isfunction(f) and f.__module__ == name):
                keyword = [p for p in inspect.signature(function).parameters.values() if p.kind is p.KEYWORD_ONLY]
                assert [p.name for p in keyword if p.default is not p.empty] == [], f"{name}.{function.__name__}"


@pytest.mark.parametrize("path", sorted((ROOT / "config" / "regularizer").glob("*.yaml")), ids=lambda p: p.stem)
def test_a_regularizer_says_its_weight_whether_it_is_a_loss_and_whether_it_perturbs(path):
    content = yaml.safe_load(path.read_text())
    assert list(content) == [path.stem]
    assert {"weight", "own_loss", "perturbs"} <= set(content[path.stem])


def definitions(path: Path) -> list[tuple[str, str | None]]:
    """Name and docstring of a module, its classes and its functions."""
    kinds = (ast.ClassDef, ast.FunctionDef)
    tree = ast.parse(path.read_text())
    found = [node for node in ast.walk(tree) if isinstance(node, kinds)]
    return [("", ast.get_docstring(tree)), *((node.name, ast.get_docstring(node)) for node in found)]


def test_docstrings_say_first_what_a_thing_is_and_names_of_functions_do_too():
    found = [(name, *of) for name, path in sources().items() for of in definitions(path)]
    assert [(name, text.splitlines()[0]) for name, _, text in found if text and INDIRECT.match(text)] == []
    assert [(name, own) for name, own, _ in found if VAGUE.fullmatch(own) and own != name.rpartition(".")[2]] == []


def test_every_method_has_a_test_of_its_own():
    methods = [
        n.split(".") for n in sources() if n.count(".") == 2 and n.split(".")[1] in (*METHODS, "scms", "datasets")
    ]
    shared = {("utils", "datasets", "synthetic"), ("utils", "scms", "from_data")}  # tested through their users
    missing = [
        ".".join(m)
        for m in methods
        if tuple(m) not in shared and not (ROOT / "tests" / m[0] / m[1] / f"test_{m[2]}.py").exists()
    ]
    assert missing == []


@pytest.mark.parametrize(
    ("package", "mended"), [("pillow", (13,)), ("filelock", (4, 2, 1)), ("orjson", (3, 11, 6)), ("pytest", (9, 0, 3))]
)
def test_no_version_with_a_published_advisory_is_admitted(package, mended):
    """CVE-2026-96639, CVE-2026-112934, CVE-2025-67221 and CVE-2025-71176 are mended in these."""
    lines = "\n".join((ROOT / name).read_text() for name in ("requirements.txt", "tests/requirements.txt"))
    (least,) = re.findall(rf"^{package}>=([\d.]+)", lines, re.MULTILINE)
    assert tuple(map(int, least.split("."))) >= mended


def test_the_project_speaks_of_itself_alone():
    words = re.compile(r"/work/|\.\./shared|\.library|\bsubagent|\bCEO\b")
    folders = ("", "config/**/", "docs/**/", "evals/", "tests/**/", "utils/**/")  # not what its use leaves behind
    found = [p for folder in folders for p in ROOT.glob(f"{folder}*")]
    own = [p for p in found if p.suffix in (".py", ".md", ".yaml", ".toml", ".txt")]
    guilty = [
        str(p.relative_to(ROOT)) for p in own if p != Path(__file__) and words.search(p.read_text(errors="ignore"))
    ]
    assert guilty == []
