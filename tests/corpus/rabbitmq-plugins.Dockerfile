FROM rabbitmq:4.0-alpine@sha256:002dbdfb354253c1377b82c40bc21ff0477d71093820c161822a15d6b7f409d5
RUN rabbitmq-plugins enable --offline rabbitmq_prometheus rabbitmq_shovel \
 && chown -R rabbitmq:rabbitmq /etc/rabbitmq
COPY --chown=rabbitmq:rabbitmq rabbitmq.conf definitions.json /etc/rabbitmq/
USER rabbitmq
EXPOSE 5672 15692
