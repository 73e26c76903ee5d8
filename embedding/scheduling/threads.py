"""The threads that encode: each takes batches from one queue, and is started again if it ends."""

import threading
import time
from collections.abc import Callable, Sequence

import structlog

from embedding import errors
from embedding.encoders import encoder
from embedding.scheduling.queue import EncodeJob, EncoderBatch, WorkQueue

log = structlog.get_logger()

# A batch takes well under a second; one that takes this long hangs.
_STUCK_S = 60.0
_REVIVE_EVERY_S = 1.0

# Vectors of a batch, empty where a row has none, and why by place.
Encode = Callable[[EncoderBatch], tuple[Sequence[encoder.Vectors], dict[int, str]]]


class EncoderThreads:
    """`count` threads over one queue; `close` them when no call is running.

    `probe` encodes something harmless: a thread that was started again serves once it has passed.
    `measured` is told the seconds that a batch took.
    """

    def __init__(
        self,
        name: str,
        queue: WorkQueue,
        encode: Encode,
        *,
        count: int,
        probe: Callable[[], None],
        measured: Callable[[EncoderBatch, float], None],
    ) -> None:
        self._name = name
        self._queue = queue
        self._encode = encode
        self._probe = probe
        self._measured = measured
        self._condition = threading.Condition()
        self._closed = False
        self._jobs: set[EncodeJob] = set()
        self._count = count
        self._died: dict[int, str] = {}
        self._running: dict[int, float] = {}
        self._threads = {lane: self._start(lane) for lane in range(count)}

    def submit(self, job: EncodeJob) -> None:
        """Raises EncoderDied where no thread is left to encode it."""
        with self._condition:
            if self._closed:
                raise errors.EncoderDied("the model was closed")
            if len(self._died) == self._count:
                raise errors.EncoderDied(f"{self.problem}; try again in a few seconds")
            self._jobs.add(job)
            self._queue.add(job)
            # As many as there are, since the job may be enough for several batches.
            self._condition.notify_all()

    def cancel(self, job: EncodeJob) -> None:
        """Rows that still wait are not encoded; those under way are, for nobody."""
        with self._condition:
            self._forget(job)

    @property
    def idle(self) -> bool:
        return not self._queue and not self._running

    @property
    def problem(self) -> str | None:
        """What keeps a thread from encoding, None where all is well."""
        for reason in list(self._died.values()):
            return reason
        now = time.monotonic()
        longest = max((now - since for since in list(self._running.values())), default=0.0)
        if longest > _STUCK_S:
            return f"the {self._name} encoder has been at one batch for {longest:.0f} s"
        return None

    def close(self) -> None:
        """Let running batches end; what still waits fails."""
        with self._condition:
            self._closed = True
            self._fail_all(errors.EncoderDied("the model was closed"))
            self._condition.notify_all()
        for thread in list(self._threads.values()):
            thread.join()

    def _start(self, lane: int, *, again: bool = False) -> threading.Thread:
        thread = threading.Thread(
            target=self._revive if again else self._run,
            args=(lane,),
            name=f"{self._name}-{lane}",
            daemon=True,
        )
        thread.start()
        return thread

    def _run(self, lane: int) -> None:
        """Until closed. Whatever ends the thread otherwise fails its requests and restarts it."""
        try:
            while (batch := self._next(lane)) is not None:
                self._work(batch)
                self._running.pop(lane, None)
        except BaseException as error:
            self._mourn(lane, error)

    def _next(self, lane: int) -> EncoderBatch | None:
        with self._condition:
            while not self._closed:
                batch = self._queue.take()
                if batch is not None:
                    self._running[lane] = time.monotonic()
                    return batch
                self._condition.wait()
        return None

    def _work(self, batch: EncoderBatch) -> None:
        started = time.perf_counter()
        try:
            vectors, failures = self._encode(batch)
        except Exception as exc:  # of all texts alike: their requests are told, the thread goes on
            reason = (
                exc
                if isinstance(exc, errors.EncoderFailed)
                else errors.EncoderFailed(f"{type(exc).__name__}: {exc}")
            )
            with self._condition:
                for job in batch.jobs:
                    self._forget(job)
                    job.fail(reason)
            return
        self._measured(batch, time.perf_counter() - started)
        with self._condition:  # rows of one job may be delivered by two threads at once
            for no, (job, place) in enumerate(batch.rows):
                if no in failures:
                    job.refuse(place, failures[no])
                else:
                    job.take(place, vectors[no])
            self._jobs -= {job for job in batch.jobs if job.is_done}

    def _mourn(self, lane: int, error: BaseException) -> None:
        """All that is under way fails: which rows the thread had taken, only it knew."""
        reason = f"a thread of the {self._name} encoder ended ({type(error).__name__}: {error})"
        log.error("encoder_died", lane=f"{self._name}-{lane}", reason=reason)
        with self._condition:
            self._running.pop(lane, None)
            self._died[lane] = f"{reason} and is being restarted"
            self._fail_all(errors.EncoderDied(f"{reason}; try again in a few seconds"))
            if not self._closed:
                self._threads[lane] = self._start(lane, again=True)

    def _fail_all(self, error: errors.EncoderDied) -> None:
        self._queue.drain()
        for job in self._jobs:
            job.fail(error)
        self._jobs.clear()

    def _forget(self, job: EncodeJob) -> None:
        self._jobs.discard(job)
        self._queue.drop(job)

    def _revive(self, lane: int) -> None:
        while not self._closed:
            try:
                self._probe()
            except Exception as error:  # it is tried until it works; /readyz tells meanwhile
                with self._condition:
                    self._died[lane] = f"the {self._name} encoder gives no vector: {error}"
                    self._condition.wait(_REVIVE_EVERY_S)
                continue
            with self._condition:
                del self._died[lane]
            log.info("encoder_restarted", lane=f"{self._name}-{lane}")
            self._run(lane)
            return
