"""``db.view()``: a server beside this process, whose pages a notebook shows in a frame."""

import re
import urllib.request
from http.cookiejar import CookieJar
from pathlib import Path

import pytest

import snql
from snql.db import Database
from snql.errors import DatabaseError


def test_pages_in_a_frame_while_this_process_writes(database: Database, tmp_path: Path) -> None:
    path = tmp_path / "x.duckdb"
    path.write_bytes(database.path.read_bytes())
    db = snql.open(path)
    shown = db.view(height=300)
    try:
        markup = shown._repr_html_()
        (near,) = re.findall(r'<iframe src="(http://localhost:\d+/\?token=[\w-]+)"[^>]*height="300"', markup)
        opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(CookieJar()))
        for _ in range(3):
            with db.write() as connection:
                connection.execute("UPDATE runs SET error = NULL")
            with opener.open(near) as answer:
                assert b"safety" in answer.read()
                assert "frame-ancestors http://localhost:*" in answer.headers["content-security-policy"]
    finally:
        shown.stop()
    assert shown.process.returncode is not None


def test_no_database(tmp_path: Path) -> None:
    with pytest.raises(DatabaseError, match="no database at"):
        snql.open(tmp_path / "none.duckdb").view()
