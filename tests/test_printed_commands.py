"""What the program prints to be typed is typed: next steps, load lines, reproduce lines, remedies, help, README.

Every line is cut from the program's own output as a reader would, split by the shell's rules, and carried out here.
"""

import re
import shlex
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

import paths_config
from evals import look, scm
from evals.records import query
from tests.commands import SMALL, Answer, command, house
from tests.test_image_models import SMALL as FACES
from utils.command_line import completion
from utils.command_line.overrides import CONFIG, keys, normalise, options
from utils.runs import lifecycle
from utils.words import quoting
from utils.words.quoting import with_import

pytestmark = pytest.mark.e2e

WORD = r"(?:\"(?:\\.|[^\"\\])*\"|'[^']*'|[^\s`'\"])+"
LINE = re.compile(rf"python ((?:train|evaluate)\.py|-m evals\.\w+)((?: {WORD})*)")
LOAD = re.compile(r"(?:from utils\.model_zoo import \w+; model = )?(?:from_database|predictor)\([^\n]*?\)(?=\s|$)")
LOAN = ("dataset.rows=200", *SMALL)


def printed(text: str) -> list[str]:
    """The commands in a text, each up to where words of prose begin."""
    return list(dict.fromkeys(cut(found[1], found[2]) for found in LINE.finditer(text)))


def cut(program: str, rest: str) -> str:
    kept = []
    for word in re.findall(WORD, rest):
        plain = word.rstrip(".,;:") if word[-1] not in "'\"" else word
        if not ("=" in plain or plain[0] in "-+~" or (program == "-m evals.database" and not kept)):
            break
        kept.append(plain)
        if plain != word:
            break
    return " ".join(["python", program, *kept])


def carried_out(line: str, *further: str) -> Answer:
    """What a printed line answers."""
    _, program, *given = shlex.split(line)
    if program == "-m":
        program, *given = given
    if program == "evals.database":
        return database(given)
    return command(program.removesuffix(".py"), *given, *further)


def database(given: list[str]) -> Answer:
    from evals import database as upkeep

    return Answer(upkeep.main(given), "", "")


def loaded(line: str) -> Any:
    """What a printed line loads; a bare call, as beside other words, needs the import that others hold."""
    found: dict[str, object] = {}
    exec(line if line.startswith("from ") else with_import(line), found)
    return getattr(found["model"], "model", found["model"])


def write_table(path: Path, header: str) -> None:
    """A small table: a sensitive text, two numbers, a category, a label."""
    rows = [f"{'mf'[i % 2]},{20 + i % 37},{30 + i % 11},{'abc'[i % 3]},{int(i % 5 > 1)}" for i in range(80)]
    path.write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """What trainings of several kinds printed, by what is special about them; in the house where they ran."""
    with house(tmp_path_factory.mktemp("house")) as folder:
        write_table(folder / "a,b's.csv", 'séx,"age, years",in come,[job],hired=?')
        said = {"plain": command("train", *LOAN), "sweep": command("train", "-m", *LOAN, "seed=1,2")}
        own = [quoting.override("dataset.path", "a,b's.csv"), quoting.override("dataset.label", "hired=?")]
        own += [quoting.override("dataset.sensitive", "séx"), quoting.override("dataset.graph", {"in come": ["séx"]})]
        said["own"] = command("train", "dataset=csv", "dataset.name=007", "scm=linear", *own, *SMALL)
        said["images"] = command("train", *FACES)
        for what, answer in said.items():
            assert answer.code == 0, (what, answer)
        yield {what: answer.out for what, answer in said.items()}


@pytest.mark.parametrize("what", ["plain", "own", "images"])
def test_the_next_steps_after_a_training_work(trained, what):
    (load,), (plot,) = LOAD.findall(trained[what]), printed(trained[what])
    assert ("predictor(" in load) is (what == "own"), "whose rows are those of its file"
    assert not loaded(load).training
    answer = carried_out(plot)
    assert answer.code == 0, answer
    assert answer.out.strip().endswith(".png")


