ARG DISTRO=debian
ARG SUITE=12-slim@sha256:c04175623b4ba23f0efae89632754bd2a350ad1464fc27269efa1e66228f6f33
FROM ${DISTRO}:${SUITE} AS base
ARG UID=10001
ARG GID=${UID}
RUN groupadd --gid "$GID" svc && useradd --uid "$UID" --gid "$GID" --no-create-home svc

FROM base AS debug
RUN apt-get update && apt-get install -y --no-install-recommends gdb strace && rm -rf /var/lib/apt/lists/*
USER ${UID}

FROM base
ARG UID=10001
USER ${UID}:${UID}
COPY --chown=${UID} bin/svc /usr/bin/svc
ENTRYPOINT ["/usr/bin/svc"]
