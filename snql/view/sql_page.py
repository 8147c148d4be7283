"""SQL: the library of questions, a box for anybody's own, and the answer as a table, a chart and a file."""

from typing import Any
from urllib.parse import parse_qsl

from starlette.exceptions import HTTPException
from starlette.requests import Request

from snql.db.connection import Database
from snql.errors import SnqlError
from snql.querying.questions import questions
from snql.querying.suggest import complete, read_names
from snql.view.asking import Answer, Asked, answer
from snql.view.chart import chart
from snql.view.site import Page, Site
from snql.view.watched import Cancel
from snql.writing import html

LONGEST_FORM = 1_000_000
MOST_SUGGESTIONS = 24
EXAMPLE = (
    "SELECT layer, count(*) AS neurons, avg(score) AS score\nFROM neuron_scores WHERE rank <= 1000\nGROUP BY layer"
)


async def form_of(request: Request) -> dict[str, str]:
    """The fields of a form. Raises HTTPException 413 for one that no page sends."""
    body = b""
    async for part in request.stream():
        body += part
        if len(body) > LONGEST_FORM:
            raise HTTPException(413, "That is too long.")
    return dict(parse_qsl(body.decode("utf-8", "replace"), keep_blank_values=True))


def page(site: Site, request: Request) -> Page:
    """The page before anything is asked; ``?sql=`` puts SQL into its box, and asks nothing."""
    return _page(site, Asked(sql=request.query_params.get("sql", EXAMPLE)), None, None, {})


def answered(site: Site, form: dict[str, str], cancel: Cancel) -> Page:
    """The page with an answer, or with what is wrong with the question."""
    asked = Asked(sql=form.get("sql", ""))
    try:
        asked = Asked.of(form)
        return _page(site, asked, answer(site, asked, cancel), None, form)
    except SnqlError as error:
        return _page(site, asked, None, str(error), form)


def suggestions(site: Site, form: dict[str, str]) -> list[dict[str, object]]:
    """What could be written at a position of the SQL."""
    sql, position = form.get("sql", ""), form.get("position", "")
    if not (position.isascii() and position.isdigit() and int(position) <= len(sql)) or sql.lstrip().startswith("."):
        return []
    with site.reading() as db:
        found = complete(read_names(db), sql, int(position))
    return [vars(one) for one in found[:MOST_SUGGESTIONS]]


def _page(site: Site, asked: Asked, found: Answer | None, error: str | None, form: dict[str, str]) -> Page:
    with site.reading() as db:
        runs = _runs(db)
    values: dict[str, Any] = {
        "asked": asked,
        "questions": questions(),
        "runs": runs,
        "error": error,
        "answer": found,
        "rows": None if found is None else html.rows(found.frame.columns, found.numeric, found.texts),
        "chart": None if found is None else chart(found.frame, found.numeric, form),
        "given": dict(word.partition("=")[::2] for word in asked.given),
    }
    return Page("view_sql.html.j2", "SQL", "/sql", values)


def _runs(db: Database) -> list[str]:
    return [str(name) for (name,) in db.rows("SELECT DISTINCT name FROM runs WHERE status = 'done' ORDER BY name")]
