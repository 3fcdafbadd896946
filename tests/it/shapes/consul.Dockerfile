# The shape of a service mesh's image: ports in lists with protocols, apkArch, wget loops.
FROM alpine:3.18

ENV AGENT_VERSION=1.17.3
ENV RELEASES=https://releases.example.com

RUN addgroup agent && \
    adduser -S -G agent agent

RUN set -eux && \
    apk add --no-cache ca-certificates curl dumb-init gnupg libcap openssl su-exec iputils jq libc6-compat iptables tzdata && \
    gpg --keyserver keyserver.example.com --recv-keys C874011F0AB405110D02105534365D9472D7468F && \
    mkdir -p /tmp/build && \
    cd /tmp/build && \
    apkArch="$(apk --print-arch)" && \
    case "${apkArch}" in \
        aarch64) agentArch='arm64' ;; \
        armhf) agentArch='arm' ;; \
        x86) agentArch='386' ;; \
        x86_64) agentArch='amd64' ;; \
        *) echo >&2 "error: unsupported architecture: ${apkArch} (see ${RELEASES}/agent/${AGENT_VERSION}/)" && exit 1 ;; \
    esac && \
    wget ${RELEASES}/agent/${AGENT_VERSION}/agent_${AGENT_VERSION}_linux_${agentArch}.zip && \
    gpg --batch --verify agent_${AGENT_VERSION}_SHA256SUMS.sig agent_${AGENT_VERSION}_SHA256SUMS && \
    grep agent_${AGENT_VERSION}_linux_${agentArch}.zip agent_${AGENT_VERSION}_SHA256SUMS | sha256sum -c && \
    unzip -d /tmp/build agent_${AGENT_VERSION}_linux_${agentArch}.zip && \
    cp /tmp/build/agent /bin/agent && \
    if [ -f /tmp/build/EULA.txt ]; then mkdir -p /usr/share/doc/agent; mv /tmp/build/EULA.txt /usr/share/doc/agent/EULA.txt; fi && \
    cd /tmp && \
    rm -rf /tmp/build && \
    gpgconf --kill all && \
    apk del gnupg openssl && \
    rm -rf /root/.gnupg && \
# tiny smoke test to ensure the binary we downloaded runs
    agent version

RUN test -e /etc/nsswitch.conf || echo 'hosts: files dns' > /etc/nsswitch.conf

VOLUME /agent/data

# Server RPC is used for communication between clients and servers.
EXPOSE 8300

# Serf LAN and WAN (WAN is used only by servers)
EXPOSE 8301 8301/udp 8302 8302/udp

# HTTP and DNS (both TCP and UDP) are the primary interfaces.
EXPOSE 8500 8600 8600/udp

COPY docker-entrypoint.sh /usr/local/bin/docker-entrypoint.sh
ENTRYPOINT ["docker-entrypoint.sh"]

CMD ["agent", "-dev", "-client", "0.0.0.0"]
