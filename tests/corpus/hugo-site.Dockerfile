FROM hugomods/hugo:exts-0.140.1@sha256:9a38f9b16ed41ac626610f3081ea8fd039e35a48434e7442879eddee7a74e7e7 AS build
WORKDIR /src
COPY package.json package-lock.json ./
RUN npm ci
COPY . .
ARG BASE_URL=https://www.example.org/
RUN hugo --minify --gc --baseURL "$BASE_URL" && find public -type f \( -name '*.html' -o -name '*.css' -o -name '*.js' \) -exec gzip -k9 {} +

FROM joseluisq/static-web-server:2.34-alpine@sha256:a828d05d96d5e7371c4965262ce198459bb89385297fe78b6cbad10c3bdc7436
COPY --from=build /src/public /public
USER 1000
EXPOSE 8080
ENV SERVER_PORT=8080 SERVER_ROOT=/public SERVER_COMPRESSION_STATIC=true
