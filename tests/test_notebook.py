"""docs/example.ipynb runs as it stands, and what it shows is what its database says.

``python -m tests.test_notebook`` runs it and stores it with its outputs.
"""

import ast
import re
import statistics
import tempfile
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import altair as alt
import duckdb
import nbformat as untyped_nbformat
import numpy as np
import polars as pl
import pytest
from nbclient import NotebookClient

nbformat: Any = untyped_nbformat
NOTEBOOK = Path(__file__).parents[1] / "docs" / "example.ipynb"

FEWER = {"limit=60": "limit=20", "batch_size=60": "batch_size=20", "limit=30": "limit=12", "tokens=32": "tokens=12"}
IN_A_KERNEL = pytest.mark.slow("the same cells with fewer prompts, run by the process of the tests")

Rows = list[dict[str, str]]


def executed(folder: Path) -> Any:
    """The notebook, run by this interpreter in a folder, without what differs from run to run."""
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    options: dict[str, Any] = {"kernel_name": "python3", "record_timing": False}
    NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(folder)}}, **options).execute()
    for cell in notebook.cells:
        cell.metadata.clear()
        if cell.cell_type == "code":  # warnings of libraries, with their paths
            cell.outputs = [output for output in cell.outputs if output.get("name") != "stderr"]
    notebook.metadata["language_info"] = {"name": "python"}
    return notebook


class Cells(HTMLParser):
    """The headings and cells of the tables in a page."""

    def __init__(self) -> None:
        super().__init__()
        self.rows: list[list[str]] = []
        self._inside = False

    def handle_starttag(self, tag: str, _: list[tuple[str, str | None]]) -> None:
        if tag == "tr":
            self.rows.append([])
        if tag in ("th", "td"):
            self.rows[-1].append("")
        self._inside = tag in ("th", "td")

    def handle_endtag(self, tag: str) -> None:
        self._inside = self._inside and tag not in ("th", "td")

    def handle_data(self, data: str) -> None:
        if self._inside:
            self.rows[-1][-1] += data


def tables(notebook: Any) -> list[Rows]:
    """The tables that the notebook shows, in order; each row by its headings."""
    found = []
    for cell in notebook.cells:
        for output in cell.get("outputs", ()):
            page = Cells()
            page.feed(output.get("data", {}).get("text/html", ""))
            if page.rows:
                heads, *rows = page.rows
                body = [row for row in rows if row and not re.fullmatch(r"(i|u|f)\d+|str", row[0])]
                found.append([dict(zip(heads, row, strict=True)) for row in body])
    return found


def table_with(notebook: Any, *headings: str) -> Rows:
    """The first table that has all these columns."""
    return next(rows for rows in tables(notebook) if rows and set(headings) <= rows[0].keys())


def shown(text: str, value: float) -> bool:
    """Whether a cell shows this number, to the digits that it has or to the two nearest numbers in float32.

    Activations are in float32, and another machine may round their last bit otherwise.
    """
    digits = len(text.partition("e")[0].partition(".")[2])
    if "e" in text:
        return f"{value:.{digits}e}" == text or float(text) == pytest.approx(value, rel=10.0**-digits)
    return abs(float(text) - value) <= max(0.5 * 10.0**-digits + 1e-12, 1.5 * float(np.spacing(np.float32(abs(value)))))


def run_here() -> Any:
    """The notebook's cells with fewer prompts and tokens, run by this process without a kernel, and the pages shown."""
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    assert all(any(word in cell.source for cell in notebook.cells) for word in FEWER)
    names: dict[str, Any] = {}
    for cell in notebook.cells:
        if cell.cell_type != "code":
            continue
        source = cell.source
        for word, fewer in FEWER.items():
            source = source.replace(word, fewer)
        body = ast.parse(source).body
        shown = body.pop() if isinstance(body[-1], ast.Expr) else None
        exec(compile(ast.Module(body, []), "cell", "exec"), names)
        value = None if shown is None else eval(compile(ast.Expression(shown.value), "cell", "eval"), names)
        page = getattr(value, "_repr_html_", str)()
        cell.outputs = [{"data": {"text/html": page}}]
        if isinstance(value, alt.TopLevelMixin):
            assert value.to_dict()["datasets"]
    return notebook


Run = tuple[Any, Path]


