"""The help of ``python -m evals.*``: of the command, of one of its options, of one of its verbs.

It is read from the command's yaml, or from its docstring where it has none, and answered before the command imports
what it needs, which takes a second or more.
"""

import ast
import re
import sys
from collections.abc import Sequence

import paths_config
from utils.command_line.help import ALL, explain_topic, take_topic
from utils.system.console import complain, show_everything, write
from utils.system.garbage import collect_seldom
from utils.system.interrupts import end_quietly
from utils.words.near import near_or_all
from utils.words.quoting import HELP
from utils.words.ranges import CONFIG
from utils.words.wrapping import paragraphs, reflow, wrap

EVALS = paths_config.ROOT / "evals"
# verbs of evals.database and the modules whose docstrings explain them
VERBS = dict.fromkeys(("check", "rebuild", "remove", "fold"), "upkeep")
VERBS |= {"export": "export", "merge": "merge", "import": "foreign", "watch": "watching", "cancel": "watching"}
OPTION = re.compile(r"(?P<key>\w+):\s*(?P<default>[^#]*?)\s*(?:#\s*(?P<text>.*))?")


def begin(started: Sequence[str], words: Sequence[str]) -> None:
    """Answers a request for help of ``python -m evals.NAME``, the line that was ``started``, and ends; else goes on."""
    end_quietly()
    collect_seldom()
    name = started[started.index("-m") + 1].partition(".")[2] if "-m" in started else ""
    if name and set(HELP) & set(words):
        sys.exit(answer(name, words))


def answer(name: str, words: Sequence[str]) -> int:
    """Prints the help of a command that the words ask for; returns the exit code, 2 where there is no such topic."""
    show_everything()
    try:
        write(explain_command(name, words))
    except ValueError as error:
        complain(str(error))
        return 2
    return 0


def explain_command(name: str, words: Sequence[str]) -> str:
    """The help of ``evals.NAME``, of one of its options or verbs where the words name one behind ``--help``.

    Raises:
        ValueError: the command has no such option.
    """
    topic, others = take_topic(words)
    verbs = [word for word in (topic, *others[:1]) if name == "database" and word in VERBS]
    if verbs:
        return reflow(_docstring(f"keeping/{VERBS[str(verbs[0])]}")) + "\n"
    topic = "" if topic in (None, ALL) else str(topic)
    return _of_yaml(name, topic) if options_of(name) else _of_docstring(name, topic)


def _docstring(module: str) -> str:
    return ast.get_docstring(ast.parse((EVALS / f"{module}.py").read_text(encoding="utf-8"))) or ""


def _of_docstring(name: str, topic: str) -> str:
    text = _docstring(name)
    if not topic:
        return reflow(text) + "\n"
    lines = paragraphs(text)
    for i, line in enumerate(lines):
        if re.search(rf"(^|[\s\[]){re.escape(topic)}=", line) and not line.lstrip().startswith("python "):
            return reflow(line) + "\n"
        if re.search(rf"\s\[?{re.escape(topic)}=", line) and name == "database":
            return reflow("\n".join(lines[i : i + 2])) + "\n"
    if name == "scm":
        return explain_topic(topic, "train")
    known = [*find_keys(name), *(VERBS if name == "database" else ())]
    raise ValueError(f"--help {topic}: evals.{name} has no such option{near_or_all(topic, known)}")


def _of_yaml(name: str, topic: str) -> str:
    """The options of a command with a yaml: name, the comment behind it, default; or one of them."""
    found = options_of(name)
    if topic and topic not in found:
        raise ValueError(f"--help {topic}: there is no such option{near_or_all(topic, list(found))}")
    shown = {topic: found[topic]} if topic else found
    wide = max(map(len, shown))
    said = []
    for key, (default, comment) in shown.items():
        by_default = "required" if default == "???" else default
        said.append(wrap(f"{comment} [{by_default}]", f"  {key:<{wide}}  ", " " * (wide + 4)))
    lines = (CONFIG / f"{name}.yaml").read_text(encoding="utf-8").splitlines()
    about = " ".join(line.removeprefix("#").strip() for line in lines if line.startswith("#"))
    return "\n".join(said if topic else [wrap(about), "", *said]) + "\n"


def options_of(name: str) -> dict[str, tuple[str, str]]:
    """Returns the options in the yaml of a command, each with its default and comment; of one without yaml none."""
    path = CONFIG / f"{name}.yaml"
    lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    found = [match for line in lines if (match := OPTION.fullmatch(line))]
    return {match["key"]: (match["default"], match["text"] or "") for match in found}


def find_keys(name: str) -> list[str]:
    """Returns the keys of the options of a command, from its yaml or as its docstring writes them."""
    written = re.findall(r"(?:^|[\s\[])(\w+)=", _docstring(name))
    return list(options_of(name)) or list(dict.fromkeys(written))
