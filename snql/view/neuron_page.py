"""One neuron of the model: what ``snql neuron --html`` shows, and the ways from it to others."""

from typing import Any

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from snql.db.connection import Database
from snql.neuron_pages import describe_neuron
from snql.neuron_pages.choose import has, parse_neuron
from snql.neuron_pages.html import part_values
from snql.neuron_pages.model import NeuronPage, Place
from snql.view.site import Page, Site

EXAMPLES = 10
Step = tuple[str, str | None, str, str | None]
"""What is stepped by, the neuron before, where this one is, and the neuron after."""


def page(site: Site, request: Request) -> Page:
    """The neuron's page. The query may name a run, by its id."""
    name = parse_neuron(request.path_params["name"]).name
    asked = request.query_params.get("run", "")
    with site.reading() as db:
        found = db.rows("SELECT kind, name, run_id FROM runs WHERE status = 'done'")
        chosen = [run for kind, run, run_id in found if kind == "locate" and str(run_id) == asked]
        shown = describe_neuron(db, name, chosen, examples=EXAMPLES)
        run_id = next(number for kind, run, number in found if (kind, run) == ("locate", shown.runs[0].run))
        steps = [_by_rank(db, shown, run_id), *_beside(shown)]
    addresses = {(kind, run): f"/run/{number}" for kind, run, number in found}
    others = [(run, number) for kind, run, number in found if kind == "locate" and run in set(shown.scores["run"])]
    values: dict[str, Any] = {**part_values(shown, addresses), "steps": steps, "run_id": run_id, "others": others}
    return Page("view_neuron.html.j2", name, "", values)


def named(request: Request) -> Response:
    """To the page of the neuron whose name was typed. Raises InputError for what is no neuron."""
    return RedirectResponse(f"/neuron/{parse_neuron(request.query_params.get('name', '')).name}", 303)


def _by_rank(db: Database, shown: NeuronPage, run_id: int) -> Step:
    own = shown.scores.filter(run=shown.runs[0].run).row(0, named=True)
    if own["rank"] is None:
        return "rank", None, "none", None
    query = """
        SELECT rank, neuron_name(layer, expert, neuron) FROM neuron_statistics WHERE run_id = ? AND rank IN (?, ?)
        """
    around = dict(db.rows(query, [run_id, own["rank"] - 1, own["rank"] + 1]))
    return "rank", around.get(own["rank"] - 1), f"{own['rank']:,}", around.get(own["rank"] + 1)


def _beside(shown: NeuronPage) -> list[Step]:
    """The neurons of the next layers and of the next indices."""
    place = shown.place

    def name(layer: int, neuron: int) -> str | None:
        other = Place(layer, place.expert, neuron)
        return other.name if min(layer, neuron) >= 0 and has(shown.shape, other) else None

    layer, neuron = place.layer, place.neuron
    return [
        ("layer", name(layer - 1, neuron), str(layer), name(layer + 1, neuron)),
        ("index", name(layer, neuron - 1), f"{neuron:,}", name(layer, neuron + 1)),
    ]
