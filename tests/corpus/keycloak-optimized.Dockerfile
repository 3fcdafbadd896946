FROM registry.example.com/keycloak/keycloak:26.0.7@sha256:7061804999769f280b914742c9ce69be62654ae816ad9d39b3996227b9f162b1 AS builder
ENV KC_HEALTH_ENABLED=true
ENV KC_METRICS_ENABLED=true
ENV KC_DB=postgres
WORKDIR /opt/keycloak
ADD --chown=keycloak:keycloak --checksum=sha256:8a9f3b1e9e2d4c5b6a7f8e9d0c1b2a3f4e5d6c7b8a9f0e1d2c3b4a5f6e7d8c9b https://github.com/example/provider/releases/download/1.2/provider.jar /opt/keycloak/providers/provider.jar
RUN /opt/keycloak/bin/kc.sh build

FROM registry.example.com/keycloak/keycloak:26.0.7@sha256:7061804999769f280b914742c9ce69be62654ae816ad9d39b3996227b9f162b1
COPY --from=builder /opt/keycloak/ /opt/keycloak/
ENV KC_DB_URL_HOST=db KC_DB_USERNAME=keycloak
USER 1000
ENTRYPOINT ["/opt/keycloak/bin/kc.sh"]
CMD ["start", "--optimized"]
