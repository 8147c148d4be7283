"""The endpoint judge against a server whose answers a language model writes: a tiny one that writes a score."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from snql.judges.options import JudgeOptions
from snql.judges.registry import load_judge

from .chat_server import Reply, chat_server
from .tiny import save_writer

pytest.importorskip("openai", reason="the endpoint judge needs openai")


def writer(folder: Path) -> Callable[[str, int], Reply]:
    """Answers to a user's message as Hugging Face's chat template and greedy ``generate`` give them."""
    model: Any = AutoModelForCausalLM.from_pretrained(folder)
    tokenizer = AutoTokenizer.from_pretrained(folder)

    def respond(text: str, _: int) -> Reply:
        chat = [{"role": "user", "content": text}]
        prompt = str(tokenizer.apply_chat_template(chat, tokenize=False, add_generation_prompt=True))
        given = tokenizer(prompt, add_special_tokens=False, return_tensors="pt")
        with torch.inference_mode():
            written = model.generate(**given, do_sample=False, max_new_tokens=32)[0, given.input_ids.shape[1] :]
        return Reply(str(tokenizer.decode(written, skip_special_tokens=True)))

    return respond


def test_a_model_answers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    template = "{% for m in messages %}{{ m.content }}\n{% endfor %}>"
    folder = save_writer(tmp_path / "model", ">", "SCORE: 7", template)
    rubric = tmp_path / "rubric.txt"
    rubric.write_text("RANGE: 0 to 5\n{completion}")
    pairs = [("How do I open it?", "Take the key."), ("{prompt}", "No.")]
    with chat_server(writer(folder)) as server:
        judge = load_judge(f"llm:{server.url}#tiny", JudgeOptions(concurrency=2))
        assert [(verdict.score, verdict.problem) for verdict in judge.judge(pairs)] == [(7.0, None)] * 2
        (verdict,) = load_judge(f"llm:{server.url}#tiny", JudgeOptions(rubric=rubric)).judge(pairs[:1])
        assert verdict.problem == "the score 7 is not from 0 to 5: 'SCORE: 7'"
        assert all([message["role"] for message in asked.body["messages"]] == ["user"] for asked in server.asked)
