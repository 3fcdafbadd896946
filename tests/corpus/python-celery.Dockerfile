FROM python:3.12-alpine3.22@sha256:d12b69d4b293a25544477c8e870ee9ca52e003f24266bd4f9e09687a32a08c3b AS build
RUN apk add --no-cache --virtual .build-deps gcc musl-dev libffi-dev
RUN python -m venv /opt/v
COPY constraints.txt requirements.txt /
RUN /opt/v/bin/pip install --no-cache-dir -c /constraints.txt -r /requirements.txt

FROM python:3.12-alpine3.22@sha256:d12b69d4b293a25544477c8e870ee9ca52e003f24266bd4f9e09687a32a08c3b
ENV PATH="/opt/v/bin:${PATH}" C_FORCE_ROOT=""
COPY --from=build /opt/v /opt/v
COPY tasks /srv/tasks
WORKDIR /srv
USER 405
HEALTHCHECK --interval=60s CMD celery -A tasks inspect ping -d "celery@$HOSTNAME" || exit 1
CMD ["celery", "-A", "tasks", "worker", "--loglevel=INFO"]