def test_a_plot_chooses_axes_that_the_records_have(trained):
    """Image records have no unfair area; the report's page has long chosen from what is there."""
    answer = command("evals.plot", "dataset=digits")
    assert (answer.code, "uai" in answer.out) == (0, False), answer
    assert command("evals.plot", "dataset=loan", "x=mcc").code == 0
    assert command("evals.plot", "dataset=loan", "y=accuracy").code == 0


def test_every_line_of_a_selection_and_its_card_works(trained):
    answer = command("evals.select", "dataset=loan", "maximize=accuracy", "card=card.md")
    assert answer.code == 0, answer
    card = Path("card.md").read_text()
    for line in printed(answer.out):
        assert f"    {line}\n" in f"{card}\n"
        done = carried_out(line)
        assert done.code == 0, (line, done)
    assert "finished before" in done.out, "the last one trains the same run again"
    for load in LOAD.findall(answer.out):
        assert not loaded(load).training


def test_the_load_line_of_a_weighted_choice_works(trained):
    answer = command("evals.plot", "dataset=loan", "kind=tangent", "x=accuracy", "y=fnr_gap", "weights=1,0.1")
    (load,) = LOAD.findall(answer.out)
    assert not loaded(load).training


@pytest.mark.parametrize("dataset", ["loan", "007", "digits"])
def test_the_command_on_the_page_trains_the_same_run_again(trained, dataset):
    """As the page puts it together: the line of the setting, what it says of a single run, the seed, a remark."""
    from evals.page import content

    (record,) = query.read(dataset)[:1]
    made = content._command(record)
    done = carried_out(f"{made['command']}{made['alone']} seed={record['seed']}{made['remark']}".partition("  #")[0])
    assert f"finished before, record {record['doc_id']}" in done.out, done


# --- errors ----------------------------------------------------------------------------------------------------

CSV = ("dataset=csv", "dataset.label=hired", "dataset.sensitive=sex", *SMALL)
OWN = (*CSV, "dataset.path=own.csv")
WEIRD = ("dataset=csv", "dataset.path=weird.csv", "dataset.sensitive='séx'", *SMALL)
LABEL = "dataset.label='hired, (=?)'"
# the words of a mistake; what the error says to type, beside them or in place of the one of the same key
REMEDIES = [
    ((*CSV, "dataset.path=a,b.csv"), "\"dataset.path='a,b.csv'\""),
    ((*CSV, "dataset.path=quo'te.csv"),
     '"dataset.path=\\"quo\'te.csv\\""'),
    ((*WEIRD, "dataset.label=hired\\, (=?)"), "\"dataset.label='hired, (=?)'\""),
    ((*WEIRD, "dataset.label=hired, (=?)"), "\"dataset.label='hired, (=?)'\""),
    ((*WEIRD, LABEL, "dataset.sensitive=séx"), "\"dataset.sensitive='séx'\""),
    ((*WEIRD, LABEL, "scm=linear", "dataset.graph={[job]: [a&b]}"), "\"dataset.graph={\\\\[job\\\\]:['a&b']}\""),
    ((*WEIRD, LABEL, "scm=linear", "dataset.graph={in come: [séx]}"), "\"dataset.graph={in\\\\ come:['séx']}\""),
    ((*WEIRD, LABEL, "scm=linear", "dataset.graph={a&b: [séx]}"), '"dataset.graph=\'{\\"a&b\\": [\\"séx\\"]}\'"'),
    ((*CSV, "dataset.path=five.csv", "dataset.label=5"), "\"dataset.label='5'\""),
    ((*CSV, "dataset.path=row.csv"), "\"dataset.ignore=['Unnamed: 0']\""),
    ((*OWN, "scm=linear"), "scm=independent"),
    ((*OWN, "scm=linear"), "'dataset.graph={age:[sex]}'"),
    ((*OWN, "scm=known"), "scm=independent"),
    ((*LOAN, "dataset.split=[0.8,0,0.2]"), "fit_on=train"),
    ((*LOAN, "model=small_cnn"), "model=mlp"),
    ((*LOAN, "scm=linear", "scm.sampling=published", "dataset=lin"), "scm.sampling=residuals"),
    ((*FACES, "regularizer=trades", "trainer.patience=2"), "trainer.keep=best"),
    ((*FACES, "regularizer=dafa"), "'regularizer=[trades,dafa]'"),
    ((*FACES, "regularizer=trades", "prepare=reweigh"), "prepare=none"),
]  # fmt: skip


