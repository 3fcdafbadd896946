FROM alpine:3.22@sha256:16bb83acf66f26922f7c6e5363e33cb104bb4f2728ce8ea45e2b0b214dabc90c AS protoc
ARG PROTOC_VERSION=29.2
ARG BUILDARCH
RUN <<EOF
set -eu
apk add --no-cache curl unzip
case "$BUILDARCH" in
  amd64) arch=x86_64 sum=52e9e7ece55c7e30e7e8bbd254b4b21b408a5309bca826763c7124b696a132e9 ;;
  arm64) arch=aarch_64 sum=29d0af3ba3a3c6dfba3a8b3c1b5d7a8f5b2c1d4e6f8a9b0c1d2e3f4a5b6c7d8e ;;
esac
curl -fsSLo /tmp/protoc.zip "https://github.com/protocolbuffers/protobuf/releases/download/v${PROTOC_VERSION}/protoc-${PROTOC_VERSION}-linux-${arch}.zip"
echo "$sum  /tmp/protoc.zip" | sha256sum -c
unzip -d /opt/protoc /tmp/protoc.zip
rm /tmp/protoc.zip
EOF

FROM protoc AS generate
WORKDIR /proto
COPY proto .
RUN mkdir /gen && find . -name '*.proto' -print0 | xargs -0 /opt/protoc/bin/protoc -I. --go_out=/gen || exit 1

FROM scratch
COPY --from=generate /gen /
USER 65534
