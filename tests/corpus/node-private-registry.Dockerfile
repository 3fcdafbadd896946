# syntax=docker/dockerfile:1
FROM node:22-alpine3.22@sha256:8f5c6c9f0e7521a4ab148977ebf71f227930ab22f1abc32d15ef64975e6c1261 AS build
WORKDIR /app
COPY package*.json ./
RUN --mount=type=secret,id=npmrc,target=/root/.npmrc,required=true \
    --mount=type=cache,target=/root/.npm \
    npm ci --no-audit --no-fund
COPY . .
RUN npm run lint \
 && npm test \
 && npm run build \
 && npm prune --omit=dev

FROM node:22-alpine3.22@sha256:8f5c6c9f0e7521a4ab148977ebf71f227930ab22f1abc32d15ef64975e6c1261
ENV NODE_ENV=production NODE_OPTIONS=--enable-source-maps
WORKDIR /app
COPY --from=build --chown=node:node /app/node_modules ./node_modules
COPY --from=build --chown=node:node /app/build ./build
USER node
HEALTHCHECK --interval=10s --start-period=5s --retries=3 \
  CMD node build/healthcheck.js || exit 1
CMD ["node", "build/main.js"]
