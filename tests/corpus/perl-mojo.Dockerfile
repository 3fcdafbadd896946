FROM perl:5.40-slim-bookworm@sha256:4d9e02435459a58d0cf02eb2f8a2ff5014b69f3b1c6576ca28a66b6b0d5ab39f AS deps
RUN apt-get update && apt-get install -y --no-install-recommends gcc libc6-dev libssl-dev make zlib1g-dev && rm -rf /var/lib/apt/lists/*
WORKDIR /app
COPY cpanfile cpanfile.snapshot ./
RUN cpanm --notest Carton@1.0.35 && carton install --deployment

FROM perl:5.40-slim-bookworm@sha256:4d9e02435459a58d0cf02eb2f8a2ff5014b69f3b1c6576ca28a66b6b0d5ab39f
WORKDIR /app
COPY --from=deps /app/local local
COPY lib lib
COPY script script
ENV PERL5LIB=/app/local/lib/perl5
USER 10001
EXPOSE 3000
CMD ["perl", "script/app", "prefork", "-l", "http://*:3000"]
