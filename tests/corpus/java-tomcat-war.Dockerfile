FROM maven:3.9-eclipse-temurin-17@sha256:f27c1f33425d74113badb9c7cbce2c6f5e836ae518f7567f975eae2346ca1f7f AS build
WORKDIR /w
COPY . .
RUN mvn -B verify

FROM tomcat:10.1-jre17-temurin-jammy@sha256:1ad46be771f5286d85b3fe6163b069307f7ed27fc4b00eae5a19c5d2c85e4e60
RUN rm -rf /usr/local/tomcat/webapps.dist \
 && groupadd -r -g 10001 tomcat && useradd -r -u 10001 -g tomcat -d "$CATALINA_HOME" -s /usr/sbin/nologin tomcat \
 && chown -R tomcat:tomcat "$CATALINA_HOME/temp" "$CATALINA_HOME/work" "$CATALINA_HOME/logs"
COPY --from=build /w/target/app.war $CATALINA_HOME/webapps/ROOT.war
USER 10001
EXPOSE 8080
CMD ["catalina.sh", "run"]
