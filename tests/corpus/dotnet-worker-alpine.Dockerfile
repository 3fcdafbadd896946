FROM registry.example.com/dotnet/sdk:8.0-alpine3.20@sha256:eba201ab338ead4f710004f1143f7e52ae9cd21edeb33e318c394bb19ff5f1ea AS build
WORKDIR /src
COPY ["Worker/Worker.csproj", "Worker/"]
COPY ["NuGet.config", "./"]
RUN --mount=type=secret,id=nuget,target=/root/.nuget/NuGet/NuGet.Config,required dotnet restore "Worker/Worker.csproj"
COPY . .
WORKDIR /src/Worker
ARG BUILD_CONFIGURATION=Release
RUN dotnet publish "Worker.csproj" -c $BUILD_CONFIGURATION -o /app/publish /p:UseAppHost=false

FROM registry.example.com/dotnet/runtime:8.0-alpine3.20@sha256:5b44f70445fed6a662518432236b70af9d7a0d12588f601fc25b9585948a0774 AS final
ENV DOTNET_SYSTEM_GLOBALIZATION_INVARIANT=1
WORKDIR /app
COPY --from=build /app/publish .
USER 1654
ENTRYPOINT ["dotnet", "Worker.dll"]
