FROM --platform=$BUILDPLATFORM registry.example.com/dotnet/sdk:9.0@sha256:c85fb6cb89ec2b934f86c0013c97e2676e073f1c57752e59272ebc1beb743abb AS build
ARG TARGETARCH
WORKDIR /source
COPY --link Directory.Build.props *.sln ./
COPY --link src/Shop.Api/*.csproj src/Shop.Api/
RUN dotnet restore src/Shop.Api --locked-mode -a $TARGETARCH
COPY --link src/ src/
RUN dotnet publish src/Shop.Api -a $TARGETARCH --no-restore -o /app

FROM registry.example.com/dotnet/aspnet:9.0-noble-chiseled@sha256:60fd2951aa05604cf9ae2b1f5e25e14c56252e5957b6536c0c502a8461fa1875
EXPOSE 8080
WORKDIR /app
COPY --link --from=build /app .
USER $APP_UID
ENTRYPOINT ["./Shop.Api"]
