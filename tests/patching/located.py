"""The locate run that patches of the tiny Llama take their neurons from: made once for a pair, copied after that."""

from pathlib import Path

from snql.contrast.locate import locate
from snql.contrast.options import LocateOptions
from snql.db.connection import Database
from snql.generation.options import WritingOptions
from snql.prompts.options import PromptOptions

from ..conftest import ORACLE

SOURCE = PromptOptions((str(ORACLE / "prompts.jsonl"),), template="tulu")
_MADE: dict[tuple[Path, Path], bytes] = {}


def locate_run(db: Database, llama: Path, adapter: Path) -> None:
    """The run ``found`` of a model and an adapter on it, in a new database."""
    if (llama, adapter) in _MADE:
        db.path.write_bytes(_MADE[llama, adapter])
        return
    options = LocateOptions(
        before=str(llama),
        after=f"{llama}+{adapter}",
        prompts=SOURCE,
        writing=WritingOptions(max_new_tokens=6),
        keep="none",
    )
    locate(db, "found", options)
    db.close()
    _MADE[llama, adapter] = db.path.read_bytes()
