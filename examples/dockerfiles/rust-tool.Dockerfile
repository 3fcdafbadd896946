# syntax=docker/dockerfile:1
# expect: nothing
# A static Rust program, built with a heredoc, shipped on nothing.

FROM rust:1.89-alpine3.22@sha256:b43ee24b6d7d1d7d9a6a9d8a2b0e6c1f3d5a7b9c1e2f4a6b8d0c2e4f6a8b0d2c AS build
WORKDIR /src
COPY . .
RUN --mount=type=cache,target=/usr/local/cargo/registry --mount=type=cache,target=/src/target <<EOR
set -eu
cargo build --release --locked
install -D -m 0755 target/release/tool /out/tool
EOR

FROM scratch
COPY --from=build /out/tool /tool
USER 65532:65532
ENTRYPOINT ["/tool"]
