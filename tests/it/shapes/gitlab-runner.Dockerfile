# The shape of a CI runner's image: ARG by platform, SHELL with pipefail, checksums in a loop.
ARG BASE_IMAGE=ubuntu:22.04

FROM $BASE_IMAGE

ARG TARGETPLATFORM
ARG DOCKER_MACHINE_VERSION=v0.16.2
ARG DUMB_INIT_VERSION=1.2.2

ENV DEBIAN_FRONTEND=noninteractive

SHELL ["/bin/bash", "-o", "pipefail", "-c"]

# hadolint ignore=DL3008
RUN apt-get update -y && \
    apt-get install -y --no-install-recommends \
        apt-transport-https \
        ca-certificates curl \
        git git-lfs \
        openssl \
        tzdata && \
    rm -rf /var/lib/apt/lists/*

COPY checksums-* install-deps install-runner /tmp/

RUN arch=$(case "$TARGETPLATFORM" in linux/amd64) echo x86_64;; linux/arm64*) echo aarch64;; *) uname -m;; esac) && \
    curl -fsSL "https://dl.example.org/docker-machine/${DOCKER_MACHINE_VERSION}/docker-machine-Linux-${arch}" | tee /usr/bin/docker-machine | sha256sum -c <(grep "$arch" /tmp/checksums-machine | sed 's/$/ -/') && \
    chmod +x /usr/bin/docker-machine

FROM $BASE_IMAGE
COPY --from=0 / /
COPY --chmod=777 entrypoint /
STOPSIGNAL SIGQUIT
VOLUME ["/etc/runner", "/home/runner"]
ENTRYPOINT ["/usr/bin/dumb-init", "/entrypoint"]
CMD ["run", "--user=runner", "--working-directory=/home/runner"]
