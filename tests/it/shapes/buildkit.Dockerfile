# syntax=docker/dockerfile-upstream:master

# The shape of a build tool's own image: helpers for many platforms, stages named by variables, every mount.
ARG RUNC_VERSION=v1.1.12
ARG GO_VERSION=1.21
ARG ALPINE_VERSION=3.19
ARG XX_VERSION=1.4.0
ARG EXPORT_BASE=alpine

# minio for tests
FROM minio/minio:RELEASE.2022-05-03T20-36-08Z AS minio

# alpine base for the build stages
FROM alpine:${ALPINE_VERSION} AS alpine-amd64
FROM alpine:${ALPINE_VERSION} AS alpine-arm64
FROM alpine:edge@sha256:2d01a16bab53a8405876cec4c27235d47455a7b72b75334c614f2fb0968b3f90 AS alpine-riscv64
FROM alpine-$TARGETARCH AS alpinebase

# xx is a helper for cross-compilation
FROM --platform=$BUILDPLATFORM tonistiigi/xx:${XX_VERSION} AS xx

# go base image
FROM --platform=$BUILDPLATFORM golang:${GO_VERSION}-alpine${ALPINE_VERSION} AS golatest

# git stage is used for checking out remote repository sources
FROM --platform=$BUILDPLATFORM alpine:${ALPINE_VERSION} AS git
RUN apk add --no-cache git

# gobuild is base stage for compiling go/cgo
FROM golatest AS gobuild-base
RUN apk add --no-cache file bash clang lld musl-dev pkgconfig git make
COPY --link --from=xx / /

# runc source
FROM git AS runc-src
ARG RUNC_VERSION
WORKDIR /usr/src
RUN git clone https://github.example.org/opencontainers/runc.git runc \
  && cd runc && git checkout -q "$RUNC_VERSION"

# build runc binary
FROM gobuild-base AS runc
WORKDIR $GOPATH/src/github.example.org/opencontainers/runc
ARG TARGETPLATFORM
# gcc is only installed for libgcc
RUN set -e; xx-apk add musl-dev gcc libseccomp-dev libseccomp-static; \
  [ "$(xx-info arch)" != "ppc64le" ] || XX_CC_PREFER_LINKER=ld xx-clang --setup-target-triple
RUN --mount=from=runc-src,src=/usr/src/runc,target=. --mount=target=/root/.cache,type=cache \
  CGO_ENABLED=1 xx-go build -mod=vendor -ldflags '-extldflags -static' -tags 'apparmor seccomp netgo cgo static_build osusergo' -o /usr/bin/runc ./ && \
  xx-verify --static /usr/bin/runc

FROM gobuild-base AS version
WORKDIR /src
ENV CGO_ENABLED=0
RUN --mount=target=. <<'EOT'
  git config --global --add safe.directory /src
  PKG=example.org/builder VERSION=$(./hack/git-meta version) REVISION=$(git rev-parse HEAD)$(if ! git diff --no-ext-diff --quiet --exit-code; then echo .m; fi);
  echo "-X ${PKG}/version.Version=${VERSION} -X ${PKG}/version.Revision=${REVISION}" | tee /tmp/.ldflags;
  echo -n "${VERSION}" | tee /tmp/.version;
EOT

# build the client
FROM version AS client
ARG TARGETPLATFORM
ARG GOBUILDFLAGS
RUN --mount=target=. --mount=target=/root/.cache,type=cache \
  --mount=target=/go/pkg/mod,type=cache \
  --mount=source=/tmp/.ldflags,target=/tmp/.ldflags,from=version \
  set -ex; \
  xx-go build ${GOBUILDFLAGS} -ldflags "$(cat /tmp/.ldflags)" -o /usr/bin/client ./cmd/client && \
  xx-verify ${GOBUILDFLAGS:+--static} /usr/bin/client

FROM scratch AS binaries-linux
COPY --link --from=runc /usr/bin/runc /builder-runc
COPY --link --from=client /usr/bin/client /
FROM binaries-linux AS binaries-darwin
FROM binaries-$TARGETOS AS binaries

FROM alpinebase AS alpine
RUN apk add --no-cache fuse3 git openssh pigz xz iptables ip6tables \
  && ln -s fusermount3 /usr/bin/fusermount
COPY --link --from=binaries / /usr/bin/

FROM $EXPORT_BASE AS final
ENV BUILDER_SETUP_CGROUPV2_ROOT=1
VOLUME /var/lib/builder
HEALTHCHECK NONE
ENTRYPOINT ["builderd"]
