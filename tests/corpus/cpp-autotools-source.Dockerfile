FROM debian:12-slim@sha256:cb0e0ef94a09c725db48c38fe8a66cef34828df0889e3e04ab271b7b5f4d004a AS src
ADD --checksum=sha256:a5f0fbcf1c1c5ec5ac9bd2a5b3a8e1b4cd9a37d25e4bbcd4b0d4a4d0a8b0ef31 \
    https://www.example.org/dist/libfoo-4.2.tar.xz /tmp/libfoo.tar.xz
RUN apt-get update && apt-get install -y --no-install-recommends xz-utils && rm -rf /var/lib/apt/lists/* \
 && mkdir /usr/src/libfoo && tar -xJf /tmp/libfoo.tar.xz -C /usr/src/libfoo --strip-components=1

FROM src AS build
RUN apt-get update && apt-get install -y --no-install-recommends build-essential && rm -rf /var/lib/apt/lists/*
WORKDIR /usr/src/libfoo
COPY patches/*.patch /patches/
RUN for p in /patches/*.patch; do patch -p1 < "$p" || exit 1; done \
 && ./configure --prefix=/usr --sysconfdir=/etc --disable-static \
 && make -j"$(nproc)" && make check && make install DESTDIR=/rootfs

FROM debian:12-slim@sha256:cb0e0ef94a09c725db48c38fe8a66cef34828df0889e3e04ab271b7b5f4d004a
COPY --from=build /rootfs/ /
USER 10001
CMD ["foo", "--foreground"]
