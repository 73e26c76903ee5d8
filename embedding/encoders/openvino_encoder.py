"""Converted models on the CPU, by OpenVINO: in float and in int8."""

import queue
import threading
from pathlib import Path

import numpy as np
import openvino
from numpy.typing import NDArray

from embedding import errors
from embedding.encoders import devices, encoder
from host import cpu

MODEL = "model.xml"
QUERY_STEP = 8  # a query is encoded alone, so padding costs it more than a batch


class OpenVINOEncoder:
    """A converted model, compiled twice: for the latency of single queries, and for throughput."""

    backend = "openvino"
    separate_query = True

    def __init__(self, folder: Path, *, dtype: str, limit: int | None) -> None:
        self.dtype = dtype
        self.parallel_batches = cpu.count()
        # On 2 CPUs 8 rows are as fast as 16 (1.0 to 1.05 times), and the last batches end sooner.
        self.batch_rows = 8
        self.batch_tokens = 8 * 256
        self._limit = limit
        core = openvino.Core()
        model = core.read_model(folder / MODEL)
        # Compiled and used first, on a thread of normal priority: OpenVINO's worker threads are
        # shared, and keep the priority of the thread that first used them.
        compiled = core.compile_model(
            model,
            "CPU",
            {
                "PERFORMANCE_HINT": "LATENCY",
                "INFERENCE_PRECISION_HINT": dtype,
                "NUM_STREAMS": "1",
                # On 2 CPUs one thread is as fast as two if nothing else runs (3.0 ms), and beside
                # bulk it waits for one CPU only. Not pinned: it takes whichever CPU is free.
                "INFERENCE_NUM_THREADS": str(max(1, min(4, cpu.count() // 2))),
                "ENABLE_CPU_PINNING": "NO",
            },
        )
        self._query = compiled.create_infer_request()
        self._query_lock = threading.Lock()
        self._closed = False
        for tokens in range(QUERY_STEP, 5 * QUERY_STEP, QUERY_STEP):  # the usual lengths of queries
            self.query([np.zeros(tokens, np.int32)], 0)
        self._requests = _bulk_requests(core, model, dtype, count=self.parallel_batches)

    def query(self, rows: encoder.Rows, pooled_from: int) -> encoder.Vectors:
        # On the calling thread: under load, handing over to another costs up to 4 ms (p90).
        inputs = self._inputs(rows, pooled_from, QUERY_STEP)
        with self._query_lock:
            self._require_open()
            self._query.infer(inputs, share_inputs=True, share_outputs=True)
            return _output(self._query)

    def bulk(self, rows: encoder.Rows, pooled_from: int) -> encoder.Vectors:
        self._require_open()
        request = self._requests.get()
        try:
            self._require_open()
            request.start_async(self._inputs(rows, pooled_from), share_inputs=True)
            request.wait()
            return _output(request)
        finally:
            self._requests.put(request)

    def close(self) -> None:
        """Wait for running batches; later calls fail. The object's end frees the memory."""
        self._closed = True
        for request in [self._requests.get() for _ in range(self.parallel_batches)]:
            self._requests.put(request)  # so that waiting calls get one and find it closed

    def _require_open(self) -> None:
        if self._closed:
            raise errors.EncoderFailed("the model was closed")

    def _inputs(
        self, rows: encoder.Rows, pooled_from: int, step: int = encoder.LENGTH_STEP
    ) -> list[NDArray[np.int64]]:
        ids, mask = encoder.pad(rows, at_most=self._limit, step=step)
        return [ids, mask, pooling_mask(mask, pooled_from)]


def _output(request: openvino.InferRequest) -> encoder.Vectors:
    # A copy, because the request's next run overwrites its memory.
    vectors: encoder.Vectors = request.get_output_tensor(0).data.astype(np.float32, copy=True)
    return vectors


def pooling_mask(mask: NDArray[np.int64], pooled_from: int) -> NDArray[np.int64]:
    """The mask without the first tokens, which pooling leaves out."""
    if pooled_from == 0:
        return mask
    pooled = mask.copy()
    pooled[:, :pooled_from] = 0
    return pooled


def _bulk_requests(
    core: openvino.Core, model: openvino.Model, dtype: str, *, count: int
) -> "queue.SimpleQueue[openvino.InferRequest]":
    """One request for each stream; the streams' threads run at low priority.

    They start when the model is compiled, with the priority of the compiling thread. They never
    hold the GIL, so they block nobody while they wait for a CPU; the Python threads that feed them
    keep their normal priority.
    """
    requests: queue.SimpleQueue[openvino.InferRequest] = queue.SimpleQueue()
    failures: list[Exception] = []

    def compile_at_low_priority() -> None:
        devices.lower_priority()
        try:
            compiled = core.compile_model(
                model,
                "CPU",
                {
                    "PERFORMANCE_HINT": "THROUGHPUT",
                    "INFERENCE_PRECISION_HINT": dtype,
                    "NUM_STREAMS": str(count),
                    "INFERENCE_NUM_THREADS": str(cpu.count()),
                },
            )
            for _ in range(count):
                requests.put(compiled.create_infer_request())
        except Exception as exc:  # raised again on the waiting thread
            failures.append(exc)

    thread = threading.Thread(target=compile_at_low_priority, name="compile-bulk")
    thread.start()
    thread.join()
    if failures:
        raise failures[0]
    return requests


class Int8Encoder(OpenVINOEncoder):
    """An int8 graph on the CPU."""

    def __init__(self, folder: Path, *, limit: int | None) -> None:
        # The parts of the graph left in float run in f32: bf16 is no faster there, and makes a
        # batch differ from its texts alone (cosine 0.9987; in f32 1.00000).
        super().__init__(folder, dtype="f32", limit=limit)
        self.dtype = "int8"
