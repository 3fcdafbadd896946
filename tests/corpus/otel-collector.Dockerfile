FROM golang:1.24@sha256:6a2ff0c7551a1c781de68bf9d283a5ab95d9e752cb665b9e93f2d7e35b0a1cce AS build
ARG OCB_VERSION=0.116.0
ADD --checksum=sha256:3c2a5e1b3a1d9ebf85a5e5c5a9c8c9a7d7d2f0f6f4f2b1b0a1c0d9e8f7a6b5c4 --chmod=755 \
    https://github.com/open-telemetry/opentelemetry-collector-releases/releases/download/cmd%2Fbuilder%2Fv${OCB_VERSION}/ocb_${OCB_VERSION}_linux_amd64 /usr/local/bin/ocb
WORKDIR /build
COPY builder-config.yaml .
RUN --mount=type=cache,target=/root/.cache/go-build --mount=type=cache,target=/go/pkg/mod \
    CGO_ENABLED=0 ocb --config builder-config.yaml

FROM scratch
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=build /build/dist/otelcol /otelcol
COPY config.yaml /etc/otelcol/config.yaml
USER 10001
EXPOSE 4317 4318 13133
ENTRYPOINT ["/otelcol"]
CMD ["--config", "/etc/otelcol/config.yaml"]
