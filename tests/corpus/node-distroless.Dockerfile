# syntax=docker/dockerfile:1
FROM node:22-bookworm-slim@sha256:b4802fa89fd528d3a59c18b70938f235430a1a7d26c688143b51bf04cdb7fdca AS deps
WORKDIR /app
COPY package.json package-lock.json ./
RUN --mount=type=cache,target=/root/.npm npm ci --omit=dev

FROM deps AS build
RUN --mount=type=cache,target=/root/.npm npm ci
COPY tsconfig.json ./
COPY src ./src
RUN npm run build

FROM registry.example.com/distroless/nodejs22-debian12:nonroot@sha256:1e1166cee774babbd70284917698d3d6907cdc9927fc4842d6c5bc389a5fbfd0
ENV NODE_ENV=production
WORKDIR /app
COPY --from=deps /app/node_modules ./node_modules
COPY --from=build /app/dist ./dist
COPY package.json ./
USER 65532:65532
EXPOSE 3000
CMD ["dist/server.js"]
