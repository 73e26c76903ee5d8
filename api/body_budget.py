"""How many bytes of request bodies a process holds at once, whoever sends them."""

from litestar import Request
from litestar.enums import ScopeType
from litestar.types import ASGIApp, Receive, Scope, Send

# So much of each body is not counted: queries get through while uploads fill the budget.
FREE_BYTES = 65_536
_KEY = "body_share"


class BodiesFull(Exception):
    """The bodies of other requests leave no room for this one."""

    def __init__(self, limit: int) -> None:
        super().__init__(
            f"the requests under way hold {limit:,} bytes of bodies, which is all that is taken at "
            "once; try again when some are answered, or send less at once"
        )


class Share:
    """What one request holds of the budget."""

    def __init__(self, budget: "BodyBudget") -> None:
        self._budget = budget
        self._size = 0

    def expect(self, size: int) -> None:
        """Raises BodiesFull where a body of `size` bytes would not fit now; takes nothing yet."""
        self._budget.check(max(0, size - FREE_BYTES))

    def take(self, size: int) -> None:
        """Hold so many bytes more. Raises BodiesFull."""
        counted = max(0, self._size + size - FREE_BYTES) - self._counted
        self._budget.check(counted)
        self._budget.held += counted
        self._size += size

    def release(self) -> None:
        self._budget.held -= self._counted
        self._size = 0

    @property
    def _counted(self) -> int:
        return max(0, self._size - FREE_BYTES)


class BodyBudget:
    """Around the app: each request has a share, which it holds until it is answered."""

    def __init__(self, app: ASGIApp, limit: int) -> None:
        self._app = app
        self.limit = limit
        self.held = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != ScopeType.HTTP:
            await self._app(scope, receive, send)
            return
        share = Share(self)
        scope["state"][_KEY] = share
        try:
            await self._app(scope, receive, send)
        finally:
            share.release()

    def check(self, size: int) -> None:
        if self.held + size > self.limit:
            raise BodiesFull(self.limit)


def share_of(request: Request[object, object, object]) -> Share:  # type: ignore[type-var]
    share = request.scope["state"][_KEY]
    if not isinstance(share, Share):
        raise TypeError(type(share))
    return share
