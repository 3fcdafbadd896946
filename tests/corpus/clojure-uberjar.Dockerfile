FROM clojure:temurin-21-tools-deps-bookworm-slim@sha256:ee02c7241bc7dccf62f6be79b11fcfe358295ccde312c77891cdc00ec7088b71 AS build
WORKDIR /usr/src/app
COPY deps.edn build.clj /usr/src/app/
RUN clojure -P && clojure -P -T:build
COPY src src
COPY resources resources
RUN clojure -T:build uber

FROM eclipse-temurin:21-jre@sha256:3c324e0081c9c129f5825ff677f51607117dce0bffe3dfa871d4dfd35425ea51
COPY --from=build /usr/src/app/target/service-standalone.jar /service.jar
USER 1234:1234
CMD ["java", "-XX:+UseZGC", "-jar", "/service.jar"]
