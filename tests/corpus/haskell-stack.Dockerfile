FROM haskell:9.8.4-slim-bookworm@sha256:d35a33d57ba4b1bf92d9a6315b4c3dc5cd6f777a71d32673af7c28370e97345d AS dependencies
WORKDIR /opt/build
COPY stack.yaml stack.yaml.lock package.yaml ./
RUN stack build --system-ghc --dependencies-only

FROM dependencies AS build
COPY . .
RUN stack build --system-ghc --copy-bins --local-bin-path /out

FROM debian:12-slim@sha256:cb0e0ef94a09c725db48c38fe8a66cef34828df0889e3e04ab271b7b5f4d004a AS runtime-libs
SHELL ["/bin/bash", "-euo", "pipefail", "-c"]
RUN apt-get update && apt-get install -y --no-install-recommends libgmp10 zlib1g && rm -rf /var/lib/apt/lists/*
COPY --from=build /out/wiki /out/wiki
RUN ldd /out/wiki | awk '$3 ~ /^\// { print $3 }' | xargs -I{} cp -v --parents {} /out/

FROM registry.example.com/distroless/base-debian12@sha256:6a27189dc86557cafe637dab695ea5fa7c6f0c14bb4d8694b8ae16ca786e54bb
COPY --from=runtime-libs /out/ /
USER 65532
ENTRYPOINT ["/wiki"]
