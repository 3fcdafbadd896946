FROM registry.example.com/graalvm/native-image-community:21-muslib@sha256:73050f7b4e027b69316b6768cf2b34c12aa385ecac1888d65e3fec0d36a0f75e AS build
WORKDIR /app
COPY .mvn .mvn
COPY mvnw pom.xml ./
RUN ./mvnw -B -ntp dependency:resolve-plugins dependency:resolve
COPY src src
RUN ./mvnw -B -ntp -Pnative -DskipTests native:compile

FROM scratch
COPY --from=build --chmod=555 /app/target/quotes /quotes
USER 2000:2000
ENTRYPOINT ["/quotes"]
