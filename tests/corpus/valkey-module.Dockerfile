FROM rust:1.83-bookworm@sha256:d6b597c5e882d64ab0f8dc0b9435f3de122a3f926caff979d4466d55df8ec222 AS module
WORKDIR /m
COPY Cargo.toml Cargo.lock ./
COPY src src
RUN apt-get update && apt-get install -y --no-install-recommends clang && rm -rf /var/lib/apt/lists/* && cargo build --release --locked

FROM valkey/valkey:8.0@sha256:0ea5a4a691f5d9892763eb0706857bdbe4a722475fc0274822e5f291549fbe3f
COPY --from=module /m/target/release/libbloom.so /usr/lib/valkey/modules/
USER valkey
CMD ["valkey-server", "--loadmodule", "/usr/lib/valkey/modules/libbloom.so"]
