# syntax=docker/dockerfile:1
FROM golang:1.24-alpine@sha256:cde35d09c0c0a3a9ba412f55dec84c16f8c4291185ca8b8946ce4e5a10809896 AS base
WORKDIR /src
RUN --mount=type=bind,source=go.mod,target=go.mod --mount=type=bind,source=go.sum,target=go.sum \
    --mount=type=cache,target=/go/pkg/mod/ go mod download -x

FROM base AS unit
RUN --mount=type=bind,target=. --mount=type=cache,target=/root/.cache/go-build \
    go test -json ./... > /report.json

FROM scratch AS report
COPY --from=unit /report.json /

FROM base AS build-client
RUN --mount=type=bind,target=. --mount=type=cache,target=/root/.cache/go-build go build -o /bin/client ./cmd/client

FROM base AS build-server
RUN --mount=type=bind,target=. --mount=type=cache,target=/root/.cache/go-build go build -o /bin/server ./cmd/server

FROM scratch AS client
COPY --from=build-client /bin/client /bin/
USER 10001
ENTRYPOINT ["/bin/client"]

FROM scratch AS server
COPY --from=build-server /bin/server /bin/
USER 10001
ENTRYPOINT ["/bin/server"]
