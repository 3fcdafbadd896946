# syntax=docker/dockerfile:1
ARG XX_VERSION=1.6.1
FROM --platform=$BUILDPLATFORM tonistiigi/xx:${XX_VERSION}@sha256:b9e9473d91de2f0526d4ae0455267c01efd69930af71b3b001c4b3356750d4e9 AS xx

FROM --platform=$BUILDPLATFORM golang:1.24-alpine@sha256:cde35d09c0c0a3a9ba412f55dec84c16f8c4291185ca8b8946ce4e5a10809896 AS base
COPY --from=xx / /
RUN apk add --no-cache clang lld file git make
WORKDIR /src
ENV GOFLAGS=-mod=vendor

FROM base AS build
ARG TARGETPLATFORM
RUN --mount=type=bind,target=. --mount=type=cache,target=/root/.cache,id=build-$TARGETPLATFORM <<EOT
  set -ex
  xx-go --wrap
  make build DESTDIR=/out
  xx-verify --static /out/docker-plugin
EOT

FROM scratch AS binary
COPY --from=build /out/docker-plugin /docker-plugin

FROM scratch
COPY --link --from=binary /docker-plugin /docker-plugin
USER 10001
ENTRYPOINT ["/docker-plugin"]
