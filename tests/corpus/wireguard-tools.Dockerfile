FROM alpine:3.22@sha256:16bb83acf66f26922f7c6e5363e33cb104bb4f2728ce8ea45e2b0b214dabc90c AS apk
RUN apk add --no-cache --root /rootfs --initdb --keys-dir /etc/apk/keys --repositories-file /etc/apk/repositories wireguard-tools-wg

FROM alpine:3.22@sha256:16bb83acf66f26922f7c6e5363e33cb104bb4f2728ce8ea45e2b0b214dabc90c
COPY --from=apk /rootfs/usr/bin/wg /usr/bin/wg
USER nobody
ENTRYPOINT ["wg"]
