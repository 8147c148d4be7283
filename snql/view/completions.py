"""What the models of a run wrote to each prompt, side by side: filtered by judge, data set and words."""

import re
from dataclasses import dataclass
from typing import Any

from starlette.requests import Request

from snql.db import scripts
from snql.db.connection import Database
from snql.view.home import Row, page_number
from snql.view.run_page import run_of
from snql.view.site import Page, Site

PROMPTS_A_PAGE = 20
FILTERS = {
    "": "all",
    "fixed": "fixed: bad, then good",
    "broken": "broken: good, then bad",
    "kept-good": "kept good",
    "kept-bad": "kept bad",
    "changed": "text changed",
    "unchanged": "text unchanged",
    "third": "the donor's text",
}
ORDERS = {"": "of the prompts", "fall": "largest fall first", "rise": "largest rise first"}


@dataclass(frozen=True)
class Written:
    """A text, in parts: what the first variant wrote as well, the first word that differs, and the rest.

    text None where nothing was written.
    """

    variant: str
    role: str
    score: float | None
    change: float | None
    same: str
    first: str
    rest: str


def page(site: Site, request: Request) -> Page:
    """A page of prompts with their completions."""
    asked = request.query_params
    place = page_number(request)
    with site.reading() as db:
        row = run_of(db, request)
        variants = _variants(db, row["run_id"])
        judges = dict(db.rows(scripts.query("judges_of_run"), {"run_id": row["run_id"]}))
        datasets = _datasets(db, row["run_id"])
        chosen = {
            "set": _known(asked.get("set", ""), [str(each["variant_id"]) for each in variants if each["choice"]]),
            "judge": _known(asked.get("judge", ""), list(judges)),
            "dataset": asked.get("dataset", "") if asked.get("dataset") in datasets else "",
            "show": asked.get("show", "") if asked.get("show") in FILTERS else "",
            "order": asked.get("order", "") if asked.get("order") in ORDERS else "",
            "find": asked.get("find", "")[:200],
        }
        columns = _columns(variants, chosen["set"], frozen=_is_frozen(db, row["run_id"]))
        rows = _rows(db, row["run_id"], columns, chosen, judges, place)
    values: dict[str, Any] = {
        "run": row,
        "sets": [(str(each["variant_id"]), each["name"]) for each in variants if each["choice"]],
        "judges": list(judges),
        "datasets": datasets,
        "filters": FILTERS,
        "orders": ORDERS,
        "chosen": chosen,
        "prompts": [(each, _side_by_side(each, columns)) for each in rows],
        "n_found": rows[0]["n_found"] if rows else 0,
        "page": place,
        "size": PROMPTS_A_PAGE,
        "pages": -(-rows[0]["n_found"] // PROMPTS_A_PAGE) if rows else 1,
        "here": {name: value for name, value in chosen.items() if value},
    }
    return Page("view_completions.html.j2", f"{row['name']}: completions", "/", values)


def _variants(db: Database, run_id: int) -> list[Row]:
    """Who wrote, sets that charts show first; ``choice``: whether it is one of several to choose from."""
    rows = db.frame(scripts.query("writers_of_run"), {"run_id": run_id}).to_dicts()
    return [{**row, "choice": row["role"] == "patched"} for row in rows]


def _datasets(db: Database, run_id: int) -> list[str]:
    query = "SELECT DISTINCT dataset FROM run_prompts JOIN prompts USING (prompt_id) WHERE run_id = ? ORDER BY dataset"
    return [str(dataset) for (dataset,) in db.rows(query, [run_id])]


def _is_frozen(db: Database, run_id: int) -> bool:
    query = "SELECT coalesce((config ->> '$.freeze')::BOOLEAN, false) FROM runs WHERE run_id = ?"
    ((frozen,),) = db.rows(query, [run_id])
    return bool(frozen)


def _known(asked: str, known: list[str]) -> str:
    return asked if asked in known else known[0] if known else ""


def _columns(variants: list[Row], chosen: str, *, frozen: bool) -> list[Row | None]:
    """The variant that is compared with, the chosen one, and the other unpatched one; None where there is none."""
    unpatched = [each for each in variants if not each["choice"]]
    order = ("donor", "recipient") if frozen else ("before", "recipient", "after", "donor", "writer", "given")
    unpatched.sort(key=lambda each: order.index(each["role"]) if each["role"] in order else len(order))
    patched = next((each for each in variants if str(each["variant_id"]) == chosen), None)
    ends: list[Row | None] = [*unpatched[:2], None, None]
    return [ends[0], patched, ends[1]] if patched is not None else [ends[0], ends[1], None]


def _rows(
    db: Database, run_id: int, columns: list[Row | None], chosen: dict[str, str], judges: dict[str, str], place: int
) -> list[Row]:
    names = ("first", "chosen", "third")
    given = {
        **{name: None if each is None else each["variant_id"] for name, each in zip(names, columns, strict=True)},
        **{"run_id": run_id, "judge": chosen["judge"], "better": judges.get(chosen["judge"], "low")},
        **{"dataset": chosen["dataset"], "find": chosen["find"], "shown": chosen["show"], "ordered": chosen["order"]},
        **{"most": PROMPTS_A_PAGE, "skipped": PROMPTS_A_PAGE * (place - 1)},
    }
    return db.frame(scripts.query("viewed_completions"), given).to_dicts()


def _side_by_side(row: Row, columns: list[Row | None]) -> list[Written]:
    found = []
    for name, variant in zip(("first", "chosen", "third"), columns, strict=True):
        text, score = row[f"text_{name}"], row[f"score_{name}"]
        if variant is None or text is None:
            continue
        is_other = name != "first" and row["text_first"] is not None
        change = score - row["score_first"] if is_other and None not in (score, row["score_first"]) else None
        parts = parted(text, row["text_first"]) if is_other else ("", "", text)
        found.append(Written(variant["name"], variant["role"], score, change, *parts))
    return found


def parted(text: str, other: str) -> tuple[str, str, str]:
    """What two texts share from their beginning, in whole words; the first word of ``text`` after it; and the rest."""
    if text == other:
        return text, "", ""
    length = next((place for place, (a, b) in enumerate(zip(text, other, strict=False)) if a != b), None)
    if length is None:
        length = min(len(text), len(other))
    if length < len(text):
        while length > 0 and not text[length - 1].isspace():
            length -= 1
    word = re.match(r"\s*\S+", text[length:])
    end = length + (word.end() if word else 0)
    return text[:length], text[length:end], text[end:]
