"""What an adapter's configuration may say: an allow-list of PEFT's fields. A new one is refused, not ignored.

An adapter is more than its tensors: a field may change the base's weights when PEFT loads it, or need something that
snql does not give it. What is not named here is refused by name where it is set.
"""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from snql.errors import ModelError

SUPPORTED = ("IA3", "LORA")

_UNUSED: tuple[object, ...] = (None, False, "", [], {})
_ABOUT = {  # where it comes from and how it was trained: nothing that a loaded adapter computes
    "task_type",
    "peft_type",
    "auto_mapping",
    "peft_version",
    "base_model_name_or_path",
    "revision",
    "inference_mode",
    "lora_dropout",
    "init_ia3_weights",
    "eva_config",
    "corda_config",
    "lora_ga_config",
    "loftq_config",
    "megatron_core",
    "qalora_group_size",
    "runtime_config",
}
_READ = {  # what PEFT makes of it is compared with PEFT alone in tests/models/test_against_peft.py
    "IA3": {"target_modules", "exclude_modules", "feedforward_modules", "fan_in_fan_out", "modules_to_save"},
    "LORA": {
        "r",
        "lora_alpha",
        "rank_pattern",
        "alpha_pattern",
        "use_rslora",
        "use_dora",
        "lora_bias",
        "fan_in_fan_out",
        "target_modules",
        "exclude_modules",
        "layers_to_transform",
        "layers_pattern",
        "modules_to_save",
        "trainable_token_indices",
        "init_lora_weights",
    },
}
_INERT_INITS = (True, False, None, "gaussian", "eva", "orthogonal")
"""Ways to begin a LoRA whose traces are all in its own tensors."""
_CHANGING_INITS = ("pissa", "olora")
"""Ways that take something out of the base's weights, which PEFT does again, to the same effect, when it loads."""

_TYPES: Mapping[str, tuple[tuple[type, ...], str]] = {
    "r": ((int,), "a whole number"),
    "lora_alpha": ((int, float), "a number"),
    "modules_to_save": ((list,), "a list of names"),
    "rank_pattern": ((dict,), "ranks by name"),
    "alpha_pattern": ((dict,), "numbers by name"),
}

_WHY: Mapping[str, str] = {
    "alora_invocation_tokens": "it is an aLoRA, active only after those tokens",
    "bias": "PEFT would change the biases of the base, which other models share; merge it into a checkpoint first",
    "layer_replication": "it has more layers than the base",
    "target_parameters": "it adapts parameters and not layers, such as those of experts",
    "use_qalora": "it pools what it reads",
}
_REMEDY = "merge it into a checkpoint with PEFT (merge_and_unload, save_pretrained), and name that"


@dataclass(frozen=True)
class AdapterConfig:
    """An adapter's configuration, all of whose fields snql knows."""

    folder: Path
    settings: Mapping[str, Any]

    @property
    def kind(self) -> str:
        """PEFT's type of it: LORA or IA3."""
        return str(self.settings["peft_type"])

    @property
    def init(self) -> object:
        """How its tensors began."""
        return self.settings.get("init_lora_weights", True)

    @property
    def changes_base(self) -> bool:
        """Whether loading it changes the weights of the base, which then no other model may share."""
        return self.kind == "LORA" and isinstance(self.init, str) and self.init.lower() in _CHANGING_INITS

    @property
    def replaced(self) -> tuple[str, ...]:
        """Modules of which it has its own copy."""
        return tuple(self.settings.get("modules_to_save") or ())

    @property
    def is_feedforward(self) -> Callable[[str], bool]:
        """Whether a module's vector scales what goes into it, as PEFT tells from names: by their ends or a pattern."""
        given = self.settings.get("feedforward_modules")
        if isinstance(given, str):
            return lambda name: re.fullmatch(given, name) is not None
        return lambda name: name.endswith(tuple(given or ()))


def read_config(folder: Path) -> AdapterConfig:
    """The adapter's configuration; raises ModelError if unreadable, or if it says what snql does not know."""
    try:
        settings: Any = json.loads((folder / "adapter_config.json").read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise ModelError(f"adapter {folder} has an unreadable adapter_config.json: {error}") from error
    kind = settings.get("peft_type") if isinstance(settings, dict) else None
    if kind not in SUPPORTED:
        raise ModelError(f"adapter {folder} is of type {kind}: supported types are {', '.join(SUPPORTED)}; {_REMEDY}")
    known = _ABOUT | _READ[kind]
    for name, value in settings.items():
        unused = value in _UNUSED or (name == "bias" and value == "none")
        if name not in known and not unused:
            why = _WHY.get(name, "which snql does not know")
            end = "" if name == "bias" else f"; {_REMEDY}"
            raise ModelError(f"adapter {folder} has {name}={_short(value)}, which snql cannot run: {why}{end}")
    for name, (kinds, wanted) in _TYPES.items():
        if settings.get(name) is not None and not isinstance(settings[name], kinds):
            raise ModelError(f"adapter {folder} has {name}={_short(settings[name])}, not {wanted}: save it again")
    config = AdapterConfig(folder, settings)
    if kind == "LORA" and not config.changes_base and not _is_inert(config.init):
        raise ModelError(
            f"adapter {folder} has init_lora_weights={_short(config.init)}: PEFT needs more than its files to load it "
            f"as it was trained; {_REMEDY}"
        )
    return config


def check_stack(configs: Sequence[AdapterConfig], spec: str) -> str | None:
    """The type of a stack of adapters, None for an empty one; raises ModelError for those that cannot be one model."""
    kinds = list(dict.fromkeys(config.kind for config in configs))
    if len(kinds) > 1:
        raise ModelError(
            f"model spec {spec!r} stacks adapters of types {' and '.join(kinds)}: PEFT keeps one type "
            "on a model; merge one of them into a checkpoint first"
        )
    if len(configs) > 1 and (changing := [config for config in configs if config.changes_base]):
        raise ModelError(
            f"model spec {spec!r} stacks adapter {changing[0].folder}, which takes its part out of the base's weights "
            f"(init_lora_weights={changing[0].init}), with another one: {_REMEDY}"
        )
    owners: dict[str, Path] = {}
    for config in configs:
        for name in config.replaced:
            if name in owners:
                raise ModelError(
                    f"model spec {spec!r}: adapters {owners[name]} and {config.folder} both replace {name} "
                    "(modules_to_save), of which only one can be active: merge the first into a checkpoint"
                )
            owners[name] = config.folder
    return kinds[0] if kinds else None


def _is_inert(init: object) -> bool:
    return init in _INERT_INITS or (isinstance(init, str) and init.lower() in _INERT_INITS)


def _short(value: object) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else f"a {type(value).__name__} of {len(text)} characters"
