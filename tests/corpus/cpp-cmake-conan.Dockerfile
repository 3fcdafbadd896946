# syntax=docker/dockerfile:1
FROM debian:12@sha256:3be3c43cd7ee541bb601f8131132ed025ff97406130f73774fe3ffcf6ee8b86d AS toolchain
ENV DEBIAN_FRONTEND=noninteractive
RUN <<EOF
set -e
apt-get update
apt-get install -y --no-install-recommends \
  ca-certificates cmake g++ ninja-build python3-venv
rm -rf /var/lib/apt/lists/*
python3 -m venv /opt/conan
/opt/conan/bin/pip install --no-cache-dir conan==2.10.2
EOF
ENV PATH=/opt/conan/bin:$PATH

FROM toolchain AS deps
WORKDIR /src
COPY conanfile.py conan.lock ./
COPY profiles profiles
RUN --mount=type=cache,target=/root/.conan2/p \
    conan install . --lockfile=conan.lock --profile=profiles/release --build=missing -of build

FROM deps AS build
COPY CMakeLists.txt ./
COPY include include
COPY src src
COPY test test
RUN cmake -S . -B build -G Ninja -DCMAKE_TOOLCHAIN_FILE=build/conan_toolchain.cmake -DCMAKE_BUILD_TYPE=Release \
 && cmake --build build \
 && ctest --test-dir build --output-on-failure \
 && cmake --install build --prefix /out --strip

FROM registry.example.com/distroless/cc-debian12:nonroot@sha256:34ec28190d2e67cf8fd4928b3278d4655d100e4f4a0d3f0abc6ad0d986dd4ac1
COPY --from=build /out/bin/pricer /usr/bin/pricer
ENTRYPOINT ["/usr/bin/pricer"]
