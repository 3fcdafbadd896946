FROM node:22-slim@sha256:d2cb67541ab6058dfd372db51d3f250e7fe8a777678f945bae6d845775db2438 AS build
WORKDIR /ng
COPY package.json package-lock.json angular.json ./
RUN npm ci && npm cache clean --force
COPY . .
RUN npx ng build --configuration production

FROM caddy:2.8-alpine@sha256:7ef8a6b2cdda2f40e984484503d43d71b71d9402f33555dfb5d0033bfbd1f1c7
COPY Caddyfile /etc/caddy/Caddyfile
COPY --from=build /ng/dist/app/browser /srv
EXPOSE 8080
USER 1000:1000
CMD ["caddy", "run", "--config", "/etc/caddy/Caddyfile", "--adapter", "caddyfile"]
