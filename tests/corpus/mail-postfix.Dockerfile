FROM debian:12-slim@sha256:cb0e0ef94a09c725db48c38fe8a66cef34828df0889e3e04ab271b7b5f4d004a
RUN set -eux; \
    { echo 'postfix postfix/main_mailer_type select No configuration'; } | debconf-set-selections; \
    apt-get update; \
    DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends ca-certificates postfix; \
    rm -rf /var/lib/apt/lists/*; \
    postconf -e maillog_file=/dev/stdout inet_interfaces=all
COPY main.cf master.cf /etc/postfix/
VOLUME /var/spool/postfix
EXPOSE 1025
USER postfix
CMD ["postfix", "start-fg"]
