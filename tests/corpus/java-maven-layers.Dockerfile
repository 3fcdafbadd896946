FROM maven:3.9-eclipse-temurin-21@sha256:71d58e57f54428a953b081f4814b3b442ad750c67e1a590dceb1a8e5140b5ed0 AS build
WORKDIR /build
COPY pom.xml .
RUN --mount=type=cache,target=/root/.m2 mvn -B -ntp dependency:go-offline
COPY src src
RUN --mount=type=cache,target=/root/.m2 mvn -B -ntp -DskipTests package && \
    java -Djarmode=layertools -jar target/app-*.jar extract --destination /layers

FROM eclipse-temurin:21-jre-jammy@sha256:fd523cd5934e7202e6acbcb5ab08f187e12145912d0a37c4926ae36224bc5047
WORKDIR /app
COPY --from=build /layers/dependencies/ ./
COPY --from=build /layers/spring-boot-loader/ ./
COPY --from=build /layers/snapshot-dependencies/ ./
COPY --from=build /layers/application/ ./
ENV JAVA_TOOL_OPTIONS="-XX:MaxRAMPercentage=75 -XX:+ExitOnOutOfMemoryError"
USER 1001:1001
EXPOSE 8080
ENTRYPOINT ["java", "org.springframework.boot.loader.launch.JarLauncher"]
