FROM rocker/r-ver:4.4.2@sha256:db44069fe397a848e1c570f0669319b10aaf0335adf3b2dc9b74d1ff41d1a324 AS build
RUN apt-get update && apt-get install -y --no-install-recommends libsodium-dev libcurl4-openssl-dev && rm -rf /var/lib/apt/lists/*
WORKDIR /model
COPY renv.lock .Rprofile ./
COPY renv/activate.R renv/
ENV RENV_PATHS_LIBRARY=/opt/rlib
RUN R -e 'renv::restore()'

FROM rocker/r-ver:4.4.2@sha256:db44069fe397a848e1c570f0669319b10aaf0335adf3b2dc9b74d1ff41d1a324
COPY --from=build /usr/lib/x86_64-linux-gnu/libsodium.so.23 /usr/lib/x86_64-linux-gnu/
COPY --from=build /opt/rlib /opt/rlib
COPY api.R /model/
ENV R_LIBS_SITE=/opt/rlib
USER 10001
WORKDIR /model
EXPOSE 8000
ENTRYPOINT ["Rscript", "-e", "plumber::pr_run(plumber::pr('api.R'), host='0.0.0.0', port=8000)"]
