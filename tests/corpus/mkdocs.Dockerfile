FROM python:3.13-alpine@sha256:fef27dd8ed4254ba6ca70eaa11c7875e51793a4aa6c4023e67958a1d52e1de27 AS build
WORKDIR /docs
COPY requirements-docs.txt ./
RUN pip install --no-cache-dir -r requirements-docs.txt
COPY mkdocs.yml ./
COPY docs docs
RUN mkdocs build --strict --site-dir /site

FROM nginxinc/nginx-unprivileged:1.27-alpine@sha256:5a850651fd88097a7f942f0e01bcec3c5a6582979f3c424ebc0b56982790d2fc
COPY --from=build /site /usr/share/nginx/html
USER 101
