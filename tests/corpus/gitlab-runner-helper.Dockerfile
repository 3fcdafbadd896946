FROM alpine:3.22@sha256:16bb83acf66f26922f7c6e5363e33cb104bb4f2728ce8ea45e2b0b214dabc90c AS certs
RUN apk add --no-cache ca-certificates
COPY corp-root.crt /usr/local/share/ca-certificates/
RUN update-ca-certificates

FROM gitlab/gitlab-runner:alpine-v17.7.0@sha256:7350b59d840703b3677b66c2dd3b7e2e309051a3d7870df5238f654167d6be59
COPY --from=certs /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
USER 999
