# The shape of a database server's official image: locale, keyring, a build of packages where there
# are none for the architecture, an init folder.
FROM debian:bookworm-slim

RUN set -eux; \
	groupadd -r db --gid=999; \
	useradd -r -g db --uid=999 --home-dir=/var/lib/db --shell=/bin/bash db; \
	install --verbose --directory --owner db --group db --mode 1777 /var/lib/db

# make the "en_US.UTF-8" locale so the database is utf-8 by default
RUN set -eux; \
	if [ -f /etc/dpkg/dpkg.cfg.d/docker ]; then \
# if this file exists, we're likely in "debian:xxx-slim", and locales are thus being excluded
		grep -q '/usr/share/locale' /etc/dpkg/dpkg.cfg.d/docker; \
		sed -ri '/\/usr\/share\/locale/d' /etc/dpkg/dpkg.cfg.d/docker; \
		! grep -q '/usr/share/locale' /etc/dpkg/dpkg.cfg.d/docker; \
	fi; \
	apt-get update; apt-get install -y --no-install-recommends locales; rm -rf /var/lib/apt/lists/*; \
	echo 'en_US.UTF-8 UTF-8' >> /etc/locale.gen; \
	locale-gen; \
	locale -a | grep 'en_US.utf8'
ENV LANG en_US.utf8

RUN mkdir /docker-entrypoint-initdb.d

ENV DB_MAJOR 16
ENV DB_VERSION 16.2-1.pgdg120+2

ENV PATH $PATH:/usr/lib/db/$DB_MAJOR/bin

RUN set -ex; \
	key='B97B0AFCAA1A47F044F244A07FCC7D46ACCC4CF8'; \
	export GNUPGHOME="$(mktemp -d)"; \
	mkdir -p /usr/local/share/keyrings/; \
	gpg --batch --keyserver keyserver.example.org --recv-keys "$key"; \
	gpg --batch --export --armor "$key" > /usr/local/share/keyrings/db.gpg.asc; \
	gpgconf --kill all; \
	rm -rf "$GNUPGHOME"

RUN set -ex; \
	\
	export PYTHONDONTWRITEBYTECODE=1; \
	\
	dpkgArch="$(dpkg --print-architecture)"; \
	aptRepo="[ signed-by=/usr/local/share/keyrings/db.gpg.asc ] http://apt.example.org/pub/repos/apt/ bookworm-pgdg main $DB_MAJOR"; \
	case "$dpkgArch" in \
		amd64 | arm64 | ppc64el | s390x) \
# arches officially built by upstream
			echo "deb $aptRepo" > /etc/apt/sources.list.d/db.list; \
			apt-get update; \
			;; \
		*) \
			echo "deb-src $aptRepo" > /etc/apt/sources.list.d/db.list; \
			tempDir="$(mktemp -d)"; \
			( \
				cd "$tempDir"; \
				DEB_BUILD_OPTIONS="nocheck parallel=$(nproc)" \
					apt-get source --compile db-common "db-$DB_MAJOR=$DB_VERSION"; \
			); \
			echo "deb [ trusted=yes ] file://$tempDir ./" > /etc/apt/sources.list.d/temp.list; \
			;; \
	esac; \
	sed -ri 's/#(create_main_cluster) .*$/\1 = false/' /etc/db-common/createcluster.conf; \
	if [ -n "$tempDir" ]; then \
		apt-get purge -y --auto-remove; \
		rm -rf "$tempDir" /etc/apt/sources.list.d/temp.list; \
	fi

# make the sample config easier to munge (and "correct by default")
RUN set -eux; \
	dpkg-divert --add --rename --divert "/usr/share/db/db.conf.sample.dpkg" "/usr/share/db/$DB_MAJOR/db.conf.sample"; \
	sed -ri "s!^#?(listen_addresses)\s*=\s*\S+.*!\1 = '*'!" /usr/share/db/db.conf.sample; \
	grep -F "listen_addresses = '*'" /usr/share/db/db.conf.sample

RUN install --verbose --directory --owner db --group db --mode 3777 /var/run/db

ENV DBDATA /var/lib/db/data
# this 1777 will be replaced by 0700 at runtime
RUN install --verbose --directory --owner db --group db --mode 1777 "$DBDATA"
VOLUME /var/lib/db/data

COPY docker-entrypoint.sh docker-ensure-initdb.sh /usr/local/bin/
RUN ln -sT docker-ensure-initdb.sh /usr/local/bin/docker-enforce-initdb.sh
ENTRYPOINT ["docker-entrypoint.sh"]

# "fast shutdown": see the manual on signals
STOPSIGNAL SIGINT
EXPOSE 5432
CMD ["db"]
