FROM lukemathwalker/cargo-chef:0.1.68-rust-1.83-bookworm@sha256:987cb9a978f3e4605296a2def3befe94a68a53f31c1c3f12871287639e393bf0 AS chef
WORKDIR /app

FROM chef AS planner
COPY . .
RUN cargo chef prepare --recipe-path recipe.json

FROM chef AS builder
COPY --from=planner /app/recipe.json recipe.json
# Build dependencies - this is the caching Docker layer!
RUN cargo chef cook --release --recipe-path recipe.json
COPY . .
ENV SQLX_OFFLINE=true
RUN cargo build --release --locked --bin app

FROM registry.example.com/distroless/cc-debian12:nonroot@sha256:34ec28190d2e67cf8fd4928b3278d4655d100e4f4a0d3f0abc6ad0d986dd4ac1 AS runtime
WORKDIR /app
COPY --from=builder /app/target/release/app /usr/local/bin/app
COPY configuration configuration
ENV APP_ENVIRONMENT=production
ENTRYPOINT ["/usr/local/bin/app"]
