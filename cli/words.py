"""Command lines as shells hand them over: where options of all commands may stand, and words that bash has split."""

import shlex
from collections.abc import MutableMapping, Sequence
from contextvars import ContextVar
from itertools import islice

UNSEEN: ContextVar[str] = ContextVar("unseen", default="")
"""What stands before the word that a shell completes, and belongs to it: bash takes ``demo:saf`` for three words."""

FLAGS, VALUED = ("--json", "--csv", "--quiet", "-q"), ("--db", "--format")
"""Options of all commands, without and with a value. A command's own ``--format`` stays its own."""

COMPLETES = "_SNQL_COMPLETE"
"""The variable by which a shell's script asks for completions."""

_BREAKS = (":", "=", "@")


def hoisted(arguments: Sequence[str], own: set[str]) -> list[str]:
    """The arguments with the options of all commands in front, where hands may not have put them.

    own: the options of the command that is meant.
    """
    front, rest, given = list[str](), list[str](), iter(arguments)
    for word in given:
        flag, equals, _ = word.partition("=")
        if word == "--":
            rest += [word, *given]
        elif word in FLAGS and word not in own:
            front.append(word)
        elif flag in VALUED and flag not in own:
            front += [word] if equals else [word, *islice(given, 1)]
        else:
            rest.append(word)
    return front + rest


def join_words(environment: MutableMapping[str, str]) -> None:
    """Of what bash wants completed, put words together that are one; what is not to be repeated goes to ``UNSEEN``."""
    place = environment.get("COMP_CWORD", "")
    if environment.get(COMPLETES) != "complete_bash" or not place.isdecimal():
        return
    arguments, unseen, begun = joined(_split(environment.get("COMP_WORDS", "")), int(place))
    UNSEEN.set(unseen)
    environment["COMP_WORDS"] = shlex.join([*arguments, begun] if begun else arguments)
    environment["COMP_CWORD"] = str(len(arguments))


def joined(words: Sequence[str], place: int) -> tuple[list[str], str, str]:
    """The whole words before the one at a place; of that, what bash does not replace, and what it does."""
    found: list[list[str]] = []
    for word in words[: place + 1]:
        last = found[-1] if found else []
        is_joined = word == ":" or (word == "=" and last[:1] and last[0].startswith("--"))
        if found and (is_joined or last[-1] in _BREAKS):
            last.append(word)
        else:
            found.append([word])
    if len(words) <= place:
        found.append([""])
    *whole, own = found
    begun = "" if own[-1] in _BREAKS else own[-1]
    unseen = "".join(own).removesuffix(begun) if begun else "".join(own)
    arguments = ["".join(parts) for parts in whole]
    if unseen.startswith("--") and "=" in unseen:
        flag, _, unseen = unseen.partition("=")
        arguments.append(flag)
    return arguments, unseen, begun


def _split(text: str) -> list[str]:
    """Words as a shell has them; of one whose quote is open, what is there."""
    lexer = shlex.shlex(text, posix=True)
    lexer.whitespace_split, lexer.commenters = True, ""
    words: list[str] = []
    try:
        for word in lexer:
            words.append(word)
    except ValueError:
        words.append(lexer.token)
    return words
