"""How large activations are."""

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]


def root_mean_square(mean: Array, std: Array, n: Array) -> Array:
    """sqrt(mean^2 + std^2 (n - 1) / n), std with n - 1: the root mean square of what they describe, of their shape.

    NaN where there is no mean; of a single value, which has no deviation, its size.
    """
    share = np.where(n > 1, (n - 1) / np.maximum(n, 1), 0.0)
    found: Array = np.sqrt(np.square(mean) + np.where(n > 1, np.square(std), 0.0) * share)
    return found
