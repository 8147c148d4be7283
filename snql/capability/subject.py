"""The model whose capability is measured: plain, and under patches of neuron sets."""

from collections.abc import Callable

from snql.capability.options import SubjectOptions
from snql.db.connection import Database
from snql.db.scores import read_run_scores
from snql.models.load import load_models
from snql.patching.subject import Subject
from snql.patching.variants import VariantPlan, expressions


def load_subject(db: Database, options: SubjectOptions, announce: Callable[[], None], *, own_template: bool) -> Subject:
    """Load the models and evaluate the neuron sets; raises ModelError, ExpressionError or InputError.

    announce: called before models are loaded. own_template: whether texts are put into the tokenizers' own chat
    templates.
    """
    wanted: list[str] = []
    if options.neurons:
        wanted = expressions(
            options.neurons, options.sweep, None, lambda run: len(read_run_scores(db, run).ids), options.sweep_layers
        )
    specs = {"recipient": options.model} | ({} if options.donor is None else {"donor": options.donor})
    plan = VariantPlan(
        db, wanted, {"matched": options.random, "magnitude": options.random_magnitude}, donor=options.donor is not None
    )
    plan.check()
    announce()
    models = load_models(specs, options.models, own_template=own_template)
    return Subject.of(db, models, plan.of(models["recipient"].shape), options.mode, options.seed)
