FROM fluent/fluent-bit:3.2@sha256:c56510b42a01f51b8b19fc5d4ca64b2967aafdb75d41808130bd7acde12c32a9
COPY fluent-bit.yaml parsers.conf /fluent-bit/etc/
COPY filters/ /fluent-bit/filters/
USER 10001
CMD ["/fluent-bit/bin/fluent-bit", "-c", "/fluent-bit/etc/fluent-bit.yaml"]
