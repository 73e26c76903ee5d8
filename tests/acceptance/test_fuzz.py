"""Bodies of any shape are stored, answered or refused with a problem and never cause a failure."""

import json
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests import services
from tests.acceptance import truths

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text(st.characters(exclude_categories=[]), max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=8,
)
TEXT = st.text(st.characters(exclude_categories=[]), max_size=30)
DOCUMENT = st.fixed_dictionaries(
    {}, optional={"text": TEXT | JSON, "id": TEXT | JSON, "metadata": JSON, "more": JSON}
)
FIELD = st.sampled_from(["n", "", "$or", "$and", "$not", "$x", "a.b"]) | TEXT
OPERATOR = st.sampled_from(["$eq", "$ne", "$gt", "$lte", "$in", "$nin", "$exists", "$z"])
FILTER = st.dictionaries(
    FIELD, JSON | st.dictionaries(OPERATOR, JSON, max_size=2) | st.lists(JSON), max_size=3
)
SEARCH = st.fixed_dictionaries(
    {"q": st.just("a boat") | JSON},
    optional={"limit": st.integers(-1, 20) | JSON, "exact": JSON, "filter": FILTER | JSON},
)
FUZZ = settings(
    max_examples=120,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
    database=None,
)


def send(client: httpx.Client, path: str, content: Any) -> None:
    answer = client.post(path, content=json.dumps(content, allow_nan=True).encode())
    assert answer.status_code < 500, (content, answer.text)
    if not answer.is_success:
        truths.is_problem(answer)


@FUZZ
@given(documents=st.lists(DOCUMENT | JSON, max_size=4) | JSON)
def test_documents_of_any_shape(client: httpx.Client, collection: str, documents: Any):
    send(client, f"/v1/collections/{collection}/documents", {"documents": documents})


@FUZZ
@given(body=SEARCH | JSON)
def test_searches_of_any_shape(client: httpx.Client, filtered_by_anything: str, body: Any):
    send(client, f"/v1/collections/{filtered_by_anything}/search", body)


@pytest.fixture(scope="module")
def filtered_by_anything(shared: services.Service) -> str:
    with shared.client() as client:
        client.post("/v1/collections", json={"name": "anything"}).raise_for_status()
        values: list[Any] = [1, 1.5, "a", True, None, [1], {"x": 1}]
        many = [{"text": f"boat {no}", "metadata": {"n": n}} for no, n in enumerate(values)]
        sent = {"documents": many}
        client.post("/v1/collections/anything/documents", json=sent).raise_for_status()
    return "anything"
