FROM registry.example.com/ubi9/openjdk-21:1.21@sha256:cc2dbc5d94ba285b2ed28b1cde0a77d90bd786733a0c6b10b5628b1f95604b1d AS build
USER 185
WORKDIR /code
COPY --chown=185 mvnw pom.xml ./
COPY --chown=185 .mvn .mvn
RUN ./mvnw -B dependency:go-offline
COPY --chown=185 src src
RUN ./mvnw -B package

FROM registry.example.com/ubi9/openjdk-21-runtime:1.21@sha256:37e6183d320e2eb02df07377e78077c9b895aa0839aa4337132900894cf2a926
ENV LANGUAGE='en_US:en'
COPY --from=build --chown=185 /code/target/quarkus-app/lib/ /deployments/lib/
COPY --from=build --chown=185 /code/target/quarkus-app/*.jar /deployments/
COPY --from=build --chown=185 /code/target/quarkus-app/app/ /deployments/app/
COPY --from=build --chown=185 /code/target/quarkus-app/quarkus/ /deployments/quarkus/
EXPOSE 8080
USER 185
ENV JAVA_OPTS_APPEND="-Dquarkus.http.host=0.0.0.0 -Djava.util.logging.manager=org.jboss.logmanager.LogManager"
ENV JAVA_APP_JAR="/deployments/quarkus-run.jar"
ENTRYPOINT [ "/opt/jboss/container/java/run/run-java.sh" ]
