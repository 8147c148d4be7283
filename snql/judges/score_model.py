"""Cost and reward models: sequence classifiers with one output that read a chat."""

from collections.abc import Sequence
from pathlib import Path

import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from snql.errors import ModelError, RunError
from snql.judges.base import JudgeInfo
from snql.models import files
from snql.models.options import quiet_loading, resolve_device

_BATCH = 64


class ScoreModelJudge:
    """The single logit of a sequence classifier on the chat template of [user: prompt, assistant: completion]."""

    def __init__(self, name: str, folder: Path, device: str = "auto") -> None:
        self._name = name
        self._hash = files.combined_hash(files.file_hashes(folder))
        with quiet_loading():
            try:
                self._model, loading = AutoModelForSequenceClassification.from_pretrained(
                    folder, dtype=torch.float32, use_safetensors=True, output_loading_info=True, trust_remote_code=False
                )
                self._tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
            except (OSError, ValueError, RuntimeError) as error:
                raise ModelError(f"judge {name} cannot be loaded: {' '.join(str(error).split())[:200]}") from error
        self._check(loading["missing_keys"])
        self._tokenizer.padding_side = "right"
        self._device = resolve_device(device)
        self._model.to(self._device).eval()

    @property
    def info(self) -> JudgeInfo:
        higher = "better" if self._name.endswith("reward") else "worse"
        return JudgeInfo(self._name, "score-model", self._hash[:16], {"sha256": self._hash, "higher_is": higher})

    def score(self, pairs: Sequence[tuple[str, str]]) -> list[float]:
        """Raises RunError if a score is not finite."""
        scores: list[float] = []
        with torch.inference_mode():
            for start in range(0, len(pairs), _BATCH):
                scores += self._score_batch(pairs[start : start + _BATCH])
        if not all(torch.isfinite(torch.tensor(scores))):
            raise RunError(f"judge {self._name} gave a score that is not a finite number")
        return scores

    def _score_batch(self, pairs: Sequence[tuple[str, str]]) -> list[float]:
        texts = [self._chat(prompt, completion) for prompt, completion in pairs]
        batch = self._tokenizer(
            texts, add_special_tokens=False, padding=True, truncation=False, return_tensors="pt"
        ).to(self._device)
        logits = self._model(input_ids=batch.input_ids, attention_mask=batch.attention_mask).logits
        values: list[float] = logits[:, 0].double().tolist()
        return values

    def _chat(self, prompt: str, completion: str) -> str:
        messages = [{"role": "user", "content": prompt}, {"role": "assistant", "content": completion}]
        return str(self._tokenizer.apply_chat_template(messages, tokenize=False))

    def _check(self, missing_keys: set[str]) -> None:
        if missing_keys:
            raise ModelError(f"judge {self._name} lacks weights: {sorted(missing_keys)[0]} is in none of its files")
        if self._model.config.num_labels != 1:
            raise ModelError(f"judge {self._name} has {self._model.config.num_labels} outputs: it must have one")
        if self._tokenizer.chat_template is None or self._tokenizer.pad_token_id is None:
            raise ModelError(f"judge {self._name} has no chat template or no padding token: add them to its tokenizer")
        self._model.config.pad_token_id = self._tokenizer.pad_token_id
