# syntax=docker/dockerfile:1
FROM alpine:3.22@sha256:16bb83acf66f26922f7c6e5363e33cb104bb4f2728ce8ea45e2b0b214dabc90c AS fetch
ARG TARGETARCH
ARG KUBECTL_VERSION=v1.32.0
ARG HELM_VERSION=v3.16.4
ADD https://dl.k8s.io/release/${KUBECTL_VERSION}/bin/linux/${TARGETARCH}/kubectl https://dl.k8s.io/release/${KUBECTL_VERSION}/bin/linux/${TARGETARCH}/kubectl.sha256 /dl/
RUN cd /dl && echo "$(cat kubectl.sha256)  kubectl" | sha256sum -c - && install -m 0755 kubectl /usr/local/bin/kubectl
RUN set -eux; \
    wget -q "https://get.helm.sh/helm-${HELM_VERSION}-linux-${TARGETARCH}.tar.gz" "https://get.helm.sh/helm-${HELM_VERSION}-linux-${TARGETARCH}.tar.gz.sha256sum"; \
    sha256sum -c "helm-${HELM_VERSION}-linux-${TARGETARCH}.tar.gz.sha256sum"; \
    tar -xzf "helm-${HELM_VERSION}-linux-${TARGETARCH}.tar.gz"; \
    mv "linux-${TARGETARCH}/helm" /usr/local/bin/

FROM alpine:3.22@sha256:16bb83acf66f26922f7c6e5363e33cb104bb4f2728ce8ea45e2b0b214dabc90c
COPY --from=fetch /usr/local/bin/ /usr/local/bin/
RUN adduser -D -u 10001 deploy
USER 10001
WORKDIR /home/deploy
