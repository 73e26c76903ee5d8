"""The service and the collections on which migrations are measured."""

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from benchmarks import configuration, corpora, load_generator, service
from benchmarks.fire.options import BUNDLED, STATIC, prepare_models
from benchmarks.reembed.migration_client import MigrationClient

SENTENCE = {"strategy": "sentence"}
WARM_TEXTS = 128


@dataclass(frozen=True)
class PreparedService:
    """A running service that knows both models."""

    config: configuration.Config
    running: service.RunningService

    @contextlib.contextmanager
    def filled(
        self, name: str, documents: Sequence[corpora.Document], *, model: str = STATIC
    ) -> Iterator[str]:
        """A collection of `documents`, deleted on exit."""
        self.drop(name)
        http = self.running.client
        http.request(
            "POST", "/v1/collections", {"name": name, "model": model, "chunking": SENTENCE}
        )
        http.ingest(name, corpora.ndjson(documents))
        yield name
        self.drop(name)

    def drop(self, name: str) -> None:
        """Delete the collection if it exists, with any migration of it that is open."""
        http = self.running.client
        # The service may have closed the idle connection; the next request opens a new one.
        http.close()
        if name not in {item["name"] for item in http.get("/v1/collections")["items"]}:
            return
        for migration in http.get(f"/v1/collections/{name}/migrations")["items"]:
            action = {"soaking": "retire"}.get(migration["state"], "cancel")
            if migration["state"] not in {"done", "cancelled", "rolled_back"}:
                MigrationClient(self.running.port, name, migration["id"]).perform(action)
        self.running.client.drop(name)

    def warm(self, model: str = BUNDLED) -> None:
        """Warm up: the encoder compiles code for each new batch shape."""
        texts = [
            document.whole for document in corpora.sample(self.config.scifact, WARM_TEXTS, seed=2)
        ]
        bodies = load_generator.bodies(texts, model=model, encoding_format="base64", truncate="end")
        load_generator.rate(load_generator.Job(self.running.port, bodies, clients=1), len(texts))


@contextlib.contextmanager
def serving(config: configuration.Config) -> Iterator[PreparedService]:
    roots = config.folder / "models"
    prepare_models(roots, [STATIC])
    settings = {**config.settings, "MODEL_ROOTS": str(roots)}
    with service.running(config.folder, settings) as running:
        yield PreparedService(config, running)
