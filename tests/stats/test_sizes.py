"""Root mean squares from means and deviations, against the values themselves."""

import numpy as np
import pytest

from snql.stats.sizes import root_mean_square


@pytest.mark.parametrize("n", [1, 2, 3, 50])
def test_the_root_mean_square_is_that_of_the_values(n: int) -> None:
    values = np.random.default_rng(n).normal(2, 3, n)
    deviation = values.std(ddof=1) if n > 1 else float("nan")
    found = root_mean_square(np.array([values.mean()]), np.array([deviation]), np.array([n]))
    assert found[0] == pytest.approx(float(np.sqrt(np.mean(values**2))))
