"""Keep the run databases: check, rebuild, remove, fold, export, merge, import; watch and cancel what a cluster runs.

    python -m evals.database check dataset=NAME
        compare records, the weights of every finished run, and the rows added to its training, with their checksums
    python -m evals.database rebuild dataset=NAME [runs=FOLDER]
        build a damaged database anew from the record.json of every run
    python -m evals.database remove dataset=NAME id=3,7 [weights=true]
        take records out, and with weights=true remove their files
    python -m evals.database fold dataset=NAME
        file what was delivered beside a database, and write the journal of a large one into it, so that any TinyDB
        sees every run
    python -m evals.database export dataset=NAME out=FILE [failed=true] [replace=true]
        one row per run as runs.csv, runs.parquet or, for MLflow, runs.db
    python -m evals.database merge dataset=NAME from=FILE,FILE [weights=FOLDER,FOLDER] [prefer=theirs]
        add the runs of databases from other machines, with their weights and added rows
    python -m evals.database import dataset=NAME from=FILE [metrics=OLD:NEW,...] [replace=true]
        take over the records of an older or foreign TinyDB file, without weights
    python -m evals.database watch dataset=NAME [every=SECONDS]
        how the jobs are that hydra/launcher=submitit_slurm submitted: done, failed, running, queued
    python -m evals.database cancel dataset=NAME [array=7,8]
        cancel them

dataset names the database, evals/<dataset>.json (TRILEMMA_EVALS is another folder than evals). Several files or
folders are separated by commas, or are a list: from=[a.json,b.json]. `COMMAND --help` explains one in detail.

Exit code: 0, 1 if check or watch found something wrong, 2 for a mistake on the command line; nothing is changed then.
"""

import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from evals.keeping import export, foreign, merge, upkeep, watching
from evals.records.query import NAME, database, read_words
from utils.command_line.evals_help import answer
from utils.system.console import begin, complain, format_error, show_everything, unread
from utils.words.near import near
from utils.words.numbers import read_number
from utils.words.quoting import HELP, without_dashes

LONGEST = 86_400  # seconds between two looks


@dataclass(frozen=True)
class Options:
    """The ``key=value`` words of a command, by what their values have to be."""

    given: Mapping[str, Any]

    def text(self, key: str, example: str) -> str:
        """A required value."""
        if self.given.get(key) in (None, ""):
            raise ValueError(f"{key} is required; write for example {key}={example}, or --help")
        return str(self.given[key])

    def flag(self, key: str) -> bool:
        """True or false, false where it is not given."""
        value = self.given.get(key, False)
        if not isinstance(value, bool):
            raise ValueError(f"{key}={value}: expected true or false")
        return value

    def several(self, key: str) -> list[str]:
        """Values by commas or as a list, none where it is not given."""
        value = self.given.get(key)
        values = value if isinstance(value, list) else [] if value is None else str(value).split(",")
        return [str(one).strip() for one in values if str(one).strip()]

    def paths(self, key: str) -> list[Path]:
        """The same as paths; ``~`` is the home folder."""
        return [Path(one).expanduser() for one in self.several(key)]


def _export(dataset: str, options: Options) -> int:
    out = options.text("out", "runs.csv")
    return export.export(dataset, out, failed=options.flag("failed"), replace=options.flag("replace"))


def _merge(dataset: str, options: Options) -> int:
    options.text("from", "a.json,b.json")
    preferred = str(options.given.get("prefer", "ours"))
    if preferred not in ("ours", "theirs"):
        raise ValueError(f"prefer={preferred}: expected ours (the default) or theirs")
    folders = options.paths("weights")
    return merge.merge(dataset, options.paths("from"), folders, prefer_theirs=preferred == "theirs")


def _remove(dataset: str, options: Options) -> int:
    options.text("id", "3,7")
    return upkeep.remove(dataset, options.several("id"), weights=options.flag("weights"))


def _import(dataset: str, options: Options) -> int:
    source = Path(options.text("from", "old.json")).expanduser()
    return foreign.adopt(
        dataset, source, foreign.parse_names(options.several("metrics")), replace=options.flag("replace")
    )


def _watch(dataset: str, options: Options) -> int:
    given, every = options.given.get("every"), None
    if given is not None:
        with suppress(ValueError):
            every = read_number(given)
        if every is None or not 1 <= every <= LONGEST:
            raise ValueError(f"every={given}: expected seconds between two looks, a number in [1, {LONGEST}]")
    return watching.watch(dataset, every)


def _cancel(dataset: str, options: Options) -> int:
    arrays = options.several("array")
    if "array" in options.given and not arrays:
        raise ValueError("array= names none; write for example array=7,8, or leave it out to cancel all there are")
    return watching.cancel(dataset, arrays)


# command: what it does, its options beside dataset
COMMANDS: dict[str, tuple[Callable[[str, Options], int], tuple[str, ...]]] = {
    "check": (lambda dataset, _: upkeep.check(dataset), ()),
    "rebuild": (lambda dataset, options: upkeep.rebuild(dataset, options.paths("runs")), ("runs",)),
    "remove": (_remove, ("id", "weights")),
    "fold": (lambda dataset, _: upkeep.fold(dataset), ()),
    "export": (_export, ("out", "failed", "replace")),
    "merge": (_merge, ("from", "weights", "prefer")),
    "watch": (_watch, ("every",)),
    "cancel": (_cancel, ("array",)),
    "import": (_import, ("from", "metrics", "replace")),
}


def main(words: Sequence[str]) -> int:
    """Runs one command; returns its exit code."""
    show_everything()
    begin()
    try:
        if set(HELP) & set(words):
            return answer("database", words)
        work, dataset, options = _command(words)
        return work(dataset, options)
    except BrokenPipeError:
        return unread()
    except (ValueError, OSError) as error:
        complain(format_error(error))
        return 2


def _command(words: Sequence[str]) -> tuple[Callable[[str, Options], int], str, Options]:
    verb = words[0] if words else ""
    if verb not in COMMANDS:
        raise ValueError(f"give one of {', '.join(COMMANDS)}, not {verb!r}{near(verb, COMMANDS)} --help explains them")
    work, keys = COMMANDS[verb]
    options = _options(verb, ("dataset", *keys), words[1:])
    dataset = str(database(options.given.get("dataset")) or "")
    if not NAME.fullmatch(dataset):
        raise ValueError(f"dataset={dataset} is no name of a data set; write for example dataset=loan, or --help")
    return work, dataset, options


def _options(verb: str, keys: Sequence[str], words: Sequence[str]) -> Options:
    words = without_dashes(words, keys)
    typed = read_words(words, keys, f" of {verb}")
    try:
        read: Any = OmegaConf.to_container(OmegaConf.from_cli(words), resolve=True)
    except (OmegaConfBaseException, YAMLError) as error:
        raise ValueError(f"cannot read {' '.join(words)!r}: {str(error).splitlines()[0]}") from error
    # true, null, lists and quoted texts as YAML reads them; everything else, 007 or a:b too, is the text as typed
    plain = {k: v for k, v in read.items() if v is None or isinstance(v, bool | list) or typed[k][:1] in ("'", '"')}
    return Options(typed | plain)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
