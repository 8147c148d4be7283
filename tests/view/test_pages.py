"""What pages say is what the database holds, found another way."""

import html
import re
from urllib.parse import quote

import numpy as np
import pytest
from starlette.testclient import TestClient

from snql.db import Database
from snql.neurons.sets import Shape
from snql.rankings.evaluate import Evaluator
from snql.reporting.figures import FIGURES as ALL_FIGURES
from snql.reporting.tables import TABLES as ALL_TABLES
from snql.view.completions import parted
from snql.view.run_page import FIGURES, TABLES


def shown(user: TestClient, address: str, status: int = 200) -> str:
    """The text of a page, a line for each piece of text."""
    answer = user.get(address)
    assert answer.status_code == status, answer.text
    return re.sub(r"\s*\n\s*", "\n", html.unescape(re.sub(r"<[^>]*>", "\n", answer.text)))


def cells(user: TestClient, address: str, heading: str) -> list[list[str]]:
    """The body of the table under a heading."""
    part = user.get(address).text.partition(f"<h2>{heading}</h2>")[2].partition("</table>")[0]
    rows = re.findall(r"<tr>(.*?)</tr>", part.partition("<tbody>")[2], re.DOTALL)
    found = [re.findall(r"<t[dh][^>]*>(.*?)</t[dh]>", row, re.DOTALL) for row in rows]
    return [[html.unescape(re.sub(r"<[^>]*>", "", cell)).strip() for cell in row] for row in found]


def run_id(database: Database, name: str) -> int:
    return int(database.rows("SELECT min(run_id) FROM runs WHERE name = ?", [name])[0][0])


def test_home_has_all_runs_newest_first(user: TestClient, database: Database) -> None:
    page = user.get("/").text
    links = [int(found) for found in re.findall(r'<h2><a href="/run/(\d+)">', page)]
    assert links == [number for (number,) in database.rows("SELECT run_id FROM runs ORDER BY started_at DESC, 1 DESC")]
    assert "By cost: safety:10% (100 neurons) carries 90% [80%, 100%] of the difference" in shown(user, "/")


def test_a_run_says_what_was_found_and_how_to_repeat_it(user: TestClient, database: Database) -> None:
    number = run_id(database, "safety")
    text = shown(user, f"/run/{number}")
    assert "1,000 neurons ranked by change-score" in text
    assert "snql locate safety --before demo:sft --after demo:safety" in text
    rows = cells(user, f"/run/{number}", "Highest neurons")
    top = database.frame("SELECT * FROM neuron_scores WHERE run = 'safety' AND rank <= 25 ORDER BY rank")
    assert [row[:2] for row in rows] == [[str(r["rank"]), f"L{r['layer']}.N{r['neuron']}"] for r in top.to_dicts()]
    assert [float(row[2]) for row in rows] == pytest.approx(top["score"].to_list(), abs=6e-4)
    sets = cells(user, f"/run/{run_id(database, 'sweep')}", "Patched sets")
    assert [row[0] for row in sets] == ["safety:1%", "safety:5%", "safety:10%"] and sets[0][3] == "3"


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("/run/999", "no such run"),
        ("/run/1/figure/nothing", "no such figure"),
        ("/run/1/table/nothing", "no such table"),
        ("/nowhere", "Not Found"),
    ],
)
def test_what_there_is_not(user: TestClient, address: str, words: str) -> None:
    assert words in shown(user, address, 404)


def test_figures_and_tables_are_made_when_they_are_asked_for(user: TestClient, database: Database) -> None:
    number = run_id(database, "sweep")
    page = user.get(f"/run/{number}/figure/effect-size").text
    assert "class=&#34;" not in page and 'class="chart-spec"' in page and "safety:10%" in page
    assert "#17171a" in user.get(f"/run/{number}/figure/effect-size?dark").text
    rows = cells(user, f"/run/{number}/table/effects", "")
    assert rows == [] or rows
    effects = user.get(f"/run/{number}/table/effects").text
    assert effects.count("<tr>") == 1 + 3  # a head, and a row a set
    assert "Not drawn" in user.get(f"/run/{number}/figure/windows").text


def test_every_figure_and_table_is_one_of_the_report() -> None:
    shown = {name for names in FIGURES.values() for name in names}
    assert {figure.name for figure in ALL_FIGURES} - shown == {"overlap"}, "of two runs: Compare shows it"
    assert shown < {figure.name for figure in ALL_FIGURES}
    known = {table.name for table in ALL_TABLES}
    assert known - {name for names in TABLES.values() for name in names} == {"runs", "top-neurons"}


def test_a_neuron_and_the_ways_from_it(user: TestClient, database: Database) -> None:
    top = database.frame("SELECT * FROM neuron_scores WHERE run = 'safety' AND rank <= 3 ORDER BY rank").to_dicts()
    first, second, third = (f"L{row['layer']}.N{row['neuron']}" for row in top)
    number = run_id(database, "safety")
    page = user.get(f"/neuron/{second}?run={number}").text
    assert dict(re.findall(r'aria-label="(\w+) by rank: ([\w.]+)"', page)) == {"Previous": first, "Next": third}
    layer, neuron = top[1]["layer"], top[1]["neuron"]
    assert f"Next by layer: L{layer + 1}.N{neuron}" in page and f"Next by index: L{layer}.N{neuron + 1}" in page
    for run, rank in database.rows(
        "SELECT run, rank FROM neuron_scores WHERE layer = ? AND neuron = ? AND rank IS NOT NULL", [layer, neuron]
    ):
        assert re.search(rf">{run}</a>.*?</td>\s*<td class=\"number\">{rank:,}</td>", page, re.DOTALL), run
    last = user.get(f"/neuron/L5.N199?run={number}").text
    assert "Next by layer" not in last and "Previous by index: L5.N198" in last


