# The shape of a proxy's own image: a static binary on a small base with ca-certificates.
# syntax=docker/dockerfile:1.2
FROM alpine:3.19

RUN apk --no-cache --no-progress add ca-certificates tzdata \
    && rm -rf /var/cache/apk/*

ARG TARGETPLATFORM
COPY ./dist/$TARGETPLATFORM/proxy /

EXPOSE 80
VOLUME ["/tmp"]

ENTRYPOINT ["/proxy"]
