"""Text that comes from anybody: harmless to a terminal, and no formula in a spreadsheet."""

import csv
import io

import pandas as pd
import pytest
import torch

from evals import table
from evals.keeping import export
from utils.datasets.tabular import binary, continuous
from utils.poisoning import rows_csv
from utils.system import console

RETITLED = "\x1b]0;owned\x07"
FORMULAS = ("=cmd|' /C calc'!A0", "+1+cmd", "-2+3", "@SUM(A1)", "\t=1", "\r=1", " =1", "a;=1", "＝1", "-", "- b")
NUMBERS = ("-0.5", "+3", "1e-3", "-1E+10", ".5", "nan", "-inf", "0", "12.")


@pytest.mark.parametrize("speak", [console.say, console.warn, console.complain, console.notice, console.write])
def test_no_control_character_reaches_the_terminal(capsys, speak):
    speak(f"a {RETITLED}\x9b31m\r\u202eb\ud800 é\tc")
    told = "".join(capsys.readouterr())
    assert "a \\x1b]0;owned\\x07\\x9b31m\\r\\u202eb\\ud800 é\tc" in told
    assert not [sign for sign in told if sign not in "\n\t" and not sign.isprintable()]


@pytest.mark.parametrize("speak", [console.warn, console.complain])
def test_a_name_with_line_ends_makes_no_line_of_its_own(capsys, speak):
    speak("column 'a\nerror: b' is unknown")
    assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.parametrize("text", FORMULAS)
def test_a_formula_becomes_text(text):
    cells = [cell for cell in console.escape_formulas(text).replace("\t", ";").replace("\r", ";").split(";") if cell]
    assert [cell for cell in cells if cell.strip()[:1] in "=+-@＝"] == []
    assert console.escape_formulas(text).replace("'", "") == console.harmless(text).replace("'", "")


@pytest.mark.parametrize("value", [*NUMBERS, "loan", "8/255", "a-b", "", -0.5, 3, None, True])
def test_numbers_and_plain_texts_stay_as_they_are(value):
    assert console.escape_formulas(value) is value


def test_an_exported_table_holds_no_formula_and_all_numbers():
    table = pd.DataFrame({"name": ["=1+1", None], "gap": [-0.25, 0.5], "=x": ["-0.5", "b"], "n": [-1, 2]})
    header, *rows = csv.reader(io.StringIO(export.to_csv(table).decode()))
    assert header == ["name", "gap", "'=x", "n"]
    assert rows == [["'=1+1", "-0.25", "-0.5", "-1"], ["", "0.5", "b", "2"]]


def test_no_control_character_reaches_a_spreadsheet_or_who_shows_it():
    name = f"{RETITLED}\r\ud800=1"
    text = export.to_csv(pd.DataFrame({name: [name, "a\tb"], "n": [1, 2]})).decode()
    assert next(csv.reader(io.StringIO(text)))[0] == "\\x1b]0;owned\\x07\\r\\ud800=1"
    built = table.Table({("loan", name): [table.Cell()]}, [name], "", frozenset(["loan"]), frozenset(), "", [], [])
    for written in (text, table.to_csv(built)):
        assert "owned" in written
        assert [sign for sign in written if sign not in "\n\t" and not sign.isprintable()] == []


def test_added_rows_with_names_that_look_like_formulas_are_read_back(tmp_path):
    columns = (*binary("=cmd|x"), *continuous("-b", "c"))
    natural, labels = torch.tensor([[1.0, -2.5, 0.1]], dtype=torch.float64), torch.tensor([1])
    text = rows_csv.to_csv(columns, natural, labels, "@label")
    assert text.splitlines()[0] == "'=cmd|x,'-b,c,'@label"
    path = tmp_path / "rows.csv"
    for written in (text, text.replace("'=", "=").replace("'-", "-")):
        path.write_text(written)
        rows = rows_csv.read(path, columns, 2)
        assert torch.equal(rows.natural, natural)
        assert torch.equal(rows.labels, labels)