def test_a_neuron_by_its_name(user: TestClient) -> None:
    assert user.get("/neuron?name=1:19").url.path == "/neuron/L1.N19"
    assert "'x' is not a neuron" in shown(user, "/neuron?name=x", 400)
    assert "no L9.N1" in shown(user, "/neuron/L9.N1", 400)


def test_a_set_has_its_size_its_layers_and_its_place_in_every_ranking(user: TestClient, database: Database) -> None:
    expression = "safety:5% & helpful:10%"
    members = Evaluator(database, Shape(6, 200)).evaluate(expression)
    page = f"/sets?expr={quote(expression)}"
    assert f"{len(members)}\nneurons, {100 * len(members) / 1200:.3g} % of 6x200" in shown(user, page)
    bars = re.findall(r"<title>layer (\d): (\d+)</title>", user.get(page).text)
    counts = np.bincount(members.layers, minlength=6)
    assert [(int(layer), int(count)) for layer, count in bars] == list(enumerate(counts.tolist()))
    rows = {row[0]: row for row in cells(user, page, "In the rankings of runs")}
    assert set(rows) == {"safety", "helpful", "other", "writer", "places"}
    for run, row in rows.items():
        ranked = database.frame("SELECT layer, neuron, rank FROM neuron_scores WHERE run = ?", [run])
        ids = ranked["layer"].to_numpy().astype(int) * 200 + ranked["neuron"].to_numpy()
        ranks = ranked["rank"].to_numpy()[np.isin(ids, members.ids)]
        shared = int((ranks <= len(members)).sum())
        assert row[1:4] == [str(shared), f"{shared / len(members):.3f}", f"{len(members) / 1000:.3f}"], run
        assert row[4] == f"{int(np.nanmin(ranks))}" and abs(int(row[5].replace(",", "")) - np.nanmedian(ranks)) <= 0.5


@pytest.mark.parametrize(
    ("expression", "marked", "words"),
    [
        ("safety:5% && helpful:5%", "&", "Column 12: unexpected"),
        ("nobody:5%", "n", "Column 1: "),
        ("safety:5% & ", " ", "Column 1"),
        ("L9.N1", "L", "no L9.N1"),
    ],
)
def test_a_wrong_expression_is_marked_at_its_column(user: TestClient, expression: str, marked: str, words: str) -> None:
    page = user.get(f"/sets?expr={quote(expression)}").text
    assert html.unescape(page.partition("<mark>")[2].partition("</mark>")[0]) == marked
    assert words in html.unescape(page)


def test_completions_are_filtered_by_verdict(user: TestClient, database: Database) -> None:
    number = run_id(database, "sweep")
    scores = database.frame(
        """
        SELECT p.prompt_id, p.text, v.role, j.score FROM judgements AS j JOIN variants AS v USING (run_id, variant_id)
        JOIN prompts AS p USING (prompt_id)
        WHERE run_id = $run AND judge = 'cost' AND (v.role = 'recipient' OR v.name = 'safety:5%')
        """,
        {"run": number},
    ).pivot("role", index=["prompt_id", "text"], values="score")
    bad, after = scores["recipient"] > 0, scores["patched"] > 0
    counts = {
        "": len(scores),
        "fixed": int((bad & ~after).sum()),
        "broken": int((~bad & after).sum()),
        "kept-good": int((~bad & ~after).sum()),
        "kept-bad": int((bad & after).sum()),
    }
    for name, count in counts.items():
        page = user.get(f"/run/{number}/completions?show={name}").text
        assert page.count('<article class="comparison">') == count, name
    assert sum(count for name, count in counts.items() if name) == len(scores)


def test_completions_are_found_by_words(user: TestClient, database: Database) -> None:
    number = run_id(database, "sweep")
    wanted = database.rows(
        "SELECT count(DISTINCT prompt_id) FROM run_completions WHERE run_id = ? AND prompt ILIKE '%good%'", [number]
    )[0][0]
    page = user.get(f"/run/{number}/completions?find=GOOD").text
    assert page.count('<article class="comparison">') == wanted > 0
    assert "No prompts fit" in user.get(f"/run/{number}/completions?find=nowhere").text


@pytest.mark.parametrize(
    ("text", "other", "parts"),
    [
        ("I will not.", "I will help.", ("I will ", "not.", "")),
        ("I will not do it", "I will not", ("I will ", "not", " do it")),
        ("same", "same", ("same", "", "")),
        ("", "other", ("", "", "")),
        ("Sure, yes", "No", ("", "Sure,", " yes")),
        ("a  b", "a  c", ("a  ", "b", "")),
    ],
)
def test_the_first_word_that_differs(text: str, other: str, parts: tuple[str, str, str]) -> None:
    assert parted(text, other) == parts and "".join(parts) == text


def test_progress_is_that_of_the_view(user: TestClient, database: Database) -> None:
    assert user.get("/progress").json()["runs"] == []
