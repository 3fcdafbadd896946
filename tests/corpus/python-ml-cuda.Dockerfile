# syntax=docker/dockerfile:1
FROM nvidia/cuda:12.6.3-cudnn-devel-ubuntu24.04@sha256:8405025aaafb46e6c897e21395c9e997e8379ec1454518a646ad5020c4d1996e AS build
ENV DEBIAN_FRONTEND=noninteractive
RUN apt-get update && apt-get install -y --no-install-recommends \
        python3.12 python3.12-venv python3.12-dev git \
    && rm -rf /var/lib/apt/lists/*
RUN python3.12 -m venv /opt/venv
ENV PATH=/opt/venv/bin:$PATH
COPY requirements.txt /tmp/
RUN --mount=type=cache,target=/root/.cache/pip \
    pip install --require-hashes --extra-index-url https://download.pytorch.org/whl/cu126 -r /tmp/requirements.txt
ENV TORCH_CUDA_ARCH_LIST="8.0;8.6;9.0"
COPY kernels /kernels
RUN pip install --no-build-isolation --no-deps /kernels

FROM nvidia/cuda:12.6.3-cudnn-runtime-ubuntu24.04@sha256:eabc9b2c9f290d3a235ff76522f3ea24ba0d6d08340c7bd2cc93b4d6bc42677f
COPY --from=build /usr/bin/python3.12 /usr/bin/python3.12
COPY --from=build /usr/lib/python3.12 /usr/lib/python3.12
COPY --from=build /opt/venv /opt/venv
COPY serve /serve
ENV PATH=/opt/venv/bin:$PATH NVIDIA_VISIBLE_DEVICES=all NVIDIA_DRIVER_CAPABILITIES=compute,utility
USER 10001
WORKDIR /serve
CMD ["python3", "-m", "serve", "--port", "8080"]
