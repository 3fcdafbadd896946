FROM node:22-alpine@sha256:22c1edb32d80d7d5460fa55063156af7fa5daa79bf932170a06e30c9d8fbb09f AS base

FROM base AS pruner
RUN apk add --no-cache libc6-compat
WORKDIR /app
RUN npm install -g turbo@2.3.3
COPY . .
RUN turbo prune web --docker

FROM base AS installer
WORKDIR /app
COPY --from=pruner /app/out/json/ .
RUN npm ci
COPY --from=pruner /app/out/full/ .
ARG TURBO_TEAM
ENV TURBO_TEAM=$TURBO_TEAM
RUN --mount=type=secret,id=turbo_token,env=TURBO_TOKEN,required=true npx turbo run build --filter=web

FROM base AS runner
WORKDIR /app
USER 1000
COPY --from=installer --chown=1000:1000 /app/apps/web/.next/standalone ./
COPY --from=installer --chown=1000:1000 /app/apps/web/public ./apps/web/public
CMD ["node", "apps/web/server.js"]
