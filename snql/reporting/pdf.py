"""Give a PDF file one order of objects.

The PDF writer inside vl-convert numbers and orders fonts and other resources differently on every call. Here
resources are sorted by name and objects are numbered in the order in which they are reached from the document's root;
nothing else changes.
"""

import re
from collections.abc import Iterator

_REFERENCE = re.compile(rb"\b(\d+) 0 R\b")
_RESOURCE = rb"\s*/\w+ (?:\d+ 0 R|\[[^\]]*\])"
_RESOURCES = re.compile(
    rb"(/(?:Font|XObject|ExtGState|ColorSpace|Pattern|Shading) <<)((?:" + _RESOURCE + rb")+)(\s*>>)"
)
_TABLE = re.compile(rb"startxref\s+(\d+)\s+%%EOF\s*$")
_ENTRY = re.compile(rb"(\d{10}) \d{5} n")


def canonical(pdf: bytes) -> bytes:
    """The same document with its objects in a fixed order.

    A file without a plain cross-reference table is returned as it is.
    """
    table = _TABLE.search(pdf)
    start = int(table.group(1)) if table else len(pdf)
    if not table or not pdf.startswith(b"xref", start):
        return pdf
    trailer = pdf[pdf.index(b"trailer", start) :]
    objects = _objects(pdf, [int(offset) for offset in _ENTRY.findall(pdf, start)], start)
    order = _reached(trailer, objects)
    numbers = {old: new for new, old in enumerate(order, start=1)}
    bodies = [_renumbered(objects[old], numbers) for old in order]
    head = pdf[: pdf.index(b" 0 obj")].rpartition(b"\n")[0] + b"\n"
    dictionary = re.sub(rb"/Size \d+", b"/Size %d" % (len(order) + 1), trailer.partition(b"startxref")[0])
    return _written(head, bodies, _renumbered(dictionary, numbers))


def _objects(pdf: bytes, offsets: list[int], end: int) -> dict[int, bytes]:
    """The body of each object, by its number."""
    used = sorted(offset for offset in offsets if offset)
    objects = {}
    for offset, following in zip(used, [*used[1:], end], strict=True):
        number, _, rest = pdf[offset:following].partition(b" 0 obj")
        objects[int(number)] = _sorted_resources(rest[: rest.rindex(b"endobj")])
    return objects


def _sorted_resources(body: bytes) -> bytes:
    def in_order(match: re.Match[bytes]) -> bytes:
        return match.group(1) + b"".join(sorted(re.findall(_RESOURCE, match.group(2)))) + match.group(3)

    dictionary, stream = _split(body)
    return _RESOURCES.sub(in_order, dictionary) + stream


def _split(body: bytes) -> tuple[bytes, bytes]:
    """What of an object may hold references, and its stream, which may not."""
    dictionary, marker, stream = body.partition(b"stream\n")
    return dictionary, marker + stream


def _reached(trailer: bytes, objects: dict[int, bytes]) -> list[int]:
    """The numbers of all objects in the order they are first referred to, depth first."""
    order: dict[int, None] = {}

    def references(body: bytes) -> Iterator[int]:
        return (int(number) for number in _REFERENCE.findall(_split(body)[0]))

    waiting = list(references(trailer))[::-1]
    while waiting:
        number = waiting.pop()
        if number not in order and number in objects:
            order[number] = None
            waiting += list(references(objects[number]))[::-1]
    return list(order)


def _renumbered(body: bytes, numbers: dict[int, int]) -> bytes:
    dictionary, stream = _split(body)
    return _REFERENCE.sub(lambda match: b"%d 0 R" % numbers[int(match.group(1))], dictionary) + stream


def _written(head: bytes, bodies: list[bytes], trailer: bytes) -> bytes:
    """The file: objects numbered from 1 in this order, then the table of where they begin."""
    out, places = bytearray(head), []
    for number, body in enumerate(bodies, start=1):
        places.append(len(out))
        out += b"%d 0 obj%sendobj\n\n" % (number, body)
    table = b"".join(b"%010d 00000 n\r\n" % place for place in places)
    start = len(out)
    out += b"xref\n0 %d\n0000000000 65535 f\r\n" % (len(bodies) + 1) + table + trailer
    return bytes(out + b"startxref\n%d\n%%%%EOF" % start)
