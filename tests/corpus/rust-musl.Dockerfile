# syntax=docker/dockerfile:1
FROM rust:1.83-alpine3.22@sha256:b0fa4c9b5395277974af354479369679e3fbc0d520ba7f0fec8e12e685ecd93c AS build
RUN apk add --no-cache musl-dev
WORKDIR /src
COPY Cargo.toml Cargo.lock ./
COPY src ./src
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target \
    cargo build --release --locked && \
    cp target/release/relay /relay

FROM scratch
COPY --from=build /relay /relay
USER 10001:10001
ENTRYPOINT ["/relay"]
