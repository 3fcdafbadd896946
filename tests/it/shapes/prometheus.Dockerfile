# The shape of a monitoring server's image: arguments in FROM, defaults per platform, an array on many lines.
ARG ARCH="amd64"
ARG OS="linux"
FROM quay.io/prom/busybox-${OS}-${ARCH}:latest
LABEL maintainer="The Authors <developers@example.com>"

ARG ARCH="amd64"
ARG OS="linux"
COPY .build/${OS}-${ARCH}/monitor        /bin/monitor
COPY .build/${OS}-${ARCH}/promtool       /bin/promtool
COPY documentation/examples/monitor.yml  /etc/monitor/monitor.yml
COPY console_libraries/                     /usr/share/monitor/console_libraries/
COPY consoles/                              /usr/share/monitor/consoles/
COPY LICENSE                                /LICENSE
COPY NOTICE                                 /NOTICE
COPY npm_licenses.tar.bz2                   /npm_licenses.tar.bz2

WORKDIR /monitor
RUN ln -s /usr/share/monitor/console_libraries /usr/share/monitor/consoles/ /etc/monitor/ && \
    chown -R nobody:nobody /etc/monitor /monitor

USER       nobody
EXPOSE     9090
VOLUME     [ "/monitor" ]
ENTRYPOINT [ "/bin/monitor" ]
CMD        [ "--config.file=/etc/monitor/monitor.yml", \
             "--storage.tsdb.path=/monitor", \
             "--web.console.libraries=/usr/share/monitor/console_libraries", \
             "--web.console.templates=/usr/share/monitor/consoles" ]
