# The shape of a self-hosted forge: build folders with chmod in a here-less RUN, S6, two volumes.
# Build stage
FROM docker.io/library/golang:1.22-alpine3.19 AS build-env

ARG GOPROXY
ENV GOPROXY ${GOPROXY:-direct}

ARG FORGE_VERSION
ARG TAGS="sqlite sqlite_unlock_notify"
ENV TAGS "bindata timetzdata $TAGS"
ARG CGO_EXTRA_CFLAGS

# Build deps
RUN apk --no-cache add \
    build-base \
    git \
    nodejs \
    npm \
    && rm -rf /var/cache/apk/*

# Setup repo
COPY . ${GOPATH}/src/code.example.org/forge
WORKDIR ${GOPATH}/src/code.example.org/forge

# Checkout version if set
RUN if [ -n "${FORGE_VERSION}" ]; then git checkout "${FORGE_VERSION}"; fi \
 && make clean-all build

# Copy local files
COPY docker/root /tmp/local

# Set permissions
RUN chmod 755 /tmp/local/usr/bin/entrypoint \
              /tmp/local/usr/local/bin/forge \
              /tmp/local/etc/s6/forge/* \
              /tmp/local/etc/s6/.s6-svscan/*

FROM docker.io/library/alpine:3.19
LABEL maintainer="maintainers@example.org"

EXPOSE 22 3000

RUN apk --no-cache add bash ca-certificates curl gettext git linux-pam openssh s6 sqlite su-exec gnupg \
    && rm -rf /var/cache/apk/*

RUN addgroup \
    -S -g 1000 \
    git && \
  adduser \
    -S -H -D \
    -h /data/git \
    -s /bin/bash \
    -u 1000 \
    -G git \
    git && \
  echo "git:*" | chpasswd -e

ENV USER git
ENV FORGE_CUSTOM /data/forge

VOLUME ["/data"]

ENTRYPOINT ["/usr/bin/entrypoint"]
CMD ["/bin/s6-svscan", "/etc/s6"]

COPY --from=build-env /tmp/local /
COPY --from=build-env /go/src/code.example.org/forge/forge /app/forge/forge
