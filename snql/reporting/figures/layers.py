"""Where in the network the highest-ranked neurons are."""

import altair as alt
import polars as pl

from snql.reporting.context import Context, locate_words
from snql.reporting.kit import axes, captions, marks, panels, rows, series
from snql.reporting.kit.figure import Figure, Sketch
from snql.reporting.kit.plain import plain
from snql.reporting.look import Look
from snql.reporting.model import Chart
from snql.writing.words import listing, short_labels

MAX_PANELS = 9
LEGEND = "ranks (dotted line: the share of every layer if ranks were spread evenly)"
BANDS = {1: "top 1 %", 2: "1 to 5 %", 3: "5 to 10 %", 4: "10 to 20 %"}
TOOLTIP = marks.tooltip("run", "layer", ("label", "ranks"), "n_neurons", ("share", "", ".1%"))


def _sketch(frame: pl.DataFrame, context: Context, look: Look) -> Sketch:
    """One panel for each of the first runs by name, one line for each band of ranks."""
    shown, runs, n_rest = rows.first_runs(frame, MAX_PANELS)
    words = [
        "Depth 0 is the first layer and 1 the last. Each line sums to 100 % over the layers; the dotted line is "
        f"the share of every layer if ranks did not depend on the layer. Neurons in a band: {_sizes(shown)}.",
        locate_words(context, runs),
        captions.runs_left_out(len(runs), n_rest),
    ]
    return _chart(shown, runs, look), words


def _chart(shown: pl.DataFrame, runs: list[str], look: Look) -> Chart:
    marked = rows.by_run(
        shown, short_labels(runs, 24), lambda row: f"({row['n_ranked_layers']} of {row['n_layers']} layers)"
    ).with_columns(label=pl.col("band").replace_strict(BANDS, return_dtype=pl.String))
    marked = marked.sort("panel", "band", "layer")
    bands = marked["band"].unique().sort().to_list()
    drawn = series.marks([BANDS[band] for band in bands], look)
    found = series.channels(drawn, look, title=series.legend_title(LEGEND, look), symbolStrokeWidth=0)
    x_axis = plain(tickCount=5, labelFlush=True)
    x = alt.X("depth:Q", title="relative depth", scale=plain(domain=[0, 1]), axis=x_axis)
    y = axes.y(title="share of the band's neurons", axis=plain(format="%", tickCount=6))
    base = alt.Chart().encode(x=x, color=found.color)
    uniform = alt.Chart().mark_rule(strokeDash=[2, 3], strokeWidth=look.stroke(0.9), color=look.theme.ink)
    layers = [
        uniform.encode(y="max(uniform):Q"),
        *(
            marks.line(base.transform_filter(f"datum.band == {band}"), y, "share", look, strokeDash=dash)
            for band, dash in zip(bands, series.DASHES, strict=False)
        ),
        marks.points(base, y, "share", look, 18, shape=found.shape, tooltip=TOOLTIP),
    ]
    return panels.facets(layers, marked, look, panels.in_a_row(len(runs), look), look.height(125))


def _sizes(shown: pl.DataFrame) -> str:
    """How many neurons each band has, in all runs."""
    bands = shown.select("band", "run", "band_size").unique().sort("band", "run")
    sizes = bands.group_by("band", maintain_order=True).agg(pl.col("band_size").unique(maintain_order=True))
    return "; ".join(f"{BANDS[band]}: {listing([f'{size:,}' for size in of_band])}" for band, of_band in sizes.rows())


FIGURE = Figure(
    name="layers",
    view="figure_layers",
    order=("run", "band", "layer"),
    title="Layers of the highest-ranked neurons",
    description="share of each layer among the ranked neurons, in bands of rank (paper figure 5b)",
    lacking="no finished locate run has enough ranked neurons: run `snql locate` to get one",
    sketch=_sketch,
)
