"""POST /v1/embeddings with requests as OpenAI's clients send them, and errors of OpenAI's shape."""

import base64

import httpx
import numpy as np
import pytest

from tests import services
from tests.acceptance.embeddings.conftest import MAX_BODY, POISON, openai_error

MINILM = "sentence-transformers/all-MiniLM-L6-v2"
LONG = "boat " * 300


def ask(client: httpx.Client, **body: object) -> httpx.Response:
    return client.post("/v1/embeddings", json={"model": "bundled", "input": "a boat", **body})


def test_the_answer_has_openais_shape_and_the_space(client):
    answer = ask(client, input=["a boat", "two boats"])
    body = answer.raise_for_status().json()
    assert set(body) == {"object", "data", "model", "usage", "space"}
    assert (body["object"], body["model"]) == ("list", "bundled")
    assert [(item["object"], item["index"]) for item in body["data"]] == [
        ("embedding", 0),
        ("embedding", 1),
    ]
    # [CLS] a boat [SEP], [CLS] two boats [SEP]
    assert body["usage"] == {"prompt_tokens": 8, "total_tokens": 8}
    assert body["space"]["model"] == MINILM
    assert answer.headers["X-Vecmark-Space"] == body["space"]["id"]
    assert answer.headers["X-Vecmark-Model"] == MINILM
    assert answer.headers["X-Vecmark-Tokens"] == "8"
    assert answer.headers["X-Vecmark-Truncated"] == "false"


def test_extra_fields_of_litellm_and_others_are_accepted(client):
    answer = ask(client, encoding_format=None, dimensions=None, user="somebody", metadata={"a": 1})
    (item,) = answer.raise_for_status().json()["data"]
    assert len(item["embedding"]) == 384
    assert isinstance(item["embedding"][0], float)


def test_the_suffix_and_the_field_choose_the_same_prompt(client):
    def vector(model: str, **body: object) -> list[float]:
        return ask(client, model=model, **body).raise_for_status().json()["data"][0]["embedding"]

    document, query = vector("prompted:document"), vector("prompted:query")
    assert vector("prompted") == document == vector("prompted", input_type="document")
    assert vector("prompted", input_type="query") == query
    assert np.dot(document, query) < 0.99
    contradiction = ask(client, model="prompted:query", input_type="document")
    openai_error(contradiction, 400, "validation", "input_type")


def test_an_unknown_model_is_refused_listing_the_available_ones(client):
    for name in ("text-embedding-3-small", "bundled:passage", "/etc", "../x", "fp1:0", "", "\0"):
        message = openai_error(ask(client, model=name), 404, "model_not_found", "model")
        assert MINILM in message
        assert "prompted" in message


def test_a_text_over_the_limit_is_an_error_unless_truncation_is_requested(client):
    message = openai_error(
        ask(client, input=["a boat", LONG]), 400, "context_length_exceeded", "input"
    )
    for part in ("input[1]", "302", "256", '"truncate": "end"'):
        assert part in message
    answer = ask(client, input=["a boat", LONG], truncate="end").raise_for_status()
    assert answer.json()["truncated"] == [1]
    assert answer.json()["usage"]["prompt_tokens"] == 4 + 256
    assert answer.headers["X-Vecmark-Truncated"] == "true"


@pytest.mark.parametrize("tokens", [[1037, 4049], [[101, 1037, 102], [4049]]])
def test_token_arrays_are_refused_unless_declared_as_the_models_own(client, tokens):
    message = openai_error(ask(client, input=tokens), 400, "token_ids", "input")
    assert "check_embedding_ctx_length=False" in message


def test_token_ids_of_the_model_are_checked(client):
    ids = client.post("/tokenize", json={"text": "a boat"}).json()["items"][0]["ids"]
    by_ids = ask(client, input=ids, token_ids="model").raise_for_status().json()
    assert by_ids["data"] == ask(client).json()["data"]
    assert by_ids["usage"]["prompt_tokens"] == 4

    for row in ([101, 1037, 200_000, 102], [101, 1037, 30_522, 102]):
        wrong = ask(client, input=[ids, row], token_ids="model")
        assert "input[1]" in openai_error(wrong, 400, "token_ids_invalid", "input")
    over = ask(client, input=[ids[1:2] * 300], token_ids="model")
    openai_error(over, 400, "context_length_exceeded", "input")
    with_role = ask(client, input=ids, token_ids="model", input_type="query")
    openai_error(with_role, 400, "validation", "token_ids")


