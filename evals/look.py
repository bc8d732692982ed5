"""Look at a table of your own before anything is trained on it: what its columns mean, who is in it, what to decide.

    python -m evals.look people.csv label=hired sensitive=sex,age

writes people.yaml, the schema that python train.py dataset=people.yaml trains by, with every column on a line and what
was found as comments; people.html, one page to open without a network; and the same in short here. Edit the schema and
look again by it: python -m evals.look people.yaml

FILE               the table: text (.csv, .tsv, .txt, .data, also .gz) or .parquet; or a schema
label=NAME         the column to be predicted
sensitive=A,B      the columns whose groups are compared; names with commas as a list, sensitive='["a, b", c]'
favourable=TEXT    the class of the label that is good for the person; nobody guesses it
graph=TEXT         the causal graph, graph="sex -> job; sex, age -> income", or a file .dot, .gml or .yaml
out=people.yaml    the schema to write, by default in this folder, named like the table; the page is named like it
existing=keep      a schema that is there and says something else is kept; existing=replace writes it anew

What is known of the format of the file, where it is not found out rightly:
separator=;  decimal=,  thousands=.  encoding=cp1252  comment=#  na=?,none
names=age,sex,hired of a file without a header. A sign may be a word: comma, semicolon, tab, bar, blank.

Exit code: 0; 2 for a mistake, or where training refuses the table until the schema settles what the error says.
"""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import yaml

from evals.looking.facts import measure
from evals.looking.look_page import page
from evals.looking.look_text import text
from evals.looking.schema_text import write_schema
from evals.records import query
from utils.command_line.evals_help import answer
from utils.command_line.overrides import SCHEMAS, name_of_file
from utils.system import atomic
from utils.system.console import begin, complain, format_error, say, show_everything, unread, write
from utils.system.missing import describe_missing
from utils.tables.drafting import Draft, draft
from utils.tables.graph_text import read_graph
from utils.tables.reading import find_table, read_table
from utils.tables.settling import read_schema_table, settle_cells
from utils.tables.table_schema import FileFormat, from_plain, read_schema
from utils.words.near import near
from utils.words.quoting import HELP, copyable, override, without_dashes

OF_FILE = ("separator", "decimal", "thousands", "encoding", "comment", "na", "names")
LISTS = ("sensitive", "na", "names")
KEYS = ("file", "label", "sensitive", "favourable", "graph", "out", "existing", *OF_FILE)
MARK = "file: {decimal"  # what an error says of marks that the schema should state
BY_IT = "; this is a look by it, not by the words behind the file\n"
EXISTING = ("keep", "replace")
SIGNS = {"tab": "\t", "\\t": "\t", "blank": " ", "comma": ",", "semicolon": ";", "bar": "|"}


def main(words: Sequence[str]) -> int:
    """Looks at a table; returns the exit code."""
    show_everything()
    begin()
    try:
        if set(HELP) & set(words):
            return answer("look", words)
        return look(read_words(words))
    except BrokenPipeError:
        return unread()
    except (ValueError, OSError) as error:
        complain(format_error(error))
        return 2


def read_words(words: Sequence[str]) -> dict[str, str]:
    """The options by their keys, as typed; the first word is the file. Raises ValueError for an unknown key."""
    words = without_dashes(words, KEYS)
    if words and "=" not in words[0]:
        words = [f"file={words[0]}", *words[1:]]
    found = query.read_words(words, list(KEYS), " behind the file")
    if not found.get("file"):
        raise ValueError("a table is required: python -m evals.look people.csv label=... sensitive=..., or --help")
    if found.get("existing", EXISTING[0]) not in EXISTING:
        raise ValueError(f"existing={found['existing']}{near(found['existing'], EXISTING)} Expected keep or replace")
    return found


def look(options: Mapping[str, str]) -> int:
    """Reads the table, writes schema and page, prints the report. Raises ValueError where training would refuse it."""
    by_schema = options["file"].lower().endswith(SCHEMAS)
    out = _out(options, by_schema)
    drafted, rows = _of_schema(options, out) if by_schema else _of_table(options)
    facts = measure(drafted, rows, out.name)
    schema = write_schema(drafted.schema, facts, out)
    kept = "" if by_schema else _write(out, schema, replace=options.get("existing") == "replace")
    if kept.endswith(BY_IT):
        _require_same_table(out, options["file"])
        drafted, rows = _of_schema({"file": str(out)}, out)
        facts = measure(drafted, rows, out.name)
        schema = write_schema(drafted.schema, facts, out)
    write(text(facts))
    atomic.write_text(out.with_suffix(".html"), page(facts, out.name, schema))
    say()
    say(f"{kept}{out.with_suffix('.html')}: the page, to open without a network")
    if not by_schema and Path(options["file"]).resolve().parent != out.resolve().parent:
        say(f"Both are in {out.resolve().parent}, not beside the table.")
    if facts.refusals:
        raise ValueError(facts.refusals[0])
    say(f"Train: {copyable('python', 'train.py', override('dataset', str(out)))}")
    return 0


