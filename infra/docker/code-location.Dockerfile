# The code location, and beside it with other commands: webserver, daemon, exporter of metrics, Ray workers.
# Behind a firewall: --build-arg BASE_IMAGE=… of your own with Python 3.11, PIP_INDEX_URL=… of your own index.
ARG BASE_IMAGE=python:3.11.13-slim-bookworm

FROM ${BASE_IMAGE} AS build
ARG PIP_INDEX_URL
ARG PIP_EXTRA_INDEX_URL
# A page or folder with CPU wheels of torch; the index's own bring CUDA, which is 5 GB.
ARG PIP_FIND_LINKS
ARG EXTRAS=s3,postgresql
# Others, with their versions: dagster-k8s==0.29.27 where runs are jobs of Kubernetes.
ARG PACKAGES=
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
RUN python3 -m venv /opt/venv
WORKDIR /src
# Packages change less often than our code, so they are a layer of their own; the folder is there for hatchling alone.
COPY pyproject.toml constraints.txt README.md LICENSE ./
RUN mkdir -p vae_pipeline bentos && touch vae_pipeline/__init__.py \
    && /opt/venv/bin/pip install --quiet -c constraints.txt ".[${EXTRAS}]" ${PACKAGES} \
    && /opt/venv/bin/pip uninstall --quiet --yes vae-pipeline
COPY vae_pipeline vae_pipeline
COPY bentos bentos
RUN /opt/venv/bin/pip install --quiet --no-deps . && /opt/venv/bin/pip check

FROM ${BASE_IMAGE}
COPY --from=build /opt/venv /opt/venv
# A number, so that Kubernetes sees that it is not root.
RUN groupadd --gid 10001 vae && useradd --uid 10001 --gid vae --no-create-home --home-dir /tmp vae \
    && mkdir -p /data/dagster /opt/dagster && chown -R vae:vae /data
ENV PATH=/opt/venv/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 \
    HOME=/tmp MPLCONFIGDIR=/tmp/matplotlib NUMBA_CACHE_DIR=/tmp/numba \
    VAE_PIPELINE_HOME=/data DAGSTER_HOME=/data/dagster \
    DO_NOT_TRACK=1 DAGSTER_DISABLE_TELEMETRY=1 GX_ANALYTICS_ENABLED=false MLFLOW_DISABLE_TELEMETRY=true \
    BENTOML_DO_NOT_TRACK=True GIT_PYTHON_REFRESH=quiet
USER 10001:10001
WORKDIR /data
VOLUME ["/data"]
EXPOSE 4000
HEALTHCHECK --interval=30s --timeout=20s --start-period=90s --retries=3 \
    CMD ["dagster", "api", "grpc-health-check", "-p", "4000"]
CMD ["dagster", "api", "grpc", "-m", "vae_pipeline.definitions", "-h", "0.0.0.0", "-p", "4000"]
