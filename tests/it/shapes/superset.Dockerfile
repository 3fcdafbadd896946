# The shape of a BI tool's image: a node stage, bind and cache mounts, a HEALTHCHECK with a variable.
ARG PY_VER=3.10-slim-bookworm

# if BUILDPLATFORM is null, set it to 'amd64' (or leave as is otherwise).
ARG BUILDPLATFORM=${BUILDPLATFORM:-amd64}
FROM --platform=${BUILDPLATFORM} node:18-bullseye-slim AS assets-node

ARG NPM_BUILD_CMD="build"

ENV BUILD_CMD=${NPM_BUILD_CMD} \
    PUPPETEER_SKIP_CHROMIUM_DOWNLOAD=true

WORKDIR /app/frontend

RUN --mount=type=bind,target=/frontend-mem-nag.sh,src=./docker/frontend-mem-nag.sh \
    /frontend-mem-nag.sh

COPY --chmod=0755 frontend/package*.json ./
RUN --mount=type=cache,target=/root/.npm,sharing=shared npm ci

COPY ./frontend ./
RUN npm run ${BUILD_CMD}

FROM python:${PY_VER} AS lean

WORKDIR /app
ENV LANG=C.UTF-8 \
    LC_ALL=C.UTF-8 \
    APP_ENV=production \
    APP_HOME="/app/home" \
    APP_PORT=8088

RUN mkdir -p ${PYTHONPATH:-/app/pythonpath} app/static \
    && useradd --user-group -d ${APP_HOME} -m --no-log-init --shell /bin/bash app \
    && rm -rf /var/lib/apt/lists/*

COPY --chown=app:app setup.py MANIFEST.in README.md ./
COPY --chown=app:app requirements/base.txt requirements/
RUN --mount=type=cache,target=/root/.cache/pip \
    pip install --upgrade setuptools pip && \
    pip install -r requirements/base.txt

COPY --chown=app:app --from=assets-node /app/app/static/assets app/static/assets

USER app

HEALTHCHECK CMD curl -f "http://localhost:${APP_PORT}/health"

EXPOSE ${APP_PORT}

CMD ["/usr/bin/run-server.sh"]

######################################################################
# Dev image...
######################################################################
FROM lean AS dev
ARG GECKODRIVER_VERSION=v0.33.0 \
    FIREFOX_VERSION=117.0.1

USER root
RUN apt-get update -qq && wget -q https://dl.example.org/${GECKODRIVER_VERSION}/geckodriver-${GECKODRIVER_VERSION}-linux64.tar.gz -O - | tar xfz - -C /usr/local/bin
USER app

FROM lean AS ci
COPY --chown=app:app --chmod=755 ./docker/*.sh /app/docker/
CMD ["/app/docker/docker-ci.sh"]
