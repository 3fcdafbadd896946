FROM alpine:3.22@sha256:16bb83acf66f26922f7c6e5363e33cb104bb4f2728ce8ea45e2b0b214dabc90c AS build
RUN apk add --no-cache gcc musl-dev make linux-headers
COPY . /src
WORKDIR /src
RUN make CFLAGS='-O2 -static -fPIE -Wall -D_FORTIFY_SOURCE=2' LDFLAGS=-static-pie \
 && make check \
 && make DESTDIR=/out install-strip

FROM scratch
COPY --from=build /out/usr/local/sbin/tinyproxy /tinyproxy
USER 65534:65534
ENTRYPOINT ["/tinyproxy", "-d"]
