"""What snql is called where packages are kept; the name ``snql`` is another project's there."""

from importlib.metadata import version

NAME = "snql-neurons"


def own_version() -> str:
    """The version of what is installed."""
    return version(NAME)


def install(extra: str) -> str:
    """How to get an extra, as an error says it: from the index, and in a clone."""
    return f"pip install '{NAME}[{extra}]', or in a clone pip install '.[{extra}]'"
