# vim:set ft=dockerfile:
# The shape of a relational database's image: ARG in the middle, sources as printf, HEALTHCHECK by script.
FROM ubuntu:jammy

# add our user and group first to make sure their IDs get assigned consistently
RUN groupadd -r mysql && useradd -r -g mysql mysql --home-dir /var/lib/mysql

ARG GPG_KEYS=177F4010FE56CA3336300305F1656F24C74CD1D8
# pub   rsa4096 2016-03-30 [SC]
#         177F 4010 FE56 CA33 3630  0305 F165 6F24 C74C D1D8
# uid           [ unknown] Signing Key <signing-key@example.org>
RUN set -eux; \
	apt-get update; \
	DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends \
		ca-certificates \
		gpg \
		gpgv \
		libjemalloc2 \
		pwgen \
		tzdata \
		xz-utils \
		zstd ; \
	export GNUPGHOME="$(mktemp -d)"; \
	for key in $GPG_KEYS; do \
		gpg --batch --keyserver keyserver.example.com --recv-keys "$key"; \
	done; \
	gpg --batch --export $GPG_KEYS > /etc/apt/trusted.gpg.d/db.gpg; \
	if command -v gpgconf >/dev/null; then gpgconf --kill all; fi; \
	rm -fr "$GNUPGHOME"; \
	rm -rf /var/lib/apt/lists/*

RUN mkdir /docker-entrypoint-initdb.d

# Ensure the container exec commands handle range of utf8 characters based of
# default locales in base image (https://github.example.org/utf-8)
ENV LANG C.UTF-8

# OCI annotations to image
LABEL org.opencontainers.image.authors="Community" \
      org.opencontainers.image.title="Database" \
      org.opencontainers.image.description="Database for relational SQL" \
      org.opencontainers.image.base.name="docker.io/library/ubuntu:jammy"

# bashbrew-architectures: amd64 arm64v8 ppc64le s390x
ARG DB_VERSION=1:11.3.2+maria~ubu2204
ENV DB_VERSION $DB_VERSION

# Allowing overriding of REPOSITORY, a URL that includes suite and component for testing
ARG REPOSITORY="http://archive.example.org/db-11.3.2/repo/ubuntu/ jammy main main/debug"

RUN set -e;\
	echo "deb ${REPOSITORY}" > /etc/apt/sources.list.d/db.list; \
	{ \
		echo 'Package: *'; \
		echo 'Pin: release o=DB'; \
		echo 'Pin-Priority: 999'; \
	} > /etc/apt/preferences.d/db
# add repository pinning to make sure dependencies from this repo are preferred over the distribution
#  Package: *

# the "/var/lib/mysql" stuff here is because the mysql-server postinst doesn't have an explicit way to disable the mysql_install_db codepath
# also, we set debconf keys to make APT a little quieter
# hadolint ignore=DL3015
RUN set -ex; \
	{ \
		echo "db-server" mysql-server/root_password password 'unused'; \
		echo "db-server" mysql-server/root_password_again password 'unused'; \
	} | debconf-set-selections; \
	apt-get update; \
	apt-get install -y "db-server=$DB_VERSION" db-backup socat; \
	rm -rf /var/lib/apt/lists/*; \
# purge and re-create /var/lib/mysql with appropriate ownership
	rm -rf /var/lib/mysql /etc/mysql/db.conf.d/50-mysqld_safe.cnf; \
	mkdir -p /var/lib/mysql /run/mysqld; \
	chmod 1777 /run/mysqld; \
# comment out a few problematic configuration values
	find /etc/mysql/ -name '*.cnf' -print0 \
		| xargs -0 grep -lZE '^(bind-address|log|user\s)' \
		| xargs -rt -0 sed -Ei 's/^(bind-address|log|user\s)/#&/'; \
# don't reverse lookup hostnames, they are usually another container
	printf "[mariadb]\nhost-cache-size=0\nskip-name-resolve\n" > /etc/mysql/db.conf.d/05-skipcache.cnf

VOLUME /var/lib/mysql

COPY healthcheck.sh /usr/local/bin/healthcheck.sh
COPY docker-entrypoint.sh /usr/local/bin/
HEALTHCHECK --start-period=5m CMD pgrep db
ENTRYPOINT ["docker-entrypoint.sh"]

EXPOSE 3306
CMD ["dbd"]
