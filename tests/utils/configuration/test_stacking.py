"""Stacks: which runs are of one structure."""

from tests.commands import composed
from utils.configuration.stacking import structure_of


def test_runs_that_differ_in_how_their_rows_are_weighed_have_one_structure():
    words = (["prepare=none"], ["prepare=reweigh"], ["prepare=group_weights", "prepare.weights=[1,2]"])
    assert len({structure_of(composed(*of) | {"choices": {"prepare": of[0]}}) for of in words}) == 1
