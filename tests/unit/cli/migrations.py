"""A migration and a plan as the service answers them."""

from typing import Any

import msgspec

from api.cli import client
from api.schemas.migrations import Migration, Plan

HISTORY = ["planned", "backfilling"]
PROGRESS = {
    "documents": 1000,
    "documents_done": 420,
    "chunks_done": 812,
    "pending": 0,
    "failed": 0,
    "rate": 120.0,
    "eta_s": 303.0,
    "workers": 1,
    "pace": 1.0,
    "query_p95_ms": None,
    "build": None,
}
OPTIONS = {
    "gates": {"recall": 0.98, "ndcg_drop": None, "overlap": None},
    "manual": False,
    "retain_s": 86400,
    "max_rate": None,
    "query_p95_ms": None,
    "waive_failed": False,
    "forced": None,
}


def migration(state: str = "backfilling", **changed: Any) -> Migration:
    """A migration in a state; `progress` and `options` are merged into the example's."""
    fields = {
        "id": "0194-a",
        "collection": "default",
        "state": state,
        "resume_state": None,
        "source": side(3, "bundled"),
        "target": side(4, "wordllama"),
        "waiting": None,
        "error": None,
        "next": "It is built next.",
        "options": OPTIONS | changed.pop("options", {}),
        "progress": PROGRESS | changed.pop("progress", {}),
        "lag": None,
        "failed": [],
        "verdict": None,
        "history": history(*HISTORY, state) if state not in HISTORY else history(*HISTORY),
        "retained_until": None,
        "created_at": "2026-11-27T07:00:00+00:00",
        "updated_at": "2026-11-27T07:05:00+00:00",
    }
    return msgspec.convert(fields | changed, Migration)


def answer(migration: Migration) -> client.Answer[Migration]:
    return client.Answer(migration, msgspec.json.encode(migration))


def side(index: int, model: str) -> dict[str, Any]:
    split = {"strategy": "sentence", "size": 254, "overlap": 32}
    space = {"id": f"fp1:{model}", "model": model}
    return {"index": index, "space": space, "chunking": split, "loaded": True}


def history(*states: str) -> list[dict[str, Any]]:
    """Each a minute after the one before."""
    return [
        {"state": state, "at": f"2026-11-27T07:{minute:02}:00+00:00", "why": None}
        for minute, state in enumerate(states)
    ]


def plan(**changed: Any) -> Plan:
    return msgspec.convert(plan_fields() | changed, Plan)


def plan_fields() -> dict[str, Any]:
    old, new = side(3, "bundled"), side(4, "wordllama")
    return {
        "needed": True,
        "detail": "another space",
        "change": "space",
        "source": old | {"dimensions": 384, "max_tokens": 256},
        "target": new | {"dimensions": 256, "max_tokens": None},
        "documents": 120000,
        "chunks": 180000,
        "tokens": 9000000,
        "cut_without_chunking": 12,
        "sampled": 300,
        "rates": [{"up_to_tokens": 64, "chunks_per_s": 250.0, "tokens_per_s": 12500.0}],
        "seconds": {"low": 540.0, "likely": 720.0, "high": 960.0},
        "disk": {
            "table_bytes": 150_000_000,
            "hnsw_bytes": 230_000_000,
            "wal_bytes": 900_000_000,
            "peak_bytes": 1_280_000_000,
            "free_bytes": 20_000_000_000,
            "fits": True,
        },
        "memory": {
            "models_bytes": 400_000_000,
            "limit_bytes": 4_000_000_000,
            "target_bytes": 90_000_000,
            "fits": True,
        },
        "write_cost": {"encode_ms_per_document": 4.25, "insert_ms_per_document": 1.8},
        "warnings": [],
    }
