"""The load generator and its process."""

import base64
import http.server
import json
import threading

import numpy as np
import pytest

from benchmarks import child_process, client, load_generator


class Server(http.server.ThreadingHTTPServer):
    """Answers each request by the function it is given."""

    daemon_threads = True

    def __init__(self, answers):
        super().__init__(("127.0.0.1", 0), Handler)
        self.answers = answers
        self.released = threading.Event()
        self.requests = 0

    def handle_error(self, request, client_address):
        """Ignore clients that were killed while they waited."""


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Server

    def do_POST(self):
        self.server.requests += 1
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.answers(self, request)

    def answer(self, status, content, **headers):
        raw = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(raw)))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(raw)

    def log_message(self, *_):
        pass


@pytest.fixture
def serve():
    """Starts a server that answers each request by the given function."""
    servers = []

    def start(answers):
        server = Server(answers)
        servers.append(server)
        threading.Thread(target=server.serve_forever, args=(0.01,)).start()
        return server

    yield start
    for server in servers:
        server.released.set()
        server.shutdown()
        server.server_close()


def embed(handler, request):
    """Numbers as vectors, in reverse order: items are ordered by `index` alone."""
    items = [
        {"index": no, "embedding": embedding([float(text), 1.0], request["encoding_format"])}
        for no, text in enumerate(request["input"])
    ]
    handler.answer(200, {"data": items[::-1]})


def embedding(values, encoding):
    if encoding == "float":
        return values
    return base64.b64encode(np.array(values, "<f4").tobytes()).decode()


def numbers(count, encoding="base64"):
    texts = [str(no) for no in range(count)]
    return load_generator.bodies(texts, model="m", encoding_format=encoding)


def test_texts_are_split_in_order():
    bodies = [
        json.loads(body)
        for body in load_generator.bodies(["a"] * 64 + ["b"], model="m", truncate="end")
    ]
    assert [len(body["input"]) for body in bodies] == [64, 1]
    assert bodies[1] == {"model": "m", "input": ["b"], "truncate": "end"}


@pytest.mark.parametrize("encoding", ["base64", "float"])
def test_each_body_is_sent_once_and_the_vectors_are_in_the_order_of_the_texts(
    encoding, serve, tmp_path
):
    server, file = serve(embed), tmp_path / "vectors.npy"
    job = load_generator.Job(
        server.server_port, numbers(300, encoding), clients=3, vectors=str(file)
    )
    answers = load_generator.run(job)
    assert (answers.statuses, server.requests) == ({"200": 5}, 5)
    assert answers.seconds > 0
    assert np.load(file).tolist() == [[no, 1.0] for no in range(300)]


def test_other_answers_are_counted_and_clients_continue(serve):
    def answer(handler, request):
        match request["input"][0]:
            case "busy":
                handler.answer(429, {}, Retry_After="1")
            case "rude":
                handler.answer(429, {})
            case "broken":
                handler.answer(500, b"it is broken")
            case "gone":
                handler.close_connection = True
            case _:
                embed(handler, request)

    texts = ["busy", "rude", "broken", "gone", "7"]
    bodies = [
        body
        for text in texts
        for body in load_generator.bodies([text], model="m", encoding_format="float")
    ]
    answers = load_generator.measure(
        load_generator.Job(serve(answer).server_port, bodies, clients=1)
    )
    assert answers.statuses == {"429": 2, "500": 1, "RemoteDisconnected": 1, "200": 1}
    assert answers.without_retry_after == 1
    assert answers.odd == "it is broken"
    with pytest.raises(client.Refused, match="it is broken"):
        load_generator.all_answered(answers)


def test_an_answer_before_the_whole_body_was_read_counts(serve):
    def refuse(handler):
        handler.answer(429, {}, Retry_After="1", Connection="close")
        handler.close_connection = True

    server = serve(embed)
    server.RequestHandlerClass = type("Early", (Handler,), {"do_POST": refuse})
    longer_than_a_socket_holds = load_generator.bodies(["x" * 8_000_000], model="m")
    answers = load_generator.measure(
        load_generator.Job(server.server_port, longer_than_a_socket_holds * 3, clients=1)
    )
    assert answers.statuses == {"429": 3}


def test_clients_send_repeatedly_until_the_time_is_up(serve):
    server = serve(lambda handler, _: handler.answer(429, {}, Retry_After="9"))
    job = load_generator.Job(server.server_port, numbers(64), clients=5, seconds=0.2)
    answers = load_generator.measure(job)
    assert answers.statuses["429"] == server.requests > 5
    assert answers.seconds >= 0.2


def test_a_child_is_killed_when_its_context_is_left(serve):
    server = serve(lambda handler, _: handler.server.released.wait())
    job = {"port": server.server_port, "bodies": numbers(1)}
    with child_process.started(load_generator.MODULE, job) as started:
        assert started.is_running
    assert not started.is_running


def test_a_failing_child_reports_why():
    with pytest.raises(
        child_process.ChildFailed,
        match=r"benchmarks\.load_generator exited with status 1(.|\n)*oops",
    ):
        child_process.ask(load_generator.MODULE, {"oops": 1})
