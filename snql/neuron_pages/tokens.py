"""One neuron's token activations in one run: histogram, and the tokens where it is highest, lowest, and changes most.

Everything is found in SQL, so that memory does not grow with the number of tokens.
"""

import polars as pl

from snql.db.activations import tables_of
from snql.db.connection import Database
from snql.neuron_pages.contexts import Contexts, Spot, StoredNeuron, stored_neuron
from snql.neuron_pages.model import Example, Examples, Histogram, Place, TokenView

N_BINS = 40
MEASURES = ("after", "before", "change")

# As in the view token_activations, but of the one table that holds the layer: shards of others stay closed.
MINE = """
    SELECT
        t.prompt_id, t.position, a.before::DOUBLE AS before, a.after::DOUBLE AS after,
        a.after::DOUBLE - a.before::DOUBLE AS change
    FROM {table} AS a JOIN scored_tokens AS t USING (run_id, token_index)
    WHERE run_id = $run_id AND layer = $layer AND neuron = $neuron AND expert IS NOT DISTINCT FROM $expert
"""


def token_view(db: Database, run_id: int, place: Place, n_examples: int, context: int) -> TokenView | None:
    """The neuron's tokens in a run; None where none is stored.

    n_examples: the most of each list; context: tokens shown on each side.
    """
    table = tables_of(db, run_id).get(place.layer)
    if table is None:
        return None
    with stored_neuron(db, MINE.format(table=table), {**vars(place), "run_id": run_id}) as stored:
        return _view(stored, n_examples, context)


def _view(stored: StoredNeuron, n_examples: int, context: int) -> TokenView | None:
    ((n_tokens, low, high, most, most_change),) = stored.frame("activation_ranges").rows()
    if not n_tokens:
        return None
    lists = _lists(stored, n_examples, context)
    return TokenView(n_tokens, most, most_change, _histogram(stored, low, high), lists)


def _histogram(stored: StoredNeuron, low: float, high: float) -> Histogram:
    """Shared bins of both models; one bin if all activations are equal."""
    n_bins = N_BINS if high > low else 1
    width = (high - low) / n_bins or 1.0
    counts = {"before": [0] * n_bins, "after": [0] * n_bins}
    for side, index, number in stored.frame("activation_bins", low=low, width=width, n_bins=n_bins).iter_rows():
        counts[side][index] = number
    return Histogram(low, high, tuple(counts["before"]), tuple(counts["after"]))


def _lists(stored: StoredNeuron, n_examples: int, context: int) -> tuple[Examples, ...]:
    """Looks at more prompts while identical contexts leave a list too short."""
    contexts = Contexts(stored, context)
    most = 4 * n_examples
    while True:
        peaks = stored.frame("activation_peaks", most=most)
        contexts.read([Spot(*row) for row in peaks.select("prompt_id", "position").iter_rows()])
        lists = [_list(peaks, contexts, measure, lowest) for measure in MEASURES for lowest in (False, True)]
        short = [each for each, n_seen in lists if len(each.examples) < n_examples and n_seen == most]
        if not short or most > 100 * n_examples:
            return tuple(Examples(each.measure, each.lowest, each.examples[:n_examples]) for each, _ in lists)
        most *= 6


def _list(peaks: pl.DataFrame, contexts: Contexts, measure: str, lowest: bool) -> tuple[Examples, int]:
    """One list without repeated contexts, and how many tokens were looked at for it."""
    rows = peaks.filter((pl.col("measure") == measure) & (pl.col("lowest") == lowest))
    spots = [Spot(prompt_id, position) for _, _, prompt_id, position in rows.iter_rows()]
    found: dict[object, list[Example]] = {}
    for example in map(contexts.of, spots):
        text = tuple(token.text for token in example.tokens)
        found.setdefault((example.lead, text, example.peak), []).append(example)
    examples = tuple(Example(**{**vars(same[0]), "n_same": len(same)}) for same in found.values())
    return Examples(measure, lowest, examples), len(spots)
