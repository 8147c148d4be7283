"""snql: an analysis database for the neurons that carry a language model's aligned behaviour.

``snql.open`` opens a database; ``snql.locate``, ``snql.patch``, ``snql.overlap``, ``snql.query`` and ``snql.report``
are the verbs of the command line. Names are imported when first used, so that ``import snql`` is light.
"""

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from snql.analysis import Analysis as Analysis
    from snql.analysis import open_database

    open = open_database
    from snql.capability.divergence import DivergenceResult as DivergenceResult
    from snql.capability.divergence import divergence as divergence
    from snql.capability.lm_eval import LmEvalResult as LmEvalResult
    from snql.capability.lm_eval import lm_eval as lm_eval
    from snql.capability.options import DivergenceOptions as DivergenceOptions
    from snql.capability.options import LmEvalOptions as LmEvalOptions
    from snql.capability.options import PerplexityOptions as PerplexityOptions
    from snql.capability.options import SubjectOptions as SubjectOptions
    from snql.capability.options import TextOptions as TextOptions
    from snql.capability.perplexity import PerplexityResult as PerplexityResult
    from snql.capability.perplexity import perplexity as perplexity
    from snql.contrast.locate import LocateResult as LocateResult
    from snql.contrast.locate import locate as locate
    from snql.contrast.null import NullResult as NullResult
    from snql.contrast.null import null as null
    from snql.contrast.options import LocateOptions as LocateOptions
    from snql.contrast.options import NullOptions as NullOptions
    from snql.db.connection import Database as Database
    from snql.demonstration.experiment import demo as demo
    from snql.engines.options import EngineOptions as EngineOptions
    from snql.errors import SnqlError as SnqlError
    from snql.generation.options import SamplingOptions as SamplingOptions
    from snql.generation.options import WritingOptions as WritingOptions
    from snql.guard.comparing import GuardComparison as GuardComparison
    from snql.guard.comparing import compare_guards as compare_guards
    from snql.guard.learn import GuardResult as GuardResult
    from snql.guard.learn import train as fit
    from snql.guard.model import Guard as Guard
    from snql.guard.options import GuardCompareOptions as GuardCompareOptions
    from snql.guard.options import GuardOptions as GuardOptions
    from snql.guard.options import GuardTestOptions as GuardTestOptions
    from snql.guard.testing import GuardTestResult as GuardTestResult
    from snql.guard.testing import test
    from snql.jobs.preview import preview
    from snql.judges.agreement import agreement
    from snql.judges.options import JudgeOptions as JudgeOptions
    from snql.judges.options import JudgingOptions as JudgingOptions
    from snql.judges.stored import judge as judge
    from snql.lens.lens import LensResult as LensResult
    from snql.lens.lens import lens
    from snql.lens.options import LensOptions as LensOptions
    from snql.models.doctor import diagnose as diagnose
    from snql.models.options import LoadOptions as LoadOptions
    from snql.neuron_pages import describe_neuron as describe_neuron
    from snql.neuron_pages import describe_neurons as describe_neurons
    from snql.patching.options import PatchOptions as PatchOptions
    from snql.patching.options import TaxOptions as TaxOptions
    from snql.patching.patch import PatchResult as PatchResult
    from snql.patching.patch import patch as patch
    from snql.patching.tax import TaxResult as TaxResult
    from snql.patching.tax import tax as tax
    from snql.prompts.options import PromptOptions as PromptOptions
    from snql.querying.execute import query as query
    from snql.rankings.overlaps import compare
    from snql.rankings.saved_sets import save_set as save_set
    from snql.reporting.build import build
    from snql.scorers.compare import compare_scorers as compare_scorers
    from snql.scorers.one_model import score_prompts as score_prompts
    from snql.scorers.options import CompareOptions as CompareOptions
    from snql.scorers.options import ScorerOptions as ScorerOptions
    from snql.scorers.rerank import rerank as rerank
    from snql.training.options import DpoOptions as DpoOptions
    from snql.training.options import PairsOptions as PairsOptions
    from snql.training.options import SftOptions as SftOptions
    from snql.training.pairs import PairsResult as PairsResult
    from snql.training.pairs import pairs
    from snql.training.plan import plan
    from snql.training.run import TrainResult as TrainResult
    from snql.training.run import train as train

    overlap, report = compare, build
    compare_judges = agreement
    __version__: str
    preview_prompts = preview
    plan_training = plan
    train_pairs = pairs
    run_lens = lens
    test_guard, train_guard = test, fit

_HERE = Path(__file__).parent
if not (_HERE / "schema").exists() and (_HERE.parent / "schema" / "__init__.py").exists():
    __path__.append(str(_HERE.parent))  # in a clone, snql.schema and snql.cli lie beside this folder, not in it

