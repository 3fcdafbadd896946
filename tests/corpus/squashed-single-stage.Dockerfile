FROM debian:12-slim@sha256:cb0e0ef94a09c725db48c38fe8a66cef34828df0889e3e04ab271b7b5f4d004a
COPY bin/collector /usr/local/bin/collector
COPY etc/collector.toml /etc/collector.toml
USER 10001:10001
ENTRYPOINT ["/usr/local/bin/collector", "--config", "/etc/collector.toml"]
