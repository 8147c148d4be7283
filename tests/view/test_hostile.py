"""Text that attacks stays text on every page."""

import json
import re
from collections import Counter

import pytest
from starlette.testclient import TestClient

from snql.writing.inert import visible

from ..reporting.hostile import HOSTILE, RUNS
from ..reporting.shared import texts_once
from ..reporting.test_escaping import Page
from .conftest import ADDRESS

OF_A_KIND = 1
"""Pages of one kind that are looked at; of runs, which differ by what is in them, the ALL newest."""
ALL = 8
SOME = (HOSTILE[0], HOSTILE[8])
"""Of those that are put where questions stand."""


@pytest.fixture(scope="module")
def pages(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Page]:
    """Pages of every kind; the process that finds them asks for the attacked server."""
    texts = texts_once(tmp_path_factory, "attacked", lambda: found_pages(request.getfixturevalue("attacked")))
    return {address: Page(text) for address, text in texts.items()}


def found_pages(attacked: TestClient) -> dict[str, str]:
    """Pages of every kind, found by going from link to link from the first one."""
    waiting, seen, kinds, found = ["/"], {"/"}, Counter[str](), dict[str, str]()
    while waiting:
        address = waiting.pop(0)
        kind = re.sub(r"\d+(\?.*)?|\?.*", "#", address)
        kinds[kind] += 1
        if kinds[kind] > (ALL if kind == "/run/#" else OF_A_KIND):
            continue
        answer = attacked.get(address)
        assert answer.status_code in (200, 400), (address, answer.text)
        found[address] = answer.text
        page = Page(answer.text)
        links = [attributes.get(name) for _, attributes in page.elements for name in ("href", "data-load")]
        for link in [link for link in links if link and link.startswith("/") and not link.startswith("/assets")]:
            if link not in seen:
                seen.add(link)
                waiting.append(link)
    quoted = ['"' + text.replace('"', '""') + '"' for text in HOSTILE]
    columns = ", ".join(f"length(text) + n AS {name}" for name in quoted)
    sql = f"SELECT run, text, {columns} FROM run_completions, range(2) AS r(n)"
    questions = [{"sql": sql}, *({"question": "layer_spread", "p_run": text} for text in RUNS[:2])]
    questions += [{"sql": text, "given": f"x={text!r}"} for text in SOME]
    for number, fields in enumerate(questions):
        answer = attacked.post("/sql", data=fields, headers={"origin": ADDRESS})
        assert answer.status_code in ((200, 400) if number else (200,)), answer.text
        found[f"/sql {number}"] = answer.text
    for number, text in enumerate(SOME):
        found[f"/sets {number}"] = attacked.get("/sets", params={"expr": text}).text
    return found


def test_every_kind_of_page_was_found(pages: dict[str, Page]) -> None:
    kinds = {re.sub(r"\d+(\?.*)?|\?.*", "#", address) for address in pages}
    assert {"/", "/run/#", "/run/#/completions", "/neuron/L#.N#", "/sets"} <= kinds
    assert any("/figure/" in kind for kind in kinds) and any("/table/" in kind for kind in kinds)


def test_no_page_has_a_script_a_style_or_a_handler_inside(pages: dict[str, Page]) -> None:
    for address, page in pages.items():
        for attributes, text in page.scripts:
            if attributes.get("type") == "application/json":
                assert "<" not in text and isinstance(json.loads(text), dict)
            else:
                assert str(attributes["src"]).startswith("/assets/") and not text
        names = {name for _, attributes in page.elements for name in attributes}
        assert not [name for name in names if name.startswith("on")], address
        tags = {tag for tag, _ in page.elements}
        assert not tags & {"style", "iframe", "object", "embed", "base", "img"}, address


def test_links_stay_on_the_server_and_forms_too(pages: dict[str, Page]) -> None:
    for address, page in pages.items():
        for tag, attributes in page.elements:
            for name in ("href", "src", "action", "formaction", "data-load"):
                target = attributes.get(name)
                icon = tag == "link" and target == "data:,"
                assert target is None or icon or re.match(r"/(?!/)|[?#]", target), (address, tag, target)


def test_styles_are_colours_alone(pages: dict[str, Page]) -> None:
    for page in pages.values():
        for _, attributes in page.elements:
            style = attributes.get("style")
            assert style is None or re.fullmatch(r"background(-color)?: [#\w(), .]+", style), style


def test_nothing_acts_and_everything_shows(pages: dict[str, Page]) -> None:
    for address, page in pages.items():
        assert not re.findall(r"[\x00-\x08\x0b-\x1f\u202e]", page.text), address
    home = pages["/"].text
    for text in HOSTILE:
        assert visible(text) in home
    completions = next(page for address, page in pages.items() if "/completions" in address)
    assert visible("\n".join(HOSTILE), keep="\n") in completions.text
