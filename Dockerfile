# One image, two flavours. The flavour is the torch wheel; the system underneath is the same:
#
#   CPU    docker build --build-arg TORCH_INDEX_URL=https://download.pytorch.org/whl/cpu -t pheye:cpu .
#   CUDA   docker build -t pheye:gpu .
#
# BASE_IMAGE       any Debian-like image with python3 (3.11 or newer) and its venv module; with its digest
#                  (python:3.11-slim-bookworm@sha256:...) the build is the same tomorrow.
# TORCH_INDEX_URL  where torch comes from. Empty: pip's default index, whose Linux build brings the CUDA libraries along
#                  (the host needs only the driver and the NVIDIA container toolkit). A certain CUDA version:
#                  https://download.pytorch.org/whl/cu126, say. CPU only, gigabytes smaller: .../whl/cpu, as above.
ARG BASE_IMAGE=python:3.11-slim-bookworm

FROM ${BASE_IMAGE} AS build
ARG TORCH_INDEX_URL=
ENV PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /src
RUN python3 -m venv /opt/pheye

# Dependencies are layers of their own: a change of the code does not download torch again. What the lock names must
# have one of its hashes; torch comes from the index of its flavour, which has hashes of its own.
COPY docker/requirements.lock constraints.txt ./
RUN /opt/pheye/bin/pip install --no-deps --require-hashes -r requirements.lock
RUN /opt/pheye/bin/pip install -c constraints.txt ${TORCH_INDEX_URL:+--index-url "$TORCH_INDEX_URL"} torch

# pip leaves the environment with its last package: what is copied below can install nothing.
COPY pyproject.toml README.md ./
COPY model model
COPY service service
RUN /opt/pheye/bin/pip install --no-deps . \
 && /opt/pheye/bin/pip check \
 && /opt/pheye/bin/pip uninstall --yes pip

# What serving never loads goes, a quarter of the image, and what is left must serve a picture. The debugger's symbols go
# if binutils can be had.
COPY docker/thin.py ./
RUN if ! command -v strip >/dev/null; then apt-get update && apt-get install --yes --no-install-recommends binutils; fi \
 ; /opt/pheye/bin/python thin.py

# What is in the image, as a software bill of materials (CycloneDX). The tool for it stays behind.
FROM build AS sbom
RUN python3 -m venv /opt/sbom \
 && /opt/sbom/bin/pip install -c constraints.txt cyclonedx-bom \
 && /opt/sbom/bin/cyclonedx-py environment --output-reproducible --output-file /opt/sbom/sbom.cdx.json /opt/pheye/bin/python

FROM ${BASE_IMAGE}
LABEL org.opencontainers.image.title="pheye" \
      org.opencontainers.image.description="Captions and visual question answering over HTTP with Pheye" \
      org.opencontainers.image.version="0.2.0"

# The base image's own pip and its companions go as well. The uid is fixed, so that volumes keep their owner from build
# to build.
RUN rm -rf /usr/local/bin/pip* /usr/local/lib/python3.*/site-packages/* \
 && if dpkg -s python3-pip >/dev/null 2>&1; then dpkg --purge python3-pip; fi \
 && groupadd --gid 10001 pheye \
 && useradd --uid 10001 --gid 10001 --home-dir /var/lib/pheye --shell /usr/sbin/nologin pheye \
 && install -d -o pheye -g pheye /var/lib/pheye /var/lib/pheye/hub /var/lib/pheye/uploads
COPY --from=build /opt/pheye /opt/pheye
COPY --from=sbom /opt/sbom/sbom.cdx.json /usr/share/pheye/sbom.cdx.json

# Bytecode was compiled at build time; the root file system may be read-only at run time.
ENV PATH=/opt/pheye/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    HF_HOME=/var/lib/pheye/hub \
    NUMBA_CACHE_DIR=/var/lib/pheye/hub \
    HF_HUB_DISABLE_TELEMETRY=1 \
    PHEYE_HOST=0.0.0.0

USER 10001:10001
WORKDIR /var/lib/pheye
VOLUME /var/lib/pheye/hub
EXPOSE 8000
STOPSIGNAL SIGTERM

# Alive, not ready: whoever kills unhealthy containers must not kill one that loads a large model, drains, or replaces
# a dead worker by itself. Readiness is for whoever routes traffic: GET /readyz.
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 CMD ["python3", "-c", \
    "import http.client, os, ssl, sys; port = int(os.environ.get('PHEYE_PORT', '8000')); c = http.client.HTTPSConnection('127.0.0.1', port, timeout=4, context=ssl._create_unverified_context()) if os.environ.get('PHEYE_TLS_CERT_FILE') else http.client.HTTPConnection('127.0.0.1', port, timeout=4); c.request('GET', sys.argv[1]); sys.exit(c.getresponse().status != 200)", \
    "/livez"]

# Run with `docker run --init` (Compose: `init: true`): the kernel drops a SIGTERM for process 1 until there is a handler.
# The service's first statement installs one; before that, Python itself takes a moment to start.
ENTRYPOINT ["pheye"]
CMD ["serve"]
