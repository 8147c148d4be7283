"""What judges that are models share: loading, and reading texts in batches."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase

from snql.errors import InputError, ModelError, reason
from snql.judges.base import Pair, Verdict
from snql.judges.options import JudgeOptions
from snql.models import files
from snql.models.context import context_of
from snql.models.devices import quiet_loading, resolve_device, resolve_dtype
from snql.models.files import ModelFiles
from snql.models.limits import built, check_files
from snql.models.spec import parse_part
from snql.models.weights import LOADING_ERRORS, check_whole
from snql.prompts.rendering import RenderingError, apply_template


def model_files(name: str, location: str) -> ModelFiles:
    """The files of a judge's model, fetched from the hub if need be; raises ModelError naming the judge."""
    try:
        return files.base_files(parse_part(location))
    except ModelError as error:
        raise ModelError(f"judge {name}: {error}") from error


def loaded(name: str, given: ModelFiles, options: JudgeOptions, load: Callable[[Path, torch.device, Any], Any]) -> Any:
    """What ``load(folder, device, dtype)`` returns, its errors as one line. The folder has nothing but the files."""
    device = resolve_device(options.device)
    dtype = resolve_dtype(options.dtype, device)
    with quiet_loading(), given.alone() as folder, built(f"judge {name}"):
        check_files(f"judge {name}", folder)
        try:
            return load(folder, device, dtype)
        except LOADING_ERRORS as error:
            raise ModelError(f"judge {name} cannot be loaded: {reason(error)}") from error


def load_checked(name: str, given: ModelFiles, options: JudgeOptions, kind: Any) -> tuple[Any, Any]:
    """A model of this auto class, all of its files and nothing else, and its tokenizer."""
    trust = options.trust_remote_code

    def load(folder: Path, device: torch.device, dtype: Any) -> Any:
        model, loading = kind.from_pretrained(
            folder, dtype=dtype, use_safetensors=True, output_loading_info=True, trust_remote_code=trust
        )
        return model.to(device).eval(), loading, AutoTokenizer.from_pretrained(folder, trust_remote_code=trust)

    model, loading, tokenizer = loaded(name, given, options, load)
    check_whole(f"judge {name}", loading)
    return model, tokenizer


class TextReader:
    """A model that reads token ids in padded batches of like lengths."""

    def __init__(self, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, batch_size: int) -> None:
        self.model, self.tokenizer, self.batch_size = model, tokenizer, batch_size
        known = context_of(model, model.config)
        self.context_length: int | None = None if known is None else known.length
        pad = tokenizer.pad_token_id
        self.pad_id: int = pad if isinstance(pad, int) else 0

    def read(
        self, texts: Sequence[Sequence[int]], finish: Callable[[torch.Tensor, torch.Tensor], list[Verdict]]
    ) -> list[Verdict]:
        """One verdict for each list of token ids: ``finish(ids, mask)`` judges a batch, both Int["texts tokens"].

        A text that is longer than the model's context has no score.
        """
        verdicts: list[Verdict | None] = [self._too_long(ids) for ids in texts]
        for places in self._batches(texts, verdicts):
            ids, mask = self._padded([texts[place] for place in places])
            with torch.inference_mode():
                for place, verdict in zip(places, finish(ids, mask), strict=True):
                    verdicts[place] = verdict
        return [verdict for verdict in verdicts if verdict is not None]

    def _too_long(self, ids: Sequence[int]) -> Verdict | None:
        if self.context_length is None or len(ids) <= self.context_length:
            return None
        return Verdict(None, problem=f"{len(ids)} tokens are more than the judge's context of {self.context_length}")

    def _batches(self, texts: Sequence[Sequence[int]], done: Sequence[Verdict | None]) -> Iterator[list[int]]:
        places = sorted((place for place, verdict in enumerate(done) if verdict is None), key=lambda p: len(texts[p]))
        for start in range(0, len(places), self.batch_size):
            yield places[start : start + self.batch_size]

    def _padded(self, texts: Sequence[Sequence[int]]) -> tuple[torch.Tensor, torch.Tensor]:
        width = max(len(ids) for ids in texts)
        ids = torch.full((len(texts), width), self.pad_id)
        mask = torch.zeros((len(texts), width), dtype=torch.long)
        for row, text in enumerate(texts):
            ids[row, : len(text)] = torch.tensor(text)
            mask[row, : len(text)] = 1
        return ids.to(self.model.device), mask.to(self.model.device)


def read_texts(
    reader: TextReader, texts: Sequence[list[int]], finish: Callable[[torch.Tensor, torch.Tensor], list[Verdict]]
) -> list[Verdict]:
    """The reader's verdicts; a text of no tokens, as an empty completion may be, has no score."""
    verdicts = iter(reader.read([ids for ids in texts if ids], finish))
    return [next(verdicts) if ids else Verdict(None, problem="the completion is empty") for ids in texts]


def in_template(tokenizer: PreTrainedTokenizerBase, messages: Sequence[Mapping[str, str]], **settings: bool) -> str:
    """The messages in the chat template of a judge's tokenizer; raises InputError if it fails."""
    try:
        return apply_template(tokenizer, messages, settings=settings)
    except RenderingError as error:
        raise InputError(f"the judge's chat template fails ({error}): use another judge") from error


def chat_ids(tokenizer: PreTrainedTokenizerBase, pair: Pair) -> list[int]:
    """The token ids of [user: prompt, assistant: completion] in the tokenizer's chat template."""
    prompt, completion = pair
    messages = [{"role": "user", "content": prompt}, {"role": "assistant", "content": completion}]
    text = in_template(tokenizer, messages)
    ids: list[int] = tokenizer(text, add_special_tokens=False).input_ids
    return ids
