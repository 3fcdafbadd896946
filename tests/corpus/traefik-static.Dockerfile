FROM traefik:v3.2@sha256:d3beb97c9d0dfdc029f18b309ed8749e09afa77815f387e13577e18c4d551714
COPY traefik.yml /etc/traefik/traefik.yml
COPY --chmod=0755 dynamic/ /etc/traefik/dynamic/
USER 65532:65532
EXPOSE 8000 8443
HEALTHCHECK --interval=10s CMD ["traefik", "healthcheck", "--ping"]
CMD ["--configFile=/etc/traefik/traefik.yml"]
