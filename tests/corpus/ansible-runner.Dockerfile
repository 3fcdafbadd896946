FROM python:3.12-slim-bookworm@sha256:4bd2ba22427f734176040c18d59614fffa8c6c6e65daa497d2bf5c04b8bb6e4f AS build
COPY requirements.txt requirements.yml /
RUN python -m venv /opt/ansible \
 && /opt/ansible/bin/pip install --no-cache-dir --require-hashes -r /requirements.txt \
 && /opt/ansible/bin/ansible-galaxy collection install -r /requirements.yml -p /opt/collections

FROM python:3.12-slim-bookworm@sha256:4bd2ba22427f734176040c18d59614fffa8c6c6e65daa497d2bf5c04b8bb6e4f
COPY --from=build /opt/ansible /opt/ansible
COPY --from=build /opt/collections /opt/collections
ENV PATH=/opt/ansible/bin:$PATH \
    ANSIBLE_COLLECTIONS_PATH=/opt/collections \
    ANSIBLE_STDOUT_CALLBACK=yaml \
    ANSIBLE_VAULT_PASSWORD_FILE=/run/secrets/vault
RUN useradd --uid 10001 --create-home runner
USER 10001
WORKDIR /runner
ENTRYPOINT ["ansible-playbook"]
