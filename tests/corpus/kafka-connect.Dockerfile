FROM confluentinc/cp-kafka-connect-base:7.8.0@sha256:2444afde0f60fc02de8e5158bf1912a15e60bc9b4bc2efe9d44450c02cf0a457 AS plugins
RUN confluent-hub install --no-prompt --component-dir /plugins debezium/debezium-connector-postgresql:2.5.4

FROM confluentinc/cp-kafka-connect-base:7.8.0@sha256:2444afde0f60fc02de8e5158bf1912a15e60bc9b4bc2efe9d44450c02cf0a457
COPY --from=plugins /plugins /usr/share/confluent-hub-components
ENV CONNECT_PLUGIN_PATH=/usr/share/java,/usr/share/confluent-hub-components \
    CONNECT_REST_PORT=8083 \
    CONNECT_KEY_CONVERTER=org.apache.kafka.connect.storage.StringConverter
USER appuser
EXPOSE 8083
