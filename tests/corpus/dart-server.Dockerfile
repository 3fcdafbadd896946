FROM dart:3.6@sha256:4ac5b08bad4430f877cb3fa31ff4b51a6fcfaabb3ccbcb5d792d129aa84d323d AS build
WORKDIR /app
COPY pubspec.* ./
RUN dart pub get --enforce-lockfile
COPY . .
RUN dart compile exe bin/server.dart -o bin/server

FROM scratch
COPY --from=build /runtime/ /
COPY --from=build /app/bin/server /app/bin/
USER 1000:1000
EXPOSE 8080
CMD ["/app/bin/server"]
