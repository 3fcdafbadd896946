FROM registry.example.com/devcontainers/base:bookworm@sha256:3d4f23f0df2905cca612a2dcdd4a57cb8ae9cccfabf4de7605f1eaaf8a3121b9
ARG USERNAME=vscode
ARG NODE_MAJOR=22
SHELL ["/bin/bash", "-o", "pipefail", "-c"]
RUN mkdir -p /etc/apt/keyrings \
 && curl -fsSL https://deb.nodesource.com/gpgkey/nodesource-repo.gpg.key -o /tmp/nodesource.key \
 && echo "332ab6c4a1e8ddc2f7d3ca39d2a1a2c4c6a3d3c8e3b3e1c5d5d3f9b8c4a3e2d1  /tmp/nodesource.key" | sha256sum -c - \
 && gpg --dearmor -o /etc/apt/keyrings/nodesource.gpg < /tmp/nodesource.key \
 && echo "deb [signed-by=/etc/apt/keyrings/nodesource.gpg] https://deb.nodesource.com/node_${NODE_MAJOR}.x nodistro main" > /etc/apt/sources.list.d/nodesource.list \
 && apt-get update \
 && apt-get install -y --no-install-recommends nodejs ripgrep \
 && rm -rf /var/lib/apt/lists/* /tmp/nodesource.key
USER $USERNAME
RUN npm config set prefix "$HOME/.npm-global"
ENV PATH=/home/$USERNAME/.npm-global/bin:$PATH
