"""Describes the machine, model and versions that the figures were measured on."""

import os
import platform
from importlib import metadata
from pathlib import Path

import psycopg

from benchmarks import service
from embedding.encoders import devices
from host import cpu

LIBRARIES = ("openvino", "tokenizers", "torch", "sentence-transformers", "litestar", "psycopg")


def describe(running: service.RunningService) -> str:
    """A few lines about the machine, the service's model, the database and the versions."""
    models = running.client.get("/v1/models")
    default = next(model for model in models["data"] if model["default"])
    versions = [f"{name} {metadata.version(name)}" for name in LIBRARIES]
    load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
    native = "bf16 in hardware" if devices.has_bf16() else "no bf16 in hardware"
    return "\n".join(
        [
            f"machine    {_cpu_name()}, {cpu.count()} CPUs, {devices.cpu_kind()}, "
            f"{native}; load {load}",
            f"model      {default['id']}, {default['dimensions']} dimensions, at most "
            f"{default['max_tokens']} tokens, {default['backend']} (canaries: "
            f"{default['canaries']})",
            f"database   {_database(running)}",
            f"versions   Python {platform.python_version()}, {', '.join(versions)}",
        ]
    )


def _cpu_name(cpuinfo: Path = Path("/proc/cpuinfo")) -> str:
    lines = cpuinfo.read_text().splitlines() if cpuinfo.is_file() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def _database(running: service.RunningService) -> str:
    with service.database_url(running.data_dir) as url, psycopg.connect(url) as conn:
        row = conn.execute(
            "SELECT current_setting('server_version'), extversion, current_setting('fsync')"
            " FROM pg_extension WHERE extname = 'vector'"
        ).fetchone()
    if row is None:
        return "PostgreSQL without pgvector"
    return f"PostgreSQL {row[0]}, pgvector {row[1]}, fsync {row[2]}"
