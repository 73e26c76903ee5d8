"""`vecmark serve` from start to stop."""

import signal
import subprocess

from api.cli import samples as sample_command
from tests import models, services, waiting


def test_sample_documents_are_added_once_and_kept(home, serve_static):
    first = serve_static(home, "--sample")
    waiting.until(lambda: "Ctrl+C" in first.output(), details=first.output)
    assert "2,000 created, 0 failed" in first.output()
    search = f'vecmark search --collection sample "{sample_command.QUERY}"'
    (typed,) = [line for line in first.output().splitlines() if line.endswith(search)]
    environment = services.environment(home)
    subprocess.run(typed, shell=True, cwd=services.ROOT, env=environment, check=True, timeout=60)
    check_stop(first, signal.SIGTERM)
    second = serve_static(home, "--sample")
    waiting.until(lambda: "Ctrl+C" in second.output(), details=second.output)
    assert (
        f"Vecmark is ready on {second.url}  (collection sample: 2,000 documents)" in second.output()
    )
    assert "created" not in second.output()
    # The command finds the service through its data directory.
    assert f"ok    service: answers at {second.url}" in services.run(home, "doctor").stdout
    check_stop(second, signal.SIGINT)


def test_the_service_runs_although_the_sample_collections_model_is_gone(home, serve, tmp_path):
    files = models.wordllama_directory(tmp_path / "model_files")
    first = serve(home, "--sample", model=files)
    waiting.until(lambda: "Ctrl+C" in first.output(), details=first.output)
    first.stop()
    models.save_tensors(files, models.shaken(models.load_tensors(files)))
    second = serve(home, "--sample", model=files)
    waiting.until(
        lambda: "Could not add the sample documents" in second.output(), details=second.output
    )
    with second.client() as client:
        assert client.get("/v1/collections/sample/documents").status_code == 200
    assert "warn  service: fp1:" in services.run(home, "doctor", model=files).stdout
    check_stop(second, signal.SIGTERM)


def check_stop(service: services.Service, number: signal.Signals) -> None:
    service.process.send_signal(number)
    assert service.process.wait(60) == 0
    assert service.output().rstrip().endswith("Vecmark has stopped.")
    assert services.postgres_processes(service.data_dir) == []
    assert not (service.data_dir / "service.json").exists()
