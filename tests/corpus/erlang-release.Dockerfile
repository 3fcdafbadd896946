FROM erlang:27-alpine@sha256:ec47765e4ffebea869e68b7d39f2d63dab2ae4564273ae13c5689c9551bf6fe2 AS build
RUN apk add --no-cache git
WORKDIR /buildroot
COPY rebar.config rebar.lock ./
RUN rebar3 get-deps
COPY apps apps
COPY config config
RUN rebar3 as prod release

FROM alpine:3.22@sha256:16bb83acf66f26922f7c6e5363e33cb104bb4f2728ce8ea45e2b0b214dabc90c
COPY --from=build /usr/lib/libncursesw.so.6 /usr/lib/libstdc++.so.6 /usr/lib/libgcc_s.so.1 /usr/lib/
COPY --from=build /buildroot/_build/prod/rel/dispatch /opt/dispatch
USER 10001
ENV RELX_REPLACE_OS_VARS=true
EXPOSE 8080
CMD ["/opt/dispatch/bin/dispatch", "foreground"]
