FROM alpine:3.22@sha256:16bb83acf66f26922f7c6e5363e33cb104bb4f2728ce8ea45e2b0b214dabc90c AS supercronic
ARG TARGETARCH
RUN case "$TARGETARCH" in \
      amd64) sha=71b0d58cc53f6bd72cf2f293e09e294b79c666d8 ;; \
      arm64) sha=e0f0c06ebc5627e43b25475711e694450489ab00 ;; \
      *) exit 1 ;; \
    esac \
 && wget -q -O /supercronic "https://github.com/aptible/supercronic/releases/download/v0.2.33/supercronic-linux-${TARGETARCH}" \
 && echo "${sha}  /supercronic" | sha1sum -c - \
 && chmod 755 /supercronic

FROM alpine:3.22@sha256:16bb83acf66f26922f7c6e5363e33cb104bb4f2728ce8ea45e2b0b214dabc90c
COPY --from=supercronic /supercronic /usr/local/bin/supercronic
COPY --chmod=0644 crontab /etc/crontab
COPY --chmod=0755 jobs/ /opt/jobs/
ENV TZ=UTC
USER 1000:1000
ENTRYPOINT ["supercronic", "-passthrough-logs", "/etc/crontab"]
