"""Embedding routes answer or refuse bodies of any shape and never fail."""

import json
from typing import Any

import httpx
from hypothesis import given
from hypothesis import strategies as st

from tests.acceptance import truths
from tests.acceptance.test_fuzz import FUZZ, JSON, TEXT

TEXTS = st.lists(TEXT, max_size=3)
IDS = st.lists(st.integers(-1, 40_000), max_size=4)
# Mostly the static model, which is fast and has no limit.
MODEL = st.just("static") | st.sampled_from(["bundled", "static:query", "bundled:document"]) | TEXT
OPTIONS: dict[str, Any] = {
    "input_type": st.sampled_from(["query", "document", None, "x"]),
    "truncate": st.sampled_from(["none", "end", None, 1]),
    "dimensions": st.integers(-1, 300) | st.none() | JSON,
    "expect_space": st.none() | TEXT,
}
OPENAI = st.fixed_dictionaries(
    {"input": TEXT | TEXTS | IDS | st.lists(IDS, max_size=3) | JSON, "model": MODEL | JSON},
    optional={
        **OPTIONS,
        "encoding_format": st.sampled_from(["float", "base64", None, "x"]) | JSON,
        "token_ids": st.sampled_from(["model", None, "x"]),
        "user": JSON,
    },
)
NATIVE = st.fixed_dictionaries(
    {}, optional={"text": TEXT | JSON, "texts": TEXTS | JSON, "model": MODEL, **OPTIONS}
)


def send(client: httpx.Client, path: str, content: Any) -> httpx.Response:
    answer = client.post(path, content=json.dumps(content).encode())
    assert answer.status_code < 500, (path, content, answer.text)
    return answer


@FUZZ
@given(body=OPENAI | JSON)
def test_openai_route(client: httpx.Client, body: Any):
    answer = send(client, "/v1/embeddings", body)
    if not answer.is_success:
        error = answer.json()["error"]
        assert error["message"]
        assert error["type"] == "invalid_request_error"


@FUZZ
@given(body=NATIVE | JSON)
def test_own_routes(client: httpx.Client, body: Any):
    for path in ("/embed", "/tokenize", "/similarity"):
        answer = send(client, path, body)
        if not answer.is_success:
            truths.is_problem(answer)
