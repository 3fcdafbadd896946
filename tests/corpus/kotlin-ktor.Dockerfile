FROM gradle:8.11-jdk21-alpine@sha256:7ea3833a0145f4a073e7818b840c535d62f0da09d31836c06812f518c53f84cb AS cache
RUN mkdir -p /home/gradle/cache_home
ENV GRADLE_USER_HOME=/home/gradle/cache_home
COPY build.gradle.* gradle.properties /home/gradle/app/
COPY gradle /home/gradle/app/gradle
WORKDIR /home/gradle/app
RUN gradle clean build -i --stacktrace

FROM gradle:8.11-jdk21-alpine@sha256:7ea3833a0145f4a073e7818b840c535d62f0da09d31836c06812f518c53f84cb AS build
COPY --from=cache /home/gradle/cache_home /home/gradle/.gradle
COPY --chown=gradle:gradle . /usr/src/app/
WORKDIR /usr/src/app
RUN gradle buildFatJar --no-daemon

FROM amazoncorretto:21-alpine@sha256:0202eb5e6c2f81c2a499331dbdd76cffd2210a6917d83d956ce203472b52aeb4 AS runtime
EXPOSE 8080
RUN mkdir /app
COPY --from=build /usr/src/app/build/libs/*-all.jar /app/ktor.jar
USER 1000
ENTRYPOINT ["java", "-jar", "/app/ktor.jar"]
