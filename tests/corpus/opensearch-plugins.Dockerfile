FROM opensearchproject/opensearch:2.18.0@sha256:e9095d4aef447e6fce869e9ea4167689a927d6dffeeb555bdfcc192ae7837474
RUN /usr/share/opensearch/bin/opensearch-plugin install --batch analysis-icu repository-s3
COPY --chown=1000:1000 opensearch.yml /usr/share/opensearch/config/
ENV OPENSEARCH_JAVA_OPTS="-Xms1g -Xmx1g"
USER 1000
