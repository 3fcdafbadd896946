# The shape of a load balancer's image: make options in a string, comments with quotes, USER before ENTRYPOINT.
FROM debian:bookworm-slim

# roughly, the distribution's own package
RUN set -eux; \
	groupadd --gid 99 --system lb; \
	useradd \
		--gid lb \
		--home-dir /var/lib/lb \
		--no-create-home \
		--system \
		--uid 99 \
		lb \
	; \
	mkdir /var/lib/lb; \
	chown lb:lb /var/lib/lb

ENV LB_VERSION 2.9.6
ENV LB_URL https://www.example.org/download/2.9/src/lb-2.9.6.tar.gz
ENV LB_SHA256 208adf47c8fa83c54978034ba5c72110b7463c47078f119bd052342171a3b40b

# see "Makefile" for the options: "make help" prints a summary, "TARGET=..." is the main one
RUN set -eux; \
	\
	savedAptMark="$(apt-mark showmanual)"; \
	apt-get update && apt-get install -y --no-install-recommends gcc libc6-dev make wget; \
	\
	wget -O lb.tar.gz "$LB_URL"; \
	echo "$LB_SHA256 *lb.tar.gz" | sha256sum -c; \
	mkdir -p /usr/src/lb; \
	tar -xzf lb.tar.gz -C /usr/src/lb --strip-components=1; \
	rm lb.tar.gz; \
	\
	makeOpts=' \
		TARGET=linux-glibc \
		USE_GETADDRINFO=1 \
		USE_LUA=1 LUA_INC=/usr/include/lua5.4 \
		\
		EXTRA_OBJS=" \
		" \
	'; \
	\
	nproc="$(nproc)"; \
	eval "make -C /usr/src/lb -j '$nproc' all $makeOpts"; \
	eval "make -C /usr/src/lb install-bin $makeOpts"; \
	\
	mkdir -p /usr/local/etc/lb; \
	cp -R /usr/src/lb/examples/errorfiles /usr/local/etc/lb/errors; \
	rm -rf /usr/src/lb

# https://www.example.org/download/2.9/doc/management.txt
# "4. Stopping and restarting": "when the SIGUSR1 signal is sent to the process, it stops gracefully"
STOPSIGNAL SIGUSR1

COPY docker-entrypoint.sh /usr/local/bin/
ENTRYPOINT ["docker-entrypoint.sh"]

USER lb

WORKDIR /var/lib/lb

CMD ["lb", "-f", "/usr/local/etc/lb/lb.cfg"]
