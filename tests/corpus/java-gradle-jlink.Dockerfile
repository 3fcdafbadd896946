FROM eclipse-temurin:21-jdk-alpine@sha256:ef535112180bd0f568d1bd29395042f03706f4123f08d71722e8cf73405f91fa AS build
WORKDIR /src
COPY gradlew settings.gradle.kts build.gradle.kts gradle.properties ./
COPY gradle gradle
RUN ./gradlew --no-daemon --version
COPY src src
RUN --mount=type=cache,target=/root/.gradle \
    ./gradlew --no-daemon installDist
RUN apk add --no-cache binutils \
 && jlink --add-modules java.base,java.logging,java.net.http,jdk.crypto.ec \
      --strip-debug --no-man-pages --no-header-files --compress=zip-6 --output /jre

FROM alpine:3.22@sha256:16bb83acf66f26922f7c6e5363e33cb104bb4f2728ce8ea45e2b0b214dabc90c
ENV JAVA_HOME=/opt/jre
ENV PATH="$JAVA_HOME/bin:$PATH"
COPY --from=build /jre $JAVA_HOME
COPY --from=build /src/build/install/ledger /opt/ledger
RUN adduser -D -H -u 10001 ledger
USER 10001
WORKDIR /opt/ledger
ENTRYPOINT ["/opt/ledger/bin/ledger"]
