# syntax=docker/dockerfile:1
# expect: nothing
# A site that is made with Node and served by nginx.

FROM node:22-bookworm-slim@sha256:1c18d9ab3af4585870b92e4dbc5cac5a0dc77dd13df1a5905cea89fc720eb05b AS build
WORKDIR /site
COPY package.json package-lock.json ./
RUN --mount=type=cache,target=/root/.npm npm ci --ignore-scripts
COPY . .
RUN npm run build

FROM nginxinc/nginx-unprivileged:1.27-alpine-slim@sha256:7c8b4a2f8d1b2e5c9f0a3d6b7e8f1c2d3a4b5c6d7e8f9a0b1c2d3e4f5a6b7c8d
COPY --from=build --chown=0:0 --chmod=0444 /site/dist /usr/share/nginx/html
USER 101:101
EXPOSE 8080
