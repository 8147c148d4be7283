"""What judges that are models share: loading, and reading texts in batches."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase

from snql.errors import ModelError
from snql.judges.base import Pair, Verdict
from snql.judges.options import JudgeOptions
from snql.models import files
from snql.models.context import context_of
from snql.models.devices import quiet_loading, resolve_device, resolve_dtype
from snql.models.spec import parse_part


def model_folder(name: str, location: str) -> Path:
    """The local folder of a judge's model, fetched from the hub if need be; raises ModelError naming the judge."""
    try:
        return files.base_folder(parse_part(location))
    except ModelError as error:
        raise ModelError(f"judge {name}: {error}") from error


def loaded(name: str, options: JudgeOptions, load: Callable[[torch.device, Any], Any]) -> Any:
    """What ``load(device, dtype)`` returns, its errors as one line."""
    device = resolve_device(options.device)
    dtype = resolve_dtype(options.dtype, device)
    with quiet_loading():
        try:
            return load(device, dtype)
        except (OSError, ValueError, RuntimeError, KeyError) as error:
            raise ModelError(f"judge {name} cannot be loaded: {' '.join(str(error).split())[:200]}") from error


def load_checked(name: str, folder: Path, options: JudgeOptions, kind: Any) -> tuple[Any, Any]:
    """A model of this auto class, none of whose weights is missing, and its tokenizer."""
    trust = options.trust_remote_code

    def load(device: torch.device, dtype: Any) -> Any:
        model, loading = kind.from_pretrained(
            folder, dtype=dtype, use_safetensors=True, output_loading_info=True, trust_remote_code=trust
        )
        return model.to(device).eval(), loading, AutoTokenizer.from_pretrained(folder, trust_remote_code=trust)

    model, loading, tokenizer = loaded(name, options, load)
    if loading["missing_keys"]:
        raise ModelError(f"judge {name} lacks weights: {min(loading['missing_keys'])} is in none of its files")
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


def chat_ids(tokenizer: PreTrainedTokenizerBase, pair: Pair) -> list[int]:
    """The token ids of [user: prompt, assistant: completion] in the tokenizer's chat template."""
    prompt, completion = pair
    messages = [{"role": "user", "content": prompt}, {"role": "assistant", "content": completion}]
    text = str(tokenizer.apply_chat_template(messages, tokenize=False))
    ids: list[int] = tokenizer(text, add_special_tokens=False).input_ids
    return ids
