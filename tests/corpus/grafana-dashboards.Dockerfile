FROM grafana/grafana:11.4.0@sha256:858a2b688f9501d14277a026f28961b04e4102996a2fc168aeb75ab761309ca7 AS plugins
RUN grafana cli --pluginsDir /plugins plugins install grafana-clock-panel 2.1.8

FROM grafana/grafana:11.4.0@sha256:858a2b688f9501d14277a026f28961b04e4102996a2fc168aeb75ab761309ca7
ENV GF_AUTH_ANONYMOUS_ENABLED=false \
    GF_SECURITY_ADMIN_PASSWORD__FILE=/run/secrets/grafana_admin \
    GF_PATHS_PLUGINS=/opt/plugins
COPY --from=plugins --chown=472:0 /plugins /opt/plugins
COPY provisioning /etc/grafana/provisioning
COPY dashboards /var/lib/grafana/dashboards
USER 472
