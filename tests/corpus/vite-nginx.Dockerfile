FROM node:22-alpine@sha256:22c1edb32d80d7d5460fa55063156af7fa5daa79bf932170a06e30c9d8fbb09f AS build
WORKDIR /app
COPY package.json package-lock.json ./
RUN npm ci
COPY index.html vite.config.ts tsconfig*.json ./
COPY public public
COPY src src
ARG VITE_API_URL=/api
ENV VITE_API_URL=${VITE_API_URL}
RUN npm run build

FROM nginxinc/nginx-unprivileged:1.27-alpine@sha256:5a850651fd88097a7f942f0e01bcec3c5a6582979f3c424ebc0b56982790d2fc
COPY --from=build /app/dist /usr/share/nginx/html
COPY --chmod=0644 <<'EOF' /etc/nginx/conf.d/default.conf
server {
    listen 8080;
    root /usr/share/nginx/html;
    location / { try_files $uri /index.html; }
    location /api { proxy_pass http://backend:3000; }
}
EOF
USER 101:101
HEALTHCHECK CMD wget -q -O /dev/null http://127.0.0.1:8080/ || exit 1
