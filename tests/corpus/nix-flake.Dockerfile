FROM nixos/nix:2.25.3@sha256:ba51b195928fbd629d868edb6b1b768bc0ddaf1ff84173b1ef6df03e98a9e262 AS builder
COPY . /tmp/build
WORKDIR /tmp/build
RUN nix --extra-experimental-features "nix-command flakes" \
    --option filter-syscalls false \
    build
RUN mkdir /tmp/nix-store-closure && cp -R $(nix-store -qR result/) /tmp/nix-store-closure

FROM scratch
WORKDIR /app
COPY --from=builder /tmp/nix-store-closure /nix/store
COPY --from=builder /tmp/build/result /app
USER 10001
CMD ["/app/bin/app"]
