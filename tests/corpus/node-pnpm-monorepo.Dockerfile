FROM node:22-slim@sha256:d2cb67541ab6058dfd372db51d3f250e7fe8a777678f945bae6d845775db2438 AS base
ENV PNPM_HOME="/pnpm"
ENV PATH="$PNPM_HOME:$PATH"
RUN corepack enable && corepack prepare pnpm@9.15.0 --activate

FROM base AS build
COPY . /usr/src/app
WORKDIR /usr/src/app
RUN --mount=type=cache,id=pnpm,target=/pnpm/store pnpm install --frozen-lockfile
RUN pnpm run -r build
RUN pnpm deploy --filter=api --prod /prod/api
RUN pnpm deploy --filter=worker --prod /prod/worker

FROM node:22-slim@sha256:d2cb67541ab6058dfd372db51d3f250e7fe8a777678f945bae6d845775db2438 AS api
COPY --from=build /prod/api /prod/api
WORKDIR /prod/api
USER node
EXPOSE 8000
CMD ["node", "dist/index.js"]

FROM node:22-slim@sha256:d2cb67541ab6058dfd372db51d3f250e7fe8a777678f945bae6d845775db2438 AS worker
COPY --from=build /prod/worker /prod/worker
WORKDIR /prod/worker
USER node
CMD ["node", "dist/index.js"]
