# syntax=docker/dockerfile:1.9
FROM registry.example.com/astral-sh/uv:0.5.11@sha256:07b7bb435dff838bedac55a5734e84300d9df68d38d118c477a012bcf0cead51 AS uv
FROM python:3.13-slim-bookworm@sha256:a1c1a72a1674fca4119c73cc15ad64e7d9e4f222d7c8a87e26207bb594c602ec AS build
COPY --from=uv /uv /uvx /bin/
ENV UV_COMPILE_BYTECODE=1 UV_LINK_MODE=copy UV_PYTHON_DOWNLOADS=never
WORKDIR /app
RUN --mount=type=cache,target=/root/.cache/uv \
    --mount=type=bind,source=uv.lock,target=uv.lock \
    --mount=type=bind,source=pyproject.toml,target=pyproject.toml \
    uv sync --locked --no-install-project --no-dev
COPY . /app
RUN --mount=type=cache,target=/root/.cache/uv \
    uv sync --locked --no-dev --no-editable

FROM python:3.13-slim-bookworm@sha256:a1c1a72a1674fca4119c73cc15ad64e7d9e4f222d7c8a87e26207bb594c602ec
RUN groupadd --system --gid 999 app && useradd --system --gid 999 --uid 999 --no-log-init app
COPY --from=build --chown=app:app /app/.venv /app/.venv
ENV PATH="/app/.venv/bin:$PATH"
USER app
CMD ["fastapi", "run", "--host", "0.0.0.0", "app.main:app"]
