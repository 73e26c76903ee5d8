"""Vecmark with OpenAI's client: pip install openai."""

import os

from openai import OpenAI

URL = os.environ.get("VECMARK_URL", "http://127.0.0.1:8000")
DOCUMENTS = [
    "A newt is a small salamander that lives in ponds.",
    "A violin has four strings and is played with a bow.",
]

# Vecmark ignores the key, but the client requires one.
client = OpenAI(base_url=f"{URL}/v1", api_key="none")
documents = client.embeddings.create(model="all-MiniLM-L6-v2:document", input=DOCUMENTS)
query = client.embeddings.create(model="all-MiniLM-L6-v2:query", input="an animal that swims")
print(f"{documents.usage.total_tokens} tokens read")
for text, document in zip(DOCUMENTS, documents.data, strict=True):
    # Vectors have length 1, so the dot product is the cosine.
    pairs = zip(document.embedding, query.data[0].embedding, strict=True)
    print(f"{sum(a * b for a, b in pairs):.3f}  {text}")
