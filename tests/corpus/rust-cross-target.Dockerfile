FROM --platform=$BUILDPLATFORM rust:1.83-slim-bookworm@sha256:8c3149b1aa4869bec286e3e9acea34a73ee6a986e822f19b970994ebac97b3fd AS build
ARG TARGETARCH
SHELL ["/bin/bash", "-eo", "pipefail", "-c"]
RUN case "${TARGETARCH}" in \
      amd64) echo x86_64-unknown-linux-musl > /target; pkg=musl-tools ;; \
      arm64) echo aarch64-unknown-linux-musl > /target; pkg="musl-tools gcc-aarch64-linux-gnu" ;; \
      *) echo "unsupported: ${TARGETARCH}" >&2; exit 1 ;; \
    esac; \
    apt-get update; \
    apt-get install -y --no-install-recommends ${pkg}; \
    rm -rf /var/lib/apt/lists/*; \
    rustup target add "$(cat /target)"
WORKDIR /src
COPY . .
RUN --mount=type=cache,target=/usr/local/cargo/registry,sharing=locked \
    cargo build --release --locked --target "$(< /target)" && \
    install -Dm755 "target/$(< /target)/release/grid" /out/grid

FROM scratch
COPY --from=build /out/grid /grid
USER 1000
CMD ["/grid", "serve"]
