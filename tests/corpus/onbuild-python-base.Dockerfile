# The base of other teams' images.
FROM python:3.13-slim@sha256:cf1b6e9cc15cc669d1c096bf5918d3acfa4808bfa16bfd5176ccae1864d93e2d
RUN groupadd -g 10001 app && useradd -u 10001 -g app -m app
WORKDIR /app
ONBUILD COPY requirements.txt ./
ONBUILD RUN pip install --no-cache-dir --require-hashes -r requirements.txt
ONBUILD COPY . .
USER 10001
CMD ["python", "-m", "app"]
