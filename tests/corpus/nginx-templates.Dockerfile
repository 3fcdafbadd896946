FROM nginx:1.27-alpine@sha256:bd59573624a6dac5c681b33040e36e440782131c5b3e3871d49857f1980b5ca9
RUN rm /etc/nginx/conf.d/default.conf \
 && sed -i 's,/run/nginx.pid,/tmp/nginx.pid,; /^user /d' /etc/nginx/nginx.conf \
 && chown -R 101:0 /var/cache/nginx /etc/nginx && chmod -R g+w /var/cache/nginx /etc/nginx
COPY templates/*.template /etc/nginx/templates/
COPY --chmod=555 30-tune.sh /docker-entrypoint.d/
ENV NGINX_ENVSUBST_OUTPUT_DIR=/etc/nginx/conf.d BACKEND=http://app:8000
EXPOSE 8080
USER 101
