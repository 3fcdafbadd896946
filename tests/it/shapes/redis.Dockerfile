# The shape of a key-value store's official image: fixed ids, gosu, a source build in one RUN.
FROM debian:bookworm-slim

# a fixed uid, whatever else gets installed
RUN set -eux; \
	groupadd -r -g 999 kvstore; \
	useradd -r -g kvstore -u 999 kvstore

# install what the first start needs
RUN set -eux; \
	apt-get update; \
	apt-get install -y --no-install-recommends \
# zone data for CONFIG
		tzdata \
	; \
	rm -rf /var/lib/apt/lists/*

ENV GOSU_VERSION 1.17
RUN set -eux; \
	savedAptMark="$(apt-mark showmanual)"; \
	apt-get update; \
	apt-get install -y --no-install-recommends ca-certificates gnupg wget; \
	rm -rf /var/lib/apt/lists/*; \
	arch="$(dpkg --print-architecture | awk -F- '{ print $NF }')"; \
	case "$arch" in \
		'amd64') url='https://downloads.example.org/gosu-amd64'; sha256='bbc4136d03ab138b1ad66fa4fc051bafc6cc7ffae632b069a53657279a450de3' ;; \
		'arm64') url='https://downloads.example.org/gosu-arm64'; sha256='c3805a85d17f4454c23d7059bcb97e1ec1af272b90126e79ed002342de08389b' ;; \
		*) echo >&2 "error: unsupported gosu architecture: '$arch'"; exit 1 ;; \
	esac; \
	wget -O /usr/local/bin/gosu "$url"; \
	echo "$sha256 */usr/local/bin/gosu" | sha256sum -c -; \
	export GNUPGHOME="$(mktemp -d)"; \
	gpg --batch --keyserver hkps://keys.example.org --recv-keys B42F6819007F00F88E364FD4036A9C25BF357DD4; \
	gpgconf --kill all; \
	rm -rf "$GNUPGHOME"; \
	apt-mark auto '.*' > /dev/null; \
	[ -z "$savedAptMark" ] || apt-mark manual $savedAptMark > /dev/null; \
	apt-get purge -y --auto-remove -o APT::AutoRemove::RecommendsImportant=false; \
	chmod +x /usr/local/bin/gosu; \
	gosu --version; \
	gosu nobody true

ENV KV_VERSION 7.2.4
ENV KV_DOWNLOAD_URL https://downloads.example.org/kv-7.2.4.tar.gz
ENV KV_DOWNLOAD_SHA 8d104c26a154b29fd67d6568b4f375212212ad41e0c2caa3d66480e78dbd3b59

RUN set -eux; \
	\
	wget -O kv.tar.gz "$KV_DOWNLOAD_URL"; \
	echo "$KV_DOWNLOAD_SHA *kv.tar.gz" | sha256sum -c -; \
	mkdir -p /usr/src/kv; \
	tar -xzf kv.tar.gz -C /usr/src/kv --strip-components=1; \
	\
# protected mode makes no sense where nothing is published by default
# (see the discussion upstream)
	grep -E '^ *createBoolConfig[(]"protected-mode",.*, *1 *,.*[)],$' /usr/src/kv/src/config.c; \
	sed -ri 's!^( *createBoolConfig[(]"protected-mode",.*, *)1( *,.*[)],)$!\10\2!' /usr/src/kv/src/config.c; \
	extraJemallocConfigureFlags="--build=$(dpkg-architecture --query DEB_BUILD_GNU_TYPE)"; \
	case "${dpkgArch##*-}" in \
		amd64 | i386 | x32) extraJemallocConfigureFlags="$extraJemallocConfigureFlags --with-lg-page=12" ;; \
		*) extraJemallocConfigureFlags="$extraJemallocConfigureFlags --with-lg-page=16" ;; \
	esac; \
	make -C /usr/src/kv -j "$(nproc)" all; \
	find /usr/local/bin/kv* -maxdepth 0 \
		-type f -not -name 'kv-server' \
		-exec sh -eux -c ' \
			md5="$(md5sum "$1" | cut -d" " -f1)"; \
			test "$md5" = "$serverMd5"; \
		' -- '{}' ';' \
		-exec ln -svfT 'kv-server' '{}' ';' \
	;

RUN mkdir /data && chown kvstore:kvstore /data
VOLUME /data
WORKDIR /data

COPY docker-entrypoint.sh /usr/local/bin/
ENTRYPOINT ["docker-entrypoint.sh"]

EXPOSE 6379
CMD ["kv-server"]
