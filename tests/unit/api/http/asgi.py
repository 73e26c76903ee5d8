"""One request to an application without a server."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

JSON = {"content-type": "application/json"}


async def send_request(
    app: Any,
    method: str,
    path: str,
    *parts: bytes,
    query: str = "",
    headers: Mapping[str, str] = JSON,
    ends: bool = True,
) -> tuple[int, str]:
    """The status and body of the answer to a body sent in parts; without its end, a disconnect."""
    sent: Sequence[bytes] = parts or (b"",)
    messages = [
        {"type": "http.request", "body": part, "more_body": not ends or no < len(sent) - 1}
        for no, part in enumerate(sent)
    ]
    answer: list[dict[str, Any]] = []
    never = asyncio.Event()

    async def receive() -> dict[str, Any]:
        if messages:
            return messages.pop(0)
        if ends:
            await never.wait()
        return {"type": "http.disconnect"}

    async def send(message: dict[str, Any]) -> None:
        answer.append(message)

    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": query.encode(),
        "root_path": "",
        "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 2),
        "state": {},
    }
    await app(scope, receive, send)
    body = b"".join(message.get("body", b"") for message in answer)
    return answer[0]["status"], body.decode()
