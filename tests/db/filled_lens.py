"""Rows made by hand for the tables of lens runs."""

from collections.abc import Sequence
from typing import Any

Row = dict[str, Any]

_PLACES = [(layer, expert, neuron) for layer in (0, 1) for expert in (0, 1) for neuron in (0, 1)]


def rows(run_ids: Sequence[int]) -> dict[str, list[Row]]:
    """Rows of lens runs: neurons of two layers and experts, two tokens at each end."""
    return {
        "lens_directions": [
            {"run_id": run_id, "layer": layer, "n_harmful": 2, "n_harmless": 3, "norm": 1.5}
            for run_id in run_ids
            for layer in (0, 1)
        ],
        "lens_vectors": [
            {
                "run_id": run_id,
                "layer": layer,
                "expert": expert,
                "neuron": neuron,
                "norm": 1 + neuron / 8,
                "width": 16,
                "direction_layer": layer,
                "refusal_cosine": (layer + 2 * expert + 4 * neuron) / 8,
                "refusal_percentile": 12.5 * (expert + neuron),
            }
            for run_id in run_ids
            for layer, expert, neuron in _PLACES
        ],
        "lens_tokens": [
            {
                "run_id": run_id,
                "layer": layer,
                "expert": expert,
                "neuron": neuron,
                "promoted": promoted,
                "place": place,
                "token_id": 2 * place + promoted,
                "token": f"<b>{place}</b>",
                "logit": (1 if promoted else -1) / place,
            }
            for run_id in run_ids
            for layer, expert, neuron in _PLACES
            for promoted in (True, False)
            for place in (1, 2)
        ],
    }