_HOMES = {
    "Analysis": ("snql.analysis", "Analysis"),
    "CompareOptions": ("snql.scorers.options", "CompareOptions"),
    "Database": ("snql.db.connection", "Database"),
    "DivergenceOptions": ("snql.capability.options", "DivergenceOptions"),
    "DivergenceResult": ("snql.capability.divergence", "DivergenceResult"),
    "EngineOptions": ("snql.engines.options", "EngineOptions"),
    "Guard": ("snql.guard.model", "Guard"),
    "GuardCompareOptions": ("snql.guard.options", "GuardCompareOptions"),
    "GuardComparison": ("snql.guard.comparing", "GuardComparison"),
    "GuardOptions": ("snql.guard.options", "GuardOptions"),
    "GuardResult": ("snql.guard.learn", "GuardResult"),
    "GuardTestOptions": ("snql.guard.options", "GuardTestOptions"),
    "GuardTestResult": ("snql.guard.testing", "GuardTestResult"),
    "JudgeOptions": ("snql.judges.options", "JudgeOptions"),
    "LensOptions": ("snql.lens.options", "LensOptions"),
    "LensResult": ("snql.lens.lens", "LensResult"),
    "WritingOptions": ("snql.generation.options", "WritingOptions"),
    "SamplingOptions": ("snql.generation.options", "SamplingOptions"),
    "JudgingOptions": ("snql.judges.options", "JudgingOptions"),
    "LmEvalOptions": ("snql.capability.options", "LmEvalOptions"),
    "LmEvalResult": ("snql.capability.lm_eval", "LmEvalResult"),
    "LoadOptions": ("snql.models.options", "LoadOptions"),
    "LocateOptions": ("snql.contrast.options", "LocateOptions"),
    "LocateResult": ("snql.contrast.locate", "LocateResult"),
    "NullOptions": ("snql.contrast.options", "NullOptions"),
    "NullResult": ("snql.contrast.null", "NullResult"),
    "PatchOptions": ("snql.patching.options", "PatchOptions"),
    "PatchResult": ("snql.patching.patch", "PatchResult"),
    "PerplexityOptions": ("snql.capability.options", "PerplexityOptions"),
    "PerplexityResult": ("snql.capability.perplexity", "PerplexityResult"),
    "PromptOptions": ("snql.prompts.options", "PromptOptions"),
    "ScorerOptions": ("snql.scorers.options", "ScorerOptions"),
    "SnqlError": ("snql.errors", "SnqlError"),
    "SubjectOptions": ("snql.capability.options", "SubjectOptions"),
    "TaxOptions": ("snql.patching.options", "TaxOptions"),
    "TaxResult": ("snql.patching.tax", "TaxResult"),
    "TextOptions": ("snql.capability.options", "TextOptions"),
    "DpoOptions": ("snql.training.options", "DpoOptions"),
    "PairsOptions": ("snql.training.options", "PairsOptions"),
    "PairsResult": ("snql.training.pairs", "PairsResult"),
    "SftOptions": ("snql.training.options", "SftOptions"),
    "TrainResult": ("snql.training.run", "TrainResult"),
    "describe_neuron": ("snql.neuron_pages", "describe_neuron"),
    "describe_neurons": ("snql.neuron_pages", "describe_neurons"),
    "diagnose": ("snql.models.doctor", "diagnose"),
    "demo": ("snql.demonstration.experiment", "demo"),
    "compare_guards": ("snql.guard.comparing", "compare_guards"),
    "compare_scorers": ("snql.scorers.compare", "compare_scorers"),
    "compare_judges": ("snql.judges.agreement", "agreement"),
    "judge": ("snql.judges.stored", "judge"),
    "divergence": ("snql.capability.divergence", "divergence"),
    "lm_eval": ("snql.capability.lm_eval", "lm_eval"),
    "locate": ("snql.contrast.locate", "locate"),
    "null": ("snql.contrast.null", "null"),
    "open": ("snql.analysis", "open_database"),
    "overlap": ("snql.rankings.overlaps", "compare"),
    "patch": ("snql.patching.patch", "patch"),
    "perplexity": ("snql.capability.perplexity", "perplexity"),
    "plan_training": ("snql.training.plan", "plan"),
    "preview_prompts": ("snql.jobs.preview", "preview"),
    "query": ("snql.querying.execute", "query"),
    "report": ("snql.reporting.build", "build"),
    "rerank": ("snql.scorers.rerank", "rerank"),
    "run_lens": ("snql.lens.lens", "lens"),
    "save_set": ("snql.rankings.saved_sets", "save_set"),
    "score_prompts": ("snql.scorers.one_model", "score_prompts"),
    "test_guard": ("snql.guard.testing", "test"),
    "train_pairs": ("snql.training.pairs", "pairs"),
    "train_guard": ("snql.guard.learn", "train"),
    "train": ("snql.training.run", "train"),
    "tax": ("snql.patching.tax", "tax"),
}

__all__ = sorted([*_HOMES, "__version__"])


def __getattr__(name: str) -> Any:
    if name == "__version__":
        return _version()
    if name not in _HOMES:
        raise AttributeError(f"module 'snql' has no attribute {name!r}")
    module, attribute = _HOMES[name]
    value = getattr(import_module(module), attribute)
    globals()[name] = value
    return value


def _version() -> str:
    from snql.distribution import own_version

    found = globals()["__version__"] = own_version()
    return found