BAD = [
    ({"input": ""}, "input"),
    ({"input": []}, "input"),
    ({"input": ["a", ""]}, "input"),
    ({"input": [[]]}, "input"),
    ({"input": None}, "input"),
    ({"input": 5}, "input"),
    ({"input": {"a": 1}}, "input"),
    ({"input": ["a", 5]}, "input"),
    ({"input": ["a", [5]]}, "input"),
    ({"input": ["a", None]}, "input"),
    ({"input": [1.5]}, "input"),
    ({"input": [True]}, "input"),
    ({"input": [-1], "token_ids": "model"}, "input"),
    ({"input": [2**70], "token_ids": "model"}, "input"),
    ({"input": ["a"] * 2049}, "input"),
    ({"model": None}, "model"),
    ({"model": 5}, "model"),
    ({"encoding_format": "bytes"}, "encoding_format"),
    ({"dimensions": 0}, "dimensions"),
    ({"dimensions": 385}, "dimensions"),
    ({"dimensions": "384"}, "dimensions"),
    ({"dimensions": 2**80}, "dimensions"),
    ({"input_type": "passage"}, "input_type"),
    ({"truncate": "start"}, "truncate"),
    ({"token_ids": "tiktoken"}, "token_ids"),
]


@pytest.mark.parametrize(("body", "param"), BAD, ids=lambda value: str(value)[:40])
def test_bad_requests(client, body, param):
    openai_error(ask(client, **body), 400, "validation", param)


@pytest.mark.parametrize(
    ("content", "param"),
    [
        (b"", None),
        (b"{", None),
        (b"[]", None),
        (b"\xff", None),
        (b'{"model":"bundled"}', "input"),
        (b'{"input":"a"}', "model"),
        (b'{"input":"\\ud800","model":"bundled"}', None),
        (b'{"model":' + b"[" * 100_000, "model"),
        (b'{"more":' + b"[" * 100_000, None),
    ],
)
def test_unreadable_bodies(client, content, param):
    openai_error(client.post("/v1/embeddings", content=content), 400, "validation", param)


def test_errors_from_outside_the_route_have_the_same_shape(client):
    openai_error(client.get("/v1/embeddings"), 405, "method_not_allowed", None)
    text = client.post("/v1/embeddings", content=b"{}", headers={"Content-Type": "text/plain"})
    openai_error(text, 415, "unsupported_media_type", None)
    large = client.post("/v1/embeddings", content=b" " * (MAX_BODY + 1))
    openai_error(large, 413, "too_large", None)
    unknown = client.post("/v1/embeddings?api-version=1", json={"model": "bundled", "input": "a"})
    openai_error(unknown, 400, "validation", "api")


def test_texts_without_a_word(client):
    # This model's tokenizer drops NUL, like all control characters.
    for text in (" ", "\n\t", "\0"):
        assert "input[1]" in openai_error(ask(client, input=["a", text]), 400, "no_tokens", "input")
    assert ask(client, input="a\0boat").is_success


def test_another_space_than_expected(client):
    space = ask(client).json()["space"]["id"]
    assert ask(client, expect_space=space).is_success
    wrong = ask(client, expect_space=space, model="prompted")
    assert space in openai_error(wrong, 409, "space_mismatch", "expect_space")
    # Otherwise OpenAI's clients would retry it.
    assert wrong.headers["x-should-retry"] == "false"


def test_fewer_dimensions_only_for_models_trained_for_them(client, static_space):
    native = ask(client, dimensions=384).raise_for_status().json()
    assert native["data"] == ask(client).json()["data"]
    assert "384" in openai_error(ask(client, dimensions=128), 400, "validation", "dimensions")

    whole = ask(client, model="static").json()["data"][0]["embedding"]
    short = ask(client, model="static", dimensions=64, encoding_format="base64").json()
    vector = np.frombuffer(base64.b64decode(short["data"][0]["embedding"]), np.float32)
    expected = np.array(whole[:64]) / np.linalg.norm(whole[:64])
    assert vector == pytest.approx(expected, abs=1e-6)
    assert short["space"]["id"] != static_space
    again = ask(client, model="static", dimensions=64, expect_space=short["space"]["id"])
    assert again.is_success
    wrong = ask(client, model="static", dimensions=64, expect_space=static_space)
    openai_error(wrong, 409, "space_mismatch", "expect_space")


def test_a_text_that_the_encoder_fails_at_is_named(client):
    failed = ask(client, model="static", input=["a boat", "on", f"all of {POISON}"])
    assert "input[2]" in openai_error(failed, 422, "text_failed", "input")
    assert ask(client, model="static", input=["a boat", "on"]).is_success


def test_more_tokens_than_the_queue_can_hold_are_refused(client):
    much = ask(client, input=["boat " * 250] * 700)
    assert "fewer texts" in openai_error(much, 413, "too_many_tokens", None)


def test_a_space_and_an_alias_name_the_model(client, shared: services.Service):
    space = ask(client).json()["space"]["id"]
    for name in (space, MINILM, "all-MiniLM-L6-v2", f"{MINILM}:query", f"{space}:document"):
        answer = ask(client, model=name).raise_for_status().json()
        assert (answer["space"]["id"], answer["model"]) == (space, name)
