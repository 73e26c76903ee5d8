import asyncio
import collections
import math

from embedding import errors

# Before anything was measured: what a small model does on one slow CPU.
_FIRST_RATE = 5_000.0
_MOST_RETRY_S = 60


class Admission:
    """Bounds the tokens that wait for one model. Used from one event loop, `measured` from all."""

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.waiting = 0
        self.rate = _FIRST_RATE
        self._waiters: collections.deque[tuple[asyncio.Future[None], int]] = collections.deque()

    def admit(self, tokens: int) -> None:
        """Raises TooMuch for what can never fit, Overloaded for what doesn't fit now."""
        if tokens > self.capacity:
            raise errors.TooMuch(tokens, self.capacity)
        if self._waiters or self.waiting + tokens > self.capacity:
            raise errors.Overloaded(self.retry_after_s(tokens))
        self.waiting += tokens

    def require_room(self) -> None:
        """Raises Overloaded where nothing more is taken at present."""
        if self._waiters or self.waiting >= self.capacity:
            raise errors.Overloaded(self.retry_after_s(0))

    async def wait(self, tokens: int) -> None:
        """Take part as soon as there is room, in the order of the calls; of any size."""
        if not self._waiters and self.waiting < self.capacity:
            self.waiting += tokens
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiters.append((turn, tokens))
        try:
            await turn
        except asyncio.CancelledError:
            if not turn.cancelled():  # it was let in at the same moment
                self.release(tokens)
            raise

    def correct(self, admitted: int, counted: int) -> None:
        """An estimate was admitted; now its tokens are counted."""
        self.waiting += counted - admitted
        self._wake()

    def release(self, tokens: int) -> None:
        self.waiting -= tokens
        self._wake()

    def measured(self, tokens: int, seconds: float, lanes: int) -> None:
        """One batch took this long on one of `lanes` that work side by side."""
        rate = lanes * tokens / max(seconds, 1e-6)
        self.rate += 0.1 * (rate - self.rate)

    def retry_after_s(self, tokens: int) -> int:
        """Whole seconds until `tokens` should fit, by the rate measured last."""
        over = self.waiting + tokens - self.capacity
        return min(_MOST_RETRY_S, max(1, math.ceil(over / self.rate)))

    def _wake(self) -> None:
        while self._waiters and self.waiting < self.capacity:
            turn, tokens = self._waiters.popleft()
            if not turn.done():
                self.waiting += tokens
                turn.set_result(None)
