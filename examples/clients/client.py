"""A Vecmark client with httpx: pip install httpx."""

import os
import sys
import time

import httpx

URL = os.environ.get("VECMARK_URL", "http://127.0.0.1:8000")
COLLECTION = os.environ.get("VECMARK_COLLECTION", "example")
WAIT_S = float(os.environ.get("VECMARK_WAIT_S", "60"))


def checked(response: httpx.Response) -> httpx.Response:
    if response.is_error:
        sys.exit(f"{response.url} answered {response.status_code}: {response.text}")
    return response


def wait_until_healthy(vecmark: httpx.Client) -> None:
    deadline = time.monotonic() + WAIT_S
    while True:
        try:
            response = vecmark.get("/healthcheck", timeout=5)
            if response.is_success:
                return
            problem = f"it answers {response.status_code}"
        except httpx.TransportError as error:
            problem = str(error)
        if time.monotonic() > deadline:
            sys.exit(f"{URL} is not ready after {WAIT_S:.0f} s: {problem}")
        time.sleep(0.5)


with httpx.Client(base_url=URL, timeout=60) as vecmark:
    wait_until_healthy(vecmark)
    print(f"{URL} is ready.")

    embedded = checked(vecmark.post("/embed", json={"text": "A newt lives in ponds."}))
    vector = embedded.json()
    print(f"{len(vector)} numbers: {', '.join(f'{number:.4f}' for number in vector[:3])}, ...")
    print(f"space {embedded.headers['X-Vecmark-Space']}")

    documents = [
        {"id": "newt", "text": "A newt is a small salamander that lives in ponds."},
        {"id": "violin", "text": "A violin has four strings and is played with a bow."},
        {"id": "bread", "text": "Bread is baked from a dough of flour, water and yeast."},
    ]
    checked(vecmark.post("/v1/collections", json={"name": COLLECTION}))
    path = f"/v1/collections/{COLLECTION}"
    indexed = checked(vecmark.post(f"{path}/documents", json={"documents": documents}))
    for result in indexed.json()["results"]:
        print(f"{result['id']}: {result['status']}")

    query = {"q": "an animal that swims", "limit": 2}
    response = checked(vecmark.get(f"{path}/search", params=query))
    for result in response.json()["results"]:
        print(f"{result['score']:.3f}  {result['id']}  {result['chunk']['text']}")
