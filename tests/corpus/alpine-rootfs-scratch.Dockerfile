FROM alpine:3.22@sha256:16bb83acf66f26922f7c6e5363e33cb104bb4f2728ce8ea45e2b0b214dabc90c AS root
RUN mkdir -p /out/etc/apk \
 && cp -r /etc/apk/* /out/etc/apk/ \
 && apk add --no-cache --initdb -p /out alpine-baselayout busybox ca-certificates-bundle musl tini \
 && rm -rf /out/etc/apk /out/lib/apk /out/var/cache

FROM scratch
COPY --from=root /out/ /
COPY --chmod=0755 entrypoint.sh /entrypoint.sh
USER 10001
ENTRYPOINT ["/sbin/tini", "--", "/entrypoint.sh"]
