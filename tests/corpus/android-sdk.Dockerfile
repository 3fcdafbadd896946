FROM eclipse-temurin:17-jdk-jammy@sha256:bd786b53a02ee1c3d4f410b45bb919527501c7053f6e64ae31026951f1f3e74a AS sdk
ENV ANDROID_HOME=/opt/android
ARG CMDLINE_TOOLS=11076708
ARG CMDLINE_TOOLS_SHA256=2d2d50857e4eb553af5a6dc3ad507a17adf43d115264b1afc116f95c92e5e258
RUN apt-get update && apt-get install -y --no-install-recommends curl unzip && rm -rf /var/lib/apt/lists/*
RUN mkdir -p "$ANDROID_HOME/cmdline-tools" \
 && curl --proto '=https' --tlsv1.2 -fsSL -o /tmp/tools.zip "https://dl.google.com/android/repository/commandlinetools-linux-${CMDLINE_TOOLS}_latest.zip" \
 && echo "${CMDLINE_TOOLS_SHA256} /tmp/tools.zip" | sha256sum --check --status \
 && unzip -q /tmp/tools.zip -d "$ANDROID_HOME/cmdline-tools" && mv "$ANDROID_HOME/cmdline-tools/cmdline-tools" "$ANDROID_HOME/cmdline-tools/latest" \
 && rm /tmp/tools.zip
ENV PATH=$PATH:$ANDROID_HOME/cmdline-tools/latest/bin:$ANDROID_HOME/platform-tools
RUN yes | sdkmanager --licenses > /dev/null \
 && sdkmanager "platforms;android-35" "build-tools;35.0.0"

FROM sdk AS build
WORKDIR /app
COPY . .
RUN ./gradlew --no-daemon assembleRelease

FROM scratch
COPY --from=build /app/app/build/outputs/apk/release/ /
USER 1000
