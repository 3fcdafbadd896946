FROM golang:1.24-bookworm@sha256:f41eedcfd4d73dae4e1b95bfb49ae5efaaf296e6f4160843dbd21404d911d1cf AS build
RUN apt-get update \
 && apt-get install -y --no-install-recommends gcc libc6-dev libsqlite3-dev \
 && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . ./
RUN CGO_ENABLED=1 go build -tags 'sqlite_omit_load_extension netgo osusergo' \
      -ldflags '-s -w -linkmode external -extldflags "-static"' -o /out/notes .

FROM registry.example.com/distroless/static-debian12@sha256:06ee4d0eacdecdaf2208f8a97b23fe4234dae9770984b70d2714cf1c9b58a525
COPY --from=build --chown=65532:65532 --chmod=0755 /out/notes /notes
VOLUME /data
ENV NOTES_DB=/data/notes.db
USER 65532:65532
HEALTHCHECK --interval=30s --timeout=3s CMD ["/notes", "health"]
ENTRYPOINT ["/notes"]
