# syntax=docker/dockerfile:1.4
# The shape of a workflow engine's image: scripts as heredocs, dozens of arguments, stages that share ENV.
ARG FLOW_EXTRAS="aiobotocore,amazon,async,celery,cncf-kubernetes"
ARG FLOW_VERSION="2.8.3"
ARG PYTHON_BASE_IMAGE="python:3.8-slim-bookworm"

##############################################################################################
# This is the script image where we keep all inlined bash scripts needed in other segments
##############################################################################################
FROM scratch as scripts

# The content below is automatically copied from scripts/docker/install_os_dependencies.sh
COPY <<"EOF" /install_os_dependencies.sh
#!/usr/bin/env bash
set -euo pipefail

if [[ "$#" != 1 ]]; then
    echo "ERROR! There should be 'runtime' or 'dev' parameter passed as argument.".
    exit 1
fi

if [[ "${1}" == "runtime" ]]; then
    INSTALLATION_TYPE="RUNTIME"
else
    INSTALLATION_TYPE="dev"
fi

function get_dev_apt_deps() {
    if [[ "${DEV_APT_DEPS=}" == "" ]]; then
        DEV_APT_DEPS="apt-transport-https apt-utils build-essential \
ca-certificates dirmngr"
        export DEV_APT_DEPS
    fi
}
EOF

# The content below is automatically copied from scripts/docker/common.sh
COPY <<"EOF" /common.sh
#!/usr/bin/env bash
function common::get_colors() {
    COLOR_BLUE=$'\e[34m'
    COLOR_RESET=$'\e[0m'
    export COLOR_BLUE
    cat <<INNER
$COLOR_BLUE
INNER
}
EOF

FROM ${PYTHON_BASE_IMAGE} as flow-build-image

SHELL ["/bin/bash", "-o", "pipefail", "-o", "errexit", "-o", "nounset", "-o", "nolog", "-c"]

ARG PYTHON_BASE_IMAGE
ENV PYTHON_BASE_IMAGE=${PYTHON_BASE_IMAGE} \
    DEBIAN_FRONTEND=noninteractive LANGUAGE=C.UTF-8 LANG=C.UTF-8 LC_ALL=C.UTF-8 \
    LC_CTYPE=C.UTF-8 LC_MESSAGES=C.UTF-8 \
    PIP_CACHE_DIR=/tmp/.cache/pip

ARG DEV_APT_DEPS=""
ARG ADDITIONAL_DEV_APT_ENV=""

COPY --from=scripts install_os_dependencies.sh /scripts/docker/
RUN bash /scripts/docker/install_os_dependencies.sh dev

ARG INSTALL_MYSQL_CLIENT="true"
ARG FLOW_HOME=/opt/flow
ARG FLOW_EXTRAS
ARG FLOW_VERSION
ARG FLOW_CONSTRAINTS_REFERENCE="constraints-${FLOW_VERSION}"

ENV PATH=${PATH}:${FLOW_HOME}/.local/bin \
    FLOW_VERSION=${FLOW_VERSION}

RUN --mount=type=cache,id=$PYTHON_BASE_IMAGE-$FLOW_VERSION,target=/tmp/.cache/pip,uid=${FLOW_UID:-50000} \
    --mount=type=bind,from=scripts,source=/common.sh,target=/tmp/common.sh \
    if [[ -f /docker-context-files/pip.conf ]]; then \
        mkdir -p "${FLOW_HOME}/.config/pip"; \
        cp /docker-context-files/pip.conf "${FLOW_HOME}/.config/pip/pip.conf"; \
    fi; \
    pip install --user "flow[${FLOW_EXTRAS}]==${FLOW_VERSION}"

FROM ${PYTHON_BASE_IMAGE} as main

ARG FLOW_UID="50000"
ARG FLOW_HOME=/opt/flow
LABEL org.example.flow.distro="debian" \
  org.example.flow.module="flow" \
  org.example.flow.uid="${FLOW_UID}"

RUN adduser --gecos "First Last,RoomNumber,WorkPhone,HomePhone" --disabled-password \
       --quiet "flow" --uid "${FLOW_UID}" --gid "0" --home "${FLOW_HOME}" && \
    mkdir -pv "${FLOW_HOME}/"{dags,logs}; \
    chown -R "flow:0" "${FLOW_HOME}"

COPY --from=flow-build-image --chown=flow:0 "${FLOW_HOME}/.local" "${FLOW_HOME}/.local"
COPY --from=scripts common.sh /

USER ${FLOW_UID}
WORKDIR ${FLOW_HOME}
EXPOSE 8080
ENTRYPOINT ["/usr/bin/dumb-init", "--", "/entrypoint"]
CMD []
