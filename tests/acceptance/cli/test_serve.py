"""`vecmark serve` from start to stop."""

import signal
import subprocess

from api.cli import samples as sample_command
from tests import models, services, waiting


def test_sample_documents_are_added_once_and_kept(home, serve_static):
    first = serve_static(home, "--sample")
    waiting.until(lambda: "Ctrl+C" in first.said(), said=first.said)
    assert "2,000 created, 0 failed" in first.said()
    search = f'vecmark search --collection sample "{sample_command.QUERY}"'
    (typed,) = [line for line in first.said().splitlines() if line.endswith(search)]
    environment = services.environment(home)
    subprocess.run(typed, shell=True, cwd=services.ROOT, env=environment, check=True, timeout=60)
    check_stop(first, signal.SIGTERM)
    again = serve_static(home, "--sample")
    waiting.until(lambda: "Ctrl+C" in again.said(), said=again.said)
    assert f"Vecmark is ready on {again.url}  (collection sample: 2,000 documents)" in again.said()
    assert "created" not in again.said()
    # The command finds the service through its data directory.
    assert f"ok    service: answers at {again.url}" in services.run(home, "doctor").stdout
    check_stop(again, signal.SIGINT)


def test_the_service_runs_although_the_sample_collections_model_is_gone(home, serve, tmp_path):
    files = models.wordllama_directory(tmp_path / "model_files")
    first = serve(home, "--sample", model=files)
    waiting.until(lambda: "Ctrl+C" in first.said(), said=first.said)
    first.stop()
    models.save_tensors(files, models.shaken(models.load_tensors(files)))
    again = serve(home, "--sample", model=files)
    waiting.until(lambda: "Could not add the sample documents" in again.said(), said=again.said)
    with again.client() as client:
        assert client.get("/v1/collections/sample/documents").status_code == 200
    assert "warn  service: fp1:" in services.run(home, "doctor", model=files).stdout
    check_stop(again, signal.SIGTERM)


def check_stop(service: services.Service, number: signal.Signals) -> None:
    service.process.send_signal(number)
    assert service.process.wait(60) == 0
    assert service.said().rstrip().endswith("Vecmark has stopped.")
    assert services.postgres_processes(service.data_dir) == []
    assert not (service.data_dir / "service.json").exists()
