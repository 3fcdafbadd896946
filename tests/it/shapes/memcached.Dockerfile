# The shape of a cache's image: nested substitutions in make, a test run in the build, users with a case.
FROM alpine:3.19

RUN set -eux; \
	addgroup -g 11211 mc; \
	adduser -D -u 11211 -G mc mc

ENV MC_URL https://www.example.org/files/mc-1.6.24.tar.gz
ENV MC_SHA1 6a1fb6fc6ca6c1eb9d7a0dbd2d8b0e2a86ed0d6d

RUN set -eux; \
	\
	apk add --no-cache --virtual .build-deps \
		gcc \
		libc-dev \
		make \
		perl \
		\
# for tests
		perl-utils \
	; \
	wget -O mc.tar.gz "$MC_URL"; \
	echo "$MC_SHA1  mc.tar.gz" | sha1sum -c -; \
	\
	cd /usr/src/mc; \
	gnuArch="$(dpkg-architecture --query DEB_BUILD_GNU_TYPE)"; \
	enableExtstore="$( \
# https://github.example.org/issues/381
		case "$gnuArch" in \
# https://github.example.org/issues/799
			s390x-*) ;; \
			*) echo '--enable-extstore' ;; \
		esac \
	)"; \
	./configure \
		--build="$gnuArch" \
		--enable-sasl \
		$enableExtstore \
	; \
	nproc="$(nproc)"; \
	make -j "$nproc"; \
	\
# try not to allow tests to fail, but one of them is flaky
	make test PARALLEL="$nproc" || [ "$gnuArch" = 's390x-linux-musl' ]; \
	\
	runDeps="$( \
		scanelf --needed --nobanner --format '%n#p' --recursive /usr/local \
			| tr ',' '\n' \
			| sort -u \
			| awk 'system("[ -e /usr/local/lib/" $1 " ]") == 0 { next } { print "so:" $1 }' \
	)"; \
	apk add --no-network --virtual .mc-rundeps $runDeps; \
	apk del --no-network .build-deps; \
	\
	mc -V

COPY docker-entrypoint.sh /usr/local/bin/
RUN ln -s usr/local/bin/docker-entrypoint.sh /entrypoint.sh # backwards compat
ENTRYPOINT ["docker-entrypoint.sh"]

USER mc
EXPOSE 11211
CMD ["mc"]
