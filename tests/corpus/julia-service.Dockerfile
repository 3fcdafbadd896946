FROM julia:1.11-bookworm@sha256:d2875dd3ac74ee2eaaacfcbb967762d1e2c353f275db448d02db86bdc762c73c AS build
ENV JULIA_DEPOT_PATH=/opt/depot
WORKDIR /srv/sim
COPY Project.toml Manifest.toml ./
RUN julia --project -e 'using Pkg; Pkg.instantiate(); Pkg.precompile()'
COPY src src

FROM julia:1.11-bookworm@sha256:d2875dd3ac74ee2eaaacfcbb967762d1e2c353f275db448d02db86bdc762c73c
ENV JULIA_DEPOT_PATH=/tmp/depot:/opt/depot
COPY --from=build /opt/depot /opt/depot
COPY --from=build /srv/sim /srv/sim
WORKDIR /srv/sim
USER 10001
CMD ["julia", "--project", "src/main.jl"]
