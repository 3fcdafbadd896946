FROM caddy:2.8-builder-alpine@sha256:2a83570621ddb5680e9aadc66de932e8a71975c9a409580d3dcbd3558d27d58e AS builder
RUN xcaddy build v2.8.4 \
    --with github.com/caddy-dns/cloudflare@v0.0.0-20240703190432-89f16b99c18e \
    --with github.com/mholt/caddy-ratelimit@v0.0.0-20240620170231-4fe4ad0ce9a8

FROM caddy:2.8-alpine@sha256:7ef8a6b2cdda2f40e984484503d43d71b71d9402f33555dfb5d0033bfbd1f1c7
COPY --from=builder /usr/bin/caddy /usr/bin/caddy
COPY --chmod=0444 Caddyfile /etc/caddy/Caddyfile
RUN setcap -r /usr/bin/caddy || true
USER 1000
EXPOSE 8080 8443 8443/udp
