FROM alpine:3.22@sha256:16bb83acf66f26922f7c6e5363e33cb104bb4f2728ce8ea45e2b0b214dabc90c AS zig
ARG ZIG_VERSION=0.13.0
ARG ZIG_SHA256=d45312e61ebcc48032b77bc4cf7fd6915c11fa16e4aac116b66c9468211230ea
RUN wget -q "https://ziglang.org/download/${ZIG_VERSION}/zig-linux-x86_64-${ZIG_VERSION}.tar.xz" -O /zig.tar.xz \
 && echo "${ZIG_SHA256}  /zig.tar.xz" | sha256sum -c - \
 && mkdir /opt/zig && tar -xJf /zig.tar.xz -C /opt/zig --strip-components=1 && rm /zig.tar.xz
ENV PATH=/opt/zig:$PATH
WORKDIR /src
COPY build.zig build.zig.zon ./
COPY src src
RUN zig build -Doptimize=ReleaseSafe -Dtarget=x86_64-linux-musl --prefix /out

FROM scratch
COPY --from=zig /out/bin/parse /parse
USER 1
ENTRYPOINT ["/parse"]
