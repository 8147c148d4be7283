"""A model's tokenizer alone, without its weights."""

from pathlib import Path

from transformers import AutoTokenizer, PreTrainedTokenizerBase

from snql.errors import ModelError
from snql.models import files
from snql.models.devices import quiet_loading
from snql.models.spec import parse_model_spec


def load_tokenizer(spec: str, *, trust_remote_code: bool = False) -> PreTrainedTokenizerBase:
    """The tokenizer of a model spec's base; of a hub model, only its small files are fetched. Raises ModelError."""
    part = parse_model_spec(spec).base
    with quiet_loading():
        return tokenizer_in(files.tokenizer_folder(part), str(part), trust_remote_code=trust_remote_code)


def tokenizer_in(folder: Path, name: str, *, trust_remote_code: bool) -> PreTrainedTokenizerBase:
    """The tokenizer of a folder; ``name`` is the model's, for the message of a ModelError."""
    try:
        tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(folder, trust_remote_code=trust_remote_code)
    except (OSError, ValueError, KeyError) as error:
        raise ModelError(f"model {name} has no tokenizer that loads: {' '.join(str(error).split())}") from error
    return tokenizer
