# The shape of the smallest image of a cluster: scratch, an argument before FROM, a numeric user.
ARG BASE
FROM ${BASE:-scratch}
ARG ARCH
ADD bin/pause-linux-${ARCH:-amd64} /pause
USER 65535:65535
ENTRYPOINT ["/pause"]
