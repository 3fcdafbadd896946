FROM redis:7.4-alpine@sha256:5d304140d35a65e18bc395216ac5d1fbda8a6048023973cc1dd1a289423766b5
COPY --chown=redis:redis --chmod=0440 redis.conf /usr/local/etc/redis/redis.conf
USER redis
HEALTHCHECK --interval=10s --timeout=3s --retries=3 CMD ["redis-cli", "ping"]
CMD ["redis-server", "/usr/local/etc/redis/redis.conf"]
