FROM composer:2.8@sha256:335c9c79a4617f83c9cee68e721331a70ebe4ac7f6493d5a7e858711e1395503 AS vendor
WORKDIR /app
COPY composer.json composer.lock ./
RUN composer install --no-dev --no-interaction --no-scripts --prefer-dist --optimize-autoloader

FROM php:8.3-fpm-alpine3.22@sha256:867876c87cb569611da097093f1df1b831cb44e36bcf608d86230dee986a7f92
RUN set -eux; \
    apk add --no-cache --virtual .build-deps $PHPIZE_DEPS icu-dev libzip-dev postgresql-dev; \
    docker-php-ext-install -j"$(nproc)" intl opcache pdo_pgsql zip; \
    pecl install redis-6.1.0 && docker-php-ext-enable redis; \
    runDeps="$(scanelf --needed --nobanner --format '%n#p' --recursive /usr/local/lib/php/extensions \
      | tr ',' '\n' | sort -u | awk 'system("[ -e /usr/local/lib/" $1 " ]") == 0 { next } { print "so:" $1 }')"; \
    apk add --no-cache --virtual .run-deps $runDeps; \
    apk del --no-network .build-deps
COPY php.ini "$PHP_INI_DIR/conf.d/zz-app.ini"
WORKDIR /var/www/html
COPY --from=vendor /app/vendor vendor
COPY --chown=root:root public public
COPY src src
USER 82:82
EXPOSE 9000
