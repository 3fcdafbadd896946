FROM sbtscala/scala-sbt:eclipse-temurin-21.0.5_11_1.10.6_3.6.2@sha256:4aa048920911c373f3ab7c0d599857072040b41679ccb9b6c548533dd520bc49 AS build
WORKDIR /build
COPY build.sbt ./
COPY project/build.properties project/plugins.sbt project/
RUN sbt -batch update
COPY . .
RUN sbt -batch stage

FROM eclipse-temurin:21-jre-alpine@sha256:61b825c3fb7d04fe927e1614e178065cb7cb6267280ab00348bf8ec8a0c2e7b0
COPY --from=build /build/target/universal/stage /opt/app
USER 10001
ENTRYPOINT ["/opt/app/bin/app", "-Dpidfile.path=/dev/null"]
