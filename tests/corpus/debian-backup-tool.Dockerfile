FROM debian:12-slim@sha256:cb0e0ef94a09c725db48c38fe8a66cef34828df0889e3e04ab271b7b5f4d004a AS fetch
SHELL ["/bin/bash", "-euo", "pipefail", "-c"]
RUN apt-get update && apt-get install -y --no-install-recommends bzip2 ca-certificates curl gnupg && rm -rf /var/lib/apt/lists/*
ARG RESTIC=0.17.3
RUN export GNUPGHOME="$(mktemp -d)"; \
    curl -fsSLo /tmp/restic.bz2 "https://github.com/restic/restic/releases/download/v${RESTIC}/restic_${RESTIC}_linux_amd64.bz2"; \
    curl -fsSLo /tmp/SHA256SUMS "https://github.com/restic/restic/releases/download/v${RESTIC}/SHA256SUMS"; \
    curl -fsSLo /tmp/SHA256SUMS.asc "https://github.com/restic/restic/releases/download/v${RESTIC}/SHA256SUMS.asc"; \
    gpg --batch --keyserver hkps://keys.openpgp.org --recv-keys CF8F18F2844575973F79D4E191A6868BD3F7A907; \
    gpg --batch --verify /tmp/SHA256SUMS.asc /tmp/SHA256SUMS; \
    cd /tmp; \
    sed "s/ restic_.*_linux_amd64.bz2/ restic.bz2/;t;d" SHA256SUMS | sha256sum -c -; \
    bunzip2 -c restic.bz2 > /usr/local/bin/restic; \
    chmod 0755 /usr/local/bin/restic; \
    gpgconf --kill all; \
    rm -rf "$GNUPGHOME" /tmp/*

FROM registry.example.com/distroless/static-debian12:nonroot@sha256:22e2a63cb90bd43e7efb4f6a854cff0f0f35f8643ad9227db6532f5c795585ca
COPY --from=fetch /usr/local/bin/restic /usr/bin/restic
USER 65532
ENTRYPOINT ["/usr/bin/restic"]