@pytest.fixture(scope="module", params=["here", pytest.param("kernel", marks=IN_A_KERNEL)])
def run(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """The executed notebook, and the folder with its database: a cell that fails raises here."""
    folder = tmp_path_factory.mktemp("notebook")
    if request.param == "kernel":
        return executed(folder), folder
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        active = alt.renderers.active
        try:
            return run_here(), folder
        finally:
            alt.renderers.enable(active)


@pytest.fixture(scope="module")
def notebook(run: Run) -> Any:
    return run[0]


@pytest.fixture(scope="module")
def connection(run: Run) -> duckdb.DuckDBPyConnection:
    return duckdb.connect(str(run[1] / "example.duckdb"), read_only=True)


def test_the_stored_notebook_has_the_outputs_of_a_run_and_nothing_of_a_machine() -> None:
    stored = nbformat.read(NOTEBOOK, as_version=4)
    nbformat.validate(stored)
    code = [cell for cell in stored.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
    assert all(cell.outputs for cell in code[1:])
    assert "image/png" in {kind for cell in code for output in cell.outputs for kind in output.get("data", {})}
    assert not [o for cell in code for o in cell.outputs if o.output_type == "error" or o.get("name") == "stderr"]
    text = "".join(str(o) for cell in code for o in cell.outputs if "image/png" not in o.get("data", {}))
    assert not re.search(r"/(tmp|home|root|work|Users)\b|site-packages|\d+\.\d+ ?s\b", text)
    assert not any(cell.metadata for cell in stored.cells)


def test_the_overlap_is_that_of_the_rankings(notebook: Any, connection: duckdb.DuckDBPyConnection) -> None:
    (row,) = table_with(notebook, "shared", "chance", "spearman_all")
    tops = [
        set(
            connection.execute(
                "SELECT layer, neuron FROM neuron_scores WHERE run = ? AND rank <= 102", [run]
            ).fetchall()
        )
        for run in ("safety", "helpful")
    ]
    shared = len(tops[0] & tops[1])
    assert (row["k"], row["n_ranked"], row["shared"]) == ("102", "2048", str(shared))
    assert shown(row["overlap"], shared / 102)
    assert shown(row["chance"], 102 / 2048)
    scores = connection.sql(
        "PIVOT (SELECT run, layer, neuron, score FROM neuron_scores WHERE rank IS NOT NULL) "
        "ON run USING first(score) ORDER BY layer, neuron"
    ).pl()
    spearman = scores.select(pl.corr("safety", "helpful", method="spearman")).item()
    assert shown(row["spearman_all"], spearman)


def test_effects_are_those_of_the_judgements(notebook: Any, connection: duckdb.DuckDBPyConnection) -> None:
    scores = connection.sql(
        """
        SELECT v.name, v.role, j.prompt_id, j.score FROM judgements AS j
        JOIN variants AS v USING (run_id, variant_id) JOIN runs USING (run_id) WHERE runs.name = 'sweep'
        """
    ).pl()
    means = dict(scores.group_by("name").agg(pl.col("score").mean()).iter_rows())
    gap = means["donor"] - means["recipient"]
    sets = table_with(notebook, "neurons", "effect", "confidence")
    assert [row["neurons"] for row in sets] == ['"safety:1%"', '"safety:5%"', '"safety:20%"']
    for row in sets:
        effect = (means[row["neurons"].strip('"')] - means["recipient"]) / gap
        assert shown(row["effect"], effect)
        assert float(row["ci_low"]) <= effect <= float(row["ci_high"])
        assert int(row["n_prompts"]) == scores["prompt_id"].n_unique()
        assert row["confidence"] == "0.95"
    controls = table_with(notebook, "control_of", "control_seed", "effect")
    assert len(controls) == 9
    for row in controls:
        name = f"random({row['control_of'].strip(chr(34))}, seed={row['control_seed']})"
        assert shown(row["effect"], (means[name] - means["recipient"]) / gap)


def test_tokens_and_spreads_are_those_of_the_tables(notebook: Any, connection: duckdb.DuckDBPyConnection) -> None:
    kept = connection.sql(
        """
        SELECT t.token, a.before, a.after FROM activation_rows AS a JOIN scored_tokens AS t USING (run_id, token_index)
        JOIN neuron_statistics AS s USING (run_id, layer, neuron) JOIN runs USING (run_id)
        WHERE runs.name = 'safety' AND s.rank = 1
        """
    ).pl()
    rows = table_with(notebook, "token", "n", "before")
    assert rows
    for row in rows:
        of_token = kept.filter(pl.col("token") == row["token"].strip('"').replace("\\n", "\n"))
        assert int(row["n"]) == of_token.height >= 10
        before, after = (statistics.fmean(of_token[side]) for side in ("before", "after"))
        assert shown(row["before"], before)
        assert shown(row["after"], after)
    neurons = connection.sql("FROM neuron_scores WHERE run = 'safety' AND rank <= 102").pl()
    spread = {int(row["layer"]): row for row in table_with(notebook, "layer", "ratio", "n_less")}
    assert spread.keys() == set(neurons["layer"])
    for layer, row in spread.items():
        ratios = sorted(
            neurons.filter(pl.col("layer") == layer).select(pl.col("std_after") / pl.col("std_before")).to_series()
        )
        assert (int(row["n"]), int(row["n_less"])) == (len(ratios), sum(ratio < 1 for ratio in ratios))
        assert shown(row["ratio"], statistics.median(ratios))


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as temporary:
        nbformat.write(executed(Path(temporary)), NOTEBOOK)
