from node:22-alpine@sha256:22c1edb32d80d7d5460fa55063156af7fa5daa79bf932170a06e30c9d8fbb09f as build
workdir /app
copy package*.json ./
run npm ci
copy . .
run npm run build

from nginxinc/nginx-unprivileged:1.27-alpine@sha256:5a850651fd88097a7f942f0e01bcec3c5a6582979f3c424ebc0b56982790d2fc
copy --from=build /app/dist /usr/share/nginx/html
user 101
