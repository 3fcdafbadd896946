FROM registry.example.com/dotnet/sdk:9.0-noble-aot@sha256:9bf3b55e39455cf53360c622efce8d62cd74d76b74d11f3faf91fc014e35d09a AS build
WORKDIR /src
COPY . .
RUN dotnet publish Tool/Tool.csproj -r linux-x64 -c Release -o /out -p:StripSymbols=true && rm /out/*.dbg

FROM registry.example.com/dotnet/runtime-deps:9.0-noble-chiseled@sha256:e316b5536b5d6c62d143f08f6afb2e2cb3e9b43e628f04315284ff979feab69f
COPY --from=build /out/ /opt/tool/
USER 1654:1654
ENTRYPOINT ["/opt/tool/Tool"]
