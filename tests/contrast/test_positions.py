"""Which positions are scored, against the definitions written out by hand."""

import pytest

from snql.contrast.positions import Positions, parse_positions, text_to_score
from snql.errors import InputError

END = 2
PROMPT = (10, 11, 12)  # positions 0..2, so t = 2


@pytest.mark.parametrize(
    ("positions", "completion", "scored", "read"),
    [
        ("generating", (20, 21, END), (2, 3, 4), (10, 11, 12, 20, 21)),
        ("generating", (20, 21, 22), (2, 3, 4), (10, 11, 12, 20, 21)),
        ("generating", (END,), (2,), (10, 11, 12)),
        ("generated", (20, 21, END), (3, 4), (10, 11, 12, 20, 21)),
        ("generated", (20, 21, 22), (3, 4, 5), (10, 11, 12, 20, 21, 22)),
        ("generated", (END,), (), PROMPT),
        ("prompt", (20, 21, END), (0, 1, 2), PROMPT),
        ("last-prompt", (20, 21, END), (2,), PROMPT),
    ],
)
def test_scored_positions(
    positions: Positions, completion: tuple[int, ...], scored: tuple[int, ...], read: tuple[int, ...]
) -> None:
    text = text_to_score(7, PROMPT, completion, positions, frozenset({END}))
    assert (text.prompt_id, text.scored, text.token_ids) == (7, scored, read)


def test_unknown_positions() -> None:
    with pytest.raises(InputError, match="`positions` 'everywhere' is not known: use generating"):
        parse_positions("everywhere")
