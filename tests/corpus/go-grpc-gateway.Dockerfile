FROM bufbuild/buf:1.47@sha256:2923d15828e73edf5bd467bf7319bbba49d424d5508dc50b2e513dd77d17a595 AS buf
FROM golang:1.24-alpine@sha256:cde35d09c0c0a3a9ba412f55dec84c16f8c4291185ca8b8946ce4e5a10809896 AS gen
COPY --from=buf /usr/local/bin/buf /usr/local/bin/buf
WORKDIR /work
COPY buf.yaml buf.gen.yaml buf.lock ./
COPY proto ./proto
RUN buf generate

FROM gen AS build
COPY go.mod go.sum ./
RUN go mod download
COPY cmd ./cmd
COPY internal ./internal
RUN set -eux; \
    for cmd in gateway worker; do \
      CGO_ENABLED=0 go build -o "/out/$cmd" "./cmd/$cmd"; \
    done

FROM registry.example.com/chainguard/static:latest@sha256:cb9505488dd4797782f4211f0ffa259d9b75356da59036e438603b1d104bc963 AS gateway
COPY --from=build /out/gateway /usr/bin/gateway
USER 65532
EXPOSE 8080/tcp 9090/tcp
ENTRYPOINT ["/usr/bin/gateway"]

FROM registry.example.com/chainguard/static:latest@sha256:cb9505488dd4797782f4211f0ffa259d9b75356da59036e438603b1d104bc963 AS worker
COPY --from=build /out/worker /usr/bin/worker
USER 65532
ENTRYPOINT ["/usr/bin/worker"]
