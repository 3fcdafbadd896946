FROM rust:1.83-bookworm@sha256:d6b597c5e882d64ab0f8dc0b9435f3de122a3f926caff979d4466d55df8ec222 AS wasm
RUN rustup target add wasm32-unknown-unknown \
 && cargo install --locked --version 0.13.1 wasm-pack
WORKDIR /src
COPY Cargo.toml Cargo.lock ./
COPY crates crates
RUN wasm-pack build crates/viewer --release --target web --out-dir /out/pkg

FROM node:22-bookworm-slim@sha256:b4802fa89fd528d3a59c18b70938f235430a1a7d26c688143b51bf04cdb7fdca AS site
WORKDIR /site
COPY site/package.json site/package-lock.json ./
RUN npm ci --ignore-scripts
COPY site .
COPY --from=wasm /out/pkg ./src/pkg
RUN npm run build

FROM nginxinc/nginx-unprivileged:1.27-alpine-slim@sha256:57c8247028f20e8fa1fe169e27d8dd70144e67349698665c0e94acc9adc7aa4a
COPY --from=site /site/dist /usr/share/nginx/html
COPY nginx.conf /etc/nginx/conf.d/default.conf
EXPOSE 8080
USER 101
