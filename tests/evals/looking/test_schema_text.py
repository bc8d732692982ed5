"""The graph of a schema in place of another: all else of the owner's text stays as it is."""

import pytest

from evals.looking import proposal_text
from evals.looking.schema_text import with_graph, write_graph
from utils.scms.discovered import Arrow, Proposal
from utils.tables.table_schema import read_schema

GRAPH = {"job": ["sex", "age"], "income": ["job"]}
REST = "label: hired  # mine\nsensitive: [sex]\n"


@pytest.mark.parametrize(
    "there",
    [
        "",
        "graph: {age: [sex]}\n",
        "graph: people.dot\n",
        "graph:\n",
        "graph:\n  - sex -> age\n  - |\n    age -> job\n",
        "graph:\n- sex -> age  # old\n- 'age -> job'\n",
        'graph:\n  age:\n    - sex\n  "job": [age,\n    sex]\n',
        "# The causal graph, where you know one: by it\n# graph:\n#   - sex -> age\n",
    ],
)
@pytest.mark.parametrize("below", ["", "\n# below\nweights: w\n"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_the_lines_of_a_graph_take_the_place_of_those_that_are_there(tmp_path, there, below, end):
    text = (REST + there + below).replace("\n", end)
    lines = write_graph(GRAPH, ["proposed"], {"income": "open: from job"})
    found = with_graph(text, lines)
    written = "graph:\n  # proposed\n  - 'sex, age -> job'\n  - job -> income  # open: from job\n"
    expected = REST + (written + below if there else below + written)
    assert found == expected.replace("\n", end)
    (tmp_path / "people.yaml").write_bytes(found.encode())
    assert read_schema(tmp_path / "people.yaml").graph == {"job": ("sex", "age"), "income": ("job",)}


def test_names_with_signs_are_written_as_a_mapping_that_reads_back(tmp_path):
    graph = {"job, now": ["sex -> m", "a: b"], "#1": ["job, now"]}
    (tmp_path / "people.yaml").write_text(with_graph(f"{REST[:-1]}", write_graph(graph, [], {"#1": "open"})))
    assert read_schema(tmp_path / "people.yaml").graph == {child: tuple(of) for child, of in graph.items()}


def test_arrows_that_few_samples_show_are_doubtful_in_schema_and_table():
    arrows = (
        Arrow("sex", "job", "root", 1.0, 1.0),
        Arrow("age", "job", "data", 1.0, 0.95),
        Arrow("pay", "job", "data", 0.6, 0.2),
        Arrow("age", "pay", "data", None, None),
    )
    proposal = Proposal(arrows, ("sex", "age", "job", "pay"), 900, 2, 0.01, 20, ())
    head, said = proposal_text.comments(proposal)
    assert len(head) == 1, "nothing is open"
    assert said == {"job": "doubtful: from pay (so in 20% of samples)"}
    assert [row[1] for row in proposal_text.rows_of(proposal)] == ["assumed", "data", "doubtful", "data"]
