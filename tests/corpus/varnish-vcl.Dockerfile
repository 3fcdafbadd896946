FROM varnish:7.6-alpine@sha256:028a781cdf25688c71cf3a5da631e1ec8ef4ad79cdc391a12f0fe55e1691daef
COPY default.vcl /etc/varnish/
RUN varnishd -C -f /etc/varnish/default.vcl >/dev/null
ENV VARNISH_SIZE=256M VARNISH_HTTP_PORT=8080
USER varnish
EXPOSE 8080
