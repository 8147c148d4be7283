"""Two runs side by side."""

import html
import re
import shutil
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from snql.db import Database
from snql.rankings.overlaps import compare
from snql.view.app import application
from snql.view.options import ViewOptions
from snql.view.security import Door
from snql.view.site import Site

from .conftest import ADDRESS


def keys(page: str) -> dict[str, str]:
    return {
        html.unescape(name): key for key, name in re.findall(r'<option value="(\d+\.\d+)"[^>]*>(.*?)</option>', page)
    }


def cells(page: str, heading: str) -> list[list[str]]:
    part = page.partition(f"<h2>{heading}</h2>")[2].partition("</table>")[0].partition("<tbody>")[2]
    rows = [re.findall(r"<t[dh][^>]*>(.*?)</t[dh]>", row) for row in re.findall(r"<tr>.*?</tr>", part, re.DOTALL)]
    return [[html.unescape(re.sub(r"<[^>]*>", "", cell)) for cell in row] for row in rows]


def test_two_rankings(user: TestClient, database: Database) -> None:
    known = keys(user.get("/compare").text)
    page = user.get("/compare", params={"a": known["safety"], "b": known["helpful"]}).text
    expected = compare(database, ["safety", "helpful"]).row(0, named=True)
    assert f"<strong>{100 * expected['overlap']:.1f} %</strong> of the top {expected['k']} are shared" in page
    assert f"<dd>{expected['spearman_all']:.3f}</dd>" in page and f"<dd>{expected['jaccard']:.3f}</dd>" in page
    ranks = database.frame(
        """
        SELECT neuron_name(a.layer, a.expert, a.neuron) AS name, a.rank AS a, b.rank AS b
        FROM neuron_scores AS a JOIN neuron_scores AS b USING (layer, neuron)
        WHERE a.run = 'safety' AND b.run = 'helpful' AND a.rank IS NOT NULL
        ORDER BY greatest(a.rank, b.rank), a.layer, a.neuron LIMIT 25
        """
    )
    assert cells(page, "Highest in both") == [[name, f"{a:,}", f"{b:,}"] for name, a, b in ranks.iter_rows()]


def test_runs_of_another_database(database: Database, tmp_path: Path) -> None:
    other = tmp_path / "other.duckdb"
    shutil.copy(database.path, other)
    with Database(other).write() as connection:
        connection.execute("UPDATE effects SET effect = 0.25, ci_low = 0.1, ci_high = 0.5 WHERE effect = 0.8")
    door = Door(port=8000)
    site = Site(database.path, ViewOptions(compare=(other,)))
    asked = TestClient(application(site, door), base_url=ADDRESS)
    known = keys(asked.get(f"/compare?token={door.token}").text)
    page = asked.get("/compare", params={"a": known["sweep [snql]"], "b": known["sweep [other]"]}).text
    rows = {row[0]: row[3:] for row in cells(page, "Causal effects")}
    assert rows["safety:5%"] == ["0.80 [0.70, 0.90]", "0.25 [0.10, 0.50]"]
    assert "<p>None.</p>" in page


def test_settings_that_differ(user: TestClient) -> None:
    known = keys(user.get("/compare").text)
    page = user.get("/compare", params={"a": known["sweep"], "b": known["wide"]}).text
    assert ["judge", "cost", "reward, cost"] in cells(page, "Settings that differ")
    assert "seed" not in {row[0] for row in cells(page, "Settings that differ")}


@pytest.mark.parametrize("key", ["0.999", "7.1", "x"])
def test_a_run_that_there_is_not(user: TestClient, key: str) -> None:
    assert user.get("/compare", params={"a": key, "b": key}).status_code == 404
