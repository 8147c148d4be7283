"""Placeholders, steps that are shared, and scales of one's own."""

from pathlib import Path

import pytest

from snql.errors import InputError
from snql.paper.files import recipe, recipes, scale
from snql.paper.plan import fill, plan

VARIABLES = {
    "base": "hub/llama",
    "models": "out",
    "sft": "{base}+{models}/sft",
    "two": ["a", "b"],
    "runs": [{"run": "x", "model": "{sft}+x"}, {"run": "y", "model": "{sft}+y"}],
    "flag": True,
    "each": {"run": "z"},
}


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("{sft}", "hub/llama+out/sft"),
        ("on {base} in {models}", "on hub/llama in out"),
        ("{two}", ["a", "b"]),
        ("{two}:5%", ["a:5%", "b:5%"]),
        (["c", "{two}:5%", "{each.run}"], ["c", "a:5%", "b:5%", "z"]),
        ("{runs.run}:{models}", ["x:out", "y:out"]),
        ("{runs.model}", ["hub/llama+out/sft+x", "hub/llama+out/sft+y"]),
        ("{flag}", True),
        (5, 5),
        ("5%", "5%"),
    ],
)
def test_placeholders(value: object, expected: object) -> None:
    assert fill(value, VARIABLES, "here") == expected


def test_a_variable_that_there_is_not() -> None:
    with pytest.raises(InputError, match="no variable 'each.nope', which step here needs: add it"):
        fill("{each.nope}", VARIABLES, "here")


def test_steps_that_recipes_share_are_run_once_and_before_what_needs_them() -> None:
    wanted = (recipe("fig2"), recipe("fig6"), recipe("fig5a"))
    planned = plan(wanted, scale("demo"))
    assert [step.words for step in planned.steps] == [
        ("locate", "safety"),
        ("patch", "sweep-sft"),
        ("patch", "sweep-base"),
        ("patch", "windows"),
    ]
    swept = ("sweep-sft", "sweep-base")
    assert planned.runs == {"fig2": swept, "fig6": ("windows",), "fig5a": ("safety",)}
    assert tuple(step.words[1] for step in planned.of(wanted[0])) == swept


def test_only_models_that_are_used_are_trained() -> None:
    planned = plan((recipe("fig2"),), scale("llama-2-7b"))
    trained = [step.words[-1] for step in planned.steps if step.words[0] == "train"]
    assert trained == ["models/llama-2-7b/sft", "models/llama-2-7b/harmless"]
    assert [step.words[0] for step in planned.steps[2:]] == ["locate", "patch", "patch"]
    with_seeds = plan((recipe("seeds"),), scale("llama-2-7b")).steps
    assert sum(step.words[0] == "train" for step in with_seeds) == 6


def test_a_command_line_is_what_its_step_says() -> None:
    (step,) = plan((recipe("fig5b"),), scale("demo")).steps
    assert step.line == (
        "snql locate safety --before demo:sft --after demo:safety --prompts demo:locate --keep 5% "
        "--max-new-tokens 48 --batch-size 256"
    )


def test_a_variable_can_be_changed_and_a_scale_be_extended(tmp_path: Path) -> None:
    (step,) = plan((recipe("fig5a"),), scale("demo", {"safety": "demo:polite"})).steps
    assert step.options["after"] == "demo:polite"
    own = tmp_path / "mine.toml"
    own.write_text('extends = "demo"\n[variables]\nlocating = "mine.jsonl"\n[defaults]\nlocate = { limit = 3 }\n')
    mine = scale(str(own))
    assert mine.name == "mine"
    (step,) = plan((recipe("fig5a"),), mine).steps
    assert step.options == {
        "before": "demo:sft",
        "after": "demo:safety",
        "prompts": "mine.jsonl",
        "keep": "5%",
        "limit": 3,
    }


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('extends = "mine.toml"', "extends itself"),
        ("extends = 'nope'", "no scale is named 'nope': choose from demo, gemma-7b"),
        ("[variables", "is not TOML"),
    ],
)
def test_scales_that_cannot_be_read(text: str, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("mine.toml").write_text(text)
    with pytest.raises(InputError, match=words):
        scale("mine.toml")


def test_variables_and_scales_that_there_are_not() -> None:
    with pytest.raises(InputError, match="scale demo has no variable 'nope': it has base, "):
        scale("demo", {"nope": "1"})
    with pytest.raises(InputError, match="variable 'seeds' of scale demo is no text"):
        scale("demo", {"seeds": "1"})
    with pytest.raises(
        InputError, match=r"scale missing\.toml cannot be read .No such file or directory.: check the path"
    ):
        scale("missing.toml")
    with pytest.raises(InputError, match="no recipe is named 'fig99': choose from fig2"):
        recipe("fig99")


@pytest.mark.parametrize(
    ("command", "key", "words"),
    [
        ("locate", "skip-last-layer", "locate has no option 'skip-last-layer': did you mean skip-last-layers"),
        ("guard train", "bening", "guard train has no option 'bening': did you mean benign"),
        ("guard test", "refuse-from", "guard test has no option 'refuse-from': "),
    ],
)
def test_an_option_that_a_command_does_not_have(command: str, key: str, words: str, tmp_path: Path) -> None:
    """``guard train`` has ``refuse-from``, ``guard test`` has not."""
    path = tmp_path / "mine.toml"
    path.write_text(f'extends = "demo"\n[defaults]\n"{command}" = {{ {key} = 1 }}\n')
    with pytest.raises(InputError, match=words):
        plan(recipes(), scale(str(path)))
