"""Whole commands on databases whose records were altered at random: an answer, or one error that names what is wrong.

Seeded; a few rounds always, many under ``slow``. Half of the altered records pass the schema on purpose, so that the
commands meet them.
"""

import copy
import json
import random
import shutil
from pathlib import Path

import pytest

import paths_config
from evals.database import main
from tests.commands import Answer, command, house
from tests.utils.records.test_record_schema import FILES, as_formerly, places, records, with_everything
from utils.records.schema import flaw

VALUES = (
    *(None, True, 0, -1, 5, -1.5, float("nan"), float("inf"), 1e308, 2**70, "", "text", "x" * 5000, "ünï😀\u202e"),
    *("\x1b]0;x\x07", "8/255", "nan", [], {}, [[[]]], [1, "a", None], {"a": {"b": 1}}, [float("nan")], {"": 1}),
)
KEYS = ("nope", "", "a/b", "a.b", "é", "x" * 300, "uai_0.05", "accuracy")  # of what is put in
NUMBERS = ("1", "-1", "0", "99999999999999999999", "a", "01")  # a record's number in the file
KINDS = ("frontier", "excluded", "tangent", "3d", "parallel", "robustness", "groups", "seeds", "trace", "compromises")
COMMANDS = (
    ("evals.table", "dataset=loan"),
    ("evals.table", "dataset=loan", "format=csv", "out=table.csv"),
    ("evals.report", "dataset=loan", "out=page.html"),
    ("evals.select", "dataset=loan", "maximize=accuracy", "where=fnr_gap<=0.5", "card=card.md"),
    ("evals.select", "dataset=loan", "maximize=accuracy", "runs=true", "sure=true", "format=json", "card=card.html"),
    ("evaluate", "dataset=loan"),
    *(("evals.plot", "dataset=loan", f"kind={kind}", f"out={kind}.png") for kind in KINDS),
)
LONGEST = 4000  # characters of an error


def altered(record, chance):
    """A copy with one to four of its values taken out, cut, doubled, put in, negated or exchanged."""
    record = copy.deepcopy(record)
    for _ in range(chance.choice((1, 1, 2, 4))):
        path = chance.choice(list(places(record)))
        path = path[: chance.randint(1, len(path))]
        node, key = record, path[-1]
        for step in path[:-1]:
            node = node[step]
        alter(node, key, chance)
    return record


def alter(node, key, chance):
    """Change one value of a mapping or list."""
    old, kind = node[key], chance.randrange(6)
    if kind == 0:
        del node[key]
    elif kind == 1 and isinstance(old, list | str):
        node[key] = chance.choice((old[:-1], old * 2))
    elif kind == 2 and isinstance(node, dict):
        node[chance.choice(KEYS)] = copy.deepcopy(chance.choice(VALUES))
    elif kind == 3 and type(old) in (int, float):
        node[key] = chance.choice((-old, old * 1e6, old + 1))
    else:
        node[key] = copy.deepcopy(chance.choice(VALUES))


def sound(record):
    """Whether the schema accepts a record, its numbers that JSON cannot hold taken for null."""
    return not flaw(json.loads(json.dumps(record), parse_constant=lambda _: None))


def hostile(chance):
    """Five records, one or two of them altered, half of these so that the schema accepts them, by number."""
    made = [chance.choice((with_everything, as_formerly, copy.deepcopy))(record) for record in records(FILES[0])[:5]]
    for i in chance.sample(range(5), chance.choice((1, 2))):
        tries = [altered(made[i], chance) for _ in range(20)]
        made[i] = next(filter(sound, tries), tries[0]) if chance.random() < 0.5 else tries[0]
    numbers = [*map(str, range(1, 6))]
    numbers[0] = chance.choice(NUMBERS) if chance.random() < 0.2 else "1"
    return dict(zip(numbers, made, strict=True))


def files(folder):
    return {path for path in folder.rglob("*") if path.is_file() and path.suffix != ".lock"}


def answered(answer: Answer, before, folder):
    """Exit code 0 or 1, or 2 with one error of moderate length and no file that is new."""
    assert "Traceback" not in answer.out + answer.err
    assert not [path for path in files(folder) if path.suffix == ".tmp"]
    if answer.code not in (0, 1):
        assert answer.code == 2
        errors = [line for line in answer.err.splitlines() if line.startswith("error: ")]
        assert len(errors) == 1
        assert len(errors[0]) < LONGEST
        assert files(folder) == before


def asked(folder, words):
    before = files(folder)
    answered(command(*words), before, folder)


def a_round(folder: Path, chance):
    """One database, some commands on it, then the commands on databases."""
    path = paths_config.database("loan")
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps({"_default": hostile(chance)}))
    for words in chance.sample(COMMANDS, 3):
        asked(folder, words)
    for words in (["check"], ["export", "out=runs.csv", "replace=true"]):
        assert main([words[0], "dataset=loan", *words[1:]]) in (0, 1, 2)
    shutil.move(path, folder / "theirs.json")
    merged = main(["merge", "dataset=loan", "from=theirs.json"])
    assert merged in (0, 2)
    assert path.exists() == (merged == 0)  # nothing half-written
    assert main(["import", "dataset=old", "from=theirs.json"]) in (0, 2)


@pytest.mark.parametrize("seed", [3, 4, *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(5, 60))])
def test_commands_answer_or_name_what_is_wrong_whatever_the_records_hold(tmp_path, capsys, seed):
    with house(tmp_path):
        a_round(tmp_path, random.Random(seed))


# found by such rounds: the first letter of every key was taken, and every run taken to name a regularizer
@pytest.mark.parametrize("path", [("model", ""), ("choices", "regularizer")], ids=".".join)
@pytest.mark.parametrize("words", [("evals.table",), ("evals.select", "maximize=accuracy", "card=null")], ids="".join)
def test_an_empty_key_or_a_run_without_regularizer_ends_no_command(tmp_path, path, words):
    with house(tmp_path):
        made = records(FILES[0])[:5]
        part, key = path
        made[0]["params"][part][key] = None
        paths_config.database("loan").parent.mkdir()
        paths_config.database("loan").write_text(json.dumps({"_default": dict(zip("12345", made, strict=True))}))
        assert command(words[0], "dataset=loan", *words[1:]).code == 0
