FROM debian:12-slim@sha256:cb0e0ef94a09c725db48c38fe8a66cef34828df0889e3e04ab271b7b5f4d004a AS flutter
RUN apt-get update && apt-get install -y --no-install-recommends ca-certificates curl git unzip xz-utils && rm -rf /var/lib/apt/lists/*
ARG FLUTTER=3.27.1
RUN git clone --depth 1 --branch "${FLUTTER}" https://github.com/flutter/flutter.git /opt/flutter \
 && git -C /opt/flutter rev-parse HEAD | grep -qx 17025dd88227cd9532c33fa78f5250d548d87e9a
ENV PATH=/opt/flutter/bin:$PATH
WORKDIR /app
COPY pubspec.yaml pubspec.lock ./
RUN flutter pub get --enforce-lockfile
COPY . .
RUN flutter build web --release

FROM nginxinc/nginx-unprivileged:1.27@sha256:65e847d21f7ea5bcc4d03591511c1cd0b6d9607424c8045c8903e56c92e6072a
COPY --from=flutter /app/build/web /usr/share/nginx/html
USER 101
