FROM registry.example.com/jupyter/base-notebook:2024-12-23@sha256:f059f82c3b520645bedcb056d3e0fb763ad55f892e8c79f10583db47b384e160
USER root
RUN apt-get update --yes && \
    apt-get install --yes --no-install-recommends graphviz && \
    apt-get clean && rm -rf /var/lib/apt/lists/*
USER ${NB_UID}
COPY --chown=${NB_UID}:${NB_GID} conda-lock.yml /tmp/
RUN mamba install --yes --file /tmp/conda-lock.yml && \
    mamba clean --all -f -y && \
    fix-permissions "${CONDA_DIR}" && \
    fix-permissions "/home/${NB_USER}"
