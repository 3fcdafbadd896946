# escape=`
FROM registry.example.com/windows/servercore:ltsc2022@sha256:9dc71dfa9d2b6e742a3d354981f398d3114faf055933daa8dfd4f7d8a2a14893 AS build
SHELL ["powershell", "-Command", "$ErrorActionPreference = 'Stop'; $ProgressPreference = 'SilentlyContinue';"]
RUN Invoke-WebRequest -OutFile C:\node.zip -Uri https://nodejs.org/dist/v22.12.0/node-v22.12.0-win-x64.zip; `
    if ((Get-FileHash C:\node.zip -Algorithm sha256).Hash -ne '2B8F2256382F97AD51E29FF71F702961AF466C4616393F767455501E6AECE9B8') { exit 1 }; `
    Expand-Archive C:\node.zip -DestinationPath C:\; `
    Rename-Item C:\node-v22.12.0-win-x64 C:\nodejs
WORKDIR C:\app
COPY package.json package-lock.json .\
RUN C:\nodejs\npm.cmd ci

FROM registry.example.com/windows/nanoserver:ltsc2022@sha256:974cb3be5badead2e153fc048e48ff44f84fa6ca5f4d9282243e0772679577bf
WORKDIR C:\app
COPY --from=build C:\nodejs C:\nodejs
COPY --from=build C:\app C:\app
USER ContainerUser
CMD ["C:\\nodejs\\node.exe", "server.js"]
