"""How rows are divided into batches."""

import numpy as np
import pytest

from snql.generation.batch import by_tokens


@pytest.mark.parametrize("budget", [1, 40, 97, 10_000])
@pytest.mark.parametrize("max_rows", [None, 3])
def test_batches_by_tokens(budget: int, max_rows: int | None) -> None:
    lengths = np.random.default_rng(0).integers(1, 60, size=50).tolist()
    batches = by_tokens(lengths, budget, max_rows)
    assert sorted(index for batch in batches for index in batch) == list(range(50))
    flat = [lengths[index] for batch in batches for index in batch]
    assert flat == sorted(lengths, reverse=True)
    for batch in batches:
        assert len(batch) == 1 or len(batch) * max(lengths[index] for index in batch) <= budget
        assert max_rows is None or len(batch) <= max_rows
    for batch in batches[:-1]:  # none could have taken one row more
        full = len(batch) == max_rows or (len(batch) + 1) * lengths[batch[0]] > budget
        assert full, batch


def test_no_rows_are_no_batches() -> None:
    assert by_tokens([], 10) == []
