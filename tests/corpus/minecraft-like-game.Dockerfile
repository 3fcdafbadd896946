FROM eclipse-temurin:21-jre-noble@sha256:f00dd07fb955382b92965352c359c003fb890bbbb55637f64c55afcedff2768b
RUN groupadd -g 2000 game && useradd -u 2000 -g 2000 -d /data -s /usr/sbin/nologin game && install -d -o game -g game /data
ADD --checksum=sha256:5f1a3e0b7bb2bd5ca77ddf3a2ca58b1f3b5e4c6d7a8b9c0d1e2f3a4b5c6d7e8f --chown=2000:2000 https://assets.example.org/server-1.21.4.jar /opt/server.jar
WORKDIR /data
VOLUME ["/data"]
USER 2000:2000
EXPOSE 25565
ENTRYPOINT ["java"]
CMD ["-Xmx2G", "-jar", "/opt/server.jar", "nogui"]
