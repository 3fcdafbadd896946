# The shape of a web server's image: LABEL, versions in ENV, nested case, a build of one's own packages.
FROM debian:bookworm-slim

LABEL maintainer="Docker Maintainers <docker-maint@example.com>"

ENV WEB_VERSION   1.25.4
ENV NJS_VERSION   0.8.3
ENV PKG_RELEASE   1~bookworm

RUN set -x \
# create the user first, to be consistent throughout variants
    && groupadd --system --gid 101 web \
    && useradd --system --gid web --no-create-home --home /nonexistent --comment "web user" --shell /bin/false --uid 101 web \
    && apt-get update \
    && apt-get install --no-install-recommends --no-install-suggests -y gnupg1 ca-certificates \
    && \
    WEB_GPGKEYS="573BFD6B3D8FBC641079A6ABABF5BD827BD9BF62 8540A6F18833A80E9C1653A42FD21310B49F6B46"; \
    WEB_GPGKEY_PATH=/etc/apt/keyrings/web-archive-keyring.gpg; \
    export GNUPGHOME="$(mktemp -d)"; \
    found=''; \
    for WEB_GPGKEY in $WEB_GPGKEYS; do \
    for server in \
        hkp://keyserver.example.com:80 \
        pgp.example.edu \
    ; do \
        echo "Fetching GPG key $WEB_GPGKEY from $server"; \
        gpg1 --keyserver "$server" --keyserver-options timeout=10 --recv-keys "$WEB_GPGKEY" && found=yes && break; \
    done; \
    test -z "$found" && echo >&2 "error: failed to fetch GPG key $WEB_GPGKEY" && exit 1; \
    done; \
    gpg1 --export "$WEB_GPGKEYS" > "$WEB_GPGKEY_PATH" ; \
    rm -rf "$GNUPGHOME"; \
    apt-get remove --purge --auto-remove -y gnupg1 && rm -rf /var/lib/apt/lists/* \
    && dpkgArch="$(dpkg --print-architecture)" \
    && webPackages=" \
        web=${WEB_VERSION}-${PKG_RELEASE} \
        web-module-xslt=${WEB_VERSION}-${PKG_RELEASE} \
        web-module-njs=${WEB_VERSION}+${NJS_VERSION}-${PKG_RELEASE} \
    " \
    && case "$dpkgArch" in \
        amd64|arm64) \
# arches officially built by upstream
            echo "deb [signed-by=$WEB_GPGKEY_PATH] https://packages.example.org/mainline/debian/ bookworm web" >> /etc/apt/sources.list.d/web.list \
            && apt-get update \
            ;; \
        *) \
# we're on an architecture upstream doesn't officially build for
            tempDir="$(mktemp -d)" \
            && chmod 777 "$tempDir" \
# (777 to ensure APT's "_apt" user can access it too)
            && savedAptMark="$(apt-mark showmanual)" \
            && ls -lAFh "$tempDir" \
            && ( cd "$tempDir" && dpkg-scanpackages . > Packages ) \
            ;; \
    esac \
    \
    && apt-get install --no-install-recommends --no-install-suggests -y \
                        $webPackages \
                        gettext-base \
                        curl \
    && apt-get remove --purge --auto-remove -y && rm -rf /var/lib/apt/lists/* /etc/apt/sources.list.d/web.list \
# forward request and error logs to docker log collector
    && ln -sf /dev/stdout /var/log/web/access.log \
    && ln -sf /dev/stderr /var/log/web/error.log \
# create a docker-entrypoint.d directory
    && mkdir /docker-entrypoint.d

COPY docker-entrypoint.sh /
COPY 10-listen-on-ipv6-by-default.sh /docker-entrypoint.d
COPY 20-envsubst-on-templates.sh /docker-entrypoint.d
ENTRYPOINT ["/docker-entrypoint.sh"]

EXPOSE 80

STOPSIGNAL SIGQUIT

CMD ["web", "-g", "daemon off;"]
