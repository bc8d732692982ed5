"""Completion of command lines in bash, zsh and fish: groups, options, keys, their values, data sets that have records.

``python train.py -sc install=bash`` prints a script that asks here, in a process that imports neither torch nor Hydra.
It completes ``train.py``, ``evaluate.py`` and ``python -m evals.*``.
"""

import os
import re
import shlex
import sys
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import yaml

import paths_config
from utils.command_line.evals_help import EVALS, VERBS, find_keys, options_of
from utils.command_line.help import ALL, BESIDE, purposes, settings_of
from utils.words.near import near
from utils.words.quoting import HELP
from utils.words.ranges import CONFIG, stated

PROGRAMS = ("train", "evaluate")
FLAGS = ("-sc", "--shell-completion")  # Hydra's
SHELLS = ("bash", "zsh", "fish")
SWITCHES = ("--help", "--multirun", "--cfg", "--info", "--hydra-help", "--shell-completion")
TABLES = (".csv", ".tsv", ".parquet", ".yaml")  # that evals.look reads
LIST = re.compile(r"(\w[\w:.]*)(?: \([^)]*\))?(?:, |,? or |$|(?=[;:]))")  # auto (CUDA where there is one), cpu or cuda
EXPLAINED = re.compile(r"(?:^|; )(\w+): ")  # sd: standard deviation; ci: interval

BASH = """_trilemma() {
    local line="${COMP_LINE:0:COMP_POINT}" word prefix found
    local -a words
    read -ra words <<< "$line"
    [[ "$line" == *[[:space:]] ]] && words+=("")
    case "${words[1]} ${words[2]}" in
        *train.py\\ *|*evaluate.py\\ *|-m\\ evals*|-m\\ ) ;;
        *) return ;;
    esac
    word="${words[${#words[@]}-1]}"
    prefix=""
    [[ "$COMP_WORDBREAKS" == *=* ]] && prefix="${word%"${word##*[=:]}"}"
    COMPREPLY=()
    while IFS= read -r found; do
        [[ "$found" == *[=.] ]] || found="$found "
        COMPREPLY+=("${found#"$prefix"}")
    done < <(@QUERY@ "${words[@]}" 2>/dev/null)
}
complete -o default -o nospace -F _trilemma @NAMES@
"""
ZSH = """(( $+functions[compdef] )) || { autoload -Uz compinit && compinit; }
_trilemma() {
    local -a found
    if [[ "$words[2]" == (*train.py|*evaluate.py) || ( "$words[2]" == -m && CURRENT -ge 3 ) ]]; then
        found=("${(@f)$(@QUERY@ "${(@)words[1,CURRENT-1]}" "$PREFIX" 2>/dev/null)}")
        found=(${found:#})
    fi
    (( $#found )) || { _default; return }
    compadd -S '' -- ${(M)found:#*[=.]}
    compadd -- ${found:#*[=.]}
}
compdef _trilemma @NAMES@
"""
FISH = """function __trilemma
    @QUERY@ (commandline -opc) (commandline -ct) 2>/dev/null
end
function __trilemma_here
    set -l words (commandline -opc)
    string match -qr '(train|evaluate)[.]py$' -- "$words[2]"; or string match -q -- -m "$words[2]"
end
for name in @NAMES@
    complete -c $name -n __trilemma_here -f -a '(__trilemma)'
end
"""
SCRIPTS = {"bash": BASH, "zsh": ZSH, "fish": FISH}
REMOVED = {
    "bash": "complete -r @NAMES@; unset -f _trilemma\n",
    "zsh": "compdef -d @NAMES@; unfunction _trilemma\n",
    "fish": "for name in @NAMES@\n    complete -c $name -e\nend\nfunctions -e __trilemma __trilemma_here\n",
}


def answer(words: Sequence[str]) -> str | None:
    """Returns what the flag for completion asks for, a script, or words; None where no word is that flag.

    Raises:
        ValueError: it asks for something else than ``install`` or ``uninstall`` of one of the shells.
    """
    given = [word for word in words if word.partition("=")[0] in FLAGS]
    if not given:
        return None
    place = list(words).index(given[0])
    asked = given[0].partition("=")[2] or "".join(words[place + 1 : place + 2])
    what, _, shell = asked.partition("=")
    if what == "query":  # as scripts of Hydra's own ask
        return " ".join(complete(os.environ.get("COMP_LINE", "").split(" "))) + "\n"
    scripts = {"install": SCRIPTS, "uninstall": REMOVED}
    if what not in scripts or shell not in SHELLS:
        known = [f"{one}={other}" for one in scripts for other in SHELLS]
        raise ValueError(f"{given[0]} {asked}{near(asked, known)} Expected install=SHELL or uninstall=SHELL, {SHELLS}")
    query = shlex.join(["env", f"PYTHONPATH={paths_config.ROOT}", sys.executable, "-P", str(Path(__file__)), "--"])
    names = " ".join(dict.fromkeys(("python", "python3", Path(sys.executable).name)))
    return scripts[what][shell].replace("@QUERY@", query).replace("@NAMES@", names)


