FROM haproxy:3.0-alpine@sha256:0c2d5cedc507f81a0393a33de788e3c733f1b916f7cd635a57781631988be567
COPY --chown=haproxy:haproxy haproxy.cfg errors/ /usr/local/etc/haproxy/
RUN haproxy -c -f /usr/local/etc/haproxy/haproxy.cfg
USER haproxy
