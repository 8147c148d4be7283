"""A model's tokenizer alone, without its weights."""

from transformers import AutoTokenizer, PreTrainedTokenizerBase

from snql.errors import ModelError, reason
from snql.models import files
from snql.models.beside import saved_template
from snql.models.devices import quiet_loading
from snql.models.files import ModelFiles
from snql.models.limits import built, check_files
from snql.models.spec import parse_model_spec


def load_tokenizer(spec: str, *, trust_remote_code: bool = False) -> PreTrainedTokenizerBase:
    """The tokenizer of a model spec's base; of a hub model, only its small files are fetched. Raises ModelError."""
    part = parse_model_spec(spec).base
    with quiet_loading():
        return tokenizer_in(files.tokenizer_files(part), f"model {part}", trust_remote_code=trust_remote_code)


def template_of_model(spec: str, *, trust_remote_code: bool = False) -> tuple[PreTrainedTokenizerBase, str | None]:
    """A model's tokenizer and its chat template: that of its last adapter that was saved with one, or the base's."""
    tokenizer = load_tokenizer(spec, trust_remote_code=trust_remote_code)
    for part in reversed(parse_model_spec(spec).adapters):
        if (saved := saved_template(files.adapter_files(part).place)[1]) is not None:
            return tokenizer, saved
    return tokenizer, own_template(tokenizer)


def own_template(tokenizer: PreTrainedTokenizerBase) -> str | None:
    """The chat template that a tokenizer takes if none is named; None if it has none."""
    own = tokenizer.chat_template
    return own.get("default") if isinstance(own, dict) else own


def tokenizer_in(given: ModelFiles, what: str, *, trust_remote_code: bool) -> PreTrainedTokenizerBase:
    """The tokenizer of these files; ``what`` is whose it is, for the message of a ModelError."""
    gguf = {} if given.gguf is None else {"gguf_file": given.gguf}
    with given.alone() as folder, built(what):
        check_files(what, folder)
        try:
            tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(
                folder, trust_remote_code=trust_remote_code, **gguf
            )
        except (OSError, ValueError, KeyError, TypeError, ImportError) as error:
            raise ModelError(f"{what} has no tokenizer that loads: {reason(error)}") from error
    tokenizer.name_or_path = str(given.place)
    return tokenizer
