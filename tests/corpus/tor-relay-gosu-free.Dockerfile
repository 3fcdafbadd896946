FROM debian:12-slim@sha256:cb0e0ef94a09c725db48c38fe8a66cef34828df0889e3e04ab271b7b5f4d004a AS keyring
ADD --checksum=sha256:0b1c8b3a9a8f7e6d5c4b3a29180706f5e4d3c2b1a09f8e7d6c5b4a3928171605 https://deb.torproject.org/torproject.org/deb.torproject.org-keyring.gpg /keyring.gpg

FROM debian:12-slim@sha256:cb0e0ef94a09c725db48c38fe8a66cef34828df0889e3e04ab271b7b5f4d004a AS tor
COPY --from=keyring --chmod=0644 /keyring.gpg /usr/share/keyrings/tor.gpg
RUN echo 'deb [signed-by=/usr/share/keyrings/tor.gpg] https://deb.torproject.org/torproject.org bookworm main' > /etc/apt/sources.list.d/tor.list \
 && apt-get update && apt-get install -y --no-install-recommends ca-certificates tor && rm -rf /var/lib/apt/lists/* \
 && mkdir -p /rootfs/usr/bin /rootfs/lib && cp /usr/bin/tor /rootfs/usr/bin/ \
 && ldd /usr/bin/tor | grep -o '/[^ ]*' > /libs || exit 1
RUN xargs -a /libs cp -vt /rootfs/lib/

FROM registry.example.com/distroless/base-debian12@sha256:6a27189dc86557cafe637dab695ea5fa7c6f0c14bb4d8694b8ae16ca786e54bb
COPY --from=tor /rootfs/ /
COPY torrc /etc/tor/torrc
USER 65532
EXPOSE 9001
ENTRYPOINT ["/usr/bin/tor", "-f", "/etc/tor/torrc"]
