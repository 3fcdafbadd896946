FROM mysql:8.4@sha256:40f05685652a904874116905fd5b23fbc87a42592754a85530ce8670fafbafc5
ENV MYSQL_DATABASE=shop \
    MYSQL_USER=shop \
    MYSQL_PASSWORD_FILE=/run/secrets/mysql_password \
    MYSQL_ROOT_PASSWORD_FILE=/run/secrets/mysql_root_password
COPY --chmod=0444 schema/*.sql /docker-entrypoint-initdb.d/
COPY my.cnf /etc/mysql/conf.d/zz-shop.cnf
USER mysql
EXPOSE 3306
HEALTHCHECK CMD mysqladmin ping -h 127.0.0.1 --silent
