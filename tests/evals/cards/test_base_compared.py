"""A model beside its base on the card: figures of both, paired where rows are, and both sides of each gap."""

import pytest

import paths_config
from evals.cards import base_compared
from tests.commands import SMALL, command, house
from utils.run_store import RunStore

QUICK = ("dataset=loan", "dataset.rows=400", *SMALL, "operating_points=null")


@pytest.fixture(scope="module")
def filed(tmp_path_factory):
    """A plain run, one on rows that were massaged, and one on other data."""
    with house(tmp_path_factory.mktemp("base")):
        for words in ((), ("prepare=massage",), ("prepare=massage", "seed=1")):
            assert command("train", *QUICK, *words).code == 0
        yield {record["doc_id"]: record for record in RunStore(paths_config.database("loan")).all()}


@pytest.mark.e2e
def test_both_figures_stand_there_with_a_paired_interval(filed):
    heading, lead, table, *_ = base_compared.section(filed[2], list(filed.values()))
    assert heading.text == "Compared with the same learner on rows as they are"
    assert lead.text.startswith("Record 1 has the same data, split, seed and learner")
    assert "this model has prepare=massage." in lead.text
    name, before, after, change, interval = table.rows[0]
    both = [filed[i]["metrics"]["accuracy"] for i in (1, 2)]
    assert (name, before, after) == ("accuracy", *(f"{value:.3f}" for value in both))
    assert change == f"{both[1] - both[0]:+.3f}"
    assert interval.startswith("[")
    assert table.caption == "Intervals are paired by test rows."


@pytest.mark.e2e
def test_both_groups_rates_stand_before_and_after(filed):
    *_, sides = base_compared.section(filed[2], list(filed.values()))
    one, other = (filed[i]["metrics"]["fpr_group0"] for i in (1, 2))
    assert any(f"{one:.3f} → {other:.3f}" in item for item in sides.items if item.startswith("False positive"))


@pytest.mark.e2e
def test_without_a_base_there_is_no_section(filed):
    assert base_compared.section(filed[1], list(filed.values())) == []
    assert base_compared.section(filed[3], list(filed.values())) == []


@pytest.mark.e2e
def test_the_card_has_the_section(filed, tmp_path, monkeypatch):
    answer = command(
        "evals.select", "dataset=loan", "where=prepare==massage", "maximize=accuracy", f"card={tmp_path}/c.md"
    )
    assert answer.code == 0, answer
    assert "## Compared with the same learner on rows as they are" in (tmp_path / "c.md").read_text()
