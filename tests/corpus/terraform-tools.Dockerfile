FROM alpine:3.22@sha256:16bb83acf66f26922f7c6e5363e33cb104bb4f2728ce8ea45e2b0b214dabc90c AS tools
ARG TERRAFORM=1.10.3
ARG TFLINT=0.54.0
WORKDIR /dl
SHELL ["/bin/ash", "-eo", "pipefail", "-c"]
RUN apk add --no-cache curl gnupg unzip
COPY hashicorp.asc .
RUN gpg --import hashicorp.asc \
 && curl -fsSLO "https://releases.hashicorp.com/terraform/${TERRAFORM}/terraform_${TERRAFORM}_linux_amd64.zip" \
 && curl -fsSLO "https://releases.hashicorp.com/terraform/${TERRAFORM}/terraform_${TERRAFORM}_SHA256SUMS" \
 && curl -fsSLO "https://releases.hashicorp.com/terraform/${TERRAFORM}/terraform_${TERRAFORM}_SHA256SUMS.sig" \
 && gpg --verify "terraform_${TERRAFORM}_SHA256SUMS.sig" "terraform_${TERRAFORM}_SHA256SUMS" \
 && grep linux_amd64.zip "terraform_${TERRAFORM}_SHA256SUMS" | sha256sum -c - \
 && unzip "terraform_${TERRAFORM}_linux_amd64.zip" -d /out
RUN curl -fsSL "https://github.com/terraform-linters/tflint/releases/download/v${TFLINT}/tflint_linux_amd64.zip" -o tflint.zip \
 && echo "f0dbd2a7f5ecf1a4ef1b1ebd2c5eb9f4c6a3c9a1b1d3dbf2cd5dd1cdd6e59db9  tflint.zip" | sha256sum -c - \
 && unzip -q tflint.zip -d /out

FROM registry.example.com/distroless/static-debian12@sha256:06ee4d0eacdecdaf2208f8a97b23fe4234dae9770984b70d2714cf1c9b58a525
COPY --from=tools /out/ /usr/local/bin/
ENV TF_IN_AUTOMATION=1 TF_PLUGIN_CACHE_DIR=/tmp/plugins
USER 65532
WORKDIR /work
ENTRYPOINT ["/usr/local/bin/terraform"]
