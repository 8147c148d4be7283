"""The command line, as ``snql`` and as ``python -m snql``: from its first import on, Ctrl-C is one line."""

import os
import sys


def main() -> None:
    """Run the command line and exit."""
    try:
        from snql.cli.interrupts import WATCH

        WATCH.listen()
        from snql.cli.app import main as command_line
    except KeyboardInterrupt:
        sys.stderr.write("snql: interrupted\n")
        sys.stderr.flush()
        os._exit(130)
    command_line()


if __name__ == "__main__":
    main()
