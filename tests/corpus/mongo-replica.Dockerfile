FROM mongo:8.0-noble@sha256:2326f51ea1ceb14834c511d74f1b2887fcbbd7cb03c7c057a05340f3f65b94f2
COPY --chown=mongodb:mongodb --chmod=0500 init/*.js /docker-entrypoint-initdb.d/
COPY mongod.conf /etc/mongod.conf
USER 999:999
EXPOSE 27017
HEALTHCHECK --start-period=30s CMD mongosh --quiet --eval 'db.adminCommand({ ping: 1 }).ok' | grep -q 1
CMD ["mongod", "--config", "/etc/mongod.conf", "--replSet", "rs0"]
