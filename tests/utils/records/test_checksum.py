"""Every single bit of a database that flips is noticed, or changes nothing that is read."""

import json
import re
from collections import Counter
from pathlib import Path

import pytest
from tinydb import TinyDB

from utils.records.checksum import checksum
from utils.run_store import RunStore, StoreError
from utils.system import console

FACTS = {"name": "lin_mlp_erm", "dataset": "lin", "params": {"seed": 0}}


def record(run, **more):
    return {"run_id": run, "status": "finished", **FACTS, "metrics": {"accuracy": 0.5, "auc": None}, **more}


@pytest.fixture
def path(tmp_path):
    return tmp_path / "lin.json"


def in_the_file(path):
    store = RunStore(path)
    store.add(record("a", created="2026-01-01", n=10))
    store.add(record("b", free="ε"))
    return path


def in_the_journal(path):
    """Two records in the file; the journal changes one and adds one."""
    RunStore(path).add_many([record("a"), record("b")])
    store = RunStore(path, journal_after=0)
    store.add_result(1, "later", {"metrics": {"accuracy": 0.1}})
    return path.with_name(path.name + ".journal")


def read(path, capsys):
    """Everything in the database, or that something is wrong with it."""
    console.begin()
    try:
        found = RunStore(path).all()
    except StoreError as error:
        return "refused" if str(path) in str(error) else "without the name of the file"
    return "named" if "left out" in capsys.readouterr().err else found


@pytest.mark.parametrize(
    ("where", "outcomes_of"), [(in_the_file, {"harmless", "named", "refused"}), (in_the_journal, {"refused"})]
)
def test_a_bit_that_flips_anywhere_is_noticed_or_changes_nothing(path, capsys, where, outcomes_of):
    """Two bits of every byte, each of the eight in turn."""
    damaged = where(path)
    content, before = damaged.read_bytes(), RunStore(path).all()
    # blanks, the half of a checksum that is of the bytes alone, and the case of a letter's code
    unread = {i for found in re.finditer(rb"\t|-[0-9a-f]{16}|\\u.{4}", content) for i in range(*found.span())}
    outcomes = Counter()
    for place in (8 * i + (i + 4 * half) % 8 for i in range(len(content)) for half in range(2)):
        flipped = bytearray(content)
        flipped[place // 8] ^= 1 << place % 8
        damaged.write_bytes(flipped)
        found = read(path, capsys)
        if found == before and place // 8 in unread:
            found = "harmless"
        outcomes[found if isinstance(found, str) else "silent"] += 1
    assert outcomes.keys() == outcomes_of


def test_a_flip_in_a_number_that_hides_a_record_is_refused(path):
    """2 becomes 1: a reader of JSON sees one record of that number, the last."""
    content = in_the_file(path).read_bytes()
    path.write_bytes(content.replace(b'"2": {', b'"1": {'))
    with pytest.raises(StoreError, match="two of its lines have the number 1"):
        RunStore(path).all()


def test_a_write_keeps_an_altered_record_as_it_is(path, capsys):
    content = in_the_file(path).read_bytes().replace(b'"accuracy":0.5', b'"accuracy":0.7', 1)
    path.write_bytes(content)
    RunStore(path).add(record("d"))
    assert [found["run_id"] for found in RunStore(path).all()] == ["b", "d"]
    with TinyDB(path) as plain:
        assert plain.get(doc_id=1)["metrics"]["accuracy"] == 0.7


def test_a_run_that_is_filed_again_takes_the_place_of_the_altered_one(path):
    path.write_bytes(in_the_file(path).read_bytes().replace(b'"accuracy":0.5', b'"accuracy":0.7', 1))
    assert RunStore(path).find("a") is None
    assert RunStore(path).add(record("a")) == 1
    assert RunStore(path).find("a")["metrics"]["accuracy"] == 0.5


def test_an_altered_record_takes_no_evaluation(path):
    path.write_bytes(in_the_file(path).read_bytes().replace(b'"accuracy":0.5', b'"accuracy":0.7', 1))
    with pytest.raises(StoreError, match="record 1 .* was altered"):
        RunStore(path).add_result(1, "later", {})


def test_a_later_evaluation_renews_the_checksum(path):
    with TinyDB(in_the_file(path)) as plain:
        before = plain.get(doc_id=1)["checksum"]
    RunStore(path).add_result(1, "later", {"metrics": {"accuracy": 0.25}})
    with TinyDB(path) as plain:
        assert plain.get(doc_id=1)["checksum"] != before
    assert RunStore(path).get(1)["evaluations"] == {"later": {"metrics": {"accuracy": 0.25}}}


@pytest.mark.parametrize("layout", [{"indent": 2}, {"sort_keys": True}, {"separators": (",", ":")}])
def test_another_layout_of_the_same_content_is_no_alteration(path, layout):
    before = RunStore(in_the_file(path)).all()
    path.write_text(json.dumps(json.loads(path.read_text()), **layout))
    assert RunStore(path).all() == before
    content = path.read_text().replace("0.5", "0.7", 1)
    path.write_text(content)
    assert RunStore(path).all() == before[1:]


def test_what_another_program_changed_on_purpose_is_taken_once_its_checksum_is_gone(path):
    with TinyDB(in_the_file(path)) as plain:
        plain.update({"note": "mine"}, doc_ids=[1])
    assert [found["doc_id"] for found in RunStore(path).all()] == [2]
    with TinyDB(path) as plain:
        plain.update(lambda found: found.pop("checksum"), doc_ids=[1])
    assert RunStore(path).get(1)["note"] == "mine"
    RunStore(path).add(record("d"))
    with TinyDB(path) as plain:
        assert all("checksum" in found for found in plain.all())


@pytest.mark.parametrize("layout", ["ours", "tinydb"])
def test_records_from_before_there_were_checksums_are_read_and_get_one_with_the_next_write(path, layout):
    old = {"1": record("a"), "2": record("b")}
    lines = ",\n".join(f'"{i}": {{\t{json.dumps(r)[1:-1]}}}' for i, r in old.items())
    path.write_text(f'{{"_default": {{\n{lines}\n}}}}' if layout == "ours" else json.dumps({"_default": old}))
    assert [found["run_id"] for found in RunStore(path).all()] == ["a", "b"]
    assert RunStore(path).add(record("c")) == 3
    with TinyDB(path) as plain:
        assert all("checksum" in found for found in plain.all())
    assert [found["run_id"] for found in RunStore(path).all()] == ["a", "b", "c"]


def test_a_fold_of_an_old_journal_that_was_killed_is_repeated(path):
    """The journal from before there were checksums is still there beside the file that holds it with checksums."""
    RunStore(path).add_many([record("a"), record("b")])
    line = '"2": {\t"run_id": "b",\t"status": "finished",' + ",".join(
        f"\t{json.dumps(key)}: {json.dumps(value)}" for key, value in list(record("b").items())[2:]
    )
    Path(f"{path}.journal").write_text(line + "}\n")
    assert [found["run_id"] for found in RunStore(path).all()] == ["a", "b"]


def test_the_checksum_is_that_of_the_canonical_json():
    """From `printf '{"a":{"b":1,"c":[0.5,null]},"d":"\\u03b5"}' | sha256sum`, the checksum itself left out."""
    content = {"d": "ε", "a": {"c": [0.5, None], "b": 1}, "checksum": "anything"}
    assert checksum(content) == "12829d44a701c5f6"
    assert checksum({**content, "doc_id": 1}) != checksum(content)
