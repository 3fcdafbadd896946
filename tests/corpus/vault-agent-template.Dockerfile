FROM hashicorp/vault:1.18@sha256:2c731942edadba1366158ab409792b082de9b362164c567819d8a7acc2fbdb52 AS vault
FROM registry.example.com/distroless/base-debian12@sha256:6a27189dc86557cafe637dab695ea5fa7c6f0c14bb4d8694b8ae16ca786e54bb
COPY --from=vault /bin/vault /usr/bin/vault
COPY agent.hcl /etc/vault/agent.hcl
COPY templates/ /etc/vault/templates/
ENV VAULT_ADDR=https://vault.example.org:8200 VAULT_SKIP_VERIFY=false
USER 65532
ENTRYPOINT ["/usr/bin/vault", "agent", "-config=/etc/vault/agent.hcl"]
