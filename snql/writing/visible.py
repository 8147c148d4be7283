"""Text from models, prompts and run names, made visible: it shows, and does nothing."""

import unicodedata


def visible(text: str, keep: str = "") -> str:
    """Replace characters that act instead of showing, except those in ``keep``.

    Control characters become their picture (escape becomes ␛), line separators ␤, and characters that reorder
    text, are unassigned or half of a surrogate pair become U+FFFD.
    """
    return "".join(character if character in keep else _shown(character) for character in text)


def _shown(character: str) -> str:
    category = unicodedata.category(character)
    if category == "Cc":
        code = ord(character)
        return chr(0x2400 + code) if code < 0x20 else "␡" if code == 0x7F else "\ufffd"
    if category in ("Zl", "Zp"):
        return "␤"
    if category in ("Cs", "Cn", "Co") or (category == "Cf" and character not in "\u200c\u200d\u00ad"):
        return "\ufffd"
    return character