@pytest.fixture
def tables(tmp_path):
    with house(tmp_path) as folder:
        for name in ("own.csv", "a,b.csv", "quo'te.csv"):
            write_table(folder / name, "sex,age,income,job,hired")
        write_table(folder / "weird.csv", 'séx,a&b,in come,[job],"hired, (=?)"')
        write_table(folder / "five.csv", "sex,age,income,job,5")
        lines = (folder / "own.csv").read_text().splitlines()
        numbered = [f"{i or ''},{line}" for i, line in enumerate(lines)]
        (folder / "row.csv").write_text("\n".join(numbered))
        yield folder


@pytest.mark.parametrize(("mistake", "remedy"), REMEDIES)
def test_the_remedy_of_a_mistake_gets_past_it(tables, monkeypatch, mistake, remedy):
    """As far as the training, which would only take time."""

    def reached(*_, **__):
        raise ValueError("the training was reached")

    monkeypatch.setattr(lifecycle, "train_alone", reached)
    refused = command("train", *mistake)
    assert refused.code == 2, refused
    assert remedy in refused.err
    (word,) = shlex.split(remedy)
    key = word.partition("=")[0]
    again = command("train", *(w for w in mistake if w.partition("=")[0] != key), word)
    assert "the training was reached" in again.err, again


def test_several_values_become_a_sweep_a_list_or_a_text(tables):
    answer = command("evaluate", "id=1,2")
    assert "'id=[1,2]'" in answer.err
    assert "several values" not in command("evaluate", "id=[1,2]").err


@pytest.mark.parametrize(
    ("program", "given"),
    [("evals.plot", ["dataset=loan"]), ("evaluate", ["dataset=lin"]), ("evals.table", ["experiment=aia_small"]),
     ("evals.select", ["dataset=mine", "maximize=accuracy"]), ("evals.plot", ["dataset='1e3'"])],
)  # fmt: skip
def test_what_trains_the_runs_that_are_missing_is_a_line_that_composes(tables, program, given):
    refused = command(program, *given)
    (line,) = printed(refused.err)
    _, script, *words_ = shlex.split(line)
    assert script == "train.py"
    composed([word.replace("FILE.csv", "own.csv") for word in words_])


def test_a_database_that_cannot_be_read_is_rebuilt_by_the_line_it_prints(tables):
    command("train", *LOAN)
    path = paths_config.database("loan")
    path.write_text("{")
    (line,) = printed(command("evals.plot", "dataset=loan").err)
    found = next(tables.rglob("record.json")).parent
    assert carried_out(f"{line} runs={shlex.quote(str(found))}").code == 0
    assert command("evals.plot", "dataset=loan").code == 0


@pytest.mark.parametrize("name", ["; touch X", "$(touch X)", "../x", "a b"])
def test_a_name_that_no_table_can_have_is_in_no_line(tables, name):
    refused = command("evals.plot", f"dataset={name}")
    assert (refused.code, printed(refused.err)) == (2, [])


# --- help and README -------------------------------------------------------------------------------------------


