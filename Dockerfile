# syntax=docker/dockerfile:1

FROM python:3.12-slim-bookworm AS build
# Index with torch's CPU build (0.2 GB); leave empty for the default build with CUDA (3 GB).
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu
ENV PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /source
RUN python -m venv /app
# The dependencies get their own layer, since they change less often than Vecmark.
COPY pyproject.toml constraints.txt ./
RUN --mount=type=cache,target=/root/.cache/pip \
    python -c "import tomllib; print(*tomllib.load(open('pyproject.toml', 'rb'))['project']['dependencies'], sep='\n')" > requirements.txt \
    && /app/bin/pip install --constraint constraints.txt \
        ${TORCH_INDEX:+--extra-index-url "$TORCH_INDEX"} hatchling --requirement requirements.txt
COPY README.md ./
COPY api api
COPY embedding embedding
COPY indexing indexing
COPY host host
COPY migrations migrations
COPY storage storage
COPY examples examples
RUN /app/bin/pip install --no-deps --no-build-isolation .

FROM python:3.12-slim-bookworm
RUN useradd --system --uid 10001 --create-home --home-dir /home/vecmark vecmark \
    && install --directory --owner=vecmark --group=vecmark /data
COPY --from=build /app /app
ENV PATH=/app/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    HF_HUB_OFFLINE=1 \
    VECMARK_DATA_DIR=/data \
    VECMARK_HOST=0.0.0.0
USER vecmark
WORKDIR /home/vecmark
VOLUME /data
EXPOSE 8000
# Ready means: the database responds, its schema is current, and the model works. The first start converts the model.
HEALTHCHECK --interval=10s --timeout=6s --start-period=180s --start-interval=2s --retries=3 \
    CMD ["python", "-c", "import os, urllib.request; urllib.request.urlopen('http://127.0.0.1:' + os.environ.get('VECMARK_PORT', '8000') + '/readyz', timeout=5)"]
ENTRYPOINT ["vecmark"]
CMD ["serve"]
