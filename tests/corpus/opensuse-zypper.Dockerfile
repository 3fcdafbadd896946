FROM opensuse/leap:15.6@sha256:2039e37e6e87b2eb6cecc3171cd6c039fc584d2346cf07c4cb8c52b964c6cf75 AS build
RUN zypper --non-interactive refresh \
 && zypper --non-interactive install --no-recommends gcc-c++ make \
 && zypper clean --all
COPY . /src
WORKDIR /src
RUN make release

FROM opensuse/leap:15.6@sha256:2039e37e6e87b2eb6cecc3171cd6c039fc584d2346cf07c4cb8c52b964c6cf75
COPY --from=build /src/out/indexer /usr/bin/indexer
USER 1000
CMD ["indexer"]