@cache
def documented() -> dict[str, str]:
    """The lines of the help, the comments of the configuration, the README and docs, by where they stand."""
    found = {}
    carried = {"own_method.md"}  # by tests/test_tutorials.py, with the option that it adds
    pages = sorted(page for page in (paths_config.ROOT / "docs").glob("*.md") if page.name not in carried)
    for path in [paths_config.ROOT / "README.md", *pages, *sorted(CONFIG.rglob("*.yaml"))]:
        text = re.sub(r"\\\n\s*", "", path.read_text(encoding="utf-8")).replace("...", "lin")
        text = re.sub(r"\n# (?=\S)", " ", text) if path.suffix == ".yaml" else text
        found |= {f"{path.relative_to(paths_config.ROOT)}: {line}": line for line in printed(text)}
    return found


def composed(given: list[str]) -> None:
    """Refuse words of a training that do not go together; of a sweep the first of each."""
    from hydra import compose, initialize_config_dir
    from hydra.core.override_parser.overrides_parser import OverridesParser

    parse = OverridesParser.create().parse_override
    read = []
    for word in (word for word in normalise(given) if not word.startswith("-")):
        override = parse(word)
        first = next(iter(override.sweep_string_iterator())) if override.is_discrete_sweep() else None
        kept = word if first is None else f"{word.partition('=')[0]}={first}"
        read.append(kept if not override.is_interval_sweep() and "tag(" not in word else f"{word.partition('=')[0]}=1")
    with initialize_config_dir(config_dir=str(CONFIG), version_base="1.3"):
        compose("train", overrides=read, return_hydra_config=True)


@pytest.mark.parametrize("where", documented())
def test_a_line_of_the_documentation_is_made_of_words_that_exist(where, tmp_path, monkeypatch):
    """Those of a training compose; options and settings of the others are known to them."""
    (tmp_path / "people.yaml").write_text("label: hired\nsensitive: sex\n")
    monkeypatch.chdir(tmp_path)
    _, program, *given = shlex.split(documented()[where].replace("=NAME", "=lin"))
    if "-sc" in given:
        assert completion.answer([word.rstrip(")") for word in given])
    elif program == "train.py":
        composed(given)
    elif given[0] == "evals.scm":
        composed([word for word in given[1:] if word.partition("=")[0] not in scm.OWN])
    elif program == "evaluate.py":
        known = {*keys("evaluate"), "dataset", *options("attack")}
        assert {word.partition("=")[0] for word in given if "=" in word} <= known
    elif given[0] == "evals.look":
        assert set(look.KEYS) >= {word.partition("=")[0] for word in given[2:]}
    elif given[0] != "evals.database":
        module = given[0].removeprefix("evals.")
        query.options(given[1:] or ["dataset=loan"], CONFIG / f"{module}.yaml")
        assert set(yaml.safe_load((CONFIG / f"{module}.yaml").read_text())) >= {w.partition("=")[0] for w in given[1:]}


def test_the_documentation_was_found():
    places = {where.partition(":")[0] for where in documented()}
    assert {
        "README.md",
        "docs/choosing.md",
        "docs/poisoning.md",
        "config/hydra/help/train.yaml",
        "config/hydra/help/evaluate.yaml",
        "config/plot.yaml",
    } <= places


def test_the_line_that_compares_works_once_the_file_has_changed(tmp_path):
    """The database then holds two sources of data, of which no plot takes both."""
    with house(tmp_path):
        words = ("dataset=csv", "dataset.name=own", "dataset.path=own.csv", "dataset.label=y", "dataset.sensitive=s")
        for header, of in (("s,a,b,c,y", 1), ("s,a,b,c,y", 2)):
            write_table(tmp_path / "own.csv", header)
            lines = (tmp_path / "own.csv").read_text().splitlines()
            (tmp_path / "own.csv").write_text("\n".join([*lines, *lines[1:8] * of]) + "\n")
            answer = command("train", *words, *SMALL)
            assert answer.code == 0, answer
        (plot,) = printed(answer.out)
        assert "source==own-" in plot
        answer = carried_out(plot)
        assert answer.code == 0, answer
