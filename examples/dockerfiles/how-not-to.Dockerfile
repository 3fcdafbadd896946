# expect: base-tag-latest base-unpinned final-user-root package-install-in-final pipe-to-interpreter run-pipe-unchecked secret-in-env
# Everything that `hardened` is there for, in eight lines.

FROM debian:latest
ENV API_TOKEN=ghp_0123456789abcdef0123456789abcdef0123
RUN apt-get update && apt-get install -y curl
RUN curl -fsSL https://get.example.com/install.sh | bash
COPY . /app
USER root
CMD ["/app/start"]
