"""What a run patches: its loaded models, its variants, and what is done to neurons."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from snql.db.connection import Database
from snql.db.records import Variant
from snql.errors import InputError
from snql.models.context import Context, shortest
from snql.models.loaded import LoadedModel
from snql.models.mixed import can_mix
from snql.neurons.sets import NeuronSet
from snql.patching.interventions import Intervention, Scaled
from snql.patching.modes import intervention
from snql.patching.options import Mode


@dataclass(frozen=True)
class Subject:
    """Models by role, ``recipient`` and perhaps ``donor``; with ``freeze`` the donor's neurons are changed."""

    models: Mapping[str, LoadedModel]
    variants: Sequence[Variant]
    intervention: Intervention
    freeze: bool

    @classmethod
    def of(
        cls,
        db: Database,
        models: Mapping[str, LoadedModel],
        variants: Sequence[Variant],
        mode: str,
        seed: int,
        *,
        freeze: bool = False,
    ) -> "Subject":
        """With the intervention that a mode means; raises InputError if it does not go with the model."""
        plain = cls(models, variants, Scaled(1.0), freeze)
        if not (patched := [variant for variant in variants if variant.members is not None]):
            return plain
        target = plain.target
        chosen = intervention(db, Mode.parse(mode), target.model_id, target.shape, patched, seed)
        if chosen.reads_inputs:
            _check_same_base(mode, target, plain.source)
        return replace(plain, intervention=chosen)

    @property
    def target(self) -> LoadedModel:
        """The model whose neurons are changed."""
        return self.models["donor" if self.freeze else "recipient"]

    @property
    def source(self) -> LoadedModel | None:
        """The other one; None in a run without a donor."""
        return self.models.get("recipient" if self.freeze else "donor")

    @property
    def context(self) -> Context | None:
        """How many tokens all of the models can read."""
        return shortest(model.base.context for model in self.models.values())

    @property
    def sets(self) -> list[NeuronSet]:
        """The neuron sets in the order of their variants."""
        return [variant.members for variant in self.variants if variant.members is not None]


def _check_same_base(mode: str, target: LoadedModel, source: LoadedModel | None) -> None:
    """Raise InputError unless the parameters of one model's neurons can be applied to what the other's read."""
    if source is None or not can_mix([source, target]) or target.shape.routed:
        raise InputError(
            f"`mode` {mode}: {target.spec} and {source.spec if source else 'no donor'} are no plain IA3 or LoRA "
            "adapters on one dense base, so that neurons cannot be computed with the donor's parameters in the "
            "recipient: use `mode` donor"
        )
