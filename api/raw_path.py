"""Routing on the path as it was sent: a document's id may hold `/`, sent as `%2F`."""

from litestar.enums import ScopeType
from litestar.types import ASGIApp, Receive, Scope, Send


class RawPath:
    """Around the app: the router sees percent-encoded segments; handlers decode them."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == ScopeType.HTTP:
            raw = scope.get("raw_path") or b""
            path = raw.partition(b"?")[0].decode("latin-1")
            # Only documents have ids that need it; other paths are matched as they are decoded.
            if "%" in path and "/documents/" in path:
                scope["path"] = path
        await self._app(scope, receive, send)
