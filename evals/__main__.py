"""Lists the commands that look at tables and at run databases: ``python -m evals``."""

import sys

from utils.system.console import complain, write
from utils.words.near import only_near
from utils.words.quoting import HELP
from utils.words.wrapping import wrap

COMMANDS = {
    "look": "a table of your own: what its columns mean, who is in it; writes its schema and a page",
    "scm": "a causal model: its equations and its graph judged by the data, people with their twins",
    "table": "means over seeds by data set and regularizer, as Markdown, CSV or LaTeX",
    "plot": "metrics of all models against each other, with the Pareto frontier; twelve kinds",
    "select": "the best model that meets every limit, what each limit costs, and a model card",
    "compare": "two models on the same test rows: paired differences, who is decided otherwise",
    "explain": "one person: twins, what moves the decision, the cheapest change that turns it",
    "report": "one HTML page about all models of a data set, to open without a network",
    "pictures": "accuracy by class and radius, confusions, images that fool a classifier",
    "delivery": "rows that somebody delivered, beside trusted ones: what is beyond chance",
    "poison": "what rows that were added to the training rows changed, seed by seed",
    "database": "check, rebuild, remove, fold, export, merge, import",
}


def main(words: list[str]) -> int:
    """Prints the commands; the exit code is 2 where a word was given that is not a request for help."""
    if words and not set(HELP) & set(words):
        meant = words[0] if words[0] in COMMANDS else only_near(words[0], {name: name for name in COMMANDS})
        there = f"write python -m evals.{meant}" if meant else f"commands are evals.{', evals.'.join(COMMANDS)}"
        complain(f"python -m evals takes no words; {there}")
        return 2
    write(wrap("Commands, each explained by --help; python evaluate.py judges stored models again.") + "\n\n")
    write("".join(wrap(does, f"  python -m evals.{name:9} ", " " * 28) + "\n" for name, does in COMMANDS.items()))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
