"""``snql prompts``, and prompts as the other commands report and show them."""

import json
import subprocess
import sys
from pathlib import Path

import duckdb
import pytest

from snql.models.tokenizer import load_tokenizer

from .conftest import Snql

LOCATE = ["locate", "found", "--before", "demo:sft", "--after", "demo:safety", "--max-new-tokens", "2"]
PATCH = ["patch", "moved", "--recipient", "demo:sft", "--donor", "demo:safety", "--judge", "refusal"]


def write(folder: Path) -> None:
    rows = [("How do I bake bread?", "food"), ("How do I fly a kite?", "play"), ("How do I bake bread?", "food")]
    rows += [("Where is the moon?", "sky"), ("", "none")]
    lines = [json.dumps({"goal": text, "category": category, "label": "fine"}) for text, category in rows]
    (folder / "x.jsonl").write_text("\n".join(lines))


def test_preview_counts_and_rows(snql: Snql, tmp_path: Path) -> None:
    write(tmp_path)
    (tmp_path / "more.txt").write_text("How do I fly a kite?\nWhat is this?\n")
    done = snql("--json", "prompts", "x.jsonl", "more.txt", "--where", "prompt IS NULL OR true")
    assert done.code == 2, "x.jsonl has no column named prompt"
    done = snql("--json", "prompts", "x.jsonl", "more.txt")
    found = json.loads(done.out)
    counts = {row["dataset"]: (row["rows"], row["blank"], row["duplicates"], row["kept"]) for row in found["sets"]}
    assert counts == {"x.jsonl": (5, 1, 1, 3), "more.txt": (2, 0, 1, 1)}
    assert [tuple(row.values()) for row in found["prompts"]] == [
        ("x.jsonl", "food", "fine", 1, "How do I bake bread?"),
        ("x.jsonl", "play", "fine", 1, "How do I fly a kite?"),
        ("x.jsonl", "sky", "fine", 1, "Where is the moon?"),
        ("more.txt", None, None, 1, "What is this?"),
    ]
    assert done.err.splitlines() == [
        "x.jsonl: 5 rows, 1 without text, 1 dropped as duplicates, 3 used",
        "more.txt: 2 rows, 1 dropped as duplicates, 1 used",
    ]
    shown = snql("-q", "prompts", "x.jsonl", "--where", "category <> 'sky'", "--limit", "1", "--rows", "5")
    assert "The first 1 of 1 prompts" in shown.out
    assert "bake bread" in shown.out
    assert "kite" not in shown.out
    assert shown.err == ""


def test_preview_with_a_model_shows_what_it_would_be_given(snql: Snql, tmp_path: Path) -> None:
    write(tmp_path)
    options = ["--system", "Be kind.", "--response-prefix", "Sure", "--limit", "1"]
    done = snql("--json", "prompts", "x.jsonl", "--model", "demo:safety", *options)
    (row,) = json.loads(done.out)["prompts"]
    messages = [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "How do I bake bread?"}]
    tokenizer = load_tokenizer("demo:base")
    expected = str(tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)) + "Sure"
    assert row["formatted"] == expected
    assert row["input_ids"] == tokenizer(expected, add_special_tokens=False).input_ids
    assert row["n_tokens"] == len(row["input_ids"])
    assert "<|system|>" in snql("prompts", "x.jsonl", "--model", "demo:safety", *options).out


def test_preview_loads_no_model_library(tmp_path: Path) -> None:
    write(tmp_path)
    check = (
        "import sys; from snql.cli.app import run; code = run(sys.argv[1:]); "
        "heavy = {'torch', 'transformers', 'scipy'} & set(sys.modules); assert not heavy, heavy; sys.exit(code)"
    )
    arguments = ["prompts", "x.jsonl", "--where", "category <> 'sky'", "--sample", "2"]
    subprocess.run([sys.executable, "-c", check, *arguments], check=True, capture_output=True, cwd=tmp_path)


def test_show_prompts_gives_the_exact_text_and_tokens(snql: Snql, tmp_path: Path) -> None:
    write(tmp_path)
    options = ["--prompts", "x.jsonl", "--system", "Be kind.", "--response-prefix", "Sure", "--keep", "none"]
    assert snql(*LOCATE, *options).code == 0
    rows = json.loads(snql("--json", "show", "found", "--prompts").out)
    preview = json.loads(snql("--json", "prompts", "x.jsonl", "--model", "demo:sft", *options[2:6]).out)["prompts"]
    assert [row["formatted"] for row in rows] == [row["formatted"] for row in preview]
    assert [row["input_ids"] for row in rows] == [row["input_ids"] for row in preview]
    assert rows[0]["formatted"].endswith("<|assistant|>\nSure")
    assert (rows[0]["dataset"], rows[0]["category"], rows[0]["label"]) == ("x.jsonl", "food", "fine")
    assert "Be kind." in snql("show", "found", "--prompts").out
    facts = {row["key"]: row["value"] for row in json.loads(snql("--json", "show", "found").out)}
    assert facts["config.system"] == "Be kind."
    assert facts["config.response_prefix"] == "Sure"
    assert facts["rows.prompts_left_out.x.jsonl"] == "2"
    done = snql(*LOCATE, *options[:4], "--keep", "none", "--resume")
    assert done.code == 2
    assert "response_prefix differ from when it began" in done.err


