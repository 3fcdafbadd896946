FROM gradle:8.11-jdk21@sha256:532372ae8a3846add2bf6be6a0ec2dad2da71e9371aff4d85c506e3b089c0e78 AS build
COPY --chown=gradle:gradle . /home/gradle/src
WORKDIR /home/gradle/src
RUN gradle bootJar --no-daemon

FROM registry.example.com/distroless/java21-debian12:nonroot@sha256:388397d6f3b400397412c76f2e9cf661207486367d1f215bb2caa6b67200e8f9
COPY --from=build /home/gradle/src/build/libs/*.jar /app.jar
USER 65532
EXPOSE 8080
CMD ["/app.jar"]