def complete(words: Sequence[str]) -> list[str]:
    """Returns the words that the last one, "" for none begun, may be meant to become.

    Args:
        words: of the command line as typed, from ``python`` on.
    """
    _, program, *others = [*words, *[""] * (2 - len(words))]
    found: Iterable[str]
    if program == "-m":
        found = _of_evals(others)
    elif (name := Path(program).stem) in PROGRAMS and others:
        found = _of_program(name, others[:-1], others[-1])
    else:
        found = ()
    return sorted({word for word in found if word.startswith(words[-1]) and word != words[-1]})


def _of_program(name: str, before: Sequence[str], word: str) -> Iterator[str]:
    """Yields what can follow in a line of ``train.py`` or ``evaluate.py``."""
    groups = [*purposes(name), *BESIDE[name]]
    if before and before[-1] in HELP:
        yield from (*groups, ALL, *dict.fromkeys(key for _, key, _, _ in _settings(name)))
    elif word.startswith("-"):
        yield from SWITCHES
    elif "=" in word:
        yield from _values(name, groups, word)
    else:
        keys = [key for _, key, _, _ in _settings(name)]
        own = ["dataset"] if name == "evaluate" else []
        yield from _steps([*groups, *keys, *own], word.lstrip("+"), word[: len(word) - len(word.lstrip("+"))])


@cache
def _settings(name: str) -> tuple[tuple[str, str, Any, str], ...]:
    """The settings of a program, as ``settings_of`` yields them."""
    return tuple(settings_of(name, [*purposes(name), *BESIDE[name]]))


def _steps(keys: Iterable[str], begun: str, before: str) -> Iterator[str]:
    """Yields the keys that begin so, as far as the next dot; ``key=`` where they end."""
    for key in keys:
        if key.startswith(begun):
            dot = key.find(".", len(begun))
            yield f"{before}{key}=" if dot < 0 else f"{before}{key[: dot + 1]}"


def _values(name: str, groups: Sequence[str], word: str) -> Iterator[str]:
    """Yields a word with each value that its key can have, of a list the last."""
    key, _, value = word.partition("=")
    begun = word[: len(word) - len(re.split(r"[,\[]", value)[-1])]
    key = key.lstrip("+")
    if key == "dataset":
        found = [*(paths_config.databases() if name == "evaluate" else _options("dataset")), *_files((".yaml",))]
    elif key in groups:
        found = _options(key)
    else:
        own = [(value, comment) for _, other, value, comment in _settings(name) if other == key]
        found = [word for value, comment in own for word in find_values(value, comment)]
    yield from (f"{begun}{one}" for one in found)


def find_values(default: object, comment: str) -> list[str]:
    """Returns the words that a comment lists as values of a setting, with its default; true and false of a switch."""
    if isinstance(default, bool):
        return ["true", "false"]
    shown = [] if default is None or isinstance(default, list | dict) or default == "???" else [str(default)]
    if (numbers := stated(comment)) is not None:
        return [*shown, *sorted(numbers.words)]
    first = comment.partition(";")[0]
    listed = LIST.findall(first) if re.fullmatch(rf"(?:{LIST.pattern})+", first) else []
    explained = EXPLAINED.findall(comment)
    return [*shown, *(listed if len(listed) > 1 else explained if len(explained) > 1 else [])]


def _options(group: str) -> list[str]:
    return [path.stem for path in (CONFIG / group).glob("*.yaml")]


def _files(endings: Sequence[str]) -> list[str]:
    """Names of the files in this folder that end so, hidden ones left out."""
    return [path.name for path in Path().glob("[!.]*") if path.name.lower().endswith(tuple(endings))]


def _of_evals(words: Sequence[str]) -> Iterator[str]:
    """Yields what can follow in a line of ``python -m``, behind that."""
    if len(words) < 2:
        yield from (f"evals.{path.stem}" for path in EVALS.glob("*.py") if not path.stem.startswith("_"))
        return
    name, *before, word = [words[0].partition(".")[2], *words[1:]]
    if not name or not (EVALS / f"{name}.py").is_file():
        return
    key, equals, _ = word.partition("=")
    if word.startswith("-"):
        yield HELP[0]
    elif before and before[-1] in HELP:
        yield from (*find_keys(name), *(VERBS if name == "database" else ()))
    elif name == "database" and not before:
        yield from VERBS
    elif equals:
        yield from _values_of_evals(name, key, word)
    else:
        yield from (f"{one}=" for one in find_keys(name))
        yield from _files(TABLES) if name == "look" and not before else ()
        yield from _of_program("train", before, word) if name == "scm" else ()


def _values_of_evals(name: str, key: str, word: str) -> Iterator[str]:
    """Yields a word of ``evals.*`` with each value that its key can have."""
    if name == "scm" and (key in purposes("train") or key not in find_keys(name)):
        yield from _of_program("train", (), word)
    elif key == "dataset":
        yield from (f"dataset={one}" for one in (*paths_config.databases(), *_files((".yaml",))))
    elif key == "existing":
        yield from ("existing=keep", "existing=replace")
    elif key in (known := options_of(name)):
        default, comment = known[key]
        yield from (f"{key}={one}" for one in find_values(yaml.safe_load(default), comment))


if __name__ == "__main__":
    sys.stdout.write("".join(f"{word}\n" for word in complete(sys.argv[2:])))
