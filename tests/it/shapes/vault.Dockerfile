# The shape of a secret store's release image: several targets of one file, arguments that have no default.
## DOCKERHUB DOCKERFILE ##
FROM alpine:3.18 as default

ARG BIN_NAME
# NAME and PRODUCT_VERSION are the name of the software in releases
# and the version to download. Example: NAME=vaulty PRODUCT_VERSION=1.2.3.
ARG NAME=vaulty
ARG PRODUCT_VERSION
ARG PRODUCT_REVISION
# TARGETARCH and TARGETOS are set automatically when --platform is provided.
ARG TARGETOS TARGETARCH

# Additional metadata labels used by container registries, platforms
# and certification scanners.
LABEL name="Vaulty" \
      maintainer="Vaulty Team <vaulty@example.com>" \
      vendor="Example Corp" \
      version=${PRODUCT_VERSION} \
      release=${PRODUCT_REVISION} \
      revision=${PRODUCT_REVISION} \
      summary="Vaulty is a tool for securely accessing secrets." \
      description="Vaulty is a tool for securely accessing secrets. A secret is anything that you want to tightly control access to, such as API keys, passwords, certificates, and more."

# Set ARGs as ENV so that they can be used in ENTRYPOINT/CMD
ENV NAME=$NAME
ENV VERSION=$VERSION

# Create a non-root user to run the software.
RUN addgroup ${NAME} && adduser -S -G ${NAME} ${NAME}

RUN apk add --no-cache libcap su-exec dumb-init tzdata

COPY dist/$TARGETOS/$TARGETARCH/$BIN_NAME /bin/

RUN mkdir -p /vaulty/logs && \
    mkdir -p /vaulty/file && \
    mkdir -p /vaulty/config && \
    chown -R ${NAME}:${NAME} /vaulty

VOLUME /vaulty/logs
VOLUME /vaulty/file

EXPOSE 8200

COPY .release/docker/docker-entrypoint.sh /usr/local/bin/docker-entrypoint.sh
ENTRYPOINT ["docker-entrypoint.sh"]

# # By default you'll get a single-node development server.
CMD ["server", "-dev"]


## UBI DOCKERFILE ##
FROM registry.access.example.com/ubi8/ubi-minimal:8.8 as ubi

ARG BIN_NAME
ARG PRODUCT_VERSION
ARG TARGETOS TARGETARCH

ENV NAME=vaulty
RUN microdnf install -y shadow-utils util-linux tzdata \
    && groupadd --gid 1000 vaulty && \
    adduser --uid 100 --system -g vaulty vaulty && \
    usermod -a -G root vaulty

COPY dist/$TARGETOS/$TARGETARCH/$BIN_NAME /bin/
COPY .release/docker/ubi-docker-entrypoint.sh /usr/local/bin/docker-entrypoint.sh
ENTRYPOINT ["docker-entrypoint.sh"]
USER ${NAME}
CMD ["server", "-dev"]
