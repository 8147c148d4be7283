"""Parts of a chart as plain dictionaries.

Altair's own objects hold every property that they could have, set or not, and Altair copies all of a chart whenever it
is joined with another: a dictionary holds, and costs, what is set.
"""

from typing import Any

Plain = dict[str, Any]


def plain(**properties: Any) -> Plain:
    """Properties of an axis, a scale, a legend or a header, by the names that ``alt.Axis`` and its like give them."""
    return properties
