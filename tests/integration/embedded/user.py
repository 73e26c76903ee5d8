"""A process that uses the embedded PostgreSQL as `vecmark serve` does; run by the tests.

python user.py DATA_DIR [UID]: starts it, prints its URL, stops using it when its input ends.
With a UID, root's privileges are dropped first. Everything is imported by then, because that user
may not be able to read the interpreter's own files.
"""

import encodings.idna  # noqa: F401 - psycopg imports it later
import os
import sys
from pathlib import Path

import psycopg

from storage.embedded import postgres


def main() -> None:
    data_dir = Path(sys.argv[1])
    if len(sys.argv) > 2:
        os.setgroups([])
        os.setgid(int(sys.argv[2]))
        os.setuid(int(sys.argv[2]))
    with postgres.EmbeddedPostgres(data_dir) as server:
        with psycopg.connect(server.url.replace("+psycopg", "")) as connection:
            connection.execute("SELECT 1")
        print(server.url, flush=True)
        sys.stdin.read()


if __name__ == "__main__":
    main()
