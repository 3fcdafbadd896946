# The shape of an identity server's image: a root filesystem made with a package manager in one stage.
FROM registry.access.example.com/ubi9 AS ubi-micro-build

ENV ID_VERSION 24.0.1
ARG ID_DIST=https://github.example.org/releases/download/$ID_VERSION/id-$ID_VERSION.tar.gz

RUN dnf install -y tar gzip

ADD $ID_DIST /tmp/id/

# The next step makes it uniform for local development and upstream built.
# If it is a local tar archive then it is unpacked, if from remote is just downloaded.
RUN (cd /tmp/id && \
    tar -xvf /tmp/id/id-*.tar.gz && \
    rm /tmp/id/id-*.tar.gz) || true

RUN mv /tmp/id/id-* /opt/id && mkdir -p /opt/id/data
RUN chmod -R g+rwX /opt/id

ADD ubi-null.sh /tmp/
RUN bash /tmp/ubi-null.sh java-17-openjdk-headless glibc-langpack-en findutils

FROM registry.access.example.com/ubi9-micro
ENV LANG en_US.UTF-8

COPY --from=ubi-micro-build /tmp/null/rootfs/ /
COPY --from=ubi-micro-build --chown=1000:0 /opt/id /opt/id

RUN echo "id:x:0:root" >> /etc/group && \
    echo "id:x:1000:0:id user:/opt/id:/sbin/nologin" >> /etc/passwd

USER 1000

EXPOSE 8080
EXPOSE 8443

ENTRYPOINT [ "/opt/id/bin/kc.sh" ]

# common labels for catalog.example.org
LABEL version=$ID_VERSION \
      name="id" \
      summary="Identity server image" \
      url="https://www.example.org/" \
      io.k8s.display-name="Identity Server" \
      io.openshift.expose-services="8080:http,8443:https"
