# The shape of an automatic HTTPS server's image: apkArch, setcap, XDG folders, LABEL in many lines.
FROM alpine:3.19

RUN apk add --no-cache \
	ca-certificates \
	libcap \
	mailcap

RUN set -eux; \
	mkdir -p \
		/config/server \
		/data/server \
		/etc/server \
		/usr/share/server \
	; \
	wget -O /etc/server/Serverfile "https://raw.example.org/dist/33ae08ff08d168572df2956ed14fbc4949880d94/config/Serverfile"

# https://github.example.org/releases
ENV SERVER_VERSION v2.7.6

RUN set -eux; \
	apkArch="$(apk --print-arch)"; \
	case "$apkArch" in \
		x86_64)  binArch='amd64'; checksum='b74311ec8263f30f6d36e5c8be151e8bc092b377789a55300d5671238b9043de5bd6db2bcefae32aa1e6fe94c47bbf02982c44a7871e5777b2596fdb20907cbf' ;; \
		armhf)   binArch='armv6'; checksum='7c8ba9b8a7d7e1a3f3a0f2ef6bb0b9d0' ;; \
		*) echo >&2 "error: unsupported architecture ($apkArch)"; exit 1 ;;\
	esac; \
	wget -O /tmp/server.tar.gz "https://dl.example.org/v2.7.6/server_2.7.6_linux_${binArch}.tar.gz"; \
	echo "$checksum  /tmp/server.tar.gz" | sha512sum -c; \
	tar x -z -f /tmp/server.tar.gz -C /usr/bin server; \
	rm -f /tmp/server.tar.gz; \
	setcap cap_net_bind_service=+ep /usr/bin/server; \
	chmod +x /usr/bin/server; \
	server version

# See https://docs.example.org/conventions#file-locations for details
ENV XDG_CONFIG_HOME /config
ENV XDG_DATA_HOME /data

LABEL org.opencontainers.image.version=v2.7.6
LABEL org.opencontainers.image.title=Server
LABEL org.opencontainers.image.description="a powerful, enterprise-ready, open source web server with automatic HTTPS"
LABEL org.opencontainers.image.licenses=Apache-2.0

EXPOSE 80
EXPOSE 443
EXPOSE 443/udp
EXPOSE 2019

WORKDIR /srv

CMD ["server", "run", "--config", "/etc/server/Serverfile", "--adapter", "serverfile"]
