"""Commands that look at tables and at run databases, listed by ``python -m evals``."""

import sys

if sys.argv[0] == "-m":  # python -m evals.NAME comes by here before it imports what the command needs
    from utils.command_line import evals_help

    evals_help.begin(sys.orig_argv, sys.argv[1:])
