import sys

# OpenVINO and NNCF report what they are used for to their maker, at import and by default, through
# this package; where it can't be imported they don't.
sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
