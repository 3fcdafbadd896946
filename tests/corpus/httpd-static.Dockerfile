FROM httpd:2.4-alpine@sha256:d69d3cfa9433f7c0f2ea24862541ba13aa0ba2525e63a6e39a40efb5db227aa6
COPY --chown=root:root htdocs/ /usr/local/apache2/htdocs/
COPY httpd.conf /usr/local/apache2/conf/httpd.conf
RUN httpd -t && chown -R www-data /usr/local/apache2/logs
USER www-data
EXPOSE 8080
HEALTHCHECK --interval=1m CMD wget -qO- http://127.0.0.1:8080/healthz || exit 1
