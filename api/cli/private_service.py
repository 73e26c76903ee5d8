"""The service that a command runs itself, on a private socket, if none is running."""

import contextlib
import socket
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec

from api import app
from api.cli import output, server
from api.settings import Settings


@contextlib.asynccontextmanager
async def run(settings: Settings, *, works: bool) -> AsyncIterator[Path]:
    """Its socket; it builds indexes and runs migrations only if the command `works`."""
    # Its log would be mixed into the command's output; problems arrive as its answers.
    level = "error" if settings.log_level == "info" else settings.log_level
    settings = msgspec.structs.replace(settings, worker=works, log_level=level)
    application = app.create_app(settings, announce=output.step, public=False)
    # mkdtemp makes it 0700: nobody else can connect.
    with tempfile.TemporaryDirectory(prefix="vecmark-") as folder:
        path = Path(folder) / "http.sock"
        listening = socket.socket(socket.AF_UNIX)
        listening.bind(str(path))
        listening.listen()
        listening.setblocking(False)
        with listening:
            async with application.lifespan(), server.serving(application, listening):
                yield path
