FROM rockylinux:9-minimal@sha256:822e49512e84d73c5fc9a3d6b93c2a44ab4708a10f5896e99c3e0b97756d21bc AS rpm
RUN microdnf install -y --nodocs --setopt=install_weak_deps=0 rpm-build make gcc \
 && microdnf clean all
RUN useradd -m -u 1000 builder
USER builder
WORKDIR /home/builder/rpmbuild
COPY --chown=builder:builder spec/ SPECS/
COPY --chown=builder:builder sources/ SOURCES/
RUN rpmbuild -bb SPECS/agent.spec

FROM scratch
COPY --from=rpm /home/builder/rpmbuild/RPMS/x86_64/*.rpm /
USER 1000
