FROM node:22-bookworm@sha256:4b2f375414bad29ffa01fbbc2147fec6f5706927e54abd8c278d7a97ca48afbf AS build
RUN apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -qq --no-install-recommends \
    build-essential \
    # sharp wants a recent one
    libvips-dev \
    python3 \
 && rm -rf /var/lib/apt/lists/*
WORKDIR /opt/thumb
COPY package.json package-lock.json binding.gyp ./
COPY native native
RUN npm ci --build-from-source
COPY lib lib

FROM node:22-bookworm-slim@sha256:b4802fa89fd528d3a59c18b70938f235430a1a7d26c688143b51bf04cdb7fdca
WORKDIR /opt/thumb
COPY --from=build /usr/lib/x86_64-linux-gnu/libvips*.so.* /usr/lib/x86_64-linux-gnu/
COPY --from=build /opt/thumb ./
USER 1000
CMD ["node", "lib/index.js"]
