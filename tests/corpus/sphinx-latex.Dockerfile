FROM sphinxdoc/sphinx-latexpdf:8.1.3@sha256:4eb42a87f9a57fecea6f4c5c35cbd2bb9c46c9a165af3a8242df45c25647347d AS build
WORKDIR /docs
COPY requirements.txt .
RUN python3 -m pip install --no-cache-dir --require-hashes -r requirements.txt
COPY . .
RUN make latexpdf html

FROM scratch AS pdf
COPY --from=build /docs/_build/latex/*.pdf /

FROM nginxinc/nginx-unprivileged:1.27-alpine@sha256:5a850651fd88097a7f942f0e01bcec3c5a6582979f3c424ebc0b56982790d2fc AS html
COPY --from=build /docs/_build/html /usr/share/nginx/html
USER 101
