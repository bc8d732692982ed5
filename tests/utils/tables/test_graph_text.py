"""Causal graphs as people write them: each spelling is one graph."""

import pytest

from utils.tables.graph_text import read_graph

WANTED = {"income": ("sex", "age"), "hired": ("income",)}


@pytest.mark.parametrize(
    "given",
    [
        ["sex -> income", "age -> income", "income -> hired"],
        ["sex, age -> income -> hired"],
        "sex -> income; age -> income\nincome -> hired",
        {"income": ["sex", "age"], "hired": "income"},
    ],
)
def test_one_graph_in_several_spellings(given, tmp_path):
    assert read_graph(given, tmp_path) == WANTED


@pytest.mark.parametrize(
    ("name", "text"),
    [
        (
            "g.dot",
            'digraph g {\n  // causes\n  sex -> income [label="x -> y"];\n  age -> income\n  income -> hired;\n}\n',
        ),
        ("set.dot", 'digraph { {sex "age"} -> income -> {hired} }'),
        (
            "group.dot",
            "digraph { subgraph a { sex; age\n }\n {sex; age} -> income\n subgraph b { income -> hired } }",
        ),
        ("g.gv", "strict digraph { sex -> income; age -> income; income -> hired }"),
        ("g.yaml", "income: [sex, age]\nhired: [income]\n"),
        ("g.yml", "- sex -> income\n- age -> income\n- income -> hired\n"),
        (
            "g.gml",
            "graph [ directed 1\n"
            + "".join(f'node [ id {i} label "{n}" ]\n' for i, n in enumerate(["sex", "age", "income", "hired"]))
            + "edge [ source 0 target 2 ]\nedge [ source 1 target 2 ]\nedge [ source 2 target 3 ]\n]\n",
        ),
    ],
)
def test_a_file_holds_the_graph(name, text, tmp_path):
    (tmp_path / name).write_text(text)
    assert read_graph(name, tmp_path) == WANTED


def test_names_with_signs_stand_in_quotes(tmp_path):
    found = read_graph(['"age, years" -> "a -> b"', "'x;y' -> it's"], tmp_path)
    assert found == {"a -> b": ("age, years",), "it's": ("x;y",)}


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (["sex income"], "no arrow; write cause -> effect"),
        (["-> income"], "lacks a name"),
        ("missing.dot", "there is no file"),
        (3, "is no graph; write lines such as a -> b"),
    ],
)
def test_what_is_no_graph_is_refused(given, words, tmp_path):
    with pytest.raises(ValueError, match=words):
        read_graph(given, tmp_path)


def test_names_side_by_side_that_are_no_set_are_refused(tmp_path):
    (tmp_path / "g.dot").write_text("digraph { age sex -> income }")
    with pytest.raises(ValueError, match=r"'age sex' beside an arrow is no name; .* a set as \{a b\} -> c"):
        read_graph("g.dot", tmp_path)


def test_an_undirected_graph_is_refused(tmp_path):
    (tmp_path / "g.dot").write_text("graph { a -- b }")
    with pytest.raises(ValueError, match="no directed graph in DOT"):
        read_graph("g.dot", tmp_path)


def test_an_arrow_that_is_drawn_backwards_is_refused(tmp_path):
    (tmp_path / "graph.dot").write_text('digraph { sex -> age; income -> age [label="x", dir=back] }')
    with pytest.raises(ValueError, match="dir=back, which turns it"):
        read_graph("graph.dot", tmp_path)
