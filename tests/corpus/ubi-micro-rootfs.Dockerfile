FROM registry.example.com/ubi9/ubi:9.5@sha256:65f09d74d8bf892e919c517c76039d95c75757bd8de68ff68f12309185bcb021 AS rootfs
RUN mkdir -p /mnt/rootfs && \
    dnf install --installroot /mnt/rootfs --releasever 9 --setopt install_weak_deps=false --nodocs -y \
      coreutils-single glibc-minimal-langpack openssl-libs && \
    dnf --installroot /mnt/rootfs clean all && \
    rm -rf /mnt/rootfs/var/cache/* /mnt/rootfs/var/log/dnf* /mnt/rootfs/var/log/yum.*

FROM registry.example.com/ubi9/go-toolset:1.22@sha256:81ad84a1a8f6f4c93938f5a169595865b9805d4b22833372472e5c87c5a51add AS build
USER 0
WORKDIR /opt/app-root/src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
RUN go build -o /tmp/exporter ./cmd/exporter

FROM registry.example.com/ubi9/ubi-micro:9.5@sha256:4ad2b82f019d0aaf289a6b73d32ad2bcfa70cd9e6285c5a794ade8a2b2b1b16e
LABEL name="exporter" vendor="Example" version="1.4.0" release="1" summary="Exports" description="Exports figures"
COPY --from=rootfs /mnt/rootfs/ /
COPY --from=build /tmp/exporter /usr/bin/exporter
COPY LICENSE /licenses/LICENSE
USER 1001
ENTRYPOINT ["/usr/bin/exporter"]
