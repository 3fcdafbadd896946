FROM postgres:17-bookworm@sha256:ba86fdc350ae1195c0c244aa690d385f08b5e0c1bb01374c67fe3a2652dc04b9 AS build
RUN set -eux; \
    apt-get update; \
    apt-get install -y --no-install-recommends build-essential git "postgresql-server-dev-$PG_MAJOR"; \
    rm -rf /var/lib/apt/lists/*
ADD --keep-git-dir=false https://github.com/pgvector/pgvector.git#v0.8.0 /src/pgvector
WORKDIR /src/pgvector
RUN make OPTFLAGS="" && make install DESTDIR=/out

FROM postgres:17-bookworm@sha256:ba86fdc350ae1195c0c244aa690d385f08b5e0c1bb01374c67fe3a2652dc04b9
COPY --from=build /out/ /
COPY initdb/*.sql /docker-entrypoint-initdb.d/
ENV POSTGRES_INITDB_ARGS="--data-checksums --auth-host=scram-sha-256" \
    POSTGRES_PASSWORD_FILE=/run/secrets/postgres_password
USER 999:999
HEALTHCHECK --interval=10s --timeout=5s CMD pg_isready -U postgres || exit 1
