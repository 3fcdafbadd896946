# The shape of a file server's image: ENV used by later RUN, spaces instead of tabs, wildcard COPY.
FROM php:8.2-fpm-alpine3.19

# entrypoint.sh and cron.sh dependencies
RUN set -ex; \
    \
    apk add --no-cache \
        imagemagick \
        rsync \
    ; \
    \
    rm /var/spool/cron/crontabs/root; \
    echo '*/5 * * * * php -f /var/www/html/cron.php' > /var/spool/cron/crontabs/www-data

# set recommended PHP.ini settings
ENV PHP_MEMORY_LIMIT 512M
ENV PHP_UPLOAD_LIMIT 512M
RUN { \
        echo 'opcache.enable=1'; \
        echo 'opcache.save_comments=1'; \
    } > "${PHP_INI_DIR}/conf.d/opcache-recommended.ini"; \
    \
    { \
        echo 'memory_limit=${PHP_MEMORY_LIMIT}'; \
        echo 'upload_max_filesize=${PHP_UPLOAD_LIMIT}'; \
    } > "${PHP_INI_DIR}/conf.d/files.ini"; \
    \
    mkdir /var/www/data; \
    chmod -R g=u /var/www

VOLUME /var/www/html

ENV FILES_VERSION 28.0.3

RUN set -ex; \
    apk add --no-cache --virtual .fetch-deps \
        bzip2 \
        gnupg \
    ; \
    \
    curl -fsSL -o files.tar.bz2 "https://download.example.com/releases/files-${FILES_VERSION}.tar.bz2"; \
    export GNUPGHOME="$(mktemp -d)"; \
    gpg --batch --keyserver keyserver.example.com  --recv-keys 28806A878AE423A28372792ED75899B9A724937A; \
    gpg --batch --verify files.tar.bz2.asc files.tar.bz2; \
    tar -xjf files.tar.bz2 -C /usr/src/; \
    gpgconf --kill all; \
    rm files.tar.bz2.asc files.tar.bz2; \
    chmod +x /usr/src/files/occ; \
    apk del .fetch-deps

COPY *.sh upgrade.exclude /
COPY config/* /usr/src/files/config/

ENTRYPOINT ["/entrypoint.sh"]
CMD ["php-fpm"]
