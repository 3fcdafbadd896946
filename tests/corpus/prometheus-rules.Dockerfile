FROM prom/prometheus:v3.0.1@sha256:b1aa71e2a7184236d94db5e9d6febf09216fb5c3e6ce3d5c1e9504ba24a0f89b AS check
COPY prometheus.yml /etc/prometheus/
COPY rules /etc/prometheus/rules
RUN ["promtool", "check", "config", "/etc/prometheus/prometheus.yml"]

FROM prom/prometheus:v3.0.1@sha256:b1aa71e2a7184236d94db5e9d6febf09216fb5c3e6ce3d5c1e9504ba24a0f89b
COPY --from=check /etc/prometheus /etc/prometheus
USER nobody
CMD ["--config.file=/etc/prometheus/prometheus.yml", "--storage.tsdb.path=/prometheus", "--web.enable-lifecycle=false"]
