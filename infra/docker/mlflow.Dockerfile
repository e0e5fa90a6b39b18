# The MLflow server: runs, registry and, as a proxy of the S3 store, artifacts.
ARG BASE_IMAGE=python:3.11.13-slim-bookworm

FROM ${BASE_IMAGE} AS build
ARG PIP_INDEX_URL
ARG PIP_EXTRA_INDEX_URL
ARG PIP_FIND_LINKS
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
RUN python3 -m venv /opt/venv
COPY constraints.txt infra/docker/mlflow.txt /src/
RUN /opt/venv/bin/pip install --quiet -c /src/constraints.txt -r /src/mlflow.txt && /opt/venv/bin/pip check

FROM ${BASE_IMAGE}
COPY --from=build /opt/venv /opt/venv
RUN groupadd --gid 10002 mlflow && useradd --uid 10002 --gid mlflow --no-create-home --home-dir /tmp mlflow
ENV PATH=/opt/venv/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 HOME=/tmp \
    DO_NOT_TRACK=1 MLFLOW_DISABLE_TELEMETRY=true GIT_PYTHON_REFRESH=quiet
USER 10002:10002
WORKDIR /tmp
EXPOSE 5000
HEALTHCHECK --interval=30s --timeout=10s --start-period=60s --retries=3 \
    CMD ["python3", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:5000/health', timeout=8)"]
CMD ["mlflow", "server", "--host", "0.0.0.0", "--port", "5000"]
