FROM debian:12-slim@sha256:cb0e0ef94a09c725db48c38fe8a66cef34828df0889e3e04ab271b7b5f4d004a AS toolchain
RUN apt-get update \
 && apt-get -y install --no-install-recommends gcc-arm-none-eabi libnewlib-arm-none-eabi cmake ninja-build \
 && apt-get clean && rm -rf /var/lib/apt/lists/*

FROM toolchain AS firmware
WORKDIR /fw
COPY . .
RUN cmake -G Ninja -B out -DCMAKE_TOOLCHAIN_FILE=cmake/arm.cmake \
 && cmake --build out \
 && arm-none-eabi-size out/fw.elf \
 && arm-none-eabi-objcopy -O binary out/fw.elf out/fw.bin

FROM scratch
COPY --from=firmware /fw/out/fw.bin /fw/out/fw.elf /
USER 1000
