"""Tiny models of judges: one that writes a text letter by letter, and a text classifier that reads pairs."""

import shutil
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

import torch
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import (
    AutoTokenizer,
    BertConfig,
    BertForSequenceClassification,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedTokenizerFast,
)

from ..conftest import ORACLE, TOKENIZER_FILES

Problem = Literal["regression", "single_label_classification", "multi_label_classification"]
WIDTH = 260
END = "</s>"
WORDS = (
    "[PAD]",
    "[UNK]",
    "[CLS]",
    "[SEP]",
    "how",
    "do",
    "i",
    "make",
    "it",
    "first",
    "take",
    "the",
    "key",
    "no",
    "sorry",
)


def set_template(folder: Path, template: str) -> None:
    """Give the tokenizer in a folder a chat template."""
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.chat_template = template
    tokenizer.save_pretrained(folder)


def save_chain(folder: Path, logits: Mapping[str, Mapping[str, float]], template: str | None = None) -> Path:
    """A Llama whose next token depends on the last one only: ``logits[last][next]``, 0 where nothing is said.

    Its attention and feed-forward layers add nothing, and its embedding is the identity.
    """
    config = LlamaConfig(
        vocab_size=WIDTH,
        hidden_size=WIDTH,
        intermediate_size=8,
        num_hidden_layers=1,
        num_attention_heads=1,
        num_key_value_heads=1,
        head_dim=8,
        max_position_embeddings=4096,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=2,
        rms_norm_eps=0.0,
        tie_word_embeddings=False,
    )
    model = LlamaForCausalLM(config)
    for name in TOKENIZER_FILES:
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copy(ORACLE / "model" / name, folder / name)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    with torch.no_grad():
        model.model.embed_tokens.weight.copy_(torch.eye(WIDTH))
        model.model.layers[0].self_attn.o_proj.weight.zero_()
        model.model.layers[0].mlp.down_proj.weight.zero_()
        model.lm_head.weight.zero_()
        for last, following in logits.items():
            for token, logit in following.items():
                (here,), (there,) = (tokenizer(text, add_special_tokens=False).input_ids for text in (last, token))
                model.lm_head.weight[there, here] = logit / WIDTH**0.5  # the norm of a unit vector's coordinates
    model.save_pretrained(folder)
    if template is not None:
        set_template(folder, template)
    return folder


def save_writer(folder: Path, start: str, text: str, template: str) -> Path:
    """A model that writes this text of distinct letters, none of them ``start``, after ``start``, and then ends."""
    letters = [start, *text, END]
    return save_chain(folder, {a: {b: 50.0} for a, b in pairwise(letters)}, template)


def save_bert(folder: Path, labels: Mapping[int, str], problem: Problem | None = None) -> Path:
    """A random BERT with these labels, whose tokenizer knows :data:`WORDS` and writes pairs."""
    torch.manual_seed(3)
    words = Tokenizer(models.WordLevel({word: place for place, word in enumerate(WORDS)}, unk_token="[UNK]"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    words.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", 2), ("[SEP]", 3)],
    )
    names = ["input_ids", "token_type_ids", "attention_mask"]
    tokenizer: Any = PreTrainedTokenizerFast
    tokenizer(
        tokenizer_object=words,
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        model_input_names=names,
        model_max_length=24,
    ).save_pretrained(folder)
    config = BertConfig(
        vocab_size=len(WORDS),
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=24,
        max_position_embeddings=32,
        initializer_range=0.5,
        id2label=dict(labels),
        label2id={label: place for place, label in labels.items()},
        problem_type=problem,
    )
    BertForSequenceClassification(config).save_pretrained(folder)
    return folder
