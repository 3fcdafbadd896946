FROM python:3.13-bookworm@sha256:c12ebcf0c7d280226bb1b5396b41cb09c096142fbb647c37555e55f25c46baa0 AS wheels
RUN apt-get update \
    && apt-get install --yes --no-install-recommends libpq-dev=15.* gcc=4:12.* \
    && apt-get clean \
    && rm -rf /var/lib/apt/lists/* /tmp/* /var/tmp/*
COPY requirements/*.txt /req/
RUN pip wheel --no-cache-dir --wheel-dir=/wheels --require-hashes -r /req/prod.txt

FROM python:3.13-slim-bookworm@sha256:a1c1a72a1674fca4119c73cc15ad64e7d9e4f222d7c8a87e26207bb594c602ec AS install
RUN python -m venv /opt/venv
RUN --mount=type=bind,from=wheels,source=/wheels,target=/wheels \
    --mount=type=bind,from=wheels,source=/req,target=/req \
    /opt/venv/bin/pip install --no-cache-dir --no-index --find-links=/wheels -r /req/prod.txt

FROM python:3.13-slim-bookworm@sha256:a1c1a72a1674fca4119c73cc15ad64e7d9e4f222d7c8a87e26207bb594c602ec
COPY --from=wheels /usr/lib/x86_64-linux-gnu/libpq.so.5 /usr/lib/x86_64-linux-gnu/
COPY --from=install /opt/venv /opt/venv
COPY --chown=0:0 --chmod=755 manage.py /srv/
COPY shop /srv/shop
WORKDIR /srv
ENV PATH=/opt/venv/bin:/usr/local/bin:/usr/bin:/bin DJANGO_SETTINGS_MODULE=shop.settings.prod
RUN SECRET_KEY=only-for-collectstatic python manage.py collectstatic --noinput
USER 10001
CMD ["uwsgi", "--ini", "/srv/shop/uwsgi.ini"]
