"""Text to vectors: model files, spaces, encoders, chunking, scheduling. Knows no database."""

import sys

# OpenVINO and NNCF report their use to their maker through this package, at import and by default.
# If it can't be imported, they don't.
sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
