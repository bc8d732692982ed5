"""evaluation.rows: the figures of a table with many test rows are those of some of them, and the record says so."""

import re
from dataclasses import replace

import numpy as np
import pytest

import paths_config
from tests.commands import SMALL, command, composed, house
from utils.build import build_dataset
from utils.records.decisions import read
from utils.run_store import RunStore
from utils.runs.lifecycle import carry_out
from utils.system.devices import choose_device
from utils.views.row_parts import judge_some

WORDS = ("dataset=lin", "dataset.rows=1000", "regularizer=erm", *SMALL)
pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def at_home(tmp_path_factory):
    """A run that is judged on 50 rows of 200, and what it printed."""
    with house(tmp_path_factory.mktemp("judged rows")) as folder:
        answer = command("train", *WORDS, "evaluation.rows=50")
        assert answer.code == 0, answer.err
        yield folder, answer


def filed(doc_id):
    return RunStore(paths_config.database("lin")).get(doc_id)


def test_every_figure_is_that_of_a_data_set_of_these_test_rows(at_home):
    folder, _ = at_home
    params = composed(*WORDS, "evaluation.rows=51")  # which leaves nobody out
    few = judge_some(build_dataset(params, choose_device("cpu")), {"rows": 50})
    few = replace(few, unjudged=0, fingerprint="a data set of these test rows")
    outcome = carry_out(params, folder / "alone", lambda _: None, few)
    one, other = filed(1), filed(outcome.record)
    for key in ("metrics", "shares", "deviations", "operating_points", "decide"):
        assert one[key] == other[key], key
    assert one["weights"]["sha256"] == other["weights"]["sha256"]
    assert np.array_equal(read(one).labels, read(other).labels)


def test_the_record_and_the_screen_say_of_how_many(at_home):
    _, answer = at_home
    rows = filed(1)["rows"]
    assert rows["test"] == 50
    everybody = rows["test"] + rows["unjudged"]
    assert f"on 50 of {everybody} test rows" in answer.out
    assert re.search(rf"lin: 50 of {everybody} test rows are judged", answer.err)
    assert read(filed(1)).labels.shape == (50,)
    assert filed(1)["shares"]["accuracy"][1] == 50


def test_a_limit_above_the_rows_changes_no_run(at_home):
    """The same id, so the run is skipped."""
    first = command("train", *WORDS)
    again = command("train", *WORDS, "evaluation.rows=null")
    assert "on 200 test rows" in first.out
    assert "finished before" in again.out


def test_a_stored_model_is_judged_on_as_many_as_are_asked_for(at_home):
    answer = command("evaluate", "dataset=lin", "id=1", "name=few", "evaluation.rows=30", *SMALL[2:])
    assert answer.code == 0, answer.err
    held = filed(1)["evaluations"]["few"]
    assert held["judged"] == {"test": 30, "unjudged": filed(1)["rows"]["test"] + filed(1)["rows"]["unjudged"] - 30}
    assert held["shares"]["accuracy"][1] == 30
    assert "on 30 of " in answer.out
