# syntax=docker/dockerfile:1
# expect: nothing
# A Python application: wheels are made in one stage, and installed where no compiler is. The
# private index needs a token, which is there while it is used and nowhere else.

FROM python:3.13-slim-bookworm@sha256:e3a4d1bd9a9bdb9f1d3e6d5f7cbf4c0d93d5d1ec2d9b2f4c5a8b8c7e6d5f4a3b AS wheels
WORKDIR /src
COPY requirements.txt .
RUN --mount=type=cache,target=/root/.cache/pip \
    --mount=type=secret,id=pip_token,env=PIP_TOKEN \
    pip wheel --wheel-dir /wheels --require-hashes -r requirements.txt

FROM python:3.13-slim-bookworm@sha256:e3a4d1bd9a9bdb9f1d3e6d5f7cbf4c0d93d5d1ec2d9b2f4c5a8b8c7e6d5f4a3b AS packages
COPY --from=wheels /wheels /wheels
RUN pip install --no-cache-dir --no-index --target /packages /wheels/*.whl

FROM gcr.example/distroless/python3@sha256:4f5d0b6d0f2c1a9e8b7c6d5e4f3a2b1c0d9e8f7a6b5c4d3e2f1a0b9c8d7e6f5a
COPY --from=packages /packages /packages
COPY app /app
ENV PYTHONPATH=/packages PYTHONUNBUFFERED=1
WORKDIR /app
USER 10001:10001
ENTRYPOINT ["python3", "-m", "app"]
