# syntax=docker/dockerfile:1
FROM python:3.13-slim@sha256:cf1b6e9cc15cc669d1c096bf5918d3acfa4808bfa16bfd5176ccae1864d93e2d AS gen
WORKDIR /gen
COPY schema.json .
RUN python3 <<EOF
import json
with open("schema.json") as f:
    names = sorted(json.load(f)["definitions"])
with open("/names.txt", "w") as out:
    out.write("\n".join(names))
EOF
RUN <<-'SCRIPT' /bin/bash
	set -euo pipefail
	while IFS= read -r name; do
	    printf '%s\n' "${name^^}"
	done < /names.txt > /upper.txt
SCRIPT

FROM scratch
COPY --from=gen /names.txt /upper.txt /
USER 1000
