ARG NGINX_VERSION=1.27.3
FROM nginx:${NGINX_VERSION}-alpine@sha256:4b99980a0c8f4f32e608ce95e2c5ef3a8c92846ae9b1bb46b09ea1a9abe10d64 AS build
ARG BROTLI_COMMIT=a71f9312c2deb28875acc7bacfdd5695a111aa53
RUN set -eux; \
    apk add --no-cache --virtual .build-deps gcc libc-dev make openssl-dev pcre2-dev zlib-dev linux-headers brotli-dev git; \
    wget -qO /tmp/nginx.tar.gz "https://nginx.org/download/nginx-${NGINX_VERSION}.tar.gz"; \
    echo "ba23a9568442036b61cd0e29bd66a47b90634efa91e0b2cf2d719057a9b903903 */tmp/nginx.tar.gz" | sha256sum -c; \
    mkdir -p /usr/src; \
    tar -zxf /tmp/nginx.tar.gz -C /usr/src; \
    git clone https://github.com/google/ngx_brotli.git /usr/src/ngx_brotli; \
    cd /usr/src/ngx_brotli && git checkout "$BROTLI_COMMIT"; \
    cd "/usr/src/nginx-${NGINX_VERSION}"; \
    CONFARGS=$(nginx -V 2>&1 | sed -n -e 's/^.*arguments: //p'); \
    eval ./configure --with-compat "$CONFARGS" --add-dynamic-module=/usr/src/ngx_brotli; \
    make modules; \
    install -m 644 objs/*.so /usr/lib/nginx/modules/

FROM nginx:${NGINX_VERSION}-alpine@sha256:4b99980a0c8f4f32e608ce95e2c5ef3a8c92846ae9b1bb46b09ea1a9abe10d64
COPY --from=build /usr/lib/nginx/modules/ngx_http_brotli_*.so /usr/lib/nginx/modules/
COPY nginx.conf /etc/nginx/nginx.conf
USER 101:101
