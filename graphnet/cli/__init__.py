"""The command line `graphnet`: train, predict, draw, bench, inspect, check, search, experiment.

What the user got wrong is one line on standard error and exit code 2; an interrupt is silent, exit code 130.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from typing import Any, NoReturn

from graphnet.cli import bench, check, draw, experiment, inspect, predict, search, train
from graphnet.cli.measuring import version
from graphnet.errors import GraphnetError

USER_ERROR, INTERRUPTED = 2, 130
_COMMANDS = (train, predict, draw, bench, inspect, check, search, experiment)


class _Parser(argparse.ArgumentParser):
    """An argument parser whose errors are one line."""

    def __init__(self, **options: Any) -> None:
        super().__init__(allow_abbrev=False, **options)

    def error(self, message: str) -> NoReturn:
        self.exit(USER_ERROR, f"{self.prog}: error: {message} (see {self.prog} --help)\n")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; the exit code."""
    options = _parser().parse_args(arguments)
    problem: object
    try:
        code = options.run(options) or 0
        sys.stdout.flush()
        return int(code)
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:  # whoever reads our output has read enough, such as `head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except GraphnetError as error:
        problem = error
    except OSError as error:
        problem = f"{error.filename}: {error.strerror}" if error.filename else error
    except MemoryError as error:
        problem = f"not enough memory: {error}"
    print(f"graphnet {options.command}: error: {_one_line(problem)}", file=sys.stderr)
    return USER_ERROR


def _one_line(problem: object) -> str:
    """The lines of a message, one after the other; after a colon they need no semicolon."""
    lines = [line.strip() for line in str(problem).splitlines() if line.strip()]
    return "; ".join(lines).replace(":; ", ": ")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="graphnet", description="Train, run, draw, measure and inspect networks compiled for CPUs.")
    parser.add_argument("--version", action="version", version=f"graphnet {version()}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for module in _COMMANDS:
        name = module.__name__.rsplit(".", 1)[-1]
        summary = (module.__doc__ or "").splitlines()[0]
        sub = commands.add_parser(name, help=summary, description=module.__doc__)
        module.add_arguments(sub)
        sub.set_defaults(run=module.run)
    return parser
