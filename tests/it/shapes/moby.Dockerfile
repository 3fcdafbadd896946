# syntax=docker/dockerfile:1.7

# The shape of an engine's development file: ADD of git, tmpfs, stages for each system, SHELL between heredocs.
ARG GO_VERSION=1.21.8
ARG BASE_DEBIAN_DISTRO="bookworm"
ARG GOLANG_IMAGE="golang:${GO_VERSION}-${BASE_DEBIAN_DISTRO}"

# cross compilation helper
FROM --platform=$BUILDPLATFORM tonistiigi/xx:1.4.0 AS xx

# dummy stage to make sure the image is built for deps that don't support some architectures
FROM --platform=$BUILDPLATFORM busybox AS build-dummy
RUN mkdir -p /build
FROM scratch AS binary-dummy
COPY --from=build-dummy /build /build

# base
FROM --platform=$BUILDPLATFORM ${GOLANG_IMAGE} AS base
COPY --from=xx / /
RUN echo 'Binary::apt::APT::Keep-Downloaded-Packages "true";' > /etc/apt/apt.conf.d/keep-cache
RUN rm -f /etc/apt/apt.conf.d/docker-clean
RUN apt-get update && apt-get install --no-install-recommends -y file
ENV GO111MODULE=off

FROM base AS criu
ADD --chmod=0644 https://download.example.org/repositories/devel:/tools:/criu/Debian_12/Release.key /etc/apt/trusted.gpg.d/criu.gpg.asc
RUN --mount=type=cache,sharing=locked,id=moby-criu-aptlib,target=/var/lib/apt \
    --mount=type=cache,sharing=locked,id=moby-criu-aptcache,target=/var/cache/apt \
    --mount=type=tmpfs,target=/tmp \
        echo 'deb https://download.example.org/repositories/devel:/tools:/criu/Debian_12/ /' > /etc/apt/sources.list.d/criu.list \
        && apt-get update \
        && apt-get install -y --no-install-recommends criu \
        && install -D /usr/sbin/criu /build/criu

# registry
FROM base AS registry-src
WORKDIR /usr/src/registry
RUN git init . && git remote add origin "https://github.example.org/distribution/distribution.git"

FROM base AS registry
WORKDIR /go/src/github.example.org/docker/distribution
ARG REGISTRY_VERSION=v2.3.0
ARG BUILDPLATFORM
ARG TARGETPLATFORM
RUN --mount=from=registry-src,src=/usr/src/registry,rw \
    --mount=type=cache,target=/root/.cache/go-build,id=registry-build-$TARGETPLATFORM \
    --mount=type=cache,target=/go/pkg/mod \
    --mount=type=tmpfs,target=/go/src <<EOT
  set -ex
  git fetch -q --depth 1 origin "${REGISTRY_VERSION}" +refs/tags/*:refs/tags/*
  git checkout -q FETCH_HEAD
  export GOPATH="/go/src/github.example.org/docker/distribution/Godeps/_workspace:$GOPATH"
  if [ "$BUILDPLATFORM" = "$TARGETPLATFORM" ]; then
    CGO_ENABLED=0 xx-go build -o /build/registry -v ./cmd/registry
  fi
EOT

# delve builds and installs from a repository
FROM binary-dummy AS delve-windows
FROM binary-dummy AS delve-linux-arm
FROM base AS delve-linux-amd64
WORKDIR /usr/src/delve
ADD https://github.example.org/go-delve/delve.git#v1.21.1 .
RUN --mount=type=cache,target=/root/.cache/go-build <<EOT
  set -e
  xx-go build -o /build/dlv ./cmd/dlv
  xx-verify /build/dlv
EOT
FROM delve-linux-${TARGETARCH}${TARGETVARIANT} AS delve-linux
FROM delve-${TARGETOS} AS delve

FROM base AS dev-base
COPY --from=criu     /build/ /usr/local/
COPY --from=registry /build/ /usr/local/bin/
COPY --from=delve    /build/ /usr/local/bin/
RUN --mount=type=secret,id=token,required=false --mount=type=ssh echo "with or without"
RUN ldconfig \
 && git config --global --add safe.directory $GOPATH/src/github.example.org/docker/docker

FROM dev-base AS dev
COPY --link . .
