"""The program `graphnet`. It stands outside the package, whose import it guards: Ctrl-C is quiet from the start."""

import sys

INTERRUPTED = 130


def main() -> int:
    """Import and run the command line; the exit code."""
    try:
        from graphnet.cli import main as run

        return run()
    except KeyboardInterrupt:
        return INTERRUPTED


if __name__ == "__main__":
    sys.exit(main())
