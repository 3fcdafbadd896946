FROM clickhouse/clickhouse-server:24.12-alpine@sha256:4614a4b8f49249800e0506a38586523be67c463911f0f313f29c2aa1020046f2
COPY config.d/ /etc/clickhouse-server/config.d/
COPY users.d/ /etc/clickhouse-server/users.d/
RUN chown -R clickhouse:clickhouse /etc/clickhouse-server/config.d /etc/clickhouse-server/users.d
USER 101:101
