FROM nimlang/nim:2.2.0-alpine@sha256:58ef9d06bb7eb38f33a71f2bc4dd2a1aa9020f8f5352a9bd1a505113dfe8b3d2 AS build
WORKDIR /usr/src/app
COPY *.nimble nimble.lock ./
RUN nimble install -y --depsOnly
COPY src src
RUN nimble build -y -d:release --passL:-static

FROM alpine:3.22@sha256:16bb83acf66f26922f7c6e5363e33cb104bb4f2728ce8ea45e2b0b214dabc90c
RUN adduser -S -D -u 5000 svc
USER 5000
COPY --from=build /usr/src/app/svc /usr/local/bin/svc
CMD ["svc"]
