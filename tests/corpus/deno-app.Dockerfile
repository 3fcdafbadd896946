FROM denoland/deno:2.1.4@sha256:e315356f37a0baa77f1f41e2dcaeb7b43b0a65163edf67ed63d55b7f2d9d2a6b AS build
WORKDIR /app
COPY deno.json deno.lock ./
COPY main.ts ./
COPY lib/ lib/
RUN deno cache --frozen main.ts && deno compile --allow-net --allow-env --output /out/app main.ts

FROM registry.example.com/distroless/cc-debian12:nonroot@sha256:34ec28190d2e67cf8fd4928b3278d4655d100e4f4a0d3f0abc6ad0d986dd4ac1
COPY --from=build /out/app /app
USER 65532
EXPOSE 8000
ENTRYPOINT ["/app"]
