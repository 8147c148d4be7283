"""What runs make of prompts: templates of their models' roles, and dates that outlive a night."""

import json
from datetime import date, timedelta
from pathlib import Path

import pytest

from snql.contrast.locate import locate
from snql.contrast.options import LocateOptions
from snql.db.connection import Database
from snql.errors import InputError, ModelError
from snql.generation.options import WritingOptions
from snql.jobs import inputs as module
from snql.jobs.preview import preview
from snql.models.options import LoadOptions
from snql.progress import counted
from snql.prompts.options import PromptOptions

from ..conftest import save_tiny_llama
from ..prompts.made import CHATML, LLAMA2

pytestmark = pytest.mark.usefixtures("lingering")


def saved(folder: Path, template: str | None, seed: int) -> str:
    """A small model with a chat template."""
    made = save_tiny_llama(folder, seed=seed)
    settings = json.loads((made / "tokenizer_config.json").read_text())
    if template is not None:
        settings["chat_template"] = template
    (made / "tokenizer_config.json").write_text(json.dumps(settings))
    return str(made)


def options(tmp_path: Path, before: str, after: str, template: str = "auto", **more: str) -> LocateOptions:
    (tmp_path / "p.txt").write_text("Hello there\nWho is it?\n")
    return LocateOptions(
        before=before,
        after=after,
        prompts=PromptOptions((str(tmp_path / "p.txt"),), template=template, **more),  # type: ignore[arg-type]
        writing=WritingOptions(max_new_tokens=2),
        keep="none",
        skip_last_layers=0,
        models=LoadOptions(device="cpu"),
    )


def given(db: Database) -> list[str]:
    return [text for (text,) in db.rows("SELECT formatted FROM run_prompts ORDER BY run_id, ordinal")]


def test_a_base_and_its_chat_model_are_given_one_text(tmp_path: Path) -> None:
    before, after = saved(tmp_path / "base", None, 0), saved(tmp_path / "chat", LLAMA2, 1)
    (tmp_path / "mine.jinja").write_text(LLAMA2)
    with pytest.raises(ModelError, match="only after has one.*use `template` after"):
        locate(Database(tmp_path / "x.duckdb"), "run", options(tmp_path, before, after))
    texts: dict[str, list[str]] = {}
    for template in ("after", "donor", str(tmp_path / "mine.jinja"), "plain"):
        db = Database(tmp_path / f"{len(texts)}.duckdb")
        locate(db, "run", options(tmp_path, before, after, template))
        texts[template] = given(db)
        taken = "`template` donor: this run has no such model; it is taken for after"
        assert [taken in (notes or []) for (notes,) in db.rows("SELECT notes FROM runs")] == [template == "donor"]
    plain = texts.pop("plain")
    assert plain == ["Hello there", "Who is it?"]
    assert list(texts.values()) == [[f"<s>[INST] {text} [/INST]" for text in plain]] * 3
    with pytest.raises(InputError, match="`template` before: .* has no chat template"):
        locate(Database(tmp_path / "x.duckdb"), "run", options(tmp_path, before, after, "before"))


def test_an_adapters_own_template_is_that_of_its_role(tmp_path: Path, tiny_adapter: Path) -> None:
    base = saved(tmp_path / "base", CHATML, 0)
    adapter = tmp_path / "adapter"
    adapter.mkdir()
    for file in tiny_adapter.iterdir():
        (adapter / file.name).write_bytes(file.read_bytes())
    (adapter / "chat_template.jinja").write_text(LLAMA2)
    source = options(tmp_path, base, base).prompts
    shown = preview(Database(tmp_path / "x.duckdb"), source, model=f"{base}+{adapter}")
    assert shown.prompts["formatted"][0].startswith("<|im_start|>user\nHello there")
    assert any("was saved with another chat template: `template` after" in note for note in shown.notes)
    own = PromptOptions(source.prompts, template="after")
    shown = preview(Database(tmp_path / "x.duckdb"), own, model=f"{base}+{adapter}")
    assert shown.prompts["formatted"].to_list() == [f"<s>[INST] {text} [/INST]" for text in shown.prompts["text"]]
    assert not any("saved with another" in note for note in shown.notes)


def test_reading_and_tokenizing_many_prompts_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("snql.progress._SECONDS_UNTOLD", -1)
    monkeypatch.setattr("snql.progress._SECONDS_BETWEEN", -1)
    seen: list[tuple[str, int, int]] = []
    base = saved(tmp_path / "base", None, 0)
    source = options(tmp_path, base, base).prompts
    preview(
        Database(tmp_path / "x.duckdb"),
        source,
        model=base,
        progress=lambda report: seen.append((report.stage, report.done, report.total)),
    )
    assert seen == [(stage, done, 2) for stage in ("read p.txt", "tokenize") for done in range(3)]


def test_what_takes_no_second_is_not_reported() -> None:
    seen: list[object] = []
    assert list(counted([1, 2, 3], seen.append, "read")) == [1, 2, 3] and not seen


def test_a_run_is_resumed_with_the_date_that_it_began_with(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Tomorrow(date):
        @classmethod
        def today(cls) -> "Tomorrow":
            return cls.fromordinal((date.today() + timedelta(days=1)).toordinal())

    model = saved(tmp_path / "base", "{{ strftime_now('%Y-%m-%d') }} " + CHATML, 0)
    db, settings = Database(tmp_path / "x.duckdb"), options(tmp_path, model, model)
    first = locate(db, "run", settings)
    assert given(db)[0].startswith(f"{date.today()} <|im_start|>")
    assert any(f"is given {date.today()}" in note for note in first.notes)
    with db.write() as connection:
        connection.execute("UPDATE runs SET status = 'interrupted'")
    monkeypatch.setattr(module, "date", Tomorrow)
    again = locate(db, "run", settings, resume=True)
    assert set(again.notes) == set(first.notes)
    assert given(db)[0].startswith(f"{date.today()} ")
    locate(db, "run", settings, force=True)
    assert given(db)[0].startswith(f"{Tomorrow.today()} "), "a new run is given its own day"
    assert db.rows("SELECT count(*) FROM runs WHERE config LIKE '%template_date%'") == [(0,)]
