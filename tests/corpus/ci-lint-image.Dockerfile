FROM python:3.13-slim@sha256:cf1b6e9cc15cc669d1c096bf5918d3acfa4808bfa16bfd5176ccae1864d93e2d AS tools
RUN python -m venv /venv && /venv/bin/pip install --no-cache-dir ruff==0.8.4 mypy==1.13.0 yamllint==1.35.1

FROM koalaman/shellcheck:v0.10.0@sha256:293b99722c962b9162e078ec41c310c1aa04e2497d87c2566e3d40775971d14a AS shellcheck
FROM mvdan/shfmt:v3.10.0@sha256:7013f64269d3e2b1e3b0c13bcb337f2915f5dc723248ede34dd3ea19cc9e3010 AS shfmt

FROM python:3.13-slim@sha256:cf1b6e9cc15cc669d1c096bf5918d3acfa4808bfa16bfd5176ccae1864d93e2d
COPY --from=tools /venv /venv
COPY --from=shellcheck /bin/shellcheck /usr/local/bin/
COPY --from=shfmt /bin/shfmt /usr/local/bin/
ENV PATH=/venv/bin:$PATH
USER 1000:1000
WORKDIR /src
