"""Cost and reward models: a number for a completion, read off its last token.

Two formats: any sequence classifier with one output, which reads its chat template; and that of PKU-Alignment's Beaver
models (Dai et al. 2023, arXiv 2310.12773), a language model with a ``score_head`` and a text of its own.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import AutoConfig, AutoModelForSequenceClassification, AutoTokenizer, LlamaModel, LlamaPreTrainedModel

from snql.errors import ModelError
from snql.judges.base import BETTER, WORSE, Judge, JudgeInfo, Loader, Pair, Verdict
from snql.judges.options import JudgeOptions
from snql.judges.readers import TextReader, chat_ids, loaded, model_files
from snql.models.files import ModelFiles
from snql.models.identity import combined_hash

BEAVER_TEXT = "BEGINNING OF CONVERSATION: USER: {prompt} ASSISTANT:{completion}"
_BEAVER = "ModelForScore"


def prepare(name: str, location: str, options: JudgeOptions) -> Loader:
    """What loads the score model in a folder or of a hub id. Raises ModelError if there is none."""
    given = model_files(name, location)

    def load() -> Judge:
        config = loaded(
            name, given, options, lambda folder, *_: AutoConfig.from_pretrained(folder, trust_remote_code=False)
        )
        beaver = any(_BEAVER in architecture for architecture in config.architectures or ())
        return (BeaverJudge if beaver else ScoreModelJudge)(name, given, options)

    return load


class ScoreModelJudge:
    """The single logit of a sequence classifier on the chat template of [user: prompt, assistant: completion]."""

    def __init__(self, name: str, given: ModelFiles, options: JudgeOptions) -> None:
        def load(folder: Path, device: torch.device, dtype: Any) -> Any:
            model, loading = AutoModelForSequenceClassification.from_pretrained(
                folder, dtype=dtype, use_safetensors=True, output_loading_info=True, trust_remote_code=False
            )
            return model.to(device).eval(), loading, AutoTokenizer.from_pretrained(folder, trust_remote_code=False)

        self._name = name
        self._hash = combined_hash(given.hashes)
        self._higher = options.higher_is(BETTER if "reward" in name.lower() else WORSE)
        model, loading, tokenizer = loaded(name, given, options, load)
        _check_weights(name, loading["missing_keys"])
        if model.config.num_labels != 1:
            raise ModelError(f"judge {name} has {model.config.num_labels} outputs: it must have one")
        if tokenizer.chat_template is None or tokenizer.pad_token_id is None:
            raise ModelError(f"judge {name} has no chat template or no padding token: add them to its tokenizer")
        model.config.pad_token_id = tokenizer.pad_token_id
        self._reader = TextReader(model, tokenizer, options.batch_size)

    @property
    def info(self) -> JudgeInfo:
        return JudgeInfo(self._name, "score-model", self._hash[:16], {"sha256": self._hash, "higher_is": self._higher})

    @property
    def at_once(self) -> int:
        return 8 * self._reader.batch_size

    def judge(self, pairs: Sequence[Pair]) -> list[Verdict]:
        return self._reader.read([chat_ids(self._reader.tokenizer, pair) for pair in pairs], self._finish)

    def _finish(self, ids: torch.Tensor, mask: torch.Tensor) -> list[Verdict]:
        logits = self._reader.model(input_ids=ids, attention_mask=mask).logits
        return [Verdict(value) for value in logits[:, 0].double().tolist()]


class BeaverNormalizer(nn.Module):
    """Mean and variance of the scores in training, as Beaver checkpoints hold them."""

    mean: torch.Tensor
    var: torch.Tensor
    count: torch.Tensor

    def __init__(self, width: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(width))
        self.register_buffer("var", torch.ones(width))
        self.register_buffer("count", torch.ones(1, dtype=torch.long))

    def forward(self, scores: torch.Tensor) -> torch.Tensor:
        return (scores - self.mean) / self.var.sqrt()


class BeaverModel(LlamaPreTrainedModel):
    """A Llama whose head is a linear layer from the hidden states of the last layer to a score."""

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        width = getattr(config, "score_dim", 1)
        self.model = LlamaModel(config)
        self.score_head = nn.Linear(config.hidden_size, width, bias=bool(getattr(config, "score_bias", True)))
        self.normalizer = BeaverNormalizer(width) if getattr(config, "do_normalize", False) else None
        self.post_init()  # type: ignore[no-untyped-call]

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        """The score of each text at its last token: Float["texts"]."""
        hidden = self.model(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        last = attention_mask.sum(dim=1) - 1
        scores: torch.Tensor = self.score_head(hidden[torch.arange(len(last), device=last.device), last]).float()
        normal: torch.Tensor = scores if self.normalizer is None else self.normalizer(scores)
        return normal[:, 0]


class BeaverJudge:
    """A Beaver cost or reward model on its own text, ended by the end-of-sequence token."""

    def __init__(self, name: str, given: ModelFiles, options: JudgeOptions) -> None:
        def load(folder: Path, device: torch.device, dtype: Any) -> Any:
            # The hint does not know that loading info makes it a pair.
            found: Any = BeaverModel.from_pretrained(
                folder, dtype=dtype, use_safetensors=True, output_loading_info=True
            )
            model, loading = found
            return model.to(device).eval(), loading, AutoTokenizer.from_pretrained(folder, trust_remote_code=False)

        self._name = name
        self._hash = combined_hash(given.hashes)
        model, loading, tokenizer = loaded(name, given, options, load)
        _check_weights(name, loading["missing_keys"])
        if tokenizer.eos_token_id is None:
            raise ModelError(f"judge {name} has no end-of-sequence token, at which its score is read")
        reward = getattr(model.config, "score_type", "cost") == "reward"
        self._higher = options.higher_is(BETTER if reward else WORSE)
        self._reader = TextReader(model, tokenizer, options.batch_size)

    @property
    def info(self) -> JudgeInfo:
        settings = {"sha256": self._hash, "higher_is": self._higher, "text": BEAVER_TEXT}
        return JudgeInfo(self._name, "score-model", self._hash[:16], settings)

    @property
    def at_once(self) -> int:
        return 8 * self._reader.batch_size

    def judge(self, pairs: Sequence[Pair]) -> list[Verdict]:
        return self._reader.read([self._ids(*pair) for pair in pairs], self._finish)

    def _ids(self, prompt: str, completion: str) -> list[int]:
        tokenizer = self._reader.tokenizer
        ids: list[int] = tokenizer(BEAVER_TEXT.format(prompt=prompt, completion=completion)).input_ids
        end = tokenizer.eos_token_id
        return ids if ids and ids[-1] == end else [*ids, end]

    def _finish(self, ids: torch.Tensor, mask: torch.Tensor) -> list[Verdict]:
        return [Verdict(value) for value in self._reader.model(ids, mask).double().tolist()]


def _check_weights(name: str, missing: set[str]) -> None:
    if missing:
        raise ModelError(f"judge {name} lacks weights: {sorted(missing)[0]} is in none of its files")
