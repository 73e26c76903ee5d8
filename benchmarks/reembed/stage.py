"""The service and the collections that the migrations are measured on."""

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from benchmarks import corpora, load, plan, service
from benchmarks.fire.wish import BUNDLED, STATIC, prepare_models
from benchmarks.reembed.migrating import Migration

SENTENCE = {"strategy": "sentence"}
WARM_TEXTS = 128


@dataclass(frozen=True)
class Stage:
    """A running service that knows both models."""

    what: plan.Plan
    running: service.Running

    @contextlib.contextmanager
    def filled(
        self, name: str, documents: Sequence[corpora.Document], *, model: str = STATIC
    ) -> Iterator[str]:
        """A collection of `documents`, gone afterwards."""
        self.drop(name)
        http = self.running.client
        http.request(
            "POST", "/v1/collections", {"name": name, "model": model, "chunking": SENTENCE}
        )
        http.ingest(name, corpora.ndjson(documents))
        yield name
        self.drop(name)

    def drop(self, name: str) -> None:
        """Whatever migration of it is open."""
        http = self.running.client
        # The service may have closed it in the meantime; the next request opens it again.
        http.close()
        if name not in {one["name"] for one in http.get("/v1/collections")["items"]}:
            return
        for shown in http.get(f"/v1/collections/{name}/migrations")["items"]:
            action = {"soaking": "retire"}.get(shown["state"], "cancel")
            if shown["state"] not in {"done", "cancelled", "rolled_back"}:
                Migration(self.running.port, name, shown["id"]).act(action)
        plan.drop(self.running, name)

    def warm(self, model: str = BUNDLED) -> None:
        """The encoder compiles code for each shape of a batch that it meets first."""
        texts = [one.whole for one in corpora.sample(self.what.scifact, WARM_TEXTS, seed=2)]
        bodies = load.bodies(texts, model=model, encoding_format="base64", truncate="end")
        load.rate(load.Job(self.running.port, bodies, clients=1), len(texts))


@contextlib.contextmanager
def serving(what: plan.Plan) -> Iterator[Stage]:
    roots = what.folder / "models"
    prepare_models(roots, [STATIC])
    settings = {**what.settings, "MODEL_ROOTS": str(roots)}
    with service.running(what.folder, settings) as running:
        yield Stage(what, running)
