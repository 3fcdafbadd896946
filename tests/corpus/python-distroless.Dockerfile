FROM python:3.11-slim-bookworm@sha256:c2c9fdd0d5193db0e65a49fb60291a15fa9d8dfbad4d3d6287eed7bdbaa3f9db AS build
WORKDIR /w
COPY requirements.lock .
RUN pip install --no-cache-dir --require-hashes --target=/deps -r requirements.lock

FROM registry.example.com/distroless/python3-debian12:nonroot@sha256:b7ad1b5a93c05d1a3f9dc48b6de4931c0915947bcbb2dfe9ec0894ced7f8971a
COPY --from=build /deps /deps
COPY app /app
ENV PYTHONPATH=/deps
USER nonroot
WORKDIR /app
ENTRYPOINT ["python3", "-m", "app"]
