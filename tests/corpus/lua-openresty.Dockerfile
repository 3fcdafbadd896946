FROM openresty/openresty:1.27.1.1-bookworm-fat@sha256:d447cd7a8331e6cb6b5c02e8722b8d9f576df4c0a35967fb0e77b507680790a4 AS rocks
RUN opm get ledgetech/lua-resty-http=0.17.2
COPY lualib /usr/local/openresty/site/lualib/app

FROM openresty/openresty:1.27.1.1-bookworm@sha256:bd1ce4a2aad9c46ee0524ed9c3a9f43556772f1928b6ea0f0c20de0fe550f632
COPY --from=rocks /usr/local/openresty/site /usr/local/openresty/site
COPY conf/nginx.conf /usr/local/openresty/nginx/conf/nginx.conf
RUN install -d -o nobody -g nogroup /var/run/openresty /usr/local/openresty/nginx/client_body_temp
USER nobody
EXPOSE 8080
STOPSIGNAL SIGQUIT
CMD ["openresty", "-g", "daemon off;"]
