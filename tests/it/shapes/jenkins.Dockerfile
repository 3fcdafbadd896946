# The shape of an automation server's image: jlink in a stage, a group of ARG, --mount of a bind, LABEL without end.
ARG BOOKWORM_TAG=20240311
FROM eclipse-temurin:17.0.10_7-jdk-jammy as jre-build

SHELL ["/bin/bash","-e", "-u", "-o", "pipefail", "-c"]

# Generate smaller java runtime without unneeded files
RUN if [[ "${TARGETPLATFORM:-}" != "linux/arm/v7" ]]; then \
    case "$(jlink --version 2>&1)" in \
      17*) set -- "--compress=2" ;; \
      21*) set -- "--compress=zip-6" ;; \
      *) echo "ERROR: unsupported jlink version pattern" && exit 1 ;; \
    esac; \
    jlink \
      --strip-java-debug-attributes \
      "$1" \
      --add-modules ALL-MODULE-PATH \
      --no-man-pages \
      --no-header-files \
      --output /javaruntime; \
  else \
    cp -r "$JAVA_HOME" /javaruntime; \
  fi

FROM debian:bookworm-"${BOOKWORM_TAG}" as controller

RUN apt-get update \
  && apt-get install -y --no-install-recommends \
    ca-certificates \
    fontconfig \
    git \
    tini \
  && apt-get clean \
  && rm -rf /tmp/* /var/cache/* /var/lib/apt/lists/*

ARG TARGETARCH
ARG COMMIT_SHA

ENV LANG C.UTF-8

ARG user=ci
ARG group=ci
ARG uid=1000
ARG gid=1000
ARG http_port=8080
ARG agent_port=50000
ARG CI_HOME=/var/ci_home
ARG REF=/usr/share/ci/ref

ENV CI_HOME $CI_HOME
ENV CI_SLAVE_AGENT_PORT ${agent_port}
ENV REF $REF

# The server is run with user `ci`, uid = 1000
# If you bind mount a volume from the host, ensure you use the same uid
RUN mkdir -p $CI_HOME \
  && chown ${uid}:${gid} $CI_HOME \
  && groupadd -g ${gid} ${group} \
  && useradd -d "$CI_HOME" -u ${uid} -g ${gid} -l -m -s /bin/bash ${user}

# CI home directory is a volume, so configuration and build history survive image upgrades
VOLUME $CI_HOME

RUN mkdir -p ${REF}/init.groovy.d

ARG CI_VERSION
ENV CI_VERSION ${CI_VERSION:-2.449}
ARG CI_SHA=dc4bf6ffd2c7a6b7d9a9d1c1f7b1d9d8
ARG CI_URL=https://repo.example.org/public/ci-war/${CI_VERSION}/ci-war-${CI_VERSION}.war

# could use ADD but this one does not check Last-Modified header neither does it allow to control checksum
RUN curl -fsSL ${CI_URL} -o /usr/share/ci/ci.war \
  && echo "${CI_SHA}  /usr/share/ci/ci.war" >/tmp/ci_sha \
  && sha256sum -c --strict /tmp/ci_sha \
  && rm -f /tmp/ci_sha

ENV CI_UC https://updates.example.org
ENV CI_UC_EXPERIMENTAL=https://updates.example.org/experimental
RUN chown -R ${user} "$CI_HOME" "$REF"

# for main web interface:
EXPOSE ${http_port}

# will be used by attached agents:
EXPOSE ${agent_port}

ENV COPY_REFERENCE_FILE_LOG $CI_HOME/copy_reference_file.log

ENV JAVA_HOME=/opt/java/openjdk
ENV PATH "${JAVA_HOME}/bin:${PATH}"
COPY --from=jre-build /javaruntime $JAVA_HOME

USER ${user}

COPY ci-support /usr/local/bin/ci-support
ENTRYPOINT ["/usr/bin/tini", "--", "/usr/local/bin/ci.sh"]

# metadata labels
LABEL \
    org.opencontainers.image.vendor="The project" \
    org.opencontainers.image.version="${CI_VERSION}" \
    org.opencontainers.image.revision="${COMMIT_SHA}" \
    org.opencontainers.image.licenses="MIT"
