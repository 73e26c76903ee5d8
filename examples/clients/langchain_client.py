"""Vecmark with LangChain: pip install langchain-openai."""

import os

from langchain_openai import OpenAIEmbeddings

URL = os.environ.get("VECMARK_URL", "http://127.0.0.1:8000")
DOCUMENTS = [
    "A newt is a small salamander that lives in ponds.",
    "A violin has four strings and is played with a bow.",
]


def embeddings(prompt: str) -> OpenAIEmbeddings:
    return OpenAIEmbeddings(
        model=f"all-MiniLM-L6-v2:{prompt}",
        base_url=f"{URL}/v1",
        api_key="none",
        # Send the texts, not the token ids of OpenAI's tokenizer.
        check_embedding_ctx_length=False,
    )


query = embeddings("query").embed_query("an animal that swims")
vectors = embeddings("document").embed_documents(DOCUMENTS)
for text, vector in zip(DOCUMENTS, vectors, strict=True):
    # Vectors have length 1, so the dot product is the cosine.
    print(f"{sum(a * b for a, b in zip(vector, query, strict=True)):.3f}  {text}")
