"""The tables of a report: frames from the views, with the columns a reader needs."""

from collections.abc import Callable
from dataclasses import dataclass

import polars as pl

TOP = 20
_EFFECTS = "SELECT * FROM figure_effects ORDER BY run, series, judge_position, judge, dataset, n_neurons, variant"
_SETTINGS = (("confidence", "confidence"), ("resamples", "resamples"), ("seed", "seed"))


@dataclass(frozen=True)
class Table:
    """One kind of table. ``make`` turns the rows of ``query`` into cells; an empty result is no table."""

    name: str
    title: str
    caption: str
    query: str
    make: Callable[[pl.DataFrame], pl.DataFrame]


def _runs(rows: pl.DataFrame) -> pl.DataFrame:
    return rows.select(
        "run",
        "kind",
        pl.col("model_a").alias("before or recipient"),
        pl.col("model_b").alias("after or donor"),
        pl.col("n_prompts").alias("prompts"),
        pl.col("n_tokens").alias("tokens"),
        pl.col("n_ranked").alias("ranked neurons"),
        pl.col("n_sets").alias("patched sets"),
        pl.col("judges").list.join(", "),
        "seed",
        "device",
        "dtype",
    )


def _effects(rows: pl.DataFrame) -> pl.DataFrame:
    return rows.select(
        "run",
        pl.col("variant").alias("set"),
        pl.col("n_neurons").alias("neurons"),
        pl.col("fraction").alias("share of neurons"),
        "judge",
        pl.col("dataset").alias("data set"),
        pl.col("n_prompts").alias("prompts"),
        *_EFFECT_CELLS,
        *_SETTINGS_CELLS,
    )


def _transfer(rows: pl.DataFrame) -> pl.DataFrame:
    return rows.select(
        "run",
        pl.col("variant").alias("set"),
        pl.col("dataset").alias("data set"),
        "judge",
        pl.col("n_prompts").alias("prompts"),
        *_EFFECT_CELLS,
    )


def _tax(rows: pl.DataFrame) -> pl.DataFrame:
    return rows.select(
        "run",
        pl.col("variant").alias("set"),
        "judge",
        pl.col("dataset").alias("data set"),
        pl.col("n_prompts").alias("prompts"),
        pl.col("mean_recipient").alias("recipient"),
        pl.col("mean_patched").alias("patched"),
        pl.col("mean_donor").alias("donor"),
        "change",
        pl.col("change_ci_low").alias("change from"),
        pl.col("change_ci_high").alias("change to"),
    )


def _controls(rows: pl.DataFrame) -> pl.DataFrame:
    return rows.filter(pl.col("n_controls").is_not_null()).select(
        "run",
        pl.col("variant").alias("set"),
        "judge",
        pl.col("dataset").alias("data set"),
        pl.col("n_prompts").alias("prompts"),
        pl.col("n_controls").alias("random sets"),
        pl.col("controls_kind").alias("drawn"),
        pl.col("mean_patched").alias("set's mean"),
        pl.col("controls_mean").alias("random mean"),
        pl.col("controls_difference").alias("difference"),
        pl.col("controls_difference_ci_low").alias("from"),
        pl.col("controls_difference_ci_high").alias("to"),
        pl.col("controls_effect_difference").alias("share of the gap"),
        pl.col("controls_permutation_p_value").alias("p, sign flips"),
        pl.col("controls_t_p_value").alias("p, paired t"),
    )


def _top_neurons(rows: pl.DataFrame) -> pl.DataFrame:
    plain = pl.format("L{}.N{}", "layer", "neuron")
    expert = pl.format("L{}.E{}.N{}", "layer", "expert", "neuron")
    return rows.select(
        "run",
        "rank",
        pl.when(pl.col("expert").is_null()).then(plain).otherwise(expert).alias("neuron"),
        pl.col("score").alias("change score"),
        pl.col("mean_before").alias("mean before"),
        pl.col("mean_after").alias("mean after"),
        pl.col("std_before").alias("deviation before"),
        pl.col("std_after").alias("deviation after"),
        pl.col("n_tokens").alias("tokens"),
    )


_EFFECT_CELLS = (
    pl.col("effect"),
    pl.col("ci_low").alias("from"),
    pl.col("ci_high").alias("to"),
    pl.col("n_controls").alias("random sets"),
    pl.col("control_mean").alias("random mean"),
    pl.col("control_min").alias("random lowest"),
    pl.col("control_max").alias("random highest"),
)
_SETTINGS_CELLS = tuple(pl.col(column).alias(name) for column, name in _SETTINGS)

TABLES = (
    Table(
        "runs",
        "Runs",
        "The finished runs of the database. Ranked neurons leave out the layers that a run skips.",
        "SELECT * FROM figure_runs ORDER BY kind, run",
        _runs,
    ),
    Table(
        "effects",
        "Causal effects",
        "Effect of each patched set by every judge; empty where the interval of the donor-recipient difference "
        "covers 0. Random sets have as many neurons in each layer as the set, and none of its own. Data set * "
        "pools all.",
        _EFFECTS,
        _effects,
    ),
    Table(
        "transfer",
        "Causal effect by data set",
        "The main set of each run with several data sets, by the run's first judge. Data set * pools all.",
        "SELECT * FROM figure_transfer ORDER BY run, series, dataset",
        _transfer,
    ),
    Table(
        "tax",
        "Mean scores before and after patching",
        "The main set of each run, in each judge's own units; change is patched less recipient. Data set * pools all.",
        "SELECT * FROM figure_tax ORDER BY run, series, judge_position, judge, dataset",
        _tax,
    ),
    Table(
        "controls",
        "Sets against their random controls",
        "The main set of each run less the mean of its random sets, paired over prompts, in each judge's own units. "
        "The p-values are two-sided and not corrected for their number; a small one says that these random sets differ "
        "from the set, not that others would. Data set * pools all.",
        "SELECT * FROM figure_tax WHERE n_controls IS NOT NULL "
        "ORDER BY run, series, variant, judge_position, judge, dataset",
        _controls,
    ),
    Table(
        "top-neurons",
        "Highest-ranked neurons",
        f"The {TOP} neurons of each locate run with the highest change scores.",
        f"SELECT * FROM neuron_scores WHERE rank <= {TOP} ORDER BY run, rank",  # noqa: S608  (a constant)
        _top_neurons,
    ),
)
"""All tables, in the order of a report."""
