FROM php:8.2-apache-bookworm@sha256:7bc9cdaca884b2f83212b90a2191dc2f76080de78af63d64f5398f8610e1439b AS ext
RUN apt-get update \
 && apt-get install -y --no-install-recommends libpng-dev libjpeg62-turbo-dev libwebp-dev \
 && docker-php-ext-configure gd --with-jpeg --with-webp \
 && docker-php-ext-install -j "$(nproc)" gd mysqli \
 && rm -rf /var/lib/apt/lists/*

FROM php:8.2-apache-bookworm@sha256:7bc9cdaca884b2f83212b90a2191dc2f76080de78af63d64f5398f8610e1439b
COPY --from=ext /usr/local/lib/php/extensions/ /usr/local/lib/php/extensions/
COPY --from=ext /usr/local/etc/php/conf.d/ /usr/local/etc/php/conf.d/
COPY --from=ext /usr/lib/x86_64-linux-gnu/libpng16.so.16 /usr/lib/x86_64-linux-gnu/libjpeg.so.62 /usr/lib/x86_64-linux-gnu/libwebp.so.7 /usr/lib/x86_64-linux-gnu/
RUN a2enmod rewrite headers \
 && sed -ri 's!^Listen 80$!Listen 8080!' /etc/apache2/ports.conf \
 && sed -ri 's!:80>!:8080>!' /etc/apache2/sites-available/000-default.conf
COPY --chown=www-data:www-data wp-content /var/www/html/wp-content
USER www-data
EXPOSE 8080
CMD ["apache2-foreground"]
