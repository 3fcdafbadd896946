# syntax=docker/dockerfile:1
FROM golang:1.24-bookworm@sha256:f41eedcfd4d73dae4e1b95bfb49ae5efaaf296e6f4160843dbd21404d911d1cf AS build
ENV GOPRIVATE=git.example.com/*
RUN git config --global url."ssh://git@git.example.com/".insteadOf "https://git.example.com/"
COPY known_hosts /root/.ssh/known_hosts
WORKDIR /src
COPY go.mod go.sum ./
RUN --mount=type=ssh --mount=type=cache,target=/go/pkg/mod go mod download
COPY . .
RUN --mount=type=cache,target=/go/pkg/mod go build -o /out/billing ./cmd/billing

FROM registry.example.com/distroless/base-debian12:nonroot@sha256:b8f0e6c4ab7ad18e4315837de3b02f06d5c621e5431816aa728f7640ea996b3a
COPY --from=build /out/billing /usr/bin/billing
USER nonroot:nonroot
ENTRYPOINT ["/usr/bin/billing"]
