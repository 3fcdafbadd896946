# syntax=docker/dockerfile:1
ARG PYTHON_VERSION=3.12
FROM docker.io/library/python:${PYTHON_VERSION}-slim-bookworm@sha256:e3d8083ae6ca571e8010b43fa6cbb5647e690869808298d40d91760dd19dcde1 AS requirements
RUN --mount=type=cache,target=/root/.cache/pip pip install --user "poetry==1.8.5" "poetry-plugin-export==1.8.0"
WORKDIR /synapse
COPY pyproject.toml poetry.lock /synapse/
RUN /root/.local/bin/poetry export --extras all -o /synapse/requirements.txt

FROM docker.io/library/python:${PYTHON_VERSION}-slim-bookworm@sha256:e3d8083ae6ca571e8010b43fa6cbb5647e690869808298d40d91760dd19dcde1 AS builder
RUN --mount=type=cache,target=/var/cache/apt,sharing=locked \
    --mount=type=cache,target=/var/lib/apt,sharing=locked \
    apt-get update -qq && apt-get install -yqq --no-install-recommends \
    build-essential libffi-dev libjpeg-dev libpq-dev libssl-dev libwebp-dev libxml++2.6-dev libxslt1-dev zlib1g-dev openssl
COPY --from=requirements /synapse/requirements.txt /synapse/
RUN --mount=type=cache,target=/root/.cache/pip \
    pip install --prefix="/install" --no-deps --no-warn-script-location -r /synapse/requirements.txt
COPY synapse /synapse/synapse/
COPY pyproject.toml README.rst build_rust.py Cargo.toml Cargo.lock /synapse/
RUN --mount=type=cache,target=/synapse/target,sharing=locked \
    pip install --prefix="/install" --no-deps /synapse[all]

FROM docker.io/library/python:${PYTHON_VERSION}-slim-bookworm@sha256:e3d8083ae6ca571e8010b43fa6cbb5647e690869808298d40d91760dd19dcde1
LABEL org.opencontainers.image.url='https://example.org/docs' org.opencontainers.image.licenses='AGPL-3.0-or-later'
COPY --from=builder /install /usr/local
COPY ./docker/start.py /start.py
COPY ./docker/conf /conf
USER 991:991
EXPOSE 8008/tcp 8009/tcp 8448/tcp
ENTRYPOINT ["/start.py"]
HEALTHCHECK --start-period=5s --interval=15s --timeout=5s CMD curl -fSs http://localhost:8008/health || exit 1