def _out(options: Mapping[str, str], by_schema: bool) -> Path:
    """The file of the schema. Raises ValueError for a name that is none of a schema."""
    if by_schema:
        for key in sorted({*options} - {"file"}):
            raise ValueError(f"{key}={options[key]}: the schema {options['file']} says it; edit it there")
        return Path(options["file"])
    out = Path(options.get("out") or f"{name_of_file(Path(options['file']))}.yaml").expanduser()
    if not out.name.lower().endswith(SCHEMAS):
        raise ValueError(f"out={out}: expected the name of a schema, which ends in .yaml")
    return out


def _of_schema(options: Mapping[str, str], path: Path) -> tuple[Draft, int]:
    """The draft by a schema of the owner's, and the rows of its file."""
    if not path.is_file():
        raise ValueError(describe_missing(options["file"]))
    schema = read_schema(path)
    raw = read_schema_table(schema, path.parent)
    rows = len(raw.cells)
    drafted = draft(schema, raw, path.name, in_force=True)
    try:
        settle_cells(schema, raw, path.name)
    except ValueError as error:  # what the draft settles, but not the schema
        drafted.refusals[:] = [str(error)]
    return drafted, rows


def _of_table(options: Mapping[str, str]) -> tuple[Draft, int]:
    """The draft of a table without a schema, and its rows."""
    path = find_table(options["file"])
    try:
        raw = read_table(path, _format(options))
    except ValueError as error:
        said = (
            "; to python -m evals.look say it behind the file, as decimal=, or thousands=,"
            if MARK in str(error)
            else ""
        )
        raise ValueError(f"{error}{said}") from None
    rows = len(raw.cells)
    for key in ("label", "sensitive"):
        if not options.get(key):
            columns = ", ".join(map(str, raw.cells.columns))
            raise ValueError(f"{key} is required: give {key}=COLUMN; the columns of {path.name} are: {columns}")
    graph = options.get("graph")
    content = {
        "label": {"column": options["label"], "favourable": options.get("favourable") or None},
        "sensitive": _listed("sensitive", options["sensitive"]),
        "graph": None if not graph else read_graph(graph, Path()),
    }
    base = from_plain(content, path.name).model_copy(update={"file": raw.format})
    return draft(base, raw, path.name, in_force=False), rows


def _require_same_table(out: Path, file: str) -> None:
    """Refuses a schema that is there for another table. Raises ValueError."""
    own = find_table(read_schema(out).file.path, out.parent)
    if own != find_table(file):
        raise ValueError(
            f"{out}: there already, the schema of another table, {own}; out=another.yaml writes beside it, "
            "existing=replace in its place"
        )


def _format(options: Mapping[str, str]) -> FileFormat:
    """The format of the file, as far as the command line says it."""
    given = {key: options[key] for key in OF_FILE if key in options}
    plain = {key: _listed(key, value) if key in LISTS else SIGNS.get(value, value) for key, value in given.items()}
    return from_plain({"label": "", "file": plain}, "the command line").file


def _listed(key: str, value: str) -> list[str]:
    """Texts by commas, or the list of YAML that holds them. Raises ValueError where it is neither."""
    if not value.startswith("["):
        return [text.strip() for text in value.split(",")]
    try:
        read = yaml.load(value, Loader=yaml.BaseLoader)
    except yaml.YAMLError:
        read = None
    if not isinstance(read, list) or not all(isinstance(text, str) for text in read):
        raise ValueError(f"{key}={value}: expected names by commas, or a list such as ['a, b', c]")
    return read


def _write(out: Path, text: str, *, replace: bool) -> str:
    """Writes the schema unless another is there; returns the line that says what became of it."""
    try:
        there = None if not out.exists() else out.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        there = ""
    if there is not None and there != text and not replace:
        return f"{out}: there already, and kept as it is; existing=replace writes it anew{BY_IT}"
    atomic.write_text(out, text)
    return f"{out}: the schema; edit it, then look again by it: {copyable('python', '-m', 'evals.look', str(out))}\n"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
