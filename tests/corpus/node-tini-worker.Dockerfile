FROM node:22-bookworm-slim@sha256:b4802fa89fd528d3a59c18b70938f235430a1a7d26c688143b51bf04cdb7fdca AS build
WORKDIR /srv/worker
COPY package.json yarn.lock .yarnrc.yml ./
COPY .yarn/releases .yarn/releases
RUN yarn install --immutable
COPY . .
RUN yarn workspaces focus --production && yarn cache clean --all

FROM debian:12-slim@sha256:cb0e0ef94a09c725db48c38fe8a66cef34828df0889e3e04ab271b7b5f4d004a AS tini
ADD --checksum=sha256:93dcc18adc78c65a028a84799ecf8ad40c936fdfc5f2a57b1acda5a8117fa82c --chmod=0755 \
    https://github.com/krallin/tini/releases/download/v0.19.0/tini-amd64 /tini

FROM node:22-bookworm-slim@sha256:b4802fa89fd528d3a59c18b70938f235430a1a7d26c688143b51bf04cdb7fdca
COPY --from=tini /tini /sbin/tini
WORKDIR /srv/worker
COPY --from=build /srv/worker ./
ENV NODE_ENV=production
USER 1000:1000
STOPSIGNAL SIGINT
ENTRYPOINT ["/sbin/tini", "--", "node"]
CMD ["worker.js", "--queue", "default"]
