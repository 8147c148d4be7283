"""Small tokenizers that do what those of models do, byte by byte or with blanks that stand for word beginnings."""

from collections.abc import Sequence
from typing import Any

from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

OTHER = ["<S>", "</S>", "<|IM_START|>", "<|IM_END|>", "<PAD>", "<UNK>"]
SPECIAL = ["<s>", "</s>", "<|im_start|>", "<|im_end|>", "<pad>", "<unk>"]
CHATML = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
LLAMA2 = (
    "{{ bos_token }}{% for m in messages %}{% if m['role'] == 'user' %}[INST] {{ m['content'] | trim }} [/INST]"
    "{% else %} {{ m['content'] }} {{ eos_token }}{% endif %}{% endfor %}"
)


def byte_tokenizer(
    chat: Any = None,
    *,
    bos: bool = True,
    ends: bool = False,
    rstrip: bool = False,
    merges: bool = False,
    special: Sequence[str] = SPECIAL,
) -> PreTrainedTokenizerFast:
    """A token a byte (with ``merges`` some two); ``ends``: it adds </s> after a text. rstrip: of <|im_start|>."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    pairs = [("s", ">"), ("<", "s"), ("<", "/"), ("a", "t"), ("Ġ", "<"), ("Ċ", "<"), ("Ċ", "Ċ")] if merges else []
    names = [*special, *alphabet, *("".join(pair) for pair in pairs)]
    made = Tokenizer(models.BPE(vocab={name: at for at, name in enumerate(names)}, merges=pairs))
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    made.decoder = decoders.ByteLevel()
    return _finished(made, chat, special, bos=bos, ends=ends, rstrip=rstrip)


def word_tokenizer(
    chat: Any = None, *, bos: bool = True, scheme: str = "first", special: Sequence[str] = SPECIAL
) -> PreTrainedTokenizerFast:
    """As SentencePiece has it: a blank is ▁, put before the first word (``first``) or before each part (``always``)."""
    characters = ["▁", *(chr(at) for at in range(33, 127)), *(f"<0x{at:02X}>" for at in range(256))]
    merges = [("▁", "a"), ("▁", "<"), ("<", "/"), ("s", ">")]
    names = [*special, *characters, *("".join(pair) for pair in merges)]
    vocabulary = {name: at for at, name in enumerate(names)}
    made = Tokenizer(models.BPE(vocab=vocabulary, merges=merges, byte_fallback=True, unk_token=special[5]))
    made.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme=scheme, split=False)
    made.decoder = decoders.Sequence([decoders.Metaspace(prepend_scheme=scheme), decoders.ByteFallback()])
    return _finished(made, chat, special, bos=bos, ends=False, rstrip=False)


def _finished(
    made: Tokenizer, chat: Any, special: Sequence[str], *, bos: bool, ends: bool, rstrip: bool
) -> PreTrainedTokenizerFast:
    first, last, turn, _, pad, unknown = special
    made.add_special_tokens(
        [AddedToken(name, special=True, normalized=False, rstrip=rstrip and name == turn) for name in special]
    )
    if bos or ends:
        single = f"{f'{first} ' if bos else ''}$A{f' {last}' if ends else ''}"
        made.post_processor = processors.TemplateProcessing(single=single, special_tokens=[(first, 0), (last, 1)])
    made_of: Any = PreTrainedTokenizerFast
    tokenizer: PreTrainedTokenizerFast = made_of(
        tokenizer_object=made, bos_token=first, eos_token=last, pad_token=pad, unk_token=unknown
    )
    tokenizer.chat_template = chat
    return tokenizer
