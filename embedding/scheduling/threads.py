"""The threads that encode: each takes batches from a queue, and is restarted if it dies."""

import threading
import time
from collections.abc import Callable, Sequence

import structlog

from embedding import errors
from embedding.encoders import encoder
from embedding.scheduling.queue import EncodeJob, EncoderBatch, WorkQueue

log = structlog.get_logger()

# A batch takes well under a second; after this long it hangs.
_STUCK_S = 60.0
_RESTART_EVERY_S = 1.0

# The vectors of a batch, empty for rows that failed, and the reasons by row.
Encode = Callable[[EncoderBatch], tuple[Sequence[encoder.Vectors], dict[int, str]]]


class EncoderThreads:
    """`count` threads over one queue; `close` them when no call is running.

    `probe` encodes something harmless: a restarted thread serves only after it has passed.
    `on_measured` gets the seconds that a batch took.
    """

    def __init__(
        self,
        name: str,
        queue: WorkQueue,
        encode: Encode,
        *,
        count: int,
        probe: Callable[[], None],
        on_measured: Callable[[EncoderBatch, float], None],
    ) -> None:
        self._name = name
        self._queue = queue
        self._encode = encode
        self._probe = probe
        self._on_measured = on_measured
        self._condition = threading.Condition()
        self._closed = False
        self._jobs: set[EncodeJob] = set()
        self._count = count
        self._died: dict[int, str] = {}
        self._running: dict[int, float] = {}
        self._threads = {number: self._start(number) for number in range(count)}

    def submit(self, job: EncodeJob) -> None:
        """Raises EncoderDied if no thread is left to encode it."""
        with self._condition:
            if self._closed:
                raise errors.EncoderDied("the model was closed")
            if len(self._died) == self._count:
                raise errors.EncoderDied(f"{self.problem}; try again in a few seconds")
            self._jobs.add(job)
            self._queue.add(job)
            # All threads, because one job may be enough for several batches.
            self._condition.notify_all()

    def cancel(self, job: EncodeJob) -> None:
        """Forget rows that still wait; those in a running batch are encoded in vain."""
        with self._condition:
            self._forget(job)

    @property
    def idle(self) -> bool:
        return not self._queue and not self._running

    @property
    def problem(self) -> str | None:
        """Why a thread can't encode; None if all can."""
        for reason in list(self._died.values()):
            return reason
        now = time.monotonic()
        longest = max((now - since for since in list(self._running.values())), default=0.0)
        if longest > _STUCK_S:
            return f"the {self._name} encoder has been busy with one batch for {longest:.0f} s"
        return None

    def close(self) -> None:
        """Let running batches end; jobs that still wait fail."""
        with self._condition:
            self._closed = True
            self._fail_all(errors.EncoderDied("the model was closed"))
            self._condition.notify_all()
        for thread in list(self._threads.values()):
            thread.join()

    def _start(self, number: int, *, again: bool = False) -> threading.Thread:
        thread = threading.Thread(
            target=self._restart if again else self._run,
            args=(number,),
            name=f"{self._name}-{number}",
            daemon=True,
        )
        thread.start()
        return thread

    def _run(self, number: int) -> None:
        """Encode until closed; if anything else ends the thread, its jobs fail and it restarts."""
        try:
            while (batch := self._next_batch(number)) is not None:
                self._encode_batch(batch)
                self._running.pop(number, None)
        except BaseException as error:
            self._on_thread_death(number, error)

    def _next_batch(self, number: int) -> EncoderBatch | None:
        with self._condition:
            while not self._closed:
                batch = self._queue.take()
                if batch is not None:
                    self._running[number] = time.monotonic()
                    return batch
                self._condition.wait()
        return None

    def _encode_batch(self, batch: EncoderBatch) -> None:
        started = time.perf_counter()
        try:
            vectors, failures = self._encode(batch)
        except Exception as exc:  # every text failed: their jobs get the error, the thread goes on
            error = (
                exc
                if isinstance(exc, errors.EncoderFailed)
                else errors.EncoderFailed(f"{type(exc).__name__}: {exc}")
            )
            with self._condition:
                for job in batch.jobs:
                    self._forget(job)
                    job.fail(error)
            return
        self._on_measured(batch, time.perf_counter() - started)
        with self._condition:  # two threads may deliver rows of one job at the same time
            for no, (job, row) in enumerate(batch.rows):
                if no in failures:
                    job.set_failure(row, failures[no])
                else:
                    job.set_vector(row, vectors[no])
            self._jobs -= {job for job in batch.jobs if job.is_done}

    def _on_thread_death(self, number: int, error: BaseException) -> None:
        """Fail all jobs, because only the thread knew which rows it had taken; restart it."""
        reason = f"a thread of the {self._name} encoder ended ({type(error).__name__}: {error})"
        log.error("encoder_died", thread=f"{self._name}-{number}", reason=reason)
        with self._condition:
            self._running.pop(number, None)
            self._died[number] = f"{reason} and is being restarted"
            self._fail_all(errors.EncoderDied(f"{reason}; try again in a few seconds"))
            if not self._closed:
                self._threads[number] = self._start(number, again=True)

    def _fail_all(self, error: errors.EncoderDied) -> None:
        self._queue.drain()
        for job in self._jobs:
            job.fail(error)
        self._jobs.clear()

    def _forget(self, job: EncodeJob) -> None:
        self._jobs.discard(job)
        self._queue.drop(job)

    def _restart(self, number: int) -> None:
        """Run again as soon as the encoder works."""
        while not self._closed:
            try:
                self._probe()
            except Exception as error:  # tried until it works; /readyz shows it meanwhile
                with self._condition:
                    self._died[number] = f"the {self._name} encoder returns no vector: {error}"
                    self._condition.wait(_RESTART_EVERY_S)
                continue
            with self._condition:
                del self._died[number]
            log.info("encoder_restarted", thread=f"{self._name}-{number}")
            self._run(number)
            return
