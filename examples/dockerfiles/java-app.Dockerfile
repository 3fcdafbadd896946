# syntax=docker/dockerfile:1
# expect: nothing
# A Java application: the build tool stays behind, the runtime has no shell.

FROM maven:3.9-eclipse-temurin-21@sha256:9d2f1a4b6c8e0d3f5a7b9c1d3e5f7a9b1c3d5e7f9a1b3c5d7e9f1a3b5c7d9e1f AS build
WORKDIR /src
COPY pom.xml .
RUN --mount=type=cache,target=/root/.m2 mvn -B dependency:go-offline
COPY src src
RUN --mount=type=cache,target=/root/.m2 mvn -B package -DskipTests && mv target/app.jar /app.jar

FROM gcr.example/distroless/java21@sha256:2a4c6e8f0b1d3f5a7c9e1b3d5f7a9c1e3b5d7f9a1c3e5b7d9f1a3c5e7b9d1f3a
COPY --from=build --chmod=0444 /app.jar /app.jar
USER 10001:10001
ENTRYPOINT ["java", "-XX:MaxRAMPercentage=75", "-jar", "/app.jar"]
