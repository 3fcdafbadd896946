# syntax=docker/dockerfile:1.9
ARG GO_VERSION=1.24
FROM --platform=$BUILDPLATFORM golang:${GO_VERSION}-bookworm@sha256:0f2dfb84714e6831ece1d109d340d34fd7f81479a06ef5f62345a1a7679a0b56 AS base
WORKDIR /src
ENV CGO_ENABLED=0
RUN --mount=type=bind,source=go.mod,target=go.mod \
    --mount=type=bind,source=go.sum,target=go.sum \
    --mount=type=cache,target=/go/pkg/mod \
    go mod download

FROM base AS build
ARG TARGETOS TARGETARCH TARGETVARIANT
ARG VERSION
RUN --mount=type=bind,target=. \
    --mount=type=cache,target=/go/pkg/mod \
    --mount=type=cache,target=/root/.cache \
    GOOS=$TARGETOS GOARCH=$TARGETARCH GOARM=${TARGETVARIANT#v} \
    go build -trimpath -ldflags "-X main.version=${VERSION:-unknown}" -o /out/agent ./cmd/agent

FROM base AS vet
RUN --mount=type=bind,target=. --mount=type=cache,target=/root/.cache go vet ./...

FROM base AS test
RUN --mount=type=bind,target=. --mount=type=cache,target=/root/.cache \
    go test -race -coverprofile=/tmp/cover.out ./... || exit 1

FROM registry.example.com/distroless/static-debian12:nonroot@sha256:22e2a63cb90bd43e7efb4f6a854cff0f0f35f8643ad9227db6532f5c795585ca AS release
COPY --from=build /out/agent /usr/local/bin/agent
USER 65532
ENTRYPOINT ["/usr/local/bin/agent"]
CMD ["--config", "/etc/agent/agent.yaml"]
