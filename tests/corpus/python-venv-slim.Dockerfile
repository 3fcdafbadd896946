# syntax=docker/dockerfile:1
ARG PYTHON=3.13-slim-bookworm
FROM python:${PYTHON}@sha256:9b4a7269b2d0afd68f50e973965819d8b27704ae45077095c36ce6a0e5fee33f AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_NO_CACHE_DIR=1 \
    PYTHONDONTWRITEBYTECODE=1
RUN python -m venv /venv
ENV PATH=/venv/bin:$PATH
WORKDIR /src
COPY requirements.txt .
RUN pip install --require-hashes -r requirements.txt
COPY . .
RUN pip install --no-deps .

FROM python:${PYTHON}@sha256:9b4a7269b2d0afd68f50e973965819d8b27704ae45077095c36ce6a0e5fee33f
ENV PATH=/venv/bin:$PATH PYTHONUNBUFFERED=1
COPY --from=build /venv /venv
WORKDIR /app
USER 10001:10001
EXPOSE 8000
CMD ["gunicorn", "--bind=0.0.0.0:8000", "--workers=4", "app.wsgi:application"]
