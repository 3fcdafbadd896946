# syntax=docker/dockerfile:1
FROM alpine:3.22@sha256:16bb83acf66f26922f7c6e5363e33cb104bb4f2728ce8ea45e2b0b214dabc90c AS build
RUN <<EOF
#!/bin/sh
set -eu
apk add --no-cache openldap openldap-back-mdb
mkdir -p /out/etc/openldap /out/var/lib/openldap
for lib in /usr/lib/libldap* /usr/lib/liblber*; do
  cp -a "$lib" /out/
done
EOF
COPY <<"EOF" /out/etc/openldap/slapd.conf
include /etc/openldap/schema/core.schema
pidfile /run/openldap/slapd.pid
database mdb
suffix "dc=example,dc=org"
EOF

FROM alpine:3.22@sha256:16bb83acf66f26922f7c6e5363e33cb104bb4f2728ce8ea45e2b0b214dabc90c
COPY --from=build /out/ /
USER 100:101
CMD ["/usr/sbin/slapd", "-d", "0", "-h", "ldap://:1389/"]
