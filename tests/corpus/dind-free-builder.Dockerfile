FROM moby/buildkit:v0.18.2-rootless@sha256:a758c23f83ec80d5e58f6c58a0e6caadc1ab871fb97ed9157269923d99715b40
USER 1000:1000
COPY --chown=1000:1000 buildkitd.toml /home/user/.config/buildkit/buildkitd.toml
VOLUME /home/user/.local/share/buildkit
