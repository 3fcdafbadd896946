FROM registry.example.com/gleam-lang/gleam:v1.6.3-erlang-alpine@sha256:842f75ae3f4f8960de5ac3dc9c1bef9a2fde8af26eac31b75d501659500a0a2c AS build
WORKDIR /app
COPY gleam.toml manifest.toml ./
COPY src src
RUN gleam export erlang-shipment

FROM erlang:27-alpine@sha256:ec47765e4ffebea869e68b7d39f2d63dab2ae4564273ae13c5689c9551bf6fe2
COPY --from=build /app/build/erlang-shipment /app
WORKDIR /app
USER 1000
ENTRYPOINT ["/app/entrypoint.sh"]
CMD ["run"]
