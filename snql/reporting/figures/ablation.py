"""How many neurons must be taken away before a behaviour is gone, and what that costs."""

import polars as pl

from snql.judges.signs import meaning
from snql.reporting.context import Context, interval_words, patch_words
from snql.reporting.figures import effect_size
from snql.reporting.kit import captions, rows
from snql.reporting.kit.figure import Figure, Sketch
from snql.reporting.look import Look
from snql.writing.words import listing

MAX_RUNS = 3


def _sketch(frame: pl.DataFrame, context: Context, look: Look) -> Sketch:
    """A panel for each run and data set, and one for the perplexity: then each has a scale of its own."""
    shown, runs, n_rest = rows.first_runs(frame, MAX_RUNS)
    judged = shown.filter((pl.col("kind") == "set") & (pl.col("measure") != "perplexity"))
    modes = listing(sorted(judged["mode"].unique().to_list()))
    judges = judged.select("measure", "higher_is").unique().sort("measure").rows()
    meant = listing([f"{judge} ({meaning(judge, higher_is)})" for judge, higher_is in judges])
    words = [
        f"Mean scores by {meant} of the model whose neurons are set to "
        f"{modes}; bars are {interval_words(judged)} of the change from the unpatched model.",
        *_broken(judged),
        _cost(shown),
        effect_size.control_words(shown),
        patch_words(context, runs),
        captions.runs_left_out(len(runs), n_rest),
    ]
    drawn = effect_size.marked(shown.rename({"score": "effect"}))
    costs = bool((shown["measure"] == "perplexity").any())
    directions = judged["higher_is"].unique().to_list()
    title = f"score (higher is {directions[0]})" if len(directions) == 1 else "score"
    title = f"{title}; perplexity ratio" if costs else title
    return effect_size.chart(drawn, look, title, "neurons taken away", alike=False, shared=not costs), words


def _broken(sets: pl.DataFrame) -> list[str]:
    """For each run and data set the smallest set whose interval leaves the unpatched model's score out."""
    moved = (pl.col("ci_low") > pl.col("mean_recipient")) | (pl.col("ci_high") < pl.col("mean_recipient"))
    first = sets.filter(moved).sort("n_neurons", "variant").unique(["run", "dataset"], keep="first")
    found = [
        f"{row['run']}, {row['dataset']}: {row['n_neurons']:,} neurons ({row['fraction']:.2%}) are the fewest whose "
        f"interval leaves out the unpatched {row['mean_recipient']:.2f} (score {row['score']:.2f})."
        for row in first.sort("run", "dataset").iter_rows(named=True)
    ]
    still = sets.join(first, on=["run", "dataset"], how="anti").unique(["run", "dataset"]).sort("run", "dataset")
    return found + [
        f"{run}, {dataset}: no set's interval leaves out the unpatched score."
        for run, dataset in still.select("run", "dataset").rows()
    ]


def _cost(shown: pl.DataFrame) -> str:
    if (shown["measure"] == "perplexity").any():
        return (
            "Perplexities, over the unpatched model's, are those of perplexity runs with the same sets, mode and model."
        )
    return "No perplexity run has these sets under this mode: what their removal costs is not shown."


FIGURE = Figure(
    name="ablation",
    view="figure_ablation",
    order=("run", "dataset", "series", "kind", "n_neurons", "variant"),
    title="What is left when neurons are taken away",
    description="scores against the number of ablated neurons, with random sets, beside the loss of perplexity",
    lacking="no finished patch run takes away sets of several sizes: run `snql patch … --mode zero --sweep …`",
    sketch=_sketch,
)
