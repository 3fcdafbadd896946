FROM busybox:1.37-musl@sha256:7a47634a5c554646ff2541136e6be03862e08e26f00d691d8a710b6e68454644 AS tree
RUN set -eu; mkdir -p /r/bin /r/proc /r/sys /r/dev; cp /bin/busybox /r/bin/; for a in sh mount mdev switch_root; do ln -s busybox "/r/bin/$a"; done
COPY --chmod=0755 init /r/init
RUN cd /r && find . | cpio -o -H newc > /initramfs.cpio || exit 1

FROM scratch
COPY --from=tree /initramfs.cpio /
USER 65534:65534