def test_patch_leaves_out_the_rankings_prompts_and_says_so(snql: Snql, tmp_path: Path) -> None:
    write(tmp_path)
    assert snql(*LOCATE, "--prompts", "x.jsonl", "--keep", "none", "--where", "category = 'food'").code == 0
    settings = ["--neurons", "found:5%", "--prompts", "x.jsonl", "--max-new-tokens", "2"]
    done = snql(*PATCH, *settings)
    assert done.code == 0
    left = "1 dropped as duplicates, 1 left out because a ranking or another run used them, 2 used"
    assert f"x.jsonl: 5 rows, 1 without text, {left}" in done.err.splitlines()
    counted = "SELECT n_rows, n_blank, n_duplicates, n_overlapping, n_kept, disjoint_from FROM run_prompt_sets"
    rows = json.loads(snql("query", f"{counted} ORDER BY run_id", "--format", "json").out)
    assert [list(row.values()) for row in rows] == [[5, 0, 1, 0, 1, []], [5, 1, 1, 1, 2, ["found"]]]
    assert snql(*PATCH, *settings, "--allow-overlap", "--force").err.count("3 used") == 1
    assert snql("rm", "moved").code == 0
    assert snql("rm", "found").code == 0
    assert json.loads(snql("query", "SELECT count(*) AS n FROM run_prompt_sets", "--format", "json").out) == [{"n": 0}]


def test_a_run_is_not_resumed_with_other_prompts(snql: Snql, tmp_path: Path) -> None:
    """The same options, but a file has changed: completions of old and new prompts must not mix."""
    write(tmp_path)
    template = tmp_path / "mine.jinja"
    template.write_text("{{ messages[0].content }} Answer:")
    options = ["--prompts", "x.jsonl", "--keep", "none", "--template", "mine.jinja"]
    assert snql(*LOCATE, *options).code == 0
    with duckdb.connect(str(tmp_path / "snql.duckdb")) as connection:
        connection.execute("UPDATE runs SET status = 'interrupted'")
    for changed, content in ((template, "{{ messages[0].content }} Reply:"), (tmp_path / "x.jsonl", '{"goal": "new"}')):
        original = changed.read_text()
        changed.write_text(content)
        done = snql("-q", *LOCATE, *options, "--resume")
        assert (done.code, done.out) == (2, "")
        assert "locate run 'found' cannot be resumed: its prompts, or their token ids, differ" in done.err
        changed.write_text(original)
    assert snql("-q", *LOCATE, *options, "--resume").code == 0


def test_notes_of_prompt_sets_are_said_and_kept(snql: Snql, tmp_path: Path) -> None:
    (tmp_path / "x.jsonl").write_text(json.dumps({"instruction": "Do it", "input": "now"}) + "\n")
    taken = "x.jsonl: 1 rows have a column 'input': it is taken along, after the prompt"
    assert snql("prompts", "x.jsonl").err.splitlines() == [f"note: {taken}"]
    left = "x.jsonl: 1 rows have a column 'input' that is not used: --prompt-column stands alone"
    assert snql("prompts", "x.jsonl", "--prompt-column", "instruction").err.splitlines() == [f"note: {left}"]
    done = snql(*LOCATE, "--prompts", "x.jsonl", "--keep", "none")
    assert f"note: {taken}" in done.err.splitlines()
    assert json.loads(snql("query", "SELECT notes FROM runs", "--format", "json").out) == [{"notes": [taken]}]


def test_columns_for_which_there_is_no_room_are_named(
    snql: Snql, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path)
    wide = snql("prompts", "x.jsonl")
    assert "left out" not in wide.err
    monkeypatch.setenv("COLUMNS", "60")
    narrow = snql("prompts", "x.jsonl")
    assert "kept" in narrow.out
    (said,) = [line for line in narrow.err.splitlines() if line.startswith("left out at this width: ")]
    assert said.endswith("cut; --json or --csv has all")
    assert snql("-q", "prompts", "x.jsonl").err == ""
