"""A job that writes while pages read: it commits completions of the run that is not done, and times each commit.

``python -m tests.view.writer DATABASE N`` prints the longest commit in seconds.
"""

import sys
import time
from pathlib import Path

from snql.db.connection import Database

WRITE = """
INSERT INTO completions BY NAME
SELECT run_id, 0 AS variant_id, prompt_id, 'text' AS text, [1] AS token_ids, 'stop' AS finish_reason, $sample AS sample
FROM run_prompts WHERE run_id = (SELECT run_id FROM runs WHERE status = 'running')
"""


def main(path: str, n_commits: str) -> None:
    longest = 0.0
    for sample in range(100, 100 + int(n_commits)):
        began = time.monotonic()
        with Database(Path(path)).write() as connection:
            connection.execute(WRITE, {"sample": sample})
        longest = max(longest, time.monotonic() - began)
        time.sleep(0.2)
    sys.stdout.write(f"{longest}\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
