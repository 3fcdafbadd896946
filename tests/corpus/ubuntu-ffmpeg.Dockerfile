FROM ubuntu:24.04@sha256:19a0a084b9b98c04a22f4cac4a949148eb595a0350ba65e52e51eac3fb8b2c7c AS build
ARG DEBIAN_FRONTEND=noninteractive
RUN apt-get update && apt-get install -y --no-install-recommends \
      build-essential ca-certificates nasm pkg-config libx264-dev libopus-dev xz-utils \
 && rm -rf /var/lib/apt/lists/*
WORKDIR /ffmpeg
ADD --checksum=sha256:fd59e6160476095082e94150ada5a6032d7dcc282fe38ce682a00c18e7820528 https://ffmpeg.org/releases/ffmpeg-7.1.tar.bz2 /tmp/ffmpeg.tar.bz2
RUN tar -xjf /tmp/ffmpeg.tar.bz2 --strip-components=1 \
 && ./configure --enable-gpl --enable-libx264 --enable-libopus --disable-doc --disable-ffplay \
 && make -j"$(nproc)" \
 && make install DESTDIR=/out
RUN mkdir -p /out/lib && ldd /out/usr/local/bin/ffmpeg | tr -s '[:blank:]' '\n' | grep '^/' | xargs -I % sh -c 'install -D % /out/%;' || exit 1

FROM scratch
COPY --from=build /out/ /
USER 10001
ENTRYPOINT ["/usr/local/bin/ffmpeg"]
