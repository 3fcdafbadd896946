FROM crystallang/crystal:1.14-alpine@sha256:9cdc42cbe78fd7d9e93fd6ce640a2b9ee5e0a474be3bba1e5eb25739e2a69af0 AS build
WORKDIR /app
COPY shard.yml shard.lock ./
RUN shards install --frozen --production
COPY src src
RUN shards build --release --static --no-debug

FROM scratch
COPY --from=build /app/bin/kv /kv
COPY --from=build /etc/ssl/cert.pem /etc/ssl/cert.pem
USER 4000:4000
EXPOSE 7379
ENTRYPOINT ["/kv"]
