"""Where in the network the highest-ranked neurons are."""

import altair as alt
import polars as pl

from snql.reporting import charts
from snql.reporting.context import Context, locate_words
from snql.reporting.look import Look
from snql.reporting.model import Chart, Drawing
from snql.writing.words import count, listing, short_labels

NAME = "layers"
VIEW = "figure_layers"
ORDER = ("run", "band", "layer")
DESCRIPTION = "share of each layer among the ranked neurons, in bands of rank (paper figure 5b)"
LACKING = "no finished locate run has enough ranked neurons: run `snql locate` to get one"
TITLE = "Layers of the highest-ranked neurons"
MAX_PANELS = 9
LEGEND = "ranks (dotted line: the share of every layer if ranks were spread evenly)"
BANDS = {1: "top 1 %", 2: "1 to 5 %", 3: "5 to 10 %", 4: "10 to 20 %"}


def draw(frame: pl.DataFrame, context: Context, look: Look) -> Drawing:
    """One panel for each of the first runs by name, one line for each band of ranks."""
    runs = frame["run"].unique().sort().to_list()
    shown = frame.filter(pl.col("run").is_in(runs[:MAX_PANELS]))
    panels = _panels(shown)
    marked = shown.with_columns(
        panel=pl.col("run").replace_strict(panels, return_dtype=pl.String),
        label=pl.col("band").replace_strict(BANDS, return_dtype=pl.String),
    ).sort("panel", "band", "layer")
    return Drawing(_chart(marked, list(panels.values()), look), TITLE, _caption(shown, runs, context))


def _panels(shown: pl.DataFrame) -> dict[str, str]:
    sizes = shown.group_by("run").agg(pl.col("n_ranked_layers").first(), pl.col("n_layers").first()).sort("run")
    labels = short_labels(sizes["run"], 24)
    return {run: f"{labels[run]}\n({ranked} of {layers} layers)" for run, ranked, layers in sizes.iter_rows()}


def _chart(marked: pl.DataFrame, panels: list[str], look: Look) -> Chart:
    bands = [BANDS[band] for band in marked["band"].unique().sort().to_list()]
    columns = look.columns(len(panels), most=3 if len(panels) > 4 else 2)
    colours = alt.Scale(domain=bands, range=list(look.theme.colours[: len(bands)]))
    shapes = alt.Scale(domain=bands, range=list(charts.SHAPES[: len(bands)]))
    title = charts.broken(LEGEND, look)
    legend = alt.Legend(title=title, orient="bottom", columns=charts.legend_columns(bands, look), symbolStrokeWidth=0)
    base = alt.Chart().encode(
        x=alt.X("depth:Q", title="relative depth", scale=alt.Scale(domain=[0, 1]), axis=_X_AXIS),
        y=alt.Y("share:Q", title="share of the band's neurons", axis=alt.Axis(format="%", tickCount=6)),
        color=alt.Color("label:N", scale=colours, legend=legend),
    )
    lines = [
        base.transform_filter(f"datum.band == {band}").mark_line(
            strokeWidth=look.stroke(1.2), strokeDash=charts.DASHES[index]
        )
        for index, band in enumerate(marked["band"].unique().sort())
    ]
    points = base.mark_point(filled=True, opacity=1, size=look.area(18)).encode(
        shape=alt.Shape("label:N", scale=shapes, legend=legend), tooltip=_TOOLTIP
    )
    uniform = alt.Chart().mark_rule(strokeDash=[2, 3], strokeWidth=look.stroke(0.9), color=look.theme.ink)
    layered = alt.layer(uniform.encode(y="max(uniform):Q"), *lines, points, data=charts.data(marked))
    layered = layered.properties(width=look.panel_width(columns), height=look.height(125))
    facet = layered.facet(facet=charts.facet(panels), columns=columns)
    return charts.finish(facet.resolve_axis(x="independent"), look, TITLE)


_X_AXIS = alt.Axis(tickCount=5, labelFlush=True)
_TOOLTIP = [
    alt.Tooltip("run:N"),
    alt.Tooltip("layer:Q"),
    alt.Tooltip("label:N", title="ranks"),
    alt.Tooltip("n_neurons:Q", title="neurons", format=","),
    alt.Tooltip("share:Q", format=".1%"),
]


def _caption(shown: pl.DataFrame, runs: list[str], context: Context) -> str:
    bands = shown.select("band", "run", "band_size").unique().sort("band", "run")
    sizes = [
        f"{BANDS[band]}: {listing([f'{size:,}' for size in rows['band_size'].unique(maintain_order=True)])}"
        for (band,), rows in bands.group_by("band", maintain_order=True)
        if isinstance(band, int)
    ]
    names = shown["run"].unique().sort().to_list()
    parts = [
        "Depth 0 is the first layer and 1 the last. Each line sums to 100 % over the layers; the dotted line is "
        f"the share of every layer if ranks did not depend on the layer. Neurons in a band: {'; '.join(sizes)}.",
        locate_words(context, names),
    ]
    if len(runs) > len(names):
        rest = len(runs) - len(names)
        parts.append(f"The first {len(names)} runs by name; {count(rest, 'more run')} not drawn (see the CSV file).")
    return " ".join(parts)
