"""``python -m snql``: the command line."""

from snql.cli.app import main

main()
