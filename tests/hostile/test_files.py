"""Files that commands write: links, pipes, devices, permissions, long names, and what the database owns."""

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from snql.db.durable import replaced
from snql.db.owner import owner
from snql.reporting.folder import staging

from ..cli.conftest import Snql, snql  # noqa: F401 - a fixture

WRITERS = (
    ["query", "SELECT 1 AS x", "--format", "csv", "-o"],
    ["query", "SELECT 1 AS x", "--format", "parquet", "-o"],
    ["db", "schema", "--markdown", "-o"],
)


@pytest.fixture
def begun(snql: Snql) -> Snql:  # noqa: F811
    assert snql("db", "init").code == 0
    return snql


@pytest.mark.parametrize("command", WRITERS)
def test_a_link_of_a_name_that_could_be_guessed_is_left_alone(begun: Snql, tmp_path: Path, command: list[str]) -> None:
    victim = tmp_path / "victim"
    victim.write_text("kept")
    for name in ("y.csv.tmp", ".y.csv.tmp", "y.csv~"):
        (tmp_path / name).symlink_to(victim)
    (tmp_path / "y.csv.tmp2").write_text("mine")
    assert begun(*command, "y.csv").code == 0
    assert victim.read_text() == "kept" and (tmp_path / "y.csv").stat().st_size
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(
        ["snql.duckdb", "victim", "y.csv", "y.csv.tmp", ".y.csv.tmp", "y.csv~", "y.csv.tmp2"]
    )


@pytest.mark.parametrize("command", WRITERS)
def test_devices_pipes_and_links_stay_what_they_are(begun: Snql, tmp_path: Path, command: list[str]) -> None:
    assert begun(*command, "/dev/null").code == 0
    assert stat.S_ISCHR(Path("/dev/null").stat().st_mode)
    full = begun(*command, "/dev/full")
    assert full.code == 2 and full.err.count("\n") == 1 and stat.S_ISCHR(Path("/dev/full").stat().st_mode)
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with subprocess.Popen([sys.executable, "-c", f"print(len(open({str(pipe)!r}, 'rb').read()))"], stdout=-1) as reader:
        assert begun(*command, "pipe").code == 0
        assert int(reader.communicate(timeout=60)[0]) > 3
    assert stat.S_ISFIFO(pipe.stat().st_mode)
    target = tmp_path / "folder" / "real.txt"
    target.parent.mkdir()
    target.write_text("old")
    target.chmod(0o640)
    (tmp_path / "link").symlink_to(target)
    assert begun(*command, "link").code == 0
    assert (tmp_path / "link").is_symlink() and target.read_bytes() != b"old"
    assert stat.S_IMODE(target.stat().st_mode) == 0o640
    assert [path.name for path in target.parent.iterdir()] == ["real.txt"]


@pytest.mark.parametrize("command", WRITERS)
@pytest.mark.parametrize("name", ["snql.duckdb", "./snql.duckdb", "link", "snql.duckdb.wal", "snql.duckdb.shards/1/x"])
def test_what_belongs_to_the_database_is_not_written_over(
    begun: Snql, tmp_path: Path, command: list[str], name: str
) -> None:
    (tmp_path / "link").symlink_to("snql.duckdb")
    kept = (tmp_path / "snql.duckdb").read_bytes()
    done = begun(*command, name)
    assert done.code == 2 and done.err.count("\n") == 1 and "part of it" in done.err
    assert (tmp_path / "snql.duckdb").read_bytes() == kept


@pytest.mark.parametrize("command", WRITERS)
@pytest.mark.parametrize("name", ["", ".", "no/folder/x", "x" * 300, "snql.duckdb/x", "a\0b"])
def test_names_that_no_file_can_have(begun: Snql, command: list[str], name: str) -> None:
    done = begun(*command, name)
    assert done.code == 2 and done.err.count("\n") == 1, done.err


def test_a_long_name_and_a_failed_try(tmp_path: Path) -> None:
    path = tmp_path / ("x" * 250)
    with replaced(path) as file:
        file.write(b"1")
    assert path.read_bytes() == b"1"
    with pytest.raises(ZeroDivisionError), replaced(path) as file:
        file.write(b"2")
        raise ZeroDivisionError
    assert path.read_bytes() == b"1" and list(tmp_path.iterdir()) == [path]


def test_what_a_killed_report_left_goes_and_what_is_at_work_stays(tmp_path: Path) -> None:
    host = owner().partition(":")[0]
    dead, living, other = (
        tmp_path / f".r-report.{name}.abc" for name in (f"{host}:999999999:1", owner(), "elsewhere:1:1")
    )
    for folder in (dead, living, other, tmp_path / ".r-photos"):
        folder.mkdir()
    with staging(tmp_path / "r") as folder:
        assert folder.is_dir()
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([living.name, other.name, ".r-photos"])


@pytest.mark.parametrize(
    "command",
    [
        ["db", "export", "loop"],
        ["db", "import", "loop"],
        ["query", "SELECT 1 AS x", "--format", "csv", "-o", "loop"],
        ["query", "SELECT 1 AS x", "--format", "csv", "-o", "loop/x"],
        ["--db", "loop", "runs"],
        ["report", "--compare", "loop"],
        ["demo", "--out", "loop"],
        ["demo", "--out", "loop/x"],
        ["demo", "--out", "/dev/full"],
        ["demo", "--out", "snql.duckdb/x"],
    ],
)
def test_links_that_lead_back_to_themselves_and_places_of_no_folder(
    begun: Snql, tmp_path: Path, command: list[str]
) -> None:
    (tmp_path / "loop").symlink_to("loop")
    done = begun("-q", *command)
    assert done.code in (1, 2) and done.err.count("\n") == 1 and done.err.startswith("snql: "), done.err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["loop", "snql.duckdb"]


def test_a_number_of_more_digits_than_are_read(begun: Snql) -> None:
    line = ["locate", "x", "--before", "demo:sft", "--after", "demo:safety", "--prompts", "demo:harmful"]
    done = begun(*line, "--batch-size", "9" * 5000)
    assert done.code == 2 and done.err.count("\n") == 1 and "--batch-size '9999" in done.err


@pytest.mark.parametrize(
    "command",
    [
        ["query", "-f", "endless.sql"],
        ["--config", "endless.toml", "runs"],
        ["paper", "fig2", "--scale", "endless.toml", "--dry-run"],
        ["paper", "fig2", "--dry-run", "--rates", "endless.toml"],
        ["prompts", "demo:harmful", "--model", "demo:sft", "--template", "endless.jinja"],
    ],
)
def test_text_that_never_ends_is_not_read(begun: Snql, tmp_path: Path, command: list[str]) -> None:
    for ending in ("sql", "toml", "jinja"):
        (tmp_path / f"endless.{ending}").symlink_to("/dev/zero")
    done = begun(*command)
    assert done.code == 2 and done.err.count("\n") == 1 and "holds more than 16 MB" in done.err, done.err


def test_text_comes_from_pipes_and_with_any_line_ends(begun: Snql, tmp_path: Path) -> None:
    (tmp_path / "own.sql").write_bytes(b"\xef\xbb\xbfSELECT 'a\r\nb' AS x\r\n")
    assert begun("query", "-f", "own.sql", "--format", "json").out == '[\n  {\n    "x": "a\\nb"\n  }\n]\n'
    os.mkfifo(tmp_path / "pipe.sql")
    with subprocess.Popen([sys.executable, "-c", "open('pipe.sql', 'w').write('SELECT 7 AS x')"], cwd=tmp_path):
        assert "7" in begun("query", "-f", "pipe.sql").out
