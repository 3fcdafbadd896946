FROM rust:1.83-slim-bookworm@sha256:8c3149b1aa4869bec286e3e9acea34a73ee6a986e822f19b970994ebac97b3fd AS build
RUN --mount=type=cache,target=/var/cache/apt,sharing=locked \
    --mount=type=cache,target=/var/lib/apt,sharing=locked \
    rm -f /etc/apt/apt.conf.d/docker-clean && \
    apt-get update && apt-get install -y --no-install-recommends \
      pkg-config libssl-dev protobuf-compiler
WORKDIR /ws
COPY --parents Cargo.toml Cargo.lock crates/*/Cargo.toml crates/*/src ./
ARG PROFILE=release
ENV CARGO_INCREMENTAL=0 RUSTFLAGS="-C strip=symbols"
RUN --mount=type=cache,target=/ws/target,id=ws-${PROFILE} <<EOF
set -eu
cargo build --profile "$PROFILE" --locked --workspace --bins
mkdir -p /out
find "target/$PROFILE" -maxdepth 1 -type f -perm -u+x -exec cp {} /out/ \;
EOF

FROM debian:12-slim@sha256:cb0e0ef94a09c725db48c38fe8a66cef34828df0889e3e04ab271b7b5f4d004a AS libs
RUN apt-get update && apt-get install -y --no-install-recommends libssl3 ca-certificates \
 && rm -rf /var/lib/apt/lists/*

FROM registry.example.com/distroless/cc-debian12@sha256:ed9695a7e6762e6d972deb95005714b379114d3469f8b7ce264c0086ccf7b725
COPY --from=libs /usr/lib/x86_64-linux-gnu/libssl.so.3 /usr/lib/x86_64-linux-gnu/libcrypto.so.3 /usr/lib/x86_64-linux-gnu/
COPY --from=build /out/ /usr/local/bin/
USER 65532
ENTRYPOINT ["/usr/local/bin/api"]
