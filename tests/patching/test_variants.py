"""Which variants a run has, of neurons that no ranking names."""

import pytest

from snql.db.connection import Database
from snql.neurons.sets import Shape
from snql.patching.variants import VariantPlan, unmatched

SHAPE = Shape(3, 40)
SETS = ("L0.N1,L2.N4", "L1.N0")


def test_controls_are_those_that_were_asked_for(db: Database) -> None:
    assert [each.name for each in VariantPlan(db, SETS).of(SHAPE)] == ["recipient", "donor", *SETS]
    matched = VariantPlan(db, SETS, {"matched": 2}, donor=False).of(SHAPE)
    assert [(each.variant_id, each.control_of, each.control_kind, each.control_seed) for each in matched] == [
        (0, None, None, None),
        *((2, None, None, None), (3, 2, "matched", 1), (4, 2, "matched", 2)),
        *((5, None, None, None), (6, 5, "matched", 1), (7, 5, "matched", 2)),
    ]
    assert unmatched(matched) == [], "all have as many neurons in each layer"


@pytest.mark.parametrize("donor", [True, False])
def test_by_two_routes_each_set_has_the_same_controls_twice(db: Database, donor: bool) -> None:
    once = VariantPlan(db, SETS, {"matched": 1, "anywhere": 1}, donor=donor).of(SHAPE)
    routes = ("total", "direct")
    found = VariantPlan(db, SETS, {"matched": 1, "anywhere": 1}, donor=donor, routes=routes).of(SHAPE)
    patched = [each for each in found if each.members is not None]
    assert [each.variant_id for each in patched] == list(range(2, 2 + len(patched)))
    assert [each.route for each in patched] == (["total"] * 3 + ["direct"] * 3) * 2
    for route, mark in (("total", ""), ("direct", " (direct)")):
        own = [each for each in patched if each.route == route]
        assert [each.name for each in own] == [f"{each.neurons}{mark}" for each in own]
        assert [(each.neurons, each.members) for each in own] == [(e.neurons, e.members) for e in once if e.members]
    names = {each.variant_id: each.neurons for each in patched}
    for each in patched:
        assert each.control_of is None or str(names[each.control_of]) in str(each.neurons)
